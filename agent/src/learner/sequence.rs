//! Supervised learning of actions from stored episodes, given the returns that they led to (Chen et al. 2021, Decision
//! Transformer, arXiv:2106.01345): no values, no bootstrapping, no discount.
//!
//! Offline, the episodes are those of chance or of a recording. Online (Zheng et al. 2022, Online Decision Transformer,
//! arXiv:2202.05607) they are the policy's own, labelled with the returns that they earned in hindsight, and the policy's
//! entropy is kept above a bound.

use clap::ValueEnum;
use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use crate::experience::{Behaviour, EpisodeBatch, Replay, Sequence};
use crate::hyper::Hyperparameters;
use crate::hyper::section::section;
use crate::learner::settings::{Optimiser, Replaying};
use crate::learner::{
    Backup, Diverged, Experience, Group, Learner, LearnerContext, LearnerState, Metrics, StateError,
};
use crate::memory::Segment;
use crate::memory::attention::window::Context;
use crate::nn::{self, Adam, Graph, Init, ParamId, Tensor};
use crate::policy::Policy;

/// How environments are played while learning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Play {
    /// By the policy, which is asked for its target return.
    Policy,
    /// At random: what is learned from never depends on the policy.
    Uniform,
}

section! {
    /// Learning of actions from stored episodes.
    pub struct Imitation, overridden by ImitationOverrides {
        /// Play while learning: `uniform` (any action), `policy` (asked for the target return).
        #[arg(value_name = "PLAY")]
        behaviour: Play = Play::Uniform, |_| true, "uniform or policy";
        /// Checkpoint, or folder of a run, of a trained agent that plays instead, by its own policy.
        #[arg(value_name = "PATH|DIR")]
        behaviour_checkpoint: String = String::new(), |_| true, "a path; empty: none";
        /// Recorded episodes to learn from instead of playing: a dataset's folder, or its HDF5 file.
        #[arg(value_name = "PATH")]
        dataset: String = String::new(), |_| true, "a path; empty: none";
        /// Optimiser steps over which the step size rises from 0.
        warmup: u32 = 100, |&v| v <= 1_000_000, "0 to 1000000";
    }
}

section! {
    /// A lower bound of the policy's entropy.
    pub struct EntropyBound, overridden by EntropyBoundOverrides {
        /// Entropy that is asked for at first, as a share of that of chance.
        entropy_target: f32 = 0.5, |&v| (0.0..=1.0).contains(&v), "0 to 1";
        /// Entropy that is asked for in the end; it falls linearly.
        entropy_final: f32 = 0.05, |&v| (0.0..=1.0).contains(&v), "0 to 1";
        /// Weight λ of the entropy at first; it grows while the entropy is below its bound, and shrinks above.
        entropy_weight: f32 = 0.1, |&v| v > 0.0 && v <= 100.0, "above 0, at most 100";
    }
}

/// The entropy's bound, and its weight.
struct Bound {
    settings: EntropyBound,
    /// ln λ: a parameter of the learner's own, moved by the same optimiser as the weights (the paper has the same step size
    /// for both).
    log_weight: ParamId,
}

/// The optimiser, the replay, and settings.
pub struct Sequences {
    adam: Adam,
    replay: Replay,
    counts: Counts,
    bound: Option<Bound>,
    optimiser: Optimiser,
    replaying: Replaying,
    imitation: Imitation,
    /// Steps of a window, K.
    window: usize,
}

/// Counts that a resumed run needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Counts {
    /// Environment steps since the last optimiser step.
    steps: usize,
    /// Optimiser steps.
    updates: u64,
}

/// Measurements of an optimiser step.
#[derive(Clone, Copy, Default)]
struct Measured {
    likelihood: f64,
    entropy: f64,
    grad_norm: f64,
}

impl Sequences {
    /// Returns a learner for the context's policy, which is a softmax. Where the hyper-parameters have an [`EntropyBound`],
    /// it adds a parameter.
    pub fn new(context: &mut LearnerContext<'_>) -> Self {
        let LearnerContext {
            policy, hyper, rng, ..
        } = context;
        let bound = hyper.has::<EntropyBound>().then(|| {
            let settings: EntropyBound = hyper.get();
            let init = Init::Constant(settings.entropy_weight.ln());
            let log_weight = policy.params.add("entropy.log_weight", (1, 1), init, *rng);
            Bound {
                settings,
                log_weight,
            }
        });
        let replaying: Replaying = hyper.get();
        Self {
            adam: Adam::new(&policy.params),
            replay: Replay::new(replaying.replay_steps, replaying.replay_bytes),
            counts: Counts::default(),
            bound,
            optimiser: hyper.get(),
            replaying,
            imitation: hyper.get(),
            window: window(hyper),
        }
    }

    /// Draws windows: an episode by its length, then its step that a window begins with. A window over whole episodes
    /// begins with the first step, as acting sees it: without what came first, later steps teach to forget it.
    fn draw(&self, lengths: &Lengths, rng: &mut Xoshiro256PlusPlus) -> Vec<Sequence> {
        let mut window = || {
            let (episode, step) = lengths.find(rng.random_range(0..lengths.total()));
            let fits = lengths.of(episode) <= self.window;
            Sequence {
                episode,
                first: if fits { 0 } else { step },
                steps: self.window,
            }
        };
        (0..self.replaying.batch_size).map(|_| window()).collect()
    }

    /// Takes an optimiser step on some windows.
    fn step(
        &mut self,
        policy: &mut Policy,
        windows: &[Sequence],
        progress: f64,
    ) -> Result<Measured, Diverged> {
        let batch = batch(&self.replay, policy, windows);
        let segment = Segment {
            goals: Some(&batch.returns_to_go),
            ..batch.segment()
        };
        let mut graph = Graph::training(&policy.params);
        let seen = policy.evaluate(&mut graph, &segment);
        let of_components =
            Components::of(&mut graph, &policy.heads().sizes(), &seen.logits, &batch);
        let mut losses = vec![(1.0, &of_components.likelihood)];
        let entropy = nn::values(&of_components.entropy)[0];
        let weight_loss;
        if let Some(bound) = &self.bound {
            let log_weight = graph.param(bound.log_weight);
            let weight = nn::values(&log_weight)[0].exp();
            let excess = entropy - bound.least(&policy.heads().sizes(), progress);
            losses.push((-weight, &of_components.entropy));
            // The gradient of λ·(H − H_min) by ln λ.
            weight_loss = graph.scale(&log_weight, weight * excess);
            losses.push((1.0, &weight_loss));
        }
        losses.extend(seen.losses.iter().map(|(_, weight, loss)| (*weight, loss)));
        let loss = graph.total(&losses);
        let likelihood = f64::from(nn::values(&of_components.likelihood)[0]);
        let gradients = graph.backward(&loss);
        let rate = self.rate(progress);
        let longest = self.optimiser.longest();
        let norm = self
            .adam
            .step(&mut policy.params, &gradients, rate, longest);
        if !norm.is_finite() || !likelihood.is_finite() {
            return Err(Diverged {
                loss: likelihood,
                grad_norm: f64::from(norm),
            });
        }
        self.counts.updates += 1;
        Ok(Measured {
            likelihood,
            entropy: f64::from(entropy),
            grad_norm: f64::from(norm),
        })
    }

    /// Returns the step size of the next optimiser step.
    fn rate(&self, progress: f64) -> f32 {
        let taken = (self.counts.updates + 1) as f32;
        let warm = taken / self.imitation.warmup.max(1) as f32;
        self.optimiser.rate(progress) * warm.min(1.0)
    }

    /// Takes all optimiser steps that are due.
    fn steps(
        &mut self,
        policy: &mut Policy,
        progress: f64,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Result<Metrics, Diverged> {
        let lengths = Lengths::of_episodes(self.replay.lengths());
        let before = (Backup::new(policy, &self.adam), self.counts.clone());
        let mut measured = Vec::new();
        while self.counts.steps >= self.replaying.train_every {
            self.counts.steps -= self.replaying.train_every;
            let windows = self.draw(&lengths, rng);
            match self.step(policy, &windows, progress) {
                Ok(step) => measured.push(step),
                Err(diverged) => {
                    before.0.restore(policy, &mut self.adam);
                    self.counts = before.1;
                    return Err(diverged);
                }
            }
        }
        Ok(self.metrics(policy, &measured, progress))
    }

    fn metrics(&self, policy: &Policy, measured: &[Measured], progress: f64) -> Metrics {
        let mean = |of: fn(&Measured) -> f64| {
            measured.iter().map(of).sum::<f64>() / measured.len().max(1) as f64
        };
        let bound = self.bound.as_ref();
        let weight = bound.map(|bound| policy.params.data(bound.log_weight)[0].exp().into());
        let least = bound.map(|bound| bound.least(&policy.heads().sizes(), progress).into());
        let mut metrics = Metrics::default();
        metrics
            .put(Group::Rollout, "policy_entropy", mean(|step| step.entropy))
            .put(Group::Train, "loss", mean(|step| step.likelihood))
            .put_known(Group::Train, "entropy_bound", least)
            .put_known(Group::Train, "entropy_weight", weight)
            .put(Group::Train, "grad_norm", mean(|step| step.grad_norm))
            .put(Group::Train, "learning_rate", self.rate(progress).into())
            .put(Group::Train, "replay_episodes", self.replay.len() as f64)
            .put(Group::Train, "replay_bytes", self.replay.bytes() as f64);
        metrics
    }
}

/// Returns the steps of a window.
fn window(hyper: &Hyperparameters) -> usize {
    hyper.get::<Context>().memory_window
}

/// Returns the batch of some windows. A window from the middle of an episode begins with the clock there, and nothing else.
fn batch(replay: &Replay, policy: &Policy, windows: &[Sequence]) -> EpisodeBatch {
    let first: Vec<usize> = windows.iter().map(|window| window.first).collect();
    let mut batch = replay.batch(windows, usize::MAX, policy.core.state_at(&first));
    batch.without_next_rows();
    for (lane, _) in first.iter().enumerate().filter(|&(_, &first)| first > 0) {
        batch.starts[lane] = false;
    }
    batch
}

/// Losses over the components of actions.
struct Components {
    /// Mean of −ln π(a), the sum over the components.
    likelihood: Tensor,
    /// Mean entropy, the sum over the components.
    entropy: Tensor,
}

impl Components {
    fn of(graph: &mut Graph<'_>, sizes: &[usize], logits: &Tensor, batch: &EpisodeBatch) -> Self {
        let (mut likelihoods, mut entropies) = (Vec::new(), Vec::new());
        let mut first = 0;
        for (component, &size) in sizes.iter().enumerate() {
            let logits = graph.columns(logits, first..first + size);
            first += size;
            let choices = batch.actions[component..].iter().step_by(sizes.len());
            let choices: Vec<u32> = choices.copied().collect();
            likelihoods.push(graph.cross_entropy(&logits, &choices, &batch.weights));
            entropies.push(graph.entropy(&logits, &batch.weights));
        }
        let mut total = |parts: &[Tensor]| {
            let parts: Vec<_> = parts.iter().map(|part| (1.0, part)).collect();
            graph.total(&parts)
        };
        Self {
            likelihood: total(&likelihoods),
            entropy: total(&entropies),
        }
    }
}

impl Bound {
    /// Returns H_min in nats when this share of the run is over: a share of the entropy of chance.
    fn least(&self, sizes: &[usize], progress: f64) -> f32 {
        let EntropyBound {
            entropy_target: first,
            entropy_final: last,
            ..
        } = self.settings;
        let share = first + (last - first) * progress.min(1.0) as f32;
        share * sizes.iter().map(|&size| (size as f32).ln()).sum::<f32>()
    }
}

/// Lengths of episodes, added up.
struct Lengths(Vec<usize>);

impl Lengths {
    fn of_episodes(lengths: impl Iterator<Item = usize>) -> Self {
        let add = |sum: &mut usize, length| {
            *sum += length;
            Some(*sum)
        };
        Self(lengths.scan(0, add).collect())
    }

    /// Returns the number of all steps.
    fn total(&self) -> usize {
        *self.0.last().expect("an episode")
    }

    fn before(&self, episode: usize) -> usize {
        episode.checked_sub(1).map_or(0, |earlier| self.0[earlier])
    }

    fn of(&self, episode: usize) -> usize {
        self.0[episode] - self.before(episode)
    }

    /// Returns the episode of a step among all of them, and the step's number there.
    fn find(&self, step: usize) -> (usize, usize) {
        let episode = self.0.partition_point(|&end| end <= step);
        (episode, step - self.before(episode))
    }
}

impl Learner for Sequences {
    fn discount(&self) -> f32 {
        1.0
    }

    fn behaviour(&self, _progress: f64) -> Behaviour {
        match self.imitation.behaviour {
            _ if !self.imitation.behaviour_checkpoint.is_empty() => Behaviour::Guest,
            Play::Policy => Behaviour::Policy,
            Play::Uniform => Behaviour::Uniform,
        }
    }

    fn learn(
        &mut self,
        policy: &mut Policy,
        experience: &Experience<'_>,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Result<Option<Metrics>, Diverged> {
        self.replay.push(experience.rollout, experience.rewards);
        if self.replay.is_empty() {
            return Ok(None);
        }
        self.counts.steps += experience.rewards.len();
        if self.counts.steps < self.replaying.train_every {
            return Ok(None);
        }
        self.steps(policy, experience.progress, rng).map(Some)
    }

    fn export(&self) -> LearnerState {
        LearnerState {
            adam: self.adam.export(),
            rest: LearnerState::pack(&self.counts),
            replay: LearnerState::pack(&self.replay),
            ..LearnerState::default()
        }
    }

    fn import(&mut self, state: &LearnerState) -> Result<(), StateError> {
        self.adam.import(&state.adam)?;
        self.counts = state.unpack()?;
        if let Some(replay) = state.unpack_replay()? {
            self.replay = replay;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
