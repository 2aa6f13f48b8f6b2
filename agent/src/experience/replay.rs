//! Stored episodes, and batches of them to learn from again.

use std::collections::VecDeque;

use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use crate::experience::floats;
use crate::experience::rollout::Rollout;
use crate::memory::{Segment, State};

/// Episodes; the oldest make room for new ones (Lin 1992). They are stored whole, so that a memory can be
/// unrolled from their beginning (Hausknecht & Stone 2015, arXiv:1507.06527, "bootstrapped sequential updates").
///
/// Episodes, the ones under way included, take at most `max_bytes`, and those that are drawn from have at most
/// `max_steps`. An episode under way takes at most its lane's share of half of the bytes; a longer one is stored in
/// parts, and a later part is replayed as if an episode began there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replay {
    max_steps: usize,
    max_bytes: usize,
    episodes: VecDeque<StoredEpisode>,
    /// The episode under way in each lane.
    open: Vec<StoredEpisode>,
}

/// An episode of T steps, or a part of one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct StoredEpisode {
    /// `[T, input_size]`; one row more where the return continues beyond the last action.
    #[serde(with = "floats")]
    inputs: Vec<f32>,
    /// `[T, components]`.
    actions: Vec<u32>,
    /// `[T]`.
    #[serde(with = "floats")]
    rewards: Vec<f32>,
    /// `[T, decision_width]`; one row more, like the inputs.
    decisions: Vec<i32>,
    /// Whether the return continues beyond the last action: it was cut off, or another part follows.
    continues: bool,
    /// The memory's state before steps 0, stride, 2·stride and so on, if states are stored.
    states: Vec<State>,
}

/// States of a memory to be stored with the steps of a rollout, so that a sequence can begin in the middle of an episode
/// (Kapturowski et al. 2019, "stored state").
#[derive(Clone, Copy)]
pub struct StoredStates<'a> {
    /// The state of all lanes before each step of the rollout.
    pub before: &'a [State],
    /// Steps from one that is kept to the next.
    pub stride: usize,
}

/// The part of a stored episode that a batch has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// Number of the episode, from the oldest.
    pub episode: usize,
    /// Its first step.
    pub first: usize,
    /// Steps at most; fewer where the episode ends before.
    pub steps: usize,
}

/// Sequences of stored episodes next to each other, padded to the longest. Rows are time-major:
/// `row = t * batch + lane`.
#[derive(Clone, Debug, PartialEq)]
pub struct EpisodeBatch {
    /// Steps T of the longest, with the row after a sequence that the episode continues beyond.
    pub steps: usize,
    /// Sequences B.
    pub batch: usize,
    /// `[B]`: the step of the episode that each sequence begins with.
    pub first: Vec<usize>,
    /// `[T*B, input_size]`.
    pub inputs: Vec<f32>,
    /// `[T*B]`: whether the row is the first of its episode, or of a sequence without a stored state.
    pub starts: Vec<bool>,
    /// `[T*B]`: whether the row's action ended its episode, or its part.
    pub ends: Vec<bool>,
    /// `[T*B, components]`.
    pub actions: Vec<u32>,
    /// `[T*B]`: the rewards that were stored.
    pub rewards: Vec<f32>,
    /// `[T*B]`: the sum of the episode's rewards from the row on, also of those beyond the sequence.
    pub returns_to_go: Vec<f32>,
    /// `[T*B, decision_width]`.
    pub decisions: Vec<i32>,
    /// `[T*B]`: 1 for a step that was played, 0 for padding and for the row after a sequence.
    pub weights: Vec<f32>,
    /// `[T*B]`: whether the return continues with the lane's next row, which a value can be read from.
    pub continues: Vec<bool>,
    initial_state: State,
}

impl StoredEpisode {
    fn steps(&self) -> usize {
        self.rewards.len()
    }

    fn bytes(&self) -> usize {
        size_of::<Self>()
            + size_of_val(&self.inputs[..])
            + size_of_val(&self.actions[..])
            + size_of_val(&self.rewards[..])
            + size_of_val(&self.decisions[..])
            + self.states.iter().map(state_bytes).sum::<usize>()
    }

    /// Returns rows with the one after a cut-off.
    fn rows(&self) -> usize {
        self.steps() + usize::from(self.continues)
    }
}

/// Returns the bytes of a stored state.
fn state_bytes(state: &State) -> usize {
    size_of::<State>() + size_of_val(&state.arrays[..]) + state.bytes_per_lane()
}

/// Numbers in a row of each column of a rollout.
#[derive(Clone, Copy)]
struct Widths {
    inputs: usize,
    actions: usize,
    decisions: usize,
}

impl Widths {
    /// Returns the bytes of a step.
    fn bytes(self) -> usize {
        size_of::<f32>() * (self.inputs + self.actions + self.decisions + 1)
    }
}

impl Replay {
    /// Returns an empty replay of at most `max_steps` and `max_bytes`, but of one step for each lane at least.
    pub fn new(max_steps: usize, max_bytes: usize) -> Self {
        Self {
            max_steps,
            max_bytes,
            episodes: VecDeque::new(),
            open: Vec::new(),
        }
    }

    /// Returns the number of episodes and parts that batches are drawn from.
    pub fn len(&self) -> usize {
        self.episodes.len()
    }

    /// Returns whether there is nothing to draw.
    pub fn is_empty(&self) -> bool {
        self.episodes.is_empty()
    }

    /// Returns the bytes that its episodes take, the ones under way included.
    pub fn bytes(&self) -> usize {
        let all = self.episodes.iter().chain(&self.open);
        all.map(StoredEpisode::bytes).sum()
    }

    /// Returns the number of steps of each episode that batches are drawn from, the oldest first.
    pub fn lengths(&self) -> impl ExactSizeIterator<Item = usize> {
        self.episodes.iter().map(StoredEpisode::steps)
    }

    /// Stores a rollout with the rewards to learn from, `[T*B]`. Episodes that end in it can be drawn from now on. An
    /// episode that is given up in its middle (the lane was reset) is forgotten.
    pub fn push(&mut self, rollout: &Rollout, rewards: &[f32]) {
        self.push_with(rollout, rewards, None);
    }

    /// Stores a rollout like [`Replay::push`], with states of the memory.
    pub fn push_with(
        &mut self,
        rollout: &Rollout,
        rewards: &[f32],
        states: Option<StoredStates<'_>>,
    ) {
        let rows = rollout.starts.len();
        let widths = Widths {
            inputs: rollout.inputs.len() / rows,
            actions: rollout.actions.len() / rows,
            decisions: rollout.decisions.len() / rows,
        };
        let share = self.max_bytes / 2 / rollout.batch;
        self.open.resize(rollout.batch, StoredEpisode::default());
        let mut cut_offs = rollout.cut_offs.iter().peekable();
        let mut stored = self.bytes();
        let mut steps: usize = self.lengths().sum();
        for row in 0..rows {
            let lane = row % rollout.batch;
            let inputs = &rollout.inputs[row * widths.inputs..][..widths.inputs];
            let open = &mut self.open[lane];
            if rollout.starts[row] {
                stored -= open.bytes();
                *open = StoredEpisode::default();
                stored += open.bytes();
            } else if open.steps() > 0 && open.bytes() + widths.bytes() > share {
                let after = (
                    inputs,
                    &rollout.decisions[row * widths.decisions..][..widths.decisions],
                );
                steps += open.steps();
                stored += self.close(lane, Some(after));
            }
            if let Some(StoredStates { before, stride }) = states
                && self.open[lane].steps().is_multiple_of(stride)
            {
                let state = before[row / rollout.batch].gather(&[lane]);
                stored += state_bytes(&state);
                self.open[lane].states.push(state);
            }
            self.open[lane].append(rollout, rewards, row, widths);
            stored += widths.bytes();
            if rollout.ends[row] {
                steps += self.open[lane].steps();
                let cut_off = cut_offs.next_if(|cut_off| cut_off.row == row);
                let after = cut_off.map(|after| (&after.inputs[..], &after.decisions[..]));
                stored += self.close(lane, after);
            }
            while (stored > self.max_bytes || steps > self.max_steps) && self.episodes.len() > 1 {
                let oldest = self.episodes.pop_front().expect("more than one");
                stored -= oldest.bytes();
                steps -= oldest.steps();
            }
        }
    }

    /// Moves a lane's current episode to the episodes that are drawn from. `after`: the inputs and
    /// decisions of the row with which its return continues. Returns the bytes that this has added.
    fn close(&mut self, lane: usize, after: Option<(&[f32], &[i32])>) -> usize {
        let mut episode = std::mem::take(&mut self.open[lane]);
        let before = episode.bytes();
        if let Some((inputs, decisions)) = after {
            episode.inputs.extend_from_slice(inputs);
            episode.decisions.extend_from_slice(decisions);
            episode.continues = true;
        }
        let bytes = episode.bytes() + size_of::<StoredEpisode>() - before;
        self.episodes.push_back(episode);
        bytes
    }

    /// Draws `batch` whole episodes, with replacement. `initial_state`: the memory of as many lanes that have seen nothing.
    ///
    /// # Panics
    /// When there is nothing to draw.
    pub fn sample(
        &self,
        batch: usize,
        initial_state: State,
        rng: &mut Xoshiro256PlusPlus,
    ) -> EpisodeBatch {
        let mut draw = || Sequence {
            episode: rng.random_range(0..self.episodes.len()),
            first: 0,
            steps: usize::MAX,
        };
        let drawn: Vec<Sequence> = (0..batch).map(|_| draw()).collect();
        self.batch(&drawn, 1, initial_state)
    }

    /// Returns chosen sequences. `initial_state`: the memory of as many lanes that have seen nothing. A sequence that
    /// begins at a multiple of `stride` has the state that was stored there, if one was; any other begins with nothing.
    ///
    /// # Panics
    /// When an episode or its first step does not exist, or without a sequence.
    pub fn batch(
        &self,
        sequences: &[Sequence],
        stride: usize,
        initial_state: State,
    ) -> EpisodeBatch {
        let drawn = sequences.iter().map(|sequence| {
            let episode = &self.episodes[sequence.episode];
            let is_stored = sequence.first > 0 && sequence.first.is_multiple_of(stride);
            let state = episode.states.get(sequence.first / stride);
            Drawn {
                episode,
                first: sequence.first,
                steps: sequence.steps.min(episode.steps() - sequence.first),
                state: state.filter(|_| is_stored),
            }
        });
        EpisodeBatch::new(&drawn.collect::<Vec<_>>(), initial_state)
    }
}

impl StoredEpisode {
    fn append(&mut self, rollout: &Rollout, rewards: &[f32], row: usize, widths: Widths) {
        let columns = |width: usize| row * width..(row + 1) * width;
        let inputs = &rollout.inputs[columns(widths.inputs)];
        self.inputs.extend_from_slice(inputs);
        let actions = &rollout.actions[columns(widths.actions)];
        self.actions.extend_from_slice(actions);
        let decisions = &rollout.decisions[columns(widths.decisions)];
        self.decisions.extend_from_slice(decisions);
        self.rewards.push(rewards[row]);
    }
}

/// A sequence of an episode.
struct Drawn<'a> {
    episode: &'a StoredEpisode,
    first: usize,
    steps: usize,
    state: Option<&'a State>,
}

impl Drawn<'_> {
    /// Returns rows with the one after the sequence, where the return continues beyond it.
    fn rows(&self) -> usize {
        (self.steps + 1).min(self.episode.rows() - self.first)
    }
}

impl EpisodeBatch {
    fn new(drawn: &[Drawn<'_>], mut initial_state: State) -> Self {
        let batch = drawn.len();
        let steps = drawn.iter().map(Drawn::rows).max().unwrap_or(0);
        let rows = steps * batch;
        let first = drawn.first().expect("a batch of sequences").episode;
        let width = first.inputs.len() / first.rows();
        let components = first.actions.len() / first.steps();
        let decision_width = first.decisions.len() / first.rows();
        for (lane, sequence) in drawn.iter().enumerate() {
            if let Some(state) = sequence.state {
                initial_state.copy_row(lane, state, 0);
            }
        }
        let mut all = Self {
            steps,
            batch,
            first: drawn.iter().map(|sequence| sequence.first).collect(),
            inputs: vec![0.0; rows * width],
            starts: vec![false; rows],
            ends: vec![false; rows],
            actions: vec![0; rows * components],
            rewards: vec![0.0; rows],
            returns_to_go: vec![0.0; rows],
            decisions: vec![0; rows * decision_width],
            weights: vec![0.0; rows],
            continues: vec![false; rows],
            initial_state,
        };
        for (lane, sequence) in drawn.iter().enumerate() {
            let Drawn { episode, first, .. } = *sequence;
            all.starts[lane] = sequence.state.is_none();
            let beyond = episode.rewards[first + sequence.steps..].iter();
            let mut return_to_go = beyond.sum::<f32>();
            for t in (0..steps).rev() {
                let (row, step) = (t * batch + lane, first + t);
                if t < sequence.rows() {
                    copy(&mut all.inputs, row, &episode.inputs, step, width);
                }
                // Beyond the end the last decision is repeated: a valid one, whose features carry no weight.
                let decided = step.min(episode.rows() - 1);
                let decisions = &episode.decisions;
                copy(&mut all.decisions, row, decisions, decided, decision_width);
                if t < sequence.steps {
                    copy(&mut all.actions, row, &episode.actions, step, components);
                    return_to_go += episode.rewards[step];
                    all.rewards[row] = episode.rewards[step];
                    all.returns_to_go[row] = return_to_go;
                    all.weights[row] = 1.0;
                    all.continues[row] = step + 1 < episode.rows();
                    all.ends[row] = step + 1 == episode.steps();
                }
            }
        }
        all
    }

    /// Leaves out rows after the last that counts: those that only values are read from.
    pub fn without_next_rows(&mut self) {
        let last = self.weights.iter().rposition(|&weight| weight > 0.0);
        let (steps, batch) = (last.map_or(0, |row| row / self.batch + 1), self.batch);
        let shorten = |rows: usize, width: usize| steps * batch * (width / rows.max(1));
        let rows = self.starts.len();
        self.inputs.truncate(shorten(rows, self.inputs.len()));
        self.actions.truncate(shorten(rows, self.actions.len()));
        self.decisions.truncate(shorten(rows, self.decisions.len()));
        for column in [
            &mut self.rewards,
            &mut self.returns_to_go,
            &mut self.weights,
        ] {
            column.truncate(steps * batch);
        }
        for column in [&mut self.starts, &mut self.ends, &mut self.continues] {
            column.truncate(steps * batch);
        }
        self.steps = steps;
    }

    /// Returns the segment that a memory core reads. It has no return targets and no values for losses of the
    /// core's own: both are the stored rewards.
    pub fn segment(&self) -> Segment<'_> {
        Segment {
            steps: self.steps,
            batch: self.batch,
            inputs: &self.inputs,
            starts: &self.starts,
            ends: &self.ends,
            actions: &self.actions,
            rewards: &self.rewards,
            goals: None,
            initial_state: &self.initial_state,
            decisions: &self.decisions,
            returns: &self.rewards,
            values: &self.rewards,
        }
    }
}

/// Copies row `from` of a column to row `to` of another.
fn copy<T: Copy>(target: &mut [T], to: usize, source: &[T], from: usize, width: usize) {
    target[to * width..][..width].copy_from_slice(&source[from * width..][..width]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithms;
    use crate::env::VectorEnv;
    use crate::experience::{Behaviour, Collection, Collector, CutOff, Source};
    use crate::memory::Array;
    use crate::nn::{self, Graph, categorical};
    use crate::policy::inputs::InputEncoder;
    use crate::seeds::{self, LaneSeeds, Role};

    /// One lane whose inputs, actions and rewards count the rows from `first` on.
    fn rollout(first: u32, starts: &[bool], ends: &[bool]) -> Rollout {
        let rows = first..first + starts.len() as u32;
        Rollout {
            steps: starts.len(),
            inputs: rows.clone().map(|row| row as f32).collect(),
            starts: starts.to_vec(),
            ends: ends.to_vec(),
            actions: rows.clone().collect(),
            rewards: rows.map(|row| row as f32).collect(),
            ..Rollout::empty(1, State::new(1, Vec::new()))
        }
    }

    fn push(replay: &mut Replay, rollout: &Rollout) {
        replay.push(rollout, &rollout.rewards);
    }

    fn batch(replay: &Replay, episodes: &[usize]) -> EpisodeBatch {
        let whole = |&episode: &usize| Sequence {
            episode,
            first: 0,
            steps: usize::MAX,
        };
        let drawn: Vec<_> = episodes.iter().map(whole).collect();
        replay.batch(&drawn, 1, State::new(episodes.len(), Vec::new()))
    }

    /// Rows 0 to 2 terminate over two rollouts; rows 3 and 4 are cut off before what would have been row 9.
    #[test]
    fn a_batch_by_hand() {
        let mut replay = Replay::new(1_000, 10_000);
        push(&mut replay, &rollout(0, &[true, false], &[false, false]));
        assert!(replay.is_empty());
        let mut second = rollout(2, &[false, true, false], &[true, false, true]);
        second.cut_offs.push(CutOff {
            row: 2,
            inputs: vec![9.0],
            decisions: Vec::new(),
        });
        push(&mut replay, &second);
        assert_eq!(replay.len(), 2);
        let batch = batch(&replay, &[0, 1]);
        assert_eq!((batch.steps, batch.batch), (3, 2));
        assert_eq!(batch.inputs, [0.0, 3.0, 1.0, 4.0, 2.0, 9.0]);
        assert_eq!(batch.starts, [true, true, false, false, false, false]);
        assert_eq!(batch.ends, [false, false, false, true, true, false]);
        assert_eq!(batch.actions, [0, 3, 1, 4, 2, 0]);
        assert_eq!(batch.rewards, [0.0, 3.0, 1.0, 4.0, 2.0, 0.0]);
        assert_eq!(batch.weights, [1.0, 1.0, 1.0, 1.0, 1.0, 0.0]);
        assert_eq!(batch.continues, [true, true, true, true, false, false]);
    }

    #[test]
    fn an_episode_that_is_given_up_in_its_middle_is_forgotten() {
        let mut replay = Replay::new(1_000, 10_000);
        push(&mut replay, &rollout(0, &[true, false], &[false, false]));
        push(&mut replay, &rollout(2, &[true, false], &[false, true]));
        assert_eq!(batch(&replay, &[0]).inputs, [2.0, 3.0]);
    }

    #[test]
    fn the_oldest_episodes_make_room_and_bytes_are_bounded() {
        // A step takes 12 bytes, an episode of two steps 24 and itself.
        let one = 24 + size_of::<StoredEpisode>();
        let mut replay = Replay::new(1_000, 3 * one + size_of::<StoredEpisode>());
        for first in 0..10 {
            let ended = rollout(2 * first, &[true, false], &[false, true]);
            push(&mut replay, &ended);
            assert!(replay.bytes() <= replay.max_bytes);
        }
        assert_eq!(replay.len(), 3);
        assert_eq!(batch(&replay, &[0]).inputs, [14.0, 15.0]);
    }

    /// An endless episode: half of the limit, less what an episode itself takes, is 4 steps of 12 bytes.
    #[test]
    fn a_long_episode_is_stored_in_parts() {
        let mut replay = Replay::new(1_000, 2 * (size_of::<StoredEpisode>() + 4 * 12) + 200);
        push(&mut replay, &rollout(0, &[true; 1], &[false; 1]));
        for first in 1..100 {
            push(&mut replay, &rollout(first, &[false; 1], &[false; 1]));
            assert!(replay.bytes() <= replay.max_bytes);
        }
        let part = batch(&replay, &[replay.len() - 1]);
        let length = part.weights.iter().sum::<f32>() as usize;
        assert!((4..20).contains(&length), "{length}");
        assert_eq!(part.steps, length + 1, "the row after it");
        let first = part.inputs[0];
        for (row, &input) in part.inputs.iter().enumerate() {
            assert_eq!(input, first + row as f32);
        }
        assert!(part.continues[length - 1] && part.starts[0]);
    }

    #[test]
    fn the_oldest_episodes_make_room_for_new_steps() {
        let mut replay = Replay::new(5, 10_000);
        for first in 0..10 {
            push(
                &mut replay,
                &rollout(2 * first, &[true, false], &[false, true]),
            );
            assert!(replay.lengths().sum::<usize>() <= 5);
        }
        assert_eq!(batch(&replay, &[0, 1]).inputs, [16.0, 18.0, 17.0, 19.0]);
    }

    /// An episode of rows 0 to 4 whose states are the rows' numbers; every second one is kept.
    #[test]
    fn sequences_by_hand() {
        let state = |number: u32| State::new(1, vec![Array::filled(1, 1, number as f32)]);
        let mut replay = Replay::new(1_000, 10_000);
        let starts = [true, false, false, false, false];
        let whole = rollout(0, &starts, &[false, false, false, false, true]);
        let before: Vec<State> = (0..5).map(|step| state(100 + step)).collect();
        let states = StoredStates {
            before: &before,
            stride: 2,
        };
        replay.push_with(&whole, &whole.rewards, Some(states));
        let sequence = |first, steps| Sequence {
            episode: 0,
            first,
            steps,
        };
        let drawn = [sequence(2, 2), sequence(3, 9)];
        let nothing = State::new(2, vec![Array::filled(2, 1, -1.0)]);
        let batch = replay.batch(&drawn, 2, nothing);
        assert_eq!((batch.steps, &batch.first[..]), (3, &[2, 3][..]));
        assert_eq!(batch.inputs, [2.0, 3.0, 3.0, 4.0, 4.0, 0.0]);
        assert_eq!(batch.weights, [1.0, 1.0, 1.0, 1.0, 0.0, 0.0]);
        assert_eq!(batch.continues, [true, true, true, false, false, false]);
        assert_eq!(batch.starts[..2], [false, true]);
        assert_eq!(batch.returns_to_go, [9.0, 7.0, 7.0, 4.0, 0.0, 0.0]);
        assert_eq!(batch.initial_state.arrays[0].data, [102.0, -1.0]);
        let bytes = replay.bytes();
        assert_eq!(
            bytes,
            size_of::<StoredEpisode>() * 2 + 5 * 12 + 3 * state_bytes(&state(0))
        );
    }

    #[test]
    fn a_saved_replay_is_the_same() {
        let mut replay = Replay::new(1_000, 10_000);
        push(
            &mut replay,
            &rollout(0, &[true, true, false], &[true, false, false]),
        );
        let saved = rmp_serde::to_vec_named(&replay).unwrap();
        assert_eq!(rmp_serde::from_slice::<Replay>(&saved).unwrap(), replay);
    }

    /// Learning from stored episodes computes the log-probabilities, or the values, that acting computed, with every
    /// memory.
    #[test]
    fn replayed_episodes_are_seen_as_they_were_played() {
        for row in algorithms::learners() {
            let mut env = algorithms::test_task(row, 3, 4);
            env.truncates = true;
            let hyper = (row.defaults)().edited(|collection: &mut Collection| {
                (collection.num_steps, collection.whole_episodes) = (13, false);
            });
            let spaces = (env.observation_space(), env.action_space());
            let encoder = InputEncoder::new(spaces.0, spaces.1, &hyper, false).unwrap();
            let mut rng = seeds::generator(0, Role::Agent);
            let policy = row.policy(&hyper, &encoder, &mut rng);
            let seeds = LaneSeeds::training(0, 0..3);
            let mut collector =
                Collector::begin(&mut env, encoder, &policy, &hyper, &[], seeds).unwrap();
            let rollout = collector.collect(&policy, Behaviour::Policy, &mut rng, usize::MAX);
            let rollout = rollout.unwrap();
            let mut replay = Replay::new(1_000, 1_000_000);
            // Stored in place of the rewards, to be compared with.
            let is_stochastic = policy.outputs().is_stochastic();
            let stored = match is_stochastic {
                true => &rollout.log_probs,
                false => &rollout.values,
            };
            replay.push(&rollout, stored);
            assert_eq!(replay.len(), 9);
            let first_of_lanes = [0, 1, 2].map(|episode| Sequence {
                episode,
                first: 0,
                steps: usize::MAX,
            });
            let batch = replay.batch(&first_of_lanes, 1, policy.core.initial_state(3));
            assert_eq!(batch.steps, 5);
            // As they were played: there is none before the last step.
            let rewards = vec![0.0; batch.rewards.len()];
            let segment = Segment {
                rewards: &rewards,
                ..batch.segment()
            };
            let seen = policy.evaluate(&mut Graph::inference(&policy.params), &segment);
            let mut log_probs = nn::values(&seen.logits).to_vec();
            categorical::log_softmax(&mut log_probs, 2);
            for step in (0..12).filter(|&row| batch.weights[row] > 0.0) {
                let found = match is_stochastic {
                    true => log_probs[2 * step + batch.actions[step] as usize],
                    false => nn::values(&seen.values)[step],
                };
                assert!((found - batch.rewards[step]).abs() < 1e-5, "{}", row.id);
            }
            // The row after the cut-off is worth what acting thought of it.
            for lane in 0..3 {
                let found = nn::values(&seen.values)[4 * 3 + lane];
                let expected = rollout.next_values[3 * 3 + lane];
                assert!((found - expected).abs() < 1e-5, "{}", row.id);
            }
        }
    }
}
