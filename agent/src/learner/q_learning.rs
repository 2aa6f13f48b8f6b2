//! Q-learning over any memory core, from stored sequences of steps: a network of action values, a target network that
//! follows it slowly, and a replay (Mnih et al. 2015, doi:10.1038/nature14236; Hausknecht & Stone 2015,
//! arXiv:1507.06527).
//!
//! A memory needs what came before, so whole episodes are replayed from their beginnings, or sequences from their middle:
//! from a stored state (Kapturowski et al. 2019, "Recurrent Experience Replay in Distributed Reinforcement Learning") or
//! from nothing, in either case with a *burn-in* whose errors do not count.

use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use crate::experience::{Behaviour, EpisodeBatch, Goals, Replay, Rollout, Sequence, StoredStates};
use crate::hyper::Hyperparameters;
use crate::hyper::section::section;
use crate::learner::exploration::ExplorationBonuses;
use crate::learner::settings::{Discount, Optimiser, Replaying};
use crate::learner::{
    Backup, Diverged, Experience, Group, Learner, LearnerContext, LearnerState, Metrics, StateError,
};
use crate::memory::State;
use crate::nn::{self, Adam, Graph, Params};
use crate::policy::Policy;
use crate::policy::greediness::Greediness;
use crate::policy::inputs::InputEncoder;
use crate::spaces::actions::ActionHeads;

section! {
    /// Q-learning's update.
    pub struct QUpdate, overridden by QOverrides {
        /// Share by which the target network moves towards the network in an optimiser step.
        target_rate: f32 = 0.01, |&v| v > 0.0 && v <= 1.0, "above 0, at most 1";
        /// Let the network choose the action whose value the target network tells (double Q-learning, van Hasselt et al. 2016).
        #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
        double_q: bool = true, |_| true, "true or false";
        /// Steps of a replayed sequence that are learned from; 0 replays whole episodes.
        replay_length: usize = 0, |&v| v <= 4_096, "0 to 4096";
        /// Steps before them that only bring the memory up to date. Where an episode begins there are none.
        burn_in: usize = 0, |&v| v <= 4_096, "0 to 4096";
        /// Begin sequences with the memory's state while acting. Off, they begin with an empty memory.
        #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
        stored_state: bool = true, |_| true, "true or false";
    }
}

section! {
    /// Goals in hindsight, with `her`.
    pub struct Hindsight, overridden by HindsightOverrides {
        /// Share of the replayed sequences that get a goal which they achieved, with `her`.
        her_share: f32 = 0.8, |&v| (0.0..=1.0).contains(&v), "0 to 1";
    }
}

/// The networks' optimiser, the target network, the replay, and settings.
pub struct QLearning {
    adam: Adam,
    target: Params,
    replay: Replay,
    progress: Progress,
    optimiser: Optimiser,
    gamma: f32,
    greediness: Greediness,
    replaying: Replaying,
    update: QUpdate,
    hindsight: Option<(Goals, f32)>,
}

/// The rest of a learner's state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Progress {
    /// Environment steps since the last optimiser step.
    steps: usize,
}

/// Measurements of some optimiser steps.
#[derive(Default)]
struct Sums {
    steps: usize,
    loss: f64,
    error: f64,
    value: f64,
    grad_norm: f64,
}

impl QLearning {
    /// Returns a learner for the context's policy, which has [action values](crate::policy::outputs::Outputs).
    pub fn new(context: &mut LearnerContext<'_>) -> Self {
        let hyper = context.hyper;
        let replaying: Replaying = hyper.get();
        Self {
            adam: Adam::new(&context.policy.params),
            target: context.policy.params.duplicate(),
            replay: Replay::new(replaying.replay_steps, replaying.replay_bytes),
            progress: Progress::default(),
            optimiser: hyper.get(),
            gamma: hyper.get::<Discount>().gamma,
            greediness: hyper.get(),
            replaying,
            update: hyper.get(),
            hindsight: hindsight(hyper, context.encoder),
        }
    }

    fn store(&mut self, policy: &Policy, rollout: &Rollout, rewards: &[f32]) {
        let QUpdate {
            replay_length: stride,
            stored_state,
            ..
        } = self.update;
        if stride == 0 || !stored_state {
            self.replay.push(rollout, rewards);
        } else {
            let before = states(policy, rollout);
            let states = StoredStates {
                before: &before,
                stride,
            };
            self.replay.push_with(rollout, rewards, Some(states));
        }
    }

    /// Draws the sequences of an optimiser step.
    fn draw(&self, policy: &Policy, rng: &mut Xoshiro256PlusPlus) -> EpisodeBatch {
        let batch = self.replaying.batch_size;
        let nothing = policy.core.initial_state(batch);
        let QUpdate {
            replay_length: length,
            burn_in,
            stored_state,
            ..
        } = self.update;
        if length == 0 {
            let mut episodes = self.replay.sample(batch, nothing, rng);
            self.relabel(&mut episodes, rng);
            return episodes;
        }
        let lengths: Vec<usize> = self.replay.lengths().collect();
        let mut sequence = || {
            let episode = rng.random_range(0..lengths.len());
            let last = lengths[episode].saturating_sub(burn_in + 1);
            let first = if stored_state {
                length * rng.random_range(0..=last / length)
            } else {
                rng.random_range(0..=lengths[episode].saturating_sub(burn_in + length))
            };
            // An episode's beginning needs no burn-in: an empty memory is what acting had.
            let steps = if first == 0 { length } else { burn_in + length };
            Sequence {
                episode,
                first,
                steps,
            }
        };
        let drawn: Vec<Sequence> = (0..batch).map(|_| sequence()).collect();
        let mut sequences = self.replay.batch(&drawn, length, nothing);
        self.relabel(&mut sequences, rng);
        for t in 0..burn_in.min(sequences.steps) {
            for lane in (0..batch).filter(|&lane| drawn[lane].first > 0) {
                sequences.weights[t * batch + lane] = 0.0;
            }
        }
        sequences
    }

    fn relabel(&self, batch: &mut EpisodeBatch, rng: &mut Xoshiro256PlusPlus) {
        if let Some((goals, share)) = &self.hindsight {
            goals.relabel(batch, *share, rng);
        }
    }

    fn step(
        &mut self,
        policy: &mut Policy,
        progress: f64,
        rng: &mut Xoshiro256PlusPlus,
        sums: &mut Sums,
    ) -> Result<(), Diverged> {
        let batch = self.draw(policy, rng);
        let slow = policy.evaluate(&mut Graph::inference(&self.target), &batch.segment());
        let mut graph = Graph::training(&policy.params);
        let seen = policy.evaluate(&mut graph, &batch.segment());
        let heads = policy.heads();
        let values = nn::values(&seen.logits);
        let choosing = match self.update.double_q {
            true => values,
            false => nn::values(&slow.logits),
        };
        let next = next_values(heads, choosing, nn::values(&slow.logits));
        let targets = targets(heads, &batch, values, &next, self.gamma);
        sums.observe(heads, &batch, values, &targets);
        let error = graph.mse(&seen.logits, &targets, &batch.weights);
        // The mean is over all choices; half the squared error is that of the choices taken.
        let values_per_choice = heads.num_logits() as f32 / heads.components() as f32;
        let mut losses = vec![(values_per_choice / 2.0, &error)];
        losses.extend(seen.losses.iter().map(|(_, weight, loss)| (*weight, loss)));
        let loss = graph.total(&losses);
        let value = f64::from(nn::values(&loss)[0]);
        let gradients = graph.backward(&loss);
        let (rate, longest) = (self.optimiser.rate(progress), self.optimiser.longest());
        let norm = self
            .adam
            .step(&mut policy.params, &gradients, rate, longest);
        if !norm.is_finite() || !value.is_finite() {
            return Err(Diverged {
                loss: value,
                grad_norm: f64::from(norm),
            });
        }
        self.target.follow(&policy.params, self.update.target_rate);
        sums.steps += 1;
        sums.loss += value;
        sums.grad_norm += f64::from(norm);
        Ok(())
    }

    fn steps(
        &mut self,
        policy: &mut Policy,
        progress: f64,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Result<Option<Metrics>, Diverged> {
        let mut sums = Sums::default();
        let before = (Backup::new(policy, &self.adam), self.target.duplicate());
        while self.progress.steps >= self.replaying.train_every {
            self.progress.steps -= self.replaying.train_every;
            if let Err(diverged) = self.step(policy, progress, rng, &mut sums) {
                before.0.restore(policy, &mut self.adam);
                self.target = before.1;
                return Err(diverged);
            }
        }
        let mut metrics = sums.metrics();
        let replay = &self.replay;
        metrics
            .put(
                Group::Rollout,
                "epsilon",
                self.greediness.at(progress).into(),
            )
            .put(
                Group::Train,
                "learning_rate",
                self.optimiser.rate(progress).into(),
            )
            .put(Group::Train, "replay_episodes", replay.len() as f64)
            .put(Group::Train, "replay_bytes", replay.bytes() as f64);
        Ok(Some(metrics))
    }
}

/// Returns the goals to relabel, and the share of sequences that are, if `her` is on and the task has goals.
fn hindsight(hyper: &Hyperparameters, encoder: &InputEncoder) -> Option<(Goals, f32)> {
    let share = hyper.get::<Hindsight>().her_share;
    let goals = Goals::of(encoder.columns()).map(|goals| (goals, share));
    goals.filter(|_| hyper.get::<ExplorationBonuses>().her)
}

/// Returns the memory's state before each step of a rollout, as acting had it: the weights are still the same.
fn states(policy: &Policy, rollout: &Rollout) -> Vec<State> {
    let batch = rollout.batch;
    let width = rollout.inputs.len() / rollout.starts.len();
    let components = policy.heads().components();
    let mut state = rollout.initial_state.clone();
    let mut before = Vec::with_capacity(rollout.steps);
    for t in 0..rollout.steps {
        before.push(state.clone());
        let rows = t * batch..(t + 1) * batch;
        let inputs = &rollout.inputs[rows.start * width..rows.end * width];
        let core = &policy.core;
        core.step(
            &policy.params,
            inputs,
            &rollout.starts[rows.clone()],
            &mut state,
            None,
        );
        let actions = &rollout.actions[rows.start * components..rows.end * components];
        let rewards: Vec<f64> = rollout.rewards[rows.clone()]
            .iter()
            .map(|&x| x.into())
            .collect();
        core.outcome(
            &policy.params,
            &mut state,
            actions,
            &rewards,
            &rollout.ends[rows],
        );
    }
    before
}

/// Returns the value of each row as a next state, `[rows]`: that of the action which `choosing` likes best, as `values` tell.
fn next_values(heads: &ActionHeads, choosing: &[f32], values: &[f32]) -> Vec<f32> {
    let width = heads.num_logits();
    let rows = choosing.chunks_exact(width).zip(values.chunks_exact(width));
    rows.map(|(choosing, values)| heads.worth(choosing, values))
        .collect()
}

/// Returns the values with those of the actions taken moved to `r + γ·next`, at most by 1: the squared error then has the
/// gradient of Huber's loss (Mnih et al. 2015, "clipping the error term"). A return that stops has no next value.
fn targets(
    heads: &ActionHeads,
    batch: &EpisodeBatch,
    values: &[f32],
    next: &[f32],
    gamma: f32,
) -> Vec<f32> {
    let (width, components) = (heads.num_logits(), heads.components());
    let mut targets = values.to_vec();
    for row in (0..batch.rewards.len()).filter(|&row| batch.weights[row] > 0.0) {
        let mut target = batch.rewards[row];
        if batch.continues[row] {
            target += gamma * next[row + batch.batch];
        }
        let action = &batch.actions[row * components..][..components];
        for column in heads.chosen(action) {
            let value = values[row * width + column];
            targets[row * width + column] = value + (target - value).clamp(-1.0, 1.0);
        }
    }
    targets
}

impl Sums {
    /// Adds the mean error and value of the actions taken.
    fn observe(
        &mut self,
        heads: &ActionHeads,
        batch: &EpisodeBatch,
        values: &[f32],
        targets: &[f32],
    ) {
        let (width, components) = (heads.num_logits(), heads.components());
        let (mut error, mut value, mut count) = (0.0, 0.0, 0.0);
        for row in (0..batch.rewards.len()).filter(|&row| batch.weights[row] > 0.0) {
            for column in heads.chosen(&batch.actions[row * components..][..components]) {
                let at = row * width + column;
                error += f64::from((targets[at] - values[at]).abs());
                value += f64::from(values[at]);
                count += 1.0;
            }
        }
        if count > 0.0 {
            self.error += error / count;
            self.value += value / count;
        }
    }

    fn metrics(&self) -> Metrics {
        let mean = |sum: f64| sum / self.steps.max(1) as f64;
        let mut metrics = Metrics::default();
        metrics
            .put(Group::Train, "loss", mean(self.loss))
            .put(Group::Train, "td_error", mean(self.error))
            .put(Group::Train, "action_value", mean(self.value))
            .put(Group::Train, "grad_norm", mean(self.grad_norm));
        metrics
    }
}

impl Learner for QLearning {
    fn discount(&self) -> f32 {
        self.gamma
    }

    fn behaviour(&self, progress: f64) -> Behaviour {
        Behaviour::EpsilonGreedy(self.greediness.at(progress))
    }

    fn learn(
        &mut self,
        policy: &mut Policy,
        experience: &Experience<'_>,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Result<Option<Metrics>, Diverged> {
        self.store(policy, experience.rollout, experience.rewards);
        if self.replay.is_empty() {
            return Ok(None);
        }
        self.progress.steps += experience.rewards.len();
        if self.progress.steps < self.replaying.train_every {
            return Ok(None);
        }
        self.steps(policy, experience.progress, rng)
    }

    fn export(&self) -> LearnerState {
        LearnerState {
            adam: self.adam.export(),
            arrays: self.target.export(),
            rest: LearnerState::pack(&self.progress),
            replay: LearnerState::pack(&self.replay),
        }
    }

    fn import(&mut self, state: &LearnerState) -> Result<(), StateError> {
        self.adam.import(&state.adam)?;
        self.target.import(&state.arrays)?;
        self.progress = state.unpack()?;
        if let Some(replay) = state.unpack_replay()? {
            self.replay = replay;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithms;
    use crate::env::VectorEnv;
    use crate::env::test_task::TestTask;
    use crate::experience::{Collection, Collector, Source};
    use crate::nn::values;
    use crate::seeds::{self, LaneSeeds, Role};

    /// A rollout of one lane: an episode of `rewards`, which is cut off after its last step or terminates. Actions are
    /// all 1.
    fn batch(rewards: &[f32], is_cut_off: bool) -> EpisodeBatch {
        let rows = rewards.len();
        let mut rollout = Rollout::empty(1, State::new(1, Vec::new()));
        rollout.steps = rows;
        rollout.inputs = vec![0.0; rows];
        rollout.starts = (0..rows).map(|row| row == 0).collect();
        rollout.ends = (1..=rows).map(|row| row == rows).collect();
        rollout.actions = vec![1; rows];
        rollout.rewards = rewards.to_vec();
        if is_cut_off {
            rollout.cut_offs.push(crate::experience::CutOff {
                row: rows - 1,
                inputs: vec![0.0],
                decisions: Vec::new(),
            });
        }
        let mut replay = Replay::new(100, 10_000);
        replay.push(&rollout, &rollout.rewards);
        let whole = Sequence {
            episode: 0,
            first: 0,
            steps: usize::MAX,
        };
        replay.batch(&[whole], 1, State::new(1, Vec::new()))
    }

    /// One component of two choices.
    fn two() -> ActionHeads {
        ActionHeads::of(&[2])
    }

    /// Two steps, the second of which ends the episode. y₀ = 0.25 + ½·Q'(s₁), y₁ = 1, and with a cut-off y₁ = 1 + ½·Q'(s₂).
    #[test]
    fn targets_by_hand() {
        let values = [0.0, 0.5, 0.9, 0.1, 0.3, 0.2];
        let slow = [5.0, 5.0, 0.4, 0.8, -0.2, 0.6];
        let next = |choosing: &[f32]| next_values(&two(), choosing, &slow);
        let terminated = batch(&[0.25, 1.0], false);
        assert_eq!(terminated.steps, 2);
        // The network likes choice 0 of s₁, whose slow value is 0.4; the slow values' own best is 0.8.
        let double = targets(&two(), &terminated, &values[..4], &next(&values), 0.5);
        assert_eq!(double, [0.0, 0.25 + 0.2, 0.9, 1.0]);
        let plain = targets(&two(), &terminated, &values[..4], &next(&slow), 0.5);
        assert_eq!(plain, [0.0, 0.25 + 0.4, 0.9, 1.0]);
        let cut_off = batch(&[0.25, 1.0], true);
        assert_eq!(cut_off.steps, 3);
        let beyond = targets(&two(), &cut_off, &values, &next(&values), 0.5);
        // 1 + ½·(−0.2) = 0.9: choice 0 of s₂ is liked best. Its own row has no target.
        assert_eq!(beyond, [0.0, 0.25 + 0.2, 0.9, 0.9, 0.3, 0.2]);
        // An error beyond 1 counts as 1.
        let far = targets(&two(), &batch(&[9.0], false), &[0.0, 0.5], &[0.0], 0.5);
        assert_eq!(far, [0.0, 1.5]);
    }

    /// Two components, of 2 and 3 choices: the next state is worth the mean of their best.
    #[test]
    fn components_are_valued_apart() {
        let choosing = [0.0, 1.0, 0.0, 0.0, 9.0];
        let slow = [0.1, 0.2, 0.3, 0.4, 0.5];
        let heads = ActionHeads::of(&[2, 3]);
        assert_eq!(next_values(&heads, &choosing, &slow), [(0.2 + 0.5) / 2.0]);
        assert_eq!(heads.num_logits() as f32 / heads.components() as f32, 2.5);
        assert_eq!(heads.chosen(&[1, 2]).collect::<Vec<_>>(), [1, 4]);
    }

    struct Fixture {
        policy: Policy,
        learner: QLearning,
        rollout: Rollout,
        rng: Xoshiro256PlusPlus,
    }

    /// A learner that has stored a rollout of four lanes with episodes of six steps.
    fn fixture(edit: impl Fn(&mut QUpdate)) -> Fixture {
        let mut env = TestTask::new(4, 6);
        let row = algorithms::find("drqn").unwrap();
        let hyper = (row.defaults)()
            .with(Collection {
                num_envs: 4,
                num_steps: 12,
                whole_episodes: false,
            })
            .edited(|update: &mut QUpdate| edit(update));
        let spaces = (env.observation_space(), env.action_space());
        let encoder = InputEncoder::new(spaces.0, spaces.1, &hyper, false).unwrap();
        let mut rng = seeds::generator(0, Role::Agent);
        let mut policy = row.policy(&hyper, &encoder, &mut rng);
        let mut learner = QLearning::new(&mut LearnerContext {
            policy: &mut policy,
            encoder: &encoder,
            hyper: &hyper,
            rng: &mut rng,
        });
        let seeds = LaneSeeds::training(0, 0..4);
        let mut source = Collector::begin(&mut env, encoder, &policy, &hyper, &[], seeds).unwrap();
        let behaviour = learner.behaviour(0.1);
        let rollout = source.collect(&policy, behaviour, &mut rng, usize::MAX);
        let rollout = rollout.unwrap();
        learner.store(&policy, &rollout, &rollout.rewards);
        Fixture {
            policy,
            learner,
            rollout,
            rng,
        }
    }

    /// The values that acting had for a step of the rollout, found by its inputs and its age.
    fn acted(rollout: &Rollout, episode: usize, step: usize) -> f32 {
        // Eight episodes end lane by lane, four at a time.
        let (round, lane) = (episode / 4, episode % 4);
        rollout.values[(round * 6 + step) * 4 + lane]
    }

    #[test]
    fn stored_states_bring_back_what_acting_saw_from_any_start() {
        let Fixture {
            policy,
            learner,
            rollout,
            ..
        } = fixture(|update| update.replay_length = 2);
        for first in [0, 2, 4] {
            let sequence = |episode| Sequence {
                episode,
                first,
                steps: 2,
            };
            let drawn: Vec<Sequence> = (0..8).map(sequence).collect();
            let batch = learner
                .replay
                .batch(&drawn, 2, policy.core.initial_state(8));
            let seen = policy.evaluate(&mut Graph::inference(&policy.params), &batch.segment());
            for episode in 0..8 {
                for t in 0..2 {
                    let found = values(&seen.values)[t * 8 + episode];
                    let expected = acted(&rollout, episode, first + t);
                    assert!((found - expected).abs() < 1e-6, "{episode} {first} {t}");
                }
            }
        }
    }

    #[test]
    fn burn_in_and_padding_carry_no_weight() {
        let Fixture {
            policy,
            learner,
            mut rng,
            ..
        } = fixture(|update| (update.replay_length, update.burn_in) = (2, 1));
        let mut begins = 0;
        for _ in 0..20 {
            let batch = learner.draw(&policy, &mut rng);
            for lane in 0..batch.batch {
                let weights: Vec<f32> = (0..batch.steps)
                    .map(|t| batch.weights[t * batch.batch + lane])
                    .collect();
                let expected: &[f32] = match batch.first[lane] {
                    0 => &[1.0, 1.0, 0.0, 0.0],
                    2 => &[0.0, 1.0, 1.0, 0.0],
                    // The episode has one step left after the burn-in, and terminates.
                    4 => &[0.0, 1.0, 0.0, 0.0],
                    first => panic!("a sequence begins at {first}"),
                };
                assert_eq!(weights, expected[..batch.steps]);
                begins += usize::from(batch.first[lane] == 0);
            }
        }
        assert!(begins > 50, "{begins} of 320 sequences begin an episode");
        // Errors of rows without weight reach neither loss nor gradient.
        let mut batch = learner.draw(&policy, &mut rng);
        let loss = |batch: &EpisodeBatch| {
            let mut graph = Graph::training(&policy.params);
            let seen = policy.evaluate(&mut graph, &batch.segment());
            let logits = values(&seen.logits);
            let next = next_values(&two(), logits, logits);
            let targets = targets(&two(), batch, logits, &next, 0.9);
            let loss = graph.mse(&seen.logits, &targets, &batch.weights);
            let value = values(&loss)[0];
            let gradients = graph.backward(&loss);
            let all: Vec<f32> = policy
                .params
                .ids()
                .filter_map(|id| gradients.of(id))
                .flatten()
                .copied()
                .collect();
            (value, all)
        };
        let before = loss(&batch);
        for row in 0..batch.weights.len() {
            if batch.weights[row] == 0.0 {
                batch.rewards[row] = 77.0;
                batch.actions[row] = 1 - batch.actions[row];
            }
        }
        assert!(before.1.iter().any(|&g| g != 0.0));
        assert_eq!(loss(&batch), before);
    }

    #[test]
    fn the_target_network_follows_slowly() {
        let mut fixture = fixture(|update| update.target_rate = 0.25);
        let before = fixture.learner.target.export();
        let mut sums = Sums::default();
        let Fixture {
            policy,
            learner,
            rng,
            ..
        } = &mut fixture;
        learner.step(policy, 0.5, rng, &mut sums).unwrap();
        let after = learner.target.export();
        let online = policy.params.export();
        assert_ne!(before, online);
        for ((before, after), online) in before.iter().zip(&after).zip(&online) {
            for ((b, a), o) in before.data.iter().zip(&after.data).zip(&online.data) {
                assert!((a - (0.75 * b + 0.25 * o)).abs() < 1e-6);
            }
        }
    }

    /// The best checkpoint has no replay: learning continues from its weights, and stores anew.
    #[test]
    fn a_learner_continues_without_its_replay() {
        let Fixture { learner, .. } = fixture(|_| ());
        let mut state = learner.export();
        let mut whole = fixture(|_| ()).learner;
        whole.import(&state).unwrap();
        assert_eq!(whole.replay, learner.replay);
        state.replay.clear();
        let mut fresh = fixture(|_| ()).learner;
        fresh.replay = Replay::new(10, 10_000);
        fresh.import(&state).unwrap();
        assert!(fresh.replay.is_empty());
    }
}
