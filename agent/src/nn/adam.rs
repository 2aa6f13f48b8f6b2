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
    /// Added to the root of the latter. PPO implementations use 1e-5.
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
    /// A parameter's own count: one that the loss did not reach has not moved.
    steps: u64,
    mean: Vec<f32>,
    square: Vec<f32>,
}

/// Everything an [`Adam`] remembers, for a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdamState {
    /// `mean/…` and `square/…` of each parameter.
    pub arrays: Vec<NamedArray>,
    /// Number of steps of each parameter, in the order of the parameters.
    pub steps: Vec<u64>,
}

impl Adam {
    /// Fresh state with the usual constants.
    pub fn new(params: &Params) -> Self {
        Self::with_config(params, AdamConfig::default())
    }

    /// Fresh state.
    pub fn with_config(params: &Params, config: AdamConfig) -> Self {
        let moments = params
            .ids()
            .map(|id| Moments {
                name: params.name(id).to_owned(),
                shape: params.shape(id),
                steps: 0,
                mean: vec![0.0; params.data(id).len()],
                square: vec![0.0; params.data(id).len()],
            })
            .collect();
        Self { config, moments }
    }

    /// One step against `gradients`, first scaled down so that their global norm does not exceed
    /// `max_grad_norm` (Pascanu et al. 2013, arXiv 1211.5063). Parameters without a gradient stay.
    /// Returns the norm before clipping. When it is not finite nothing is changed.
    pub fn step(
        &mut self,
        params: &mut Params,
        gradients: &Gradients,
        learning_rate: f32,
        max_grad_norm: Option<f32>,
    ) -> f32 {
        let squares = params
            .ids()
            .filter_map(|id| gradients.of(id))
            .map(sum_of_squares);
        let norm = squares.sum::<f64>().sqrt() as f32;
        if !norm.is_finite() {
            return norm;
        }
        let scale = max_grad_norm.map_or(1.0, |max| (max / (norm + 1e-6)).min(1.0));
        for (id, moments) in params.ids().zip(&mut self.moments) {
            if let Some(gradient) = gradients.of(id) {
                moments.steps += 1;
                let rates = Rates::new(self.config, learning_rate, moments.steps, scale);
                let Moments { mean, square, .. } = moments;
                update(params.data_mut(id), mean, square, gradient, rates);
            }
        }
        norm
    }

    /// A copy of the state.
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

    /// Takes over a saved state.
    ///
    /// # Errors
    /// When it was saved for other parameters; then nothing has changed.
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

/// The scalars of one parameter's step.
#[derive(Clone, Copy)]
struct Rates {
    beta1: f32,
    beta2: f32,
    eps: f32,
    /// Factor on the gradient.
    scale: f32,
    /// Learning rate over the bias correction of the mean.
    step_size: f32,
    /// 1 / the bias correction of the square.
    square_correction: f32,
}

impl Rates {
    fn new(config: AdamConfig, learning_rate: f32, steps: u64, scale: f32) -> Self {
        let AdamConfig { beta1, beta2, eps } = config;
        let correction = |beta: f32| 1.0 - f64::from(beta).powf(steps as f64);
        Self {
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
    } = rates;
    let moments = mean.iter_mut().zip(square);
    for ((weight, gradient), (mean, square)) in weights.iter_mut().zip(gradient).zip(moments) {
        let gradient = gradient * scale;
        *mean = beta1.mul_add(*mean, (1.0 - beta1) * gradient);
        *square = beta2.mul_add(*square, (1.0 - beta2) * gradient * gradient);
        *weight -= step_size * *mean / ((*square * square_correction).sqrt() + eps);
    }
}
