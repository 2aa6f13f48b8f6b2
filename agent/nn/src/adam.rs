//! Adam (Kingma & Ba 2015, arXiv 1412.6980) with clipping by the global norm and a state that can
//! be saved.

use multiversion::multiversion;
use serde::{Deserialize, Serialize};

use super::error::NnError;
use super::graph::Gradients;
use super::kernels::elementwise::sum_of_squares;
use super::params::{NamedArray, Params, match_arrays};

/// The constants of Adam; the learning rate is an argument of each step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamConfig {
    /// Decay of the mean of gradients.
    pub beta1: f32,
    /// Decay of the mean of squared gradients.
    pub beta2: f32,
    /// Added to the root of the mean of squared gradients. PPO implementations use 1e-5.
    pub eps: f32,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-5,
        }
    }
}

/// Optimiser state: the two moments and the number of steps of each parameter.
pub struct Adam {
    config: AdamConfig,
    moments: Vec<Moments>,
}

struct Moments {
    name: String,
    shape: (usize, usize),
    /// Steps of this parameter. Counted per parameter, because a step skips the parameters that
    /// have no gradient.
    steps: u64,
    mean: Vec<f32>,
    square: Vec<f32>,
}

/// The whole state of an [`Adam`], for a checkpoint. The default is the state of an optimiser without parameters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AdamState {
    /// `mean/…` and `square/…` of each parameter.
    pub arrays: Vec<NamedArray>,
    /// Number of steps of each parameter, in the order of the parameters.
    pub steps: Vec<u64>,
}

impl Adam {
    /// Creates an optimiser without history, with the usual constants.
    pub fn new(params: &Params) -> Self {
        Self::with_config(params, AdamConfig::default())
    }

    /// Creates an optimiser without history. It holds no moments of parameters that are not trained.
    pub fn with_config(params: &Params, config: AdamConfig) -> Self {
        let moments = |id| {
            let shape = match params.is_trained(id) {
                true => params.shape(id),
                false => (0, 0),
            };
            Moments {
                name: params.name(id).to_owned(),
                shape,
                steps: 0,
                mean: vec![0.0; shape.0 * shape.1],
                square: vec![0.0; shape.0 * shape.1],
            }
        };
        let moments = params.ids().map(moments).collect();
        Self { config, moments }
    }

    /// Takes one step against `gradients`, which are first scaled down so that their global norm
    /// does not exceed `max_grad_norm` (Pascanu et al. 2013, arXiv 1211.5063). Parameters without a
    /// gradient, and those that are not trained, do not change. Returns the norm before clipping. If it is not finite, nothing
    /// changes.
    pub fn step(
        &mut self,
        params: &mut Params,
        gradients: &Gradients,
        learning_rate: f32,
        max_grad_norm: Option<f32>,
    ) -> f32 {
        let squares = params
            .ids()
            .filter(|&id| params.is_trained(id))
            .filter_map(|id| gradients.of(id))
            .map(sum_of_squares);
        let norm = squares.sum::<f64>().sqrt() as f32;
        if !norm.is_finite() {
            return norm;
        }
        let scale = max_grad_norm.map_or(1.0, |max| (max / (norm + 1e-6)).min(1.0));
        let mut rates = Rates::new(self.config, learning_rate, 1, scale);
        for (id, moments) in params.ids().zip(&mut self.moments) {
            if !params.is_trained(id) {
                continue;
            }
            if let Some(gradient) = gradients.of(id) {
                moments.steps += 1;
                if moments.steps != rates.steps {
                    rates = Rates::new(self.config, learning_rate, moments.steps, scale);
                }
                let Moments { mean, square, .. } = moments;
                update(params.data_mut(id), mean, square, gradient, rates);
            }
        }
        norm
    }

    /// Returns a copy of the state.
    pub fn export(&self) -> AdamState {
        let array = |kind: &str, moments: &Moments, data: &[f32]| NamedArray {
            name: format!("{kind}/{}", moments.name),
            shape: moments.shape,
            data: data.to_vec(),
        };
        let arrays = self
            .moments
            .iter()
            .flat_map(|m| [array("mean", m, &m.mean), array("square", m, &m.square)])
            .collect();
        AdamState {
            arrays,
            steps: self.moments.iter().map(|m| m.steps).collect(),
        }
    }

    /// Restores a saved state.
    ///
    /// # Errors
    /// When the state was saved for other parameters. Nothing changes then.
    pub fn import(&mut self, state: &AdamState) -> Result<(), NnError> {
        let expected: Vec<_> = self
            .moments
            .iter()
            .flat_map(|m| ["mean", "square"].map(|kind| (format!("{kind}/{}", m.name), m.shape)))
            .collect();
        let found = match_arrays(&expected, &state.arrays)?;
        if state.steps.len() != self.moments.len() {
            return Err(NnError::Length {
                name: "steps".to_owned(),
                shape: (1, self.moments.len()),
                found: state.steps.len(),
            });
        }
        for ((moments, arrays), &steps) in self
            .moments
            .iter_mut()
            .zip(found.chunks_exact(2))
            .zip(&state.steps)
        {
            moments.mean.copy_from_slice(&arrays[0].data);
            moments.square.copy_from_slice(&arrays[1].data);
            moments.steps = steps;
        }
        Ok(())
    }
}

/// The numbers that one parameter's step depends on.
#[derive(Clone, Copy)]
struct Rates {
    /// Steps of the parameter, this one included.
    steps: u64,
    beta1: f32,
    beta2: f32,
    eps: f32,
    /// Factor on the gradient.
    scale: f32,
    /// Learning rate, divided by the bias correction of the mean.
    step_size: f32,
    /// Reciprocal of the bias correction of the square.
    square_correction: f32,
}

impl Rates {
    fn new(config: AdamConfig, learning_rate: f32, steps: u64, scale: f32) -> Self {
        let AdamConfig { beta1, beta2, eps } = config;
        let correction = |beta: f32| 1.0 - f64::from(beta).powf(steps as f64);
        Self {
            steps,
            beta1,
            beta2,
            eps,
            scale,
            step_size: (f64::from(learning_rate) / correction(beta1)) as f32,
            square_correction: (1.0 / correction(beta2)) as f32,
        }
    }
}

#[multiversion(targets = "simd")]
fn update(
    weights: &mut [f32],
    mean: &mut [f32],
    square: &mut [f32],
    gradient: &[f32],
    rates: Rates,
) {
    let Rates {
        beta1,
        beta2,
        eps,
        scale,
        step_size,
        square_correction,
        ..
    } = rates;
    let moments = mean.iter_mut().zip(square);
    for ((weight, gradient), (mean, square)) in weights.iter_mut().zip(gradient).zip(moments) {
        let gradient = gradient * scale;
        *mean = beta1.mul_add(*mean, (1.0 - beta1) * gradient);
        *square = beta2.mul_add(*square, (1.0 - beta2) * gradient * gradient);
        *weight -= step_size * *mean / ((*square * square_correction).sqrt() + eps);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Graph, Init, ParamId};
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    /// `w` = (1, 2), which the losses below depend on, and `idle`, which they do not.
    fn two_params() -> (Params, ParamId) {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(0);
        let mut params = Params::new();
        let w = params.add("w", (1, 2), Init::Zeros, &mut rng);
        params.add("idle", (1, 1), Init::Constant(7.0), &mut rng);
        params.data_mut(w).copy_from_slice(&[1.0, 2.0]);
        (params, w)
    }

    /// The gradient of ½ |w - target|², which is w - target.
    fn gradients(params: &Params, w: ParamId, target: [f32; 2]) -> Gradients {
        let mut graph = Graph::training(params);
        let x = graph.param(w);
        let loss = graph.mse(&x, &target, &[1.0]);
        graph.backward(&loss)
    }

    #[test]
    fn two_steps_by_hand() {
        let (mut params, w) = two_params();
        let mut adam = Adam::new(&params);
        let first = gradients(&params, w, [-2.0, -2.0]);
        assert_eq!(first.of(w), Some(&[3.0, 4.0][..]));
        assert_eq!(adam.step(&mut params, &first, 0.1, None), 5.0);
        let second = gradients(&params, w, [-2.0, -2.0]);
        adam.step(&mut params, &second, 0.1, None);
        // Moments of the first number after two steps: 0.56 and 0.017401, corrected 2.947368 and
        // 8.704852, so it moves by 0.1 · 2.947368 / (2.950399 + 1e-5).
        let expected = [0.800_103_4, 1.800_074_5];
        for (value, expected) in params.data(w).iter().zip(expected) {
            assert!((value - expected).abs() < 1e-6, "{:?}", params.data(w));
        }
        assert_eq!(params.export()[1].data, [7.0]);
        assert_eq!(adam.export().steps, [2, 0]);
    }

    #[test]
    fn clipping_by_the_global_norm() {
        let (mut params, w) = two_params();
        let mut adam = Adam::new(&params);
        let gradients = gradients(&params, w, [-2.0, -2.0]);
        assert_eq!(adam.step(&mut params, &gradients, 0.1, Some(2.5)), 5.0);
        // Half of the gradient (3, 4), times 1 - beta1 = 0.1.
        let mean = &adam.export().arrays[0];
        assert_eq!(mean.name, "mean/w");
        assert!((mean.data[0] - 0.15).abs() < 1e-6 && (mean.data[1] - 0.2).abs() < 1e-6);
    }

    #[test]
    fn a_gradient_that_is_not_finite_changes_nothing() {
        let (mut params, w) = two_params();
        let mut adam = Adam::new(&params);
        let (weights, state) = (params.export(), adam.export());
        let gradients = gradients(&params, w, [f32::NAN, 0.0]);
        assert!(adam.step(&mut params, &gradients, 0.1, Some(0.5)).is_nan());
        assert_eq!((params.export(), adam.export()), (weights, state));
    }

    #[test]
    fn a_restored_state_continues_identically() {
        let (mut params, w) = two_params();
        let mut adam = Adam::new(&params);
        let target = [0.5, -1.0];
        let first = gradients(&params, w, target);
        adam.step(&mut params, &first, 0.1, None);
        let mut restored = Adam::new(&params);
        restored.import(&adam.export()).unwrap();
        let second = gradients(&params, w, target);
        let mut twin = two_params().0;
        twin.import(&params.export()).unwrap();
        adam.step(&mut params, &second, 0.1, None);
        restored.step(&mut twin, &second, 0.1, None);
        assert_eq!(params.export(), twin.export());
        assert_eq!(adam.export(), restored.export());
    }

    #[test]
    fn a_state_of_other_parameters_is_refused() {
        let (params, _) = two_params();
        let mut adam = Adam::new(&params);
        let mut state = adam.export();
        state.steps.pop();
        let error = NnError::Length {
            name: "steps".into(),
            shape: (1, 2),
            found: 1,
        };
        assert_eq!(adam.import(&state), Err(error));
        let mut state = adam.export();
        state.arrays.remove(1);
        assert_eq!(
            adam.import(&state),
            Err(NnError::Missing {
                name: "square/w".into()
            })
        );
    }
}
