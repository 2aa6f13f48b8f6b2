//! Random network distillation (Burda et al. 2019, arXiv:1810.12894): an observation is new if a predictor of a fixed
//! random network's output gets it wrong.
//!
//! The bonus is ‖f̂(ō) − f(ō)‖² of the next observation, ō = clip((o − μ)/σ, ±5) with running moments, divided by the
//! running deviation of its discounted forward sum. Moments are set by the first rollout, where the paper plays at
//! random first. The predictor takes one step over each rollout.

use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use super::bonuses::ExplorationBonuses;
use super::moments::Moments;
use crate::nn::{
    self, Activation, Adam, AdamState, Graph, Init, NamedArray, NnError, ParamId, Params, Tensor,
};

/// Width of the hidden layers.
const HIDDEN: usize = 32;
/// Normalised observations lie within ± this.
const CLIP: f64 = 5.0;
/// Discount of the forward sum that scales the bonus: the paper's γ_I.
const GAMMA: f32 = 0.99;

/// A fixed random network, its predictor, and the moments that both scale by.
pub struct Rnd {
    target: Mlp,
    predictor: Mlp,
    adam: Adam,
    learning_rate: f32,
    observations: Moments,
    /// `[num_envs]`. Not cut where an episode ends: novelty is a matter of the whole run.
    forward_sums: Vec<f32>,
    bonuses: Moments,
}

/// The whole memory of an [`Rnd`], for a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RndState {
    target: Vec<NamedArray>,
    predictor: Vec<NamedArray>,
    adam: AdamState,
    observations: Moments,
    forward_sums: Vec<f32>,
    bonuses: Moments,
}

impl Rnd {
    /// Returns fresh networks; the predictor is one layer deeper.
    pub fn new(
        hyper: &ExplorationBonuses,
        observation_size: usize,
        num_envs: usize,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Self {
        let dim = hyper.rnd_emb_dim;
        let target = Mlp::new(&[observation_size, HIDDEN, dim], rng);
        let predictor = Mlp::new(&[observation_size, HIDDEN, HIDDEN, dim], rng);
        Self {
            adam: Adam::new(&predictor.params),
            target,
            predictor,
            learning_rate: hyper.rnd_lr,
            observations: Moments::new(observation_size),
            forward_sums: vec![0.0; num_envs],
            bonuses: Moments::new(1),
        }
    }

    /// The bonus of each of `next_observations` (`[T*B, observation_size]`, B the number of environments); then learns
    /// from them.
    pub fn bonuses(&mut self, next_observations: &[f32]) -> Vec<f32> {
        let first = self.observations.is_empty();
        if first {
            self.observations.add(next_observations);
        }
        let inputs = self.normalized(next_observations);
        let embedding = self.target.embed(&inputs);
        let predicted = self.predictor.embed(&inputs);
        let mut bonuses = squared_distances(&predicted, &embedding, self.target.outputs);
        self.rescale(&mut bonuses);
        self.learn(&inputs, &embedding);
        if !first {
            self.observations.add(next_observations);
        }
        bonuses
    }

    fn normalized(&self, observations: &[f32]) -> Vec<f32> {
        let width = self.target.inputs;
        let scale = |(i, &x): (usize, &f32)| {
            let column = i % width;
            let centred = f64::from(x) - self.observations.mean(column);
            // A number that never varied says nothing when it does not vary again, and everything when it does.
            (centred / (self.observations.std(column) + 1e-8)).clamp(-CLIP, CLIP) as f32
        };
        observations.iter().enumerate().map(scale).collect()
    }

    /// Divides by the running deviation of `Fₜ = γ·Fₜ₋₁ + bₜ`.
    fn rescale(&mut self, bonuses: &mut [f32]) {
        let mut seen = Vec::with_capacity(bonuses.len());
        for step in bonuses.chunks_exact(self.forward_sums.len()) {
            for (sum, bonus) in self.forward_sums.iter_mut().zip(step) {
                *sum = GAMMA * *sum + bonus;
                seen.push(*sum);
            }
        }
        self.bonuses.add(&seen);
        let scale = (1.0 / (self.bonuses.std(0) + 1e-8)) as f32;
        bonuses.iter_mut().for_each(|bonus| *bonus *= scale);
    }

    fn learn(&mut self, inputs: &[f32], embedding: &[f32]) {
        let Mlp { params, .. } = &self.predictor;
        let mut graph = Graph::training(params);
        let predicted = self.predictor.forward(&mut graph, inputs);
        let rows = vec![1.0; inputs.len() / self.predictor.inputs];
        let loss = graph.mse(&predicted, embedding, &rows);
        let gradients = graph.backward(&loss);
        self.adam.step(
            &mut self.predictor.params,
            &gradients,
            self.learning_rate,
            None,
        );
    }

    /// Returns a copy of everything it remembers.
    pub fn export(&self) -> RndState {
        RndState {
            target: self.target.params.export(),
            predictor: self.predictor.params.export(),
            adam: self.adam.export(),
            observations: self.observations.clone(),
            forward_sums: self.forward_sums.clone(),
            bonuses: self.bonuses.clone(),
        }
    }

    /// Continues from a saved state.
    ///
    /// # Errors
    /// A state that was saved for networks of other sizes.
    pub fn import(&mut self, state: RndState) -> Result<(), NnError> {
        self.target.params.import(&state.target)?;
        self.predictor.params.import(&state.predictor)?;
        self.adam.import(&state.adam)?;
        self.observations = state.observations;
        self.forward_sums = state.forward_sums;
        self.bonuses = state.bonuses;
        Ok(())
    }
}

/// Layers with a rectifier between them.
struct Mlp {
    params: Params,
    layers: Vec<(ParamId, ParamId)>,
    inputs: usize,
    outputs: usize,
}

impl Mlp {
    fn new(sizes: &[usize], rng: &mut Xoshiro256PlusPlus) -> Self {
        let mut params = Params::new();
        let gain = std::f32::consts::SQRT_2;
        let mut layer = |(i, sizes): (usize, &[usize])| {
            let [weight, bias] = ["weight", "bias"].map(|kind| format!("layer{i}.{kind}"));
            let shape = (sizes[0], sizes[1]);
            (
                params.add(&weight, shape, Init::Orthogonal { gain }, rng),
                params.add(&bias, (1, sizes[1]), Init::Zeros, rng),
            )
        };
        let layers = sizes.windows(2).enumerate().map(&mut layer).collect();
        Self {
            params,
            layers,
            inputs: sizes[0],
            outputs: sizes[sizes.len() - 1],
        }
    }

    fn forward(&self, graph: &mut Graph<'_>, inputs: &[f32]) -> Tensor {
        let mut x = graph.constant(inputs.to_vec(), (inputs.len() / self.inputs, self.inputs));
        for (i, &(weight, bias)) in self.layers.iter().enumerate() {
            let last = i + 1 == self.layers.len();
            let activation = if last {
                Activation::Identity
            } else {
                Activation::Relu
            };
            x = graph.linear(&x, weight, Some(bias), activation);
        }
        x
    }

    fn embed(&self, inputs: &[f32]) -> Vec<f32> {
        nn::values(&self.forward(&mut Graph::inference(&self.params), inputs)).to_vec()
    }
}

/// Of rows of `width` numbers.
fn squared_distances(a: &[f32], b: &[f32], width: usize) -> Vec<f32> {
    a.chunks_exact(width)
        .zip(b.chunks_exact(width))
        .map(|(a, b)| a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum())
        .collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn rnd(num_envs: usize) -> Rnd {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(0);
        Rnd::new(&ExplorationBonuses::default(), 2, num_envs, &mut rng)
    }

    #[test]
    fn a_perfect_prediction_is_worth_nothing() {
        let embedding = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(squared_distances(&embedding, &embedding, 2), [0.0, 0.0]);
        // 1² + 1² and 0² + 3².
        assert_eq!(
            squared_distances(&embedding, &[2.0, 1.0, 3.0, 1.0], 2),
            [2.0, 9.0]
        );
    }

    #[test]
    fn what_is_seen_again_and_again_gets_dull_and_the_new_stays_new() {
        let mut rnd = rnd(2);
        let target = rnd.target.params.export();
        let seen = [1.0, 0.0, 0.0, 1.0];
        let new = [1.0, 1.0, 0.0, 0.0];
        let error = |rnd: &Rnd, observations: &[f32]| -> f32 {
            let inputs = rnd.normalized(observations);
            let (predicted, embedding) = (rnd.predictor.embed(&inputs), rnd.target.embed(&inputs));
            squared_distances(&predicted, &embedding, rnd.target.outputs)
                .iter()
                .sum()
        };
        rnd.bonuses(&seen);
        let before = error(&rnd, &seen);
        for _ in 0..300 {
            rnd.bonuses(&seen);
        }
        let after = error(&rnd, &seen);
        assert!(after < 0.1 * before, "{before} to {after}");
        assert!(error(&rnd, &new) > 5.0 * after);
        assert_eq!(rnd.target.params.export(), target, "the target is fixed");
    }

    /// F = 1, then 0.99·1 + 0: mean 0.995, deviation 0.005; the bonuses 1 and 0 become 200 and 0.
    #[test]
    fn bonuses_are_divided_by_the_deviation_of_their_forward_sum() {
        let mut rnd = rnd(1);
        let mut bonuses = [1.0, 0.0];
        rnd.rescale(&mut bonuses);
        assert!((bonuses[0] - 200.0).abs() < 0.1, "{bonuses:?}");
        assert_eq!(bonuses[1], 0.0);
        assert!((rnd.forward_sums[0] - 0.99).abs() < 1e-6);
    }

    #[test]
    fn observations_are_scaled_and_clipped() {
        let mut rnd = rnd(1);
        // Means 2 and 7, deviations 1 and 0.
        rnd.observations.add(&[1.0, 7.0, 3.0, 7.0]);
        assert_eq!(
            rnd.normalized(&[3.0, 7.0, 100.0, 7.5]),
            [1.0, 0.0, 5.0, 5.0]
        );
    }

    #[test]
    fn a_saved_state_goes_on_alike() {
        let observations = [0.1, 0.2, 0.3, 0.9];
        let mut first = rnd(1);
        first.bonuses(&observations);
        let mut second = Rnd::new(
            &ExplorationBonuses::default(),
            2,
            1,
            &mut Xoshiro256PlusPlus::seed_from_u64(1),
        );
        second.import(first.export()).unwrap();
        assert_eq!(first.bonuses(&observations), second.bonuses(&observations));
        assert_eq!(first.export(), second.export());
    }
}
