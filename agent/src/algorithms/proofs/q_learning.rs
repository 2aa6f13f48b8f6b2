//! Q-learning from replayed episodes (Hausknecht & Stone 2015, arXiv:1507.06527) with double estimates (van Hasselt et
//! al. 2016, arXiv:1509.06461) and a target network that follows slowly.

use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use crate::algorithms::algorithm::Algorithm;
use crate::algorithms::defaults::{no_check, only_choices};
use crate::algorithms::family::Family;
use crate::experience::{Behaviour, EpisodeBatch, Replay};
use crate::learner::settings::Optimiser;
use crate::learner::{
    Backup, Diverged, Experience, Group, Learner, LearnerContext, LearnerState, Metrics, StateError,
};
use crate::memory::feedforward::Feedforward;
use crate::memory::recurrent::cell::Recurrent;
use crate::memory::recurrent::lstm::LstmCell;
use crate::nn::{self, Adam, Graph, Params, categorical};
use crate::policy::Policy;
use crate::policy::decider::Decider;
use crate::policy::outputs::Outputs;

pub const ROW: Algorithm = Algorithm {
    id: "proof-q-learning",
    title: "Q-learning",
    family: Family::Recurrent,
    summary: "Action values over an LSTM, from replayed episodes.",
    source: "Hausknecht & Stone 2015, arXiv:1507.06527",
    decider: Decider::Network,
    defaults: || super::short_rollouts(1e-3),
    check: no_check,
    plays: only_choices,
    core: |context| Box::new(Recurrent::new(LstmCell::new, context)),
    outputs: Outputs::ActionValues,
    learner: |context| Box::new(QLearning::new(context)),
};

pub const CONTROL: Algorithm = Algorithm {
    id: "proof-q-learning-control",
    core: |context| Box::new(Feedforward::new(context)),
    ..ROW
};

const REPLAY_BYTES: usize = 1 << 20;
/// Episodes of an update.
const BATCH: usize = 32;
/// Environment steps to an update.
const TRAIN_EVERY: usize = 32;
const TARGET_RATE: f32 = 0.02;
const GAMMA: f32 = 0.9;
const MAX_GRAD_NORM: f32 = 10.0;

struct QLearning {
    adam: Adam,
    target: Params,
    learning_rate: f32,
    memory: Memory,
}

#[derive(Serialize, Deserialize)]
struct Memory {
    replay: Replay,
    /// Environment steps since the last update.
    steps: usize,
}

impl QLearning {
    fn new(context: &mut LearnerContext<'_>) -> Self {
        Self {
            adam: Adam::new(&context.policy.params),
            target: context.policy.params.duplicate(),
            learning_rate: context.hyper.get::<Optimiser>().learning_rate,
            memory: Memory {
                replay: Replay::new(usize::MAX, REPLAY_BYTES),
                steps: 0,
            },
        }
    }

    fn update(
        &mut self,
        policy: &mut Policy,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Result<Metrics, Diverged> {
        let state = policy.core.initial_state(BATCH);
        let batch = self.memory.replay.sample(BATCH, state, rng);
        let slow = policy.evaluate(&mut Graph::inference(&self.target), &batch.segment());
        let mut graph = Graph::training(&policy.params);
        let seen = policy.evaluate(&mut graph, &batch.segment());
        let (values, slow) = (nn::values(&seen.logits), nn::values(&slow.logits));
        let targets = targets(&policy.heads().sizes(), &batch, values, slow);
        let loss = graph.mse(&seen.logits, &targets, &batch.weights);
        let value = f64::from(nn::values(&loss)[0]);
        let gradients = graph.backward(&loss);
        let params = &mut policy.params;
        let rate = self.learning_rate;
        let norm = self
            .adam
            .step(params, &gradients, rate, Some(MAX_GRAD_NORM));
        if !norm.is_finite() || !value.is_finite() {
            return Err(Diverged {
                loss: value,
                grad_norm: f64::from(norm),
            });
        }
        self.target.follow(&policy.params, TARGET_RATE);
        let mut metrics = Metrics::default();
        metrics.put(Group::Train, "loss", value);
        Ok(metrics)
    }
}

/// Returns the values with those of the actions taken replaced by `r + γ·Q'(s', argmax Q(s'))`; each component of an
/// action is a choice of its own, and the next state is worth the mean over them.
fn targets(sizes: &[usize], batch: &EpisodeBatch, values: &[f32], slow: &[f32]) -> Vec<f32> {
    let width: usize = sizes.iter().sum();
    let mut targets = values.to_vec();
    for row in (0..batch.rewards.len()).filter(|&row| batch.weights[row] > 0.0) {
        let mut target = batch.rewards[row];
        let mut column = 0;
        for &size in sizes.iter().filter(|_| batch.continues[row]) {
            let first = (row + batch.batch) * width + column;
            let best = categorical::argmax(&values[first..first + size]) as usize;
            target += GAMMA * slow[first + best] / sizes.len() as f32;
            column += size;
        }
        let mut first = row * width;
        let actions = &batch.actions[row * sizes.len()..];
        for (&size, &action) in sizes.iter().zip(actions) {
            targets[first + action as usize] = target;
            first += size;
        }
    }
    targets
}

impl Learner for QLearning {
    fn discount(&self) -> f32 {
        GAMMA
    }

    fn behaviour(&self, progress: f64) -> Behaviour {
        Behaviour::EpsilonGreedy((1.0 - 3.0 * progress as f32).max(0.05))
    }

    fn learn(
        &mut self,
        policy: &mut Policy,
        experience: &Experience<'_>,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Result<Option<Metrics>, Diverged> {
        let memory = &mut self.memory;
        memory.replay.push(experience.rollout, experience.rewards);
        memory.steps += experience.rewards.len();
        let before = (Backup::new(policy, &self.adam), self.target.duplicate());
        let mut metrics = None;
        while self.memory.steps >= TRAIN_EVERY && !self.memory.replay.is_empty() {
            self.memory.steps -= TRAIN_EVERY;
            match self.update(policy, rng) {
                Ok(measured) => metrics = Some(measured),
                Err(diverged) => {
                    before.0.restore(policy, &mut self.adam);
                    self.target = before.1;
                    return Err(diverged);
                }
            }
        }
        Ok(metrics)
    }

    fn export(&self) -> LearnerState {
        LearnerState {
            adam: self.adam.export(),
            arrays: self.target.export(),
            rest: LearnerState::pack(&self.memory),
            ..LearnerState::default()
        }
    }

    fn import(&mut self, state: &LearnerState) -> Result<(), StateError> {
        self.adam.import(&state.adam)?;
        self.target.import(&state.arrays)?;
        self.memory = state.unpack()?;
        Ok(())
    }
}
