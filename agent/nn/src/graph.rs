//! Computation with parameters, recorded so that gradients can be computed from it.

use std::collections::HashMap;
use std::rc::Rc;

use dfdx::tensor::{Cpu, OwnedTape, PutTape, Tape, TensorFromVec};
use dfdx::tensor_ops::Backward;

use super::kernels::transpose::transpose;
use super::params::{ParamId, Params};
use super::tensor::{self, Tensor, values};

/// One forward pass. Its methods compute; a graph made for training also records each operation's
/// backward step.
///
/// The graph holds the tape, not the tensors, so a tensor may be used any number of times.
pub struct Graph<'p> {
    params: &'p Params,
    recorder: Option<Recorder>,
    detached: Option<Detached>,
}

/// Results of [`Graph::detach`], where gradients are compared with finite differences: a constant must not move when a
/// parameter does.
pub(crate) enum Detached {
    /// They are kept, in their order.
    Kept(Vec<Tensor>),
    /// Those of another graph are repeated.
    Repeated(std::vec::IntoIter<Tensor>),
}

/// The state of a recording graph. A tensor is identified by the address of its numbers, which is
/// unique because `tracked` keeps every tensor alive.
struct Recorder {
    tape: OwnedTape<f32, Cpu>,
    tracked: HashMap<*const f32, (Tensor, GradKey)>,
    param_keys: Vec<GradKey>,
    variables: Vec<GradKey>,
    /// Parameters in so many blocks, each transposed.
    transposed: HashMap<(usize, usize), Rc<[f32]>>,
}

impl<'p> Graph<'p> {
    /// Creates a graph that only computes, for acting and evaluation.
    pub fn inference(params: &'p Params) -> Self {
        Self {
            params,
            recorder: None,
            detached: None,
        }
    }

    /// Creates a graph that records, for one call of [`backward`](Self::backward).
    pub fn training(params: &'p Params) -> Self {
        let recorder = Recorder {
            tape: OwnedTape::default(),
            tracked: HashMap::new(),
            param_keys: vec![GradKey::unwanted(); params.ids().len()],
            variables: Vec::new(),
            transposed: HashMap::new(),
        };
        Self {
            params,
            recorder: Some(recorder),
            detached: None,
        }
    }

    /// Keeps the results of [`detach`](Self::detach), or repeats those of another graph.
    pub(crate) fn with_detached(self, detached: Detached) -> Self {
        Self {
            detached: Some(detached),
            ..self
        }
    }

    /// Returns the results of [`detach`](Self::detach) that were kept, in their order.
    pub(crate) fn kept(&self) -> &[Tensor] {
        match &self.detached {
            Some(Detached::Kept(kept)) => kept,
            _ => &[],
        }
    }

    /// `x` as a constant: no gradient flows back through the result.
    ///
    /// # Panics
    /// When a graph that repeats the results of another has more of them.
    pub fn detach(&mut self, x: &Tensor) -> Tensor {
        if let Some(Detached::Repeated(others)) = &mut self.detached {
            return others.next().expect("the same operations as before");
        }
        let y = self.constant(values(x).to_vec(), tensor::shape(x));
        if let Some(Detached::Kept(kept)) = &mut self.detached {
            kept.push(y.clone());
        }
        y
    }

    /// The parameters that the graph computes with.
    pub fn params(&self) -> &'p Params {
        self.params
    }

    /// Returns a tensor of given numbers, row-major. It gets no gradient.
    ///
    /// # Panics
    /// When `data` does not hold `shape.0 * shape.1` values.
    pub fn constant(&self, data: Vec<f32>, shape: (usize, usize)) -> Tensor {
        tensor::from_vec(self.params.device(), data, shape)
    }

    /// Returns a tensor of given numbers like [`constant`](Self::constant), whose gradient can be asked for:
    /// [`Gradients::of_variable`] counts variables from 0 in the order in which they were made. For rows of a table that is
    /// too large to have a gradient as a whole.
    pub fn variable(&mut self, data: Vec<f32>, shape: (usize, usize)) -> Tensor {
        let variable = self.constant(data, shape);
        let device = self.params.device();
        if let Some(recorder) = &mut self.recorder {
            let key = GradKey::new(device);
            recorder.variables.push(key.clone());
            let numbers = values(&variable);
            if !numbers.is_empty() {
                let tracked = (variable.clone(), key);
                recorder.tracked.insert(numbers.as_ptr(), tracked);
            }
        }
        variable
    }

    /// Returns whether the graph records.
    pub fn is_training(&self) -> bool {
        self.recorder.is_some()
    }

    /// Returns a parameter as a tensor. Its gradient becomes the parameter's.
    pub fn param(&self, id: ParamId) -> Tensor {
        self.params.get(id).clone()
    }

    /// Computes the gradients of `loss` `[1, 1]` by running the recorded operations backwards.
    ///
    /// # Panics
    /// When the graph is for inference, or `loss` is not a single number.
    pub fn backward(mut self, loss: &Tensor) -> Gradients {
        assert_eq!(tensor::shape(loss), (1, 1), "a loss is a single number");
        let loss_key = self.key(loss);
        let device = self.params.device();
        let Recorder {
            mut tape,
            param_keys,
            variables,
            ..
        } = self
            .recorder
            .expect("gradients need a graph made by `Graph::training`");
        tape.add_backward_op(move |gradients| {
            GradStore(gradients).give(&loss_key, vec![1.0]);
            Ok(())
        });
        // dfdx starts a backward pass at a rank-0 tensor that holds the tape.
        let root = device.tensor_from_vec(vec![0.0], ()).put_tape(tape);
        let mut gradients = root.backward();
        let mut store = GradStore(&mut gradients);
        let mut taken = |keys: &[GradKey]| keys.iter().map(|key| store.take(key)).collect();
        Gradients {
            by_param: taken(&param_keys),
            by_variable: taken(&variables),
        }
    }

    /// Returns the key of the gradient of `tensor`. The gradient is unwanted if the graph does not
    /// record, or if the tensor depends on no parameter.
    pub(crate) fn key(&mut self, tensor: &Tensor) -> GradKey {
        let Some(recorder) = &self.recorder else {
            return GradKey::unwanted();
        };
        let numbers = values(tensor);
        if numbers.is_empty() {
            return GradKey::unwanted();
        }
        if let Some((_, key)) = recorder.tracked.get(&numbers.as_ptr()) {
            return key.clone();
        }
        match self.params.find_storage(numbers.as_ptr()) {
            Some(id) => self.param_key(id),
            None => GradKey::unwanted(),
        }
    }

    /// Returns the key of the gradient of a parameter.
    pub(crate) fn param_key(&mut self, id: ParamId) -> GradKey {
        let Some(recorder) = &mut self.recorder else {
            return GradKey::unwanted();
        };
        let key = &mut recorder.param_keys[id.index()];
        if !key.wanted() {
            *key = GradKey::new(self.params.device());
        }
        key.clone()
    }

    /// Returns a parameter in `blocks` blocks of rows, each transposed, for backward steps. It is computed once for the
    /// graph: a cell multiplies by the same weights at every step.
    pub(crate) fn transposed(&mut self, id: ParamId, blocks: usize) -> Rc<[f32]> {
        let (params, (rows, columns)) = (self.params, self.params.shape(id));
        let recorder = self
            .recorder
            .as_mut()
            .expect("only a recording graph has backward steps");
        let known = recorder.transposed.entry((id.index(), blocks));
        let transposed = known.or_insert_with(|| {
            let len = (rows / blocks * columns).max(1);
            let parts = params.data(id).chunks_exact(len);
            let transposed = parts.map(|part| transpose(part, rows / blocks, columns));
            transposed.collect::<Vec<_>>().concat().into()
        });
        Rc::clone(transposed)
    }

    /// Records the backward step of an operation. `backward` receives the gradient of `output`, and
    /// is not called if there is none. Call this only if the gradient of an input is wanted.
    pub(crate) fn record<F>(&mut self, output: &Tensor, backward: F)
    where
        F: FnOnce(Vec<f32>, &mut GradStore<'_>) + 'static,
    {
        let recorder = self
            .recorder
            .as_mut()
            .expect("only a recording graph wants gradients");
        let numbers = values(output);
        if numbers.is_empty() {
            return;
        }
        let key = GradKey::new(self.params.device());
        recorder
            .tracked
            .insert(numbers.as_ptr(), (output.clone(), key.clone()));
        recorder.tape.add_backward_op(move |gradients| {
            let mut store = GradStore(gradients);
            let gradient = store.take(&key);
            if !gradient.is_empty() {
                backward(gradient, &mut store);
            }
            Ok(())
        });
    }
}

/// Identifies a gradient in dfdx's store by an empty tensor. dfdx allocates nothing for an empty
/// tensor, so "no gradient yet" is visible, and the first contribution is moved in instead of added
/// to zeros.
#[derive(Clone)]
pub(crate) struct GradKey(Option<Tensor>);

impl GradKey {
    fn new(device: &Cpu) -> Self {
        Self(Some(tensor::from_vec(device, Vec::new(), (0, 0))))
    }

    fn unwanted() -> Self {
        Self(None)
    }

    /// Whether this gradient is needed.
    pub(crate) fn wanted(&self) -> bool {
        self.0.is_some()
    }
}

/// The gradients during the backward pass. An empty vector means that there is no contribution yet.
pub(crate) struct GradStore<'a>(&'a mut dfdx::tensor::Gradients<f32, Cpu>);

impl GradStore<'_> {
    fn slot(&mut self, key: &Tensor) -> &mut Vec<f32> {
        self.0
            .get_or_alloc_mut(key)
            .expect("an empty allocation cannot fail")
    }

    /// Moves a gradient out; an empty vector if there is none.
    fn take(&mut self, key: &GradKey) -> Vec<f32> {
        match &key.0 {
            Some(key) => std::mem::take(self.slot(key)),
            None => Vec::new(),
        }
    }

    /// Adds a contribution to a gradient.
    pub(crate) fn give(&mut self, key: &GradKey, contribution: Vec<f32>) {
        let Some(key) = &key.0 else { return };
        let slot = self.slot(key);
        if slot.is_empty() {
            *slot = contribution;
        } else {
            super::kernels::elementwise::add_to(slot, &contribution);
        }
    }

    /// Calls `add` to add a contribution in place; the vector is empty before the first
    /// contribution. Does nothing if the gradient is unwanted.
    pub(crate) fn update(&mut self, key: &GradKey, add: impl FnOnce(&mut Vec<f32>)) {
        if let Some(key) = &key.0 {
            add(self.slot(key));
        }
    }
}

/// The gradient of a loss with respect to the parameters.
pub struct Gradients {
    by_param: Vec<Vec<f32>>,
    by_variable: Vec<Vec<f32>>,
}

impl Gradients {
    /// Returns the gradient of a parameter, in its shape; `None` if the loss does not depend on it.
    pub fn of(&self, id: ParamId) -> Option<&[f32]> {
        let gradient = self.by_param[id.index()].as_slice();
        (!gradient.is_empty()).then_some(gradient)
    }

    /// Returns the gradient of a [variable](Graph::variable), in its shape; `None` if the loss does not depend on it.
    pub fn of_variable(&self, variable: usize) -> Option<&[f32]> {
        let gradient = self.by_variable[variable].as_slice();
        (!gradient.is_empty()).then_some(gradient)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Activation, Init};
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    fn params() -> (Params, ParamId, ParamId) {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(0);
        let mut params = Params::new();
        let used = params.add("used", (3, 8), Init::Normal { std: 1.0 }, &mut rng);
        let unused = params.add("unused", (8, 8), Init::Normal { std: 1.0 }, &mut rng);
        (params, used, unused)
    }

    fn loss(graph: &mut Graph<'_>, weight: ParamId) -> Tensor {
        let x = graph.constant((0..60).map(|i| (i as f32).sin()).collect(), (20, 3));
        let y = graph.linear(&x, weight, None, Activation::Tanh);
        graph.mse(&y, &[0.5; 160], &[1.0; 20])
    }

    #[test]
    fn only_parameters_that_the_loss_depends_on_have_a_gradient() {
        let (params, used, unused) = params();
        let mut graph = Graph::training(&params);
        let loss = loss(&mut graph, used);
        let gradients = graph.backward(&loss);
        assert_eq!(gradients.of(used).map(<[f32]>::len), Some(24));
        assert_eq!(gradients.of(unused), None);
    }

    #[test]
    fn a_loss_without_parameters_has_no_gradients() {
        let (params, used, _) = params();
        let mut graph = Graph::training(&params);
        let x = graph.constant(vec![1.0], (1, 1));
        let loss = graph.scale(&x, 2.0);
        assert_eq!(graph.backward(&loss).of(used), None);
    }

    #[test]
    fn a_variable_has_the_gradient_that_a_parameter_would_have() {
        let (params, used, _) = params();
        let loss = |graph: &mut Graph<'_>, weight: &Tensor| {
            let y = graph.scale(weight, 2.0);
            graph.mse(&y, &[0.5; 24], &[1.0; 3])
        };
        let mut graph = Graph::training(&params);
        let weight = graph.param(used);
        let of_param = loss(&mut graph, &weight);
        let expected = graph.backward(&of_param);
        let mut graph = Graph::training(&params);
        graph.variable(vec![1.0], (1, 1));
        let weight = graph.variable(params.data(used).to_vec(), (3, 8));
        let of_variable = loss(&mut graph, &weight);
        let found = graph.backward(&of_variable);
        assert_eq!(found.of_variable(0), None);
        assert_eq!(found.of_variable(1), expected.of(used));
        assert_eq!(found.of(used), None);
    }

    #[test]
    fn a_batch_of_no_rows_gives_a_loss_of_zero() {
        let (params, used, unused) = params();
        let mut graph = Graph::training(&params);
        let x = graph.constant(vec![], (0, 3));
        let hidden = graph.linear(&x, used, None, Activation::Tanh);
        let y = graph.linear(&hidden, unused, None, Activation::Tanh);
        let loss = graph.mse(&y, &[], &[]);
        assert_eq!(values(&loss), [0.0]);
        assert_eq!(graph.backward(&loss).of(used), None);
    }

    #[test]
    fn the_same_bits_every_time() {
        let (params, used, _) = params();
        let run = || {
            let mut graph = Graph::training(&params);
            let loss = loss(&mut graph, used);
            (
                values(&loss)[0],
                graph.backward(&loss).of(used).expect("used").to_vec(),
            )
        };
        let inference = values(&loss(&mut Graph::inference(&params), used))[0];
        assert_eq!(run(), run());
        assert_eq!(run().0, inference);
    }

    #[test]
    #[should_panic(expected = "Graph::training")]
    fn inference_has_no_gradients() {
        let (params, used, _) = params();
        let mut graph = Graph::inference(&params);
        let loss = loss(&mut graph, used);
        graph.backward(&loss);
    }
}
