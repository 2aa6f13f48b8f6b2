//! Playing a policy in all lanes.

use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde_json::{Map, Value};

use crate::env::selection::OptionDraw;
use crate::env::{EnvError, ResetRequest, StepReply, VectorEnv};
use crate::experience::behaviour::Behaviour;
use crate::experience::guest::Guest;
use crate::experience::rollout::{CutOff, Episode, Rollout};
use crate::experience::source::Source;
use crate::experience::state::CollectorState;
use crate::hyper::Hyperparameters;
use crate::hyper::section::section;
use crate::nn;
use crate::policy::decider::Decider;
use crate::policy::inputs::{InputEncoder, LaneHistory};
use crate::policy::lanes::Lanes;
use crate::policy::{Acted, Policy};
use crate::seeds::LaneSeeds;
use crate::spaces::actions::Choice;

section! {
    /// How experience is collected.
    pub struct Collection, overridden by CollectionOverrides {
        /// Environments played side by side.
        num_envs: usize = 32, |&v| (1..=65_536).contains(&v), "1 to 65536";
        /// Steps of each environment between two updates; the longest, with `whole_episodes`.
        num_steps: usize = 128, |&v| (1..=1_000_000).contains(&v), "1 to 1000000";
        /// Update as soon as every environment has ended an episode, instead of after `num_steps`.
        #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
        whole_episodes: bool = false, |_| true, "true or false";
    }
}

/// Plays a policy in an environment.
pub struct Collector<'a> {
    env: &'a mut dyn VectorEnv,
    encoder: InputEncoder,
    collection: Collection,
    draws: Vec<OptionDraw>,
    guest: Option<Guest>,
    state: CollectorState,
    /// The current observations, encoded: `[batch, observation_size]`.
    encoded: Vec<f32>,
}

/// When a rollout ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Steps that it has at most.
    pub steps: usize,
    /// End it as soon as every lane has ended an episode.
    pub until_all_ended: bool,
    /// Whether the budget, rather than `num_steps`, sets the most steps.
    by_budget: bool,
}

impl Limits {
    /// The limits of a rollout where the budget is `max_steps` more steps.
    pub fn of(collection: &Collection, max_steps: usize) -> Self {
        Self {
            steps: collection.num_steps.min(max_steps),
            until_all_ended: collection.whole_episodes,
            by_budget: max_steps < collection.num_steps,
        }
    }

    /// A rollout of exactly so many steps.
    pub fn exactly(steps: usize) -> Self {
        Self {
            steps,
            until_all_ended: false,
            by_budget: false,
        }
    }

    /// Returns whether the budget ended a rollout with these limits where whole episodes were wanted.
    pub fn cut_short(self, rollout: &Rollout) -> bool {
        self.until_all_ended && self.by_budget && rollout.ended().contains(&false)
    }
}

/// The chooser of a rollout's actions.
#[derive(Clone, Copy)]
pub(super) enum Chooser {
    /// The policy's decider: the network by this behaviour, chance, or the environment's oracle.
    Decider(Behaviour),
    /// The environment, which is a recording.
    Recording,
}

impl<'a> Collector<'a> {
    /// Resets the environment with one seed for each lane. The memory is that of lanes of these numbers: a core may tell
    /// lanes apart.
    ///
    /// # Errors
    /// A refusal by the environment.
    pub fn begin(
        env: &'a mut dyn VectorEnv,
        encoder: InputEncoder,
        policy: &Policy,
        hyper: &Hyperparameters,
        draws: &[OptionDraw],
        seeds: LaneSeeds,
    ) -> Result<Self, EnvError> {
        let batch = env.num_envs();
        let LaneSeeds {
            environments,
            generators,
        } = seeds;
        let observations = env
            .reset(&ResetRequest {
                seeds: Some(environments),
                options: Map::new(),
            })?
            .observations;
        let numbers: Vec<usize> = (0..batch).map(|lane| generators.number(lane)).collect();
        let memory = policy.core.initial_state(generators.number(batch));
        let state = CollectorState {
            observations,
            starts: vec![true; batch],
            lanes: Lanes::new(memory.gather(&numbers), &encoder),
            generators,
            guest: None,
            returns: vec![0.0; batch],
        };
        Ok(Self::at(env, encoder, hyper, draws, state))
    }

    /// Goes on from where lanes of these environments are.
    pub fn at(
        env: &'a mut dyn VectorEnv,
        encoder: InputEncoder,
        hyper: &Hyperparameters,
        draws: &[OptionDraw],
        state: CollectorState,
    ) -> Self {
        let mut collector = Self {
            env,
            encoder,
            collection: hyper.get(),
            draws: draws.to_vec(),
            guest: None,
            state,
            encoded: Vec::new(),
        };
        collector.encode();
        collector
    }

    /// Returns where the lanes are.
    pub fn into_state(self) -> CollectorState {
        self.state
    }

    /// Lets another agent play where a learner asks for a [guest](Behaviour::Guest).
    #[must_use]
    pub fn with_guest(mut self, guest: Option<Guest>) -> Self {
        let batch = self.env.num_envs();
        self.state.guest = guest.as_ref().map(|guest| guest.state(batch));
        self.guest = guest;
        self
    }

    /// Encodes the current observations.
    fn encode(&mut self) {
        self.encoded.clear();
        self.encoder
            .encode_observations(&self.state.observations, &mut self.encoded);
    }

    /// Plays `num_steps` steps in every lane, or until every lane has ended an episode, but at most `max_steps`.
    pub(super) fn play_all(
        &mut self,
        policy: &Policy,
        chooser: Chooser,
        rng: &mut Xoshiro256PlusPlus,
        max_steps: usize,
    ) -> Result<Rollout, EnvError> {
        if let Some(options) = drawn(&self.draws, rng) {
            self.reset(options)?;
        }
        let limits = Limits::of(&self.collection, max_steps);
        let mut rollout = self.open(policy);
        self.advance(policy, chooser, &mut rollout, limits)?;
        self.close(policy, &mut rollout);
        rollout.cut_short = limits.cut_short(&rollout);
        Ok(rollout)
    }

    /// Returns a rollout without a step, from where the lanes are. Others follow: [`Collector::play`] its steps, perhaps a
    /// few at a time, and [`Collector::close`] what only its end tells.
    pub fn open(&mut self, policy: &Policy) -> Rollout {
        let memory = &mut self.state.lanes.memory;
        policy.core.refresh(&policy.params, memory);
        let before = policy.core.before(memory, &self.state.starts);
        Rollout::empty(self.env.num_envs(), before)
    }

    /// Adds steps to an open rollout up to these limits.
    ///
    /// # Errors
    /// A refusal by the environment; the lanes are then between two steps.
    pub fn play(
        &mut self,
        policy: &Policy,
        behaviour: Behaviour,
        rollout: &mut Rollout,
        limits: Limits,
    ) -> Result<(), EnvError> {
        self.advance(policy, Chooser::Decider(behaviour), rollout, limits)
    }

    fn advance(
        &mut self,
        policy: &Policy,
        chooser: Chooser,
        rollout: &mut Rollout,
        limits: Limits,
    ) -> Result<(), EnvError> {
        let batch = rollout.batch;
        let mut ended = rollout.ended();
        while rollout.steps < limits.steps
            && !(limits.until_all_ended && ended.iter().all(|&ended| ended))
        {
            self.step(policy, chooser, rollout)?;
            let last = rollout.ends.len() - batch;
            ended
                .iter_mut()
                .zip(&rollout.ends[last..])
                .for_each(|(ended, &end)| *ended |= end);
        }
        Ok(())
    }

    /// Ends a rollout: fills in the values of what follows, and completes the decisions of the memory.
    pub fn close(&self, policy: &Policy, rollout: &mut Rollout) {
        self.value_what_follows(policy, rollout);
        let Rollout {
            batch,
            starts,
            ends,
            decisions,
            ..
        } = rollout;
        policy.core.settle(*batch, starts, ends, decisions);
    }

    /// Begins a new episode in every lane with these options. The memories stay.
    ///
    /// # Errors
    /// A refusal by the environment; nothing has changed then.
    pub fn reset(&mut self, options: Map<String, Value>) -> Result<(), EnvError> {
        self.state.observations = self
            .env
            .reset(&ResetRequest {
                seeds: None,
                options,
            })?
            .observations;
        self.encode();
        let batch = self.state.starts.len();
        self.state.starts = vec![true; batch];
        self.state.lanes.history = LaneHistory::new(batch, self.encoder.heads().components());
        self.state.returns = vec![0.0; batch];
        self.state.guest = self.guest.as_ref().map(|guest| guest.state(batch));
        Ok(())
    }

    fn step(
        &mut self,
        policy: &Policy,
        chooser: Chooser,
        rollout: &mut Rollout,
    ) -> Result<(), EnvError> {
        let acted = self.see(policy, chooser, rollout);
        let heads = self.encoder.heads();
        let mut actions = Vec::with_capacity(rollout.batch * heads.components());
        match chooser {
            Chooser::Decider(Behaviour::Guest) => {
                let CollectorState {
                    guest: state,
                    observations,
                    starts,
                    generators,
                    ..
                } = &mut self.state;
                let guest = self.guest.as_ref().zip(state.as_mut());
                let (guest, state) = guest.expect("a learner with a guest names its checkpoint");
                let drawn = guest.play(state, observations, starts, generators, &mut actions);
                rollout.log_probs.extend(drawn);
            }
            Chooser::Decider(behaviour) if policy.decider() != Decider::Oracle => {
                // Chance as well: its logits are all the same.
                let rows = nn::values(&acted.logits).chunks_exact(heads.num_logits());
                for (lane, logits) in rows.enumerate() {
                    let rng = self.state.generators.of(lane);
                    let log_prob = behaviour.choose(policy, logits, rng, &mut actions);
                    rollout.log_probs.push(log_prob);
                }
            }
            Chooser::Decider(_) | Chooser::Recording => {
                actions = self.env.oracle()?;
                let known = rollout.log_probs.len();
                rollout.log_probs.resize(known + rollout.batch, 0.0);
            }
        }
        let reply = self.env.step(&actions)?;

        rollout.starts.extend_from_slice(&self.state.starts);
        rollout.decisions.extend(acted.decisions);
        rollout.actions.extend_from_slice(&actions);
        rollout
            .rewards
            .extend(reply.rewards.iter().map(|&reward| reward as f32));
        rollout.values.extend_from_slice(&acted.values);
        rollout.steps += 1;
        self.value_last_observations(policy, &reply, &actions, rollout);
        self.record(policy, reply, &actions, rollout);
        Ok(())
    }

    /// Moves the memory on by the current observations. Where the network does not choose, it is not asked: its logits and
    /// values are 0.
    fn see(&mut self, policy: &Policy, chooser: Chooser, rollout: &mut Rollout) -> Acted {
        let CollectorState {
            lanes,
            starts,
            generators,
            ..
        } = &mut self.state;
        let rng = Some(generators);
        let (encoder, encoded, inputs) = (&self.encoder, &self.encoded, &mut rollout.inputs);
        match chooser {
            Chooser::Decider(Behaviour::Uniform | Behaviour::Guest) | Chooser::Recording => {
                let decisions = lanes.observe(policy, encoder, encoded, starts, inputs, rng);
                policy.nothing_acted(rollout.batch, decisions)
            }
            Chooser::Decider(_) => lanes.act(policy, encoder, encoded, starts, inputs, rng),
        }
    }

    /// Fills in V of the last observation of episodes that were cut off: the return continues beyond a truncation, unlike
    /// a termination (Pardo et al. 2018, arXiv:1712.00378).
    fn value_last_observations(
        &self,
        policy: &Policy,
        reply: &StepReply,
        actions: &[Choice],
        rollout: &mut Rollout,
    ) {
        let first = rollout.next_values.len();
        rollout.next_values.resize(first + rollout.batch, 0.0);
        let cut_off = |lane: usize| reply.truncations[lane] && !reply.terminations[lane];
        if !(0..rollout.batch).any(cut_off) {
            return;
        }
        let mut history = self.state.lanes.history.clone();
        history.push(
            actions,
            &reply.rewards,
            std::iter::repeat_n(false, rollout.batch),
        );
        let mut encoded = Vec::new();
        self.encoder
            .encode_observations(&reply.final_observations, &mut encoded);
        let inputs = self.rows(&encoded, &history);
        let seen = self.peek(policy, &inputs, &vec![false; rollout.batch]);
        let (size, width) = (self.encoder.input_size(), policy.core.decision_width());
        for lane in (0..rollout.batch).filter(|&lane| cut_off(lane)) {
            rollout.next_values[first + lane] = seen.values[lane];
            rollout.cut_offs.push(CutOff {
                row: first + lane,
                inputs: inputs[lane * size..][..size].to_vec(),
                decisions: seen.decisions[lane * width..][..width].to_vec(),
            });
        }
    }

    /// Returns the input rows of encoded observations, `[batch, input_size]`.
    fn rows(&self, encoded: &[f32], history: &LaneHistory) -> Vec<f32> {
        let mut inputs = Vec::new();
        self.encoder.append_rows(encoded, history, &mut inputs);
        inputs
    }

    /// Acts on input rows, and leaves the memory as it is.
    fn peek(&self, policy: &Policy, inputs: &[f32], starts: &[bool]) -> Acted {
        policy.act(inputs, starts, &mut self.state.lanes.memory.clone(), None)
    }

    /// Records a step of every lane, and moves on to the observations after it.
    fn record(
        &mut self,
        policy: &Policy,
        reply: StepReply,
        actions: &[Choice],
        rollout: &mut Rollout,
    ) {
        let state = &mut self.state;
        for lane in 0..rollout.batch {
            let end = reply.terminations[lane] || reply.truncations[lane];
            state.returns[lane] += reply.rewards[lane];
            if end {
                let length = u64::from(state.lanes.history.ages[lane]) + 1;
                rollout.episodes.push(Episode {
                    episode_return: state.returns[lane],
                    length,
                });
                state.returns[lane] = 0.0;
            }
            state.starts[lane] = end;
            rollout.ends.push(end);
        }
        let lanes = &mut state.lanes;
        lanes.record(policy, actions, &reply.rewards, &state.starts);
        if let Some((guest, of_guest)) = self.guest.as_ref().zip(state.guest.as_mut()) {
            guest.record(of_guest, actions, &reply.rewards, &state.starts);
        }
        state.observations = reply.observations;
        self.encode();
        self.record_next_observations(&reply.final_observations, rollout);
    }

    /// Appends what each action led to: the last observation of an episode that ended, else the current one.
    fn record_next_observations(&self, final_observations: &[f32], rollout: &mut Rollout) {
        let (size, flat_size) = (self.encoder.observation_size(), self.encoder.flat_size());
        let next = &mut rollout.next_observations;
        for (lane, &end) in self.state.starts.iter().enumerate() {
            if end {
                let last = &final_observations[lane * flat_size..][..flat_size];
                self.encoder.encode_observation(last, next);
            } else {
                next.extend_from_slice(&self.encoded[lane * size..][..size]);
            }
        }
    }

    /// Fills in V of the next row wherever an episode continues.
    fn value_what_follows(&self, policy: &Policy, rollout: &mut Rollout) {
        let batch = rollout.batch;
        let last = rollout.ends.len() - batch;
        let beyond = if rollout.ends[last..].iter().all(|&end| end) {
            vec![0.0; batch]
        } else {
            let inputs = self.rows(&self.encoded, &self.state.lanes.history);
            self.peek(policy, &inputs, &self.state.starts).values
        };
        for row in 0..rollout.ends.len() {
            if !rollout.ends[row] {
                rollout.next_values[row] = if row < last {
                    rollout.values[row + batch]
                } else {
                    beyond[row - last]
                };
            }
        }
    }
}

impl Source for Collector<'_> {
    fn batch(&self) -> usize {
        self.env.num_envs()
    }

    fn is_played(&self) -> bool {
        true
    }

    fn collect(
        &mut self,
        policy: &Policy,
        behaviour: Behaviour,
        rng: &mut Xoshiro256PlusPlus,
        max_steps: usize,
    ) -> Result<Rollout, EnvError> {
        self.play_all(policy, Chooser::Decider(behaviour), rng, max_steps)
    }

    fn state(&self) -> &CollectorState {
        &self.state
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, EnvError> {
        self.env.snapshot()
    }

    fn restore(&mut self, snapshot: Option<&[u8]>, state: CollectorState) -> Result<(), EnvError> {
        let Some(snapshot) = snapshot else {
            self.state.generators = state.generators;
            return Ok(());
        };
        self.env.restore(snapshot)?;
        self.state = state;
        self.encode();
        Ok(())
    }
}

/// Draws the options that all lanes are reset with before a rollout; `None` where there are none to draw.
pub fn drawn(draws: &[OptionDraw], rng: &mut Xoshiro256PlusPlus) -> Option<Map<String, Value>> {
    let mut option = |draw: &OptionDraw| {
        let drawn = draw_log_uniform(draw.low, draw.high, rng);
        (draw.name.clone(), drawn.into())
    };
    (!draws.is_empty()).then(|| draws.iter().map(&mut option).collect())
}

/// Draws a whole number from `low..=high` whose logarithm is uniform.
fn draw_log_uniform(low: u64, high: u64, rng: &mut Xoshiro256PlusPlus) -> u64 {
    let (bottom, top) = ((low as f64).ln(), (high as f64 + 1.0).ln());
    let drawn = (bottom + rng.random::<f64>() * (top - bottom)).exp();
    (drawn as u64).clamp(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithms;
    use crate::env::test_task::TestTask;
    use crate::policy::outputs::Outputs;
    use crate::seeds::{self, Role};

    /// Rollouts of two lanes in which every episode ends after 3 steps.
    fn collect(truncates: bool) -> Rollout {
        let mut env = TestTask::new(2, 3);
        env.truncates = truncates;
        let row = algorithms::find("ppo").unwrap();
        let hyper = (row.defaults)().edited(|collection: &mut Collection| collection.num_steps = 7);
        let encoder =
            InputEncoder::new(env.observation_space(), env.action_space(), &hyper, false).unwrap();
        let mut rng = seeds::generator(0, Role::Agent);
        let policy = row.policy(&hyper, &encoder, &mut rng);
        let mut collector = Collector::begin(
            &mut env,
            encoder,
            &policy,
            &hyper,
            &[],
            LaneSeeds::training(0, 0..2),
        )
        .unwrap();
        let rollout = collector
            .collect(&policy, Behaviour::Policy, &mut rng, usize::MAX)
            .unwrap();
        // The values that a memoryless critic gives to the observations after each action.
        let values = policy
            .act(
                &rollout.next_observations,
                &[false; 14],
                &mut policy.core.initial_state(14),
                None,
            )
            .values;
        for (row, &value) in values.iter().enumerate() {
            let terminated = rollout.ends[row] && !truncates;
            let expected = if terminated { 0.0 } else { value };
            assert!((rollout.next_values[row] - expected).abs() < 1e-6);
        }
        rollout
    }

    #[test]
    fn a_return_goes_on_beyond_a_truncation_but_not_beyond_a_termination() {
        for truncates in [false, true] {
            let rollout = collect(truncates);
            let ends: Vec<usize> = (0..14).filter(|&row| rollout.ends[row]).collect();
            assert_eq!(ends, [4, 5, 10, 11]);
            // The critic begins without a bias, so what looks like zeros is worth 0 to it; not all of these do.
            let beyond = ends.iter().any(|&row| rollout.next_values[row] != 0.0);
            assert_eq!(beyond, truncates);
        }
    }

    /// Every learner bootstraps from V of the last observation, by the memory of the episode that was cut off. Compared
    /// with acting step by step by hand, with the same noise.
    #[test]
    fn a_truncation_is_worth_its_last_observation_to_every_algorithm() {
        for (row, truncates) in algorithms::learners().flat_map(|row| [(row, true), (row, false)]) {
            let mut env = algorithms::test_task(row, 2, 3);
            env.truncates = truncates;
            let hyper = (row.defaults)().edited(|collection: &mut Collection| {
                (collection.num_steps, collection.whole_episodes) = (3, false);
            });
            let encoder =
                InputEncoder::new(env.observation_space(), env.action_space(), &hyper, false)
                    .unwrap();
            let width = 2 * encoder.input_size();
            let mut rng = seeds::generator(0, Role::Agent);
            let mut policy = row.policy(&hyper, &encoder, &mut rng);
            // Empty tables have no values.
            algorithms::check::fill_tables(&mut policy);
            let mut collector = Collector::begin(
                &mut env,
                encoder,
                &policy,
                &hyper,
                &[],
                LaneSeeds::training(0, 0..2),
            )
            .unwrap();
            let (mut memory, mut noise) = (
                collector.state.lanes.memory.clone(),
                collector.state.generators.clone(),
            );
            let rollout = collector
                .collect(&policy, Behaviour::Policy, &mut rng, usize::MAX)
                .unwrap();

            policy.core.refresh(&policy.params, &mut memory);
            for t in 0..3 {
                let inputs = &rollout.inputs[t * width..][..width];
                let starts = &rollout.starts[t * 2..][..2];
                let acted = policy.act(inputs, starts, &mut memory, Some(&mut noise));
                let mut actions = Vec::new();
                for (lane, logits) in nn::values(&acted.logits).chunks_exact(2).enumerate() {
                    policy.draw(logits, noise.of(lane), &mut actions);
                }
                if t < 2 {
                    let (rewards, ends) = ([0.0; 2], [false; 2]);
                    let params = &policy.params;
                    let core = &policy.core;
                    core.outcome(params, &mut memory, &actions, &rewards, &ends);
                }
            }
            let last = &rollout.next_observations[2 * width..];
            let values = policy.act(last, &[false; 2], &mut memory, None).values;
            let has_values = !matches!(row.outputs, Outputs::Actor);
            assert_eq!(values != [0.0; 2], has_values, "{}", row.id);
            let expected = if truncates { values } else { vec![0.0; 2] };
            assert_eq!(rollout.next_values[4..], expected, "{}", row.id);
        }
    }

    #[test]
    fn rows_follow_one_another() {
        let rollout = collect(false);
        assert_eq!((rollout.steps, rollout.batch), (7, 2));
        for row in 0..12 {
            let next = &rollout.inputs[(row + 2) * 3..][..3];
            let followed = rollout.next_observations[row * 3..][..3] == *next;
            assert!(followed || rollout.ends[row]);
            assert_eq!(rollout.starts[row + 2], rollout.ends[row]);
        }
        assert!(rollout.episodes.iter().all(|episode| episode.length == 3));
        assert_eq!(rollout.episodes.len(), 4);
    }

    #[test]
    fn chosen_lanes_are_a_rollout_of_their_own() {
        let rollout = collect(false);
        let lane = rollout.lanes(&[1]);
        assert_eq!((lane.steps, lane.batch), (7, 1));
        for step in 0..7 {
            let row = step * 2 + 1;
            assert_eq!(lane.inputs[step * 3..][..3], rollout.inputs[row * 3..][..3]);
            assert_eq!(lane.log_probs[step], rollout.log_probs[row]);
            assert_eq!(lane.ends[step], rollout.ends[row]);
        }
    }

    #[test]
    fn log_uniform_draws_cover_the_range_evenly_in_the_logarithm() {
        let mut rng = seeds::generator(0, Role::Agent);
        let draws: Vec<u64> = (0..4_000)
            .map(|_| draw_log_uniform(4, 255, &mut rng))
            .collect();
        assert!(draws.iter().all(|draw| (4..=255).contains(draw)));
        // ln 4, ln 32 and ln 256 are equally far apart: half of the draws lie below 32. Deviation of the count: 32.
        let below = draws.iter().filter(|&&draw| draw < 32).count();
        assert!(below.abs_diff(2_000) < 160, "{below}");
    }
}
