//! Comparison of analytic gradients with finite differences, for operations and whole memories.

use super::graph::{Detached, Graph};
use super::params::Params;
use super::tensor::{Tensor, values};

/// Distances by which a parameter is moved to either side. The second is for a loss with a kink (of a rectifier) within the
/// first; a wrong gradient differs at both.
const STEPS: [f32; 2] = [5e-3, 6e-4];
/// Differences of `f32` losses of order 1 carry an absolute error of about 1e-7 / step, and the
/// central difference adds about step² times the third derivative.
const ABSOLUTE: f32 = 2e-3;
const RELATIVE: f32 = 2e-2;

/// Compares the gradient of `loss` with central differences for every number of every parameter that is trained.
///
/// `loss` builds a `[1, 1]` loss of order 1 from the parameters in the graph; it must be
/// deterministic and smooth within 6e-4 of the parameters' values. What [`Graph::detach`] returned stays as it was while
/// parameters move.
///
/// # Panics
/// When a gradient differs by more than 2e-3 + 2 % of its size, or no parameter has one.
pub fn check_gradients(params: &mut Params, loss: impl Fn(&mut Graph<'_>) -> Tensor) {
    let mut graph = Graph::training(params).with_detached(Detached::Kept(Vec::new()));
    let output = loss(&mut graph);
    let detached = graph.kept().to_vec();
    let gradients = graph.backward(&output);
    assert!(
        params.ids().any(|id| gradients.of(id).is_some()),
        "the loss depends on no parameter"
    );
    let evaluate = |params: &Params| {
        let detached = Detached::Repeated(detached.clone().into_iter());
        values(&loss(&mut Graph::inference(params).with_detached(detached)))[0]
    };
    for id in params
        .ids()
        .filter(|&id| params.is_trained(id))
        .collect::<Vec<_>>()
    {
        for i in 0..params.data(id).len() {
            let analytic = gradients.of(id).map_or(0.0, |gradient| gradient[i]);
            let original = params.data(id)[i];
            let mut differences = STEPS.into_iter().map(|step| {
                params.data_mut(id)[i] = original + step;
                let above = evaluate(params);
                params.data_mut(id)[i] = original - step;
                let below = evaluate(params);
                params.data_mut(id)[i] = original;
                (above - below) / (2.0 * step)
            });
            let agrees =
                |numeric: &f32| (analytic - numeric).abs() <= ABSOLUTE + RELATIVE * numeric.abs();
            let first = differences.next().expect("two steps");
            let is_right = agrees(&first) || differences.any(|numeric| agrees(&numeric));
            assert!(
                is_right,
                "gradient of `{}`[{i}]: {analytic} on the tape, {first} by differences",
                params.name(id)
            );
        }
    }
}

#[cfg(test)]
mod against_dfdx;
#[cfg(test)]
mod tests;
