//! Neural episodic control (Pritzel et al. 2017, arXiv:1703.01988): for each action a table of learned keys and their
//! N-step returns. The value of a key is a mean of its neighbours' by distance, and its error trains the network that makes
//! keys, and the rows that were read.

use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use super::episodes::{Episode, Episodes, by_time, returns};
use super::index::{Index, hash};
use super::transitions::Transitions;
use super::written;
use crate::experience::{Behaviour, Rollout};
use crate::hyper::section::section;
use crate::learner::settings::{Discount, Optimiser, Replaying};
use crate::learner::{
    Backup, Diverged, Experience, Group, Learner, LearnerContext, LearnerState, Metrics, StateError,
};
use crate::memory::{Segment, State};
use crate::nn::{self, Adam, Graph, Params};
use crate::policy::Policy;
use crate::policy::greediness::Greediness;
use crate::policy::tables::Tables;

section! {
    /// Tables that a network learns to read.
    pub struct Dictionary, overridden by DictionaryOverrides {
        /// Rewards of a return before it continues with a value.
        n_step: usize = 100, |&v| (1..=1_000_000).contains(&v), "1 to 1000000";
        /// Share α of the way that the value of a known history moves to a new return.
        table_alpha: f32 = 0.5, |&v| (0.0..=1.0).contains(&v), "0 to 1";
        /// Step size of the gradient in the rows that were read, keys and values; 0 leaves them to what is written.
        table_rate: f32 = 0.1, |&v| (0.0..=10.0).contains(&v), "0 to 10";
        /// Added to squared distances, δ.
        kernel_delta: f32 = 1e-3, |&v| v > 0.0 && v <= 1.0, "above 0, at most 1";
        /// Learn to value a stored step by other rows than its own, which would answer with the target itself.
        #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
        leave_own_out: bool = true, |_| true, "true or false";
    }
}

/// Trains a dictionary.
pub struct Nec {
    gamma: f32,
    greediness: Greediness,
    optimiser: Optimiser,
    replaying: Replaying,
    dictionary: Dictionary,
    adam: Adam,
    memory: Memory,
    replay: Transitions,
}

/// All that it remembers besides tables, optimiser and stored steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Memory {
    episodes: Episodes,
    /// Rows by the histories that they stand for: a history is known again, however its key has moved.
    index: Index,
    /// The tables' time.
    now: f32,
    /// Environment steps since the last optimiser step.
    steps: usize,
}

/// Widths in the record of a step: its key, then the memory before it and its inputs. These two make the key again.
#[derive(Clone, Copy)]
struct Widths {
    key: usize,
    inputs: usize,
}

/// Stored steps to learn from.
struct Drawn {
    /// Steps B.
    batch: usize,
    /// The memory before each step.
    state: State,
    /// `[B, input_size]`.
    inputs: Vec<f32>,
    /// For each choice of each step: its number in the batch, its table, and the row that it wrote there.
    rows: Vec<(usize, usize, Option<usize>)>,
    /// The return of each of them.
    targets: Vec<f32>,
}

impl Nec {
    /// Builds a learner that has seen nothing.
    ///
    /// # Panics
    /// When the policy has no tables.
    pub fn new(context: &mut LearnerContext<'_>) -> Self {
        let adam = Adam::new(&context.policy.params);
        let tables = context.policy.tables().expect("a row with tables");
        Self {
            gamma: context.hyper.get::<Discount>().gamma,
            greediness: context.hyper.get(),
            optimiser: context.hyper.get(),
            replaying: context.hyper.get(),
            dictionary: context.hyper.get(),
            adam,
            memory: Memory {
                episodes: Episodes::default(),
                index: Index::new(tables.len()),
                now: 1.0,
                steps: 0,
            },
            replay: Transitions::default(),
        }
    }

    /// Takes an optimiser step on stored steps; returns the loss, and appends what rows were before it to `moved`.
    fn update(
        &mut self,
        policy: &mut Policy,
        widths: Widths,
        rate: f32,
        rng: &mut Xoshiro256PlusPlus,
        moved: &mut Vec<Moved>,
    ) -> Result<f64, Diverged> {
        let Drawn {
            batch,
            state,
            inputs,
            rows,
            targets,
        } = self.draw(policy, widths, rng);
        let flags = vec![false; batch];
        let zeros = vec![0.0; batch];
        let actions = vec![0; batch * policy.heads().components()];
        let segment = Segment {
            steps: 1,
            batch,
            inputs: &inputs,
            starts: &flags,
            ends: &flags,
            actions: &actions,
            rewards: &zeros,
            initial_state: &state,
            decisions: &[],
            returns: &zeros,
            values: &zeros,
            goals: None,
        };
        let mut graph = Graph::training(&policy.params);
        let keys = policy.core.unroll(&mut graph, &segment).features;
        let lanes: Vec<i32> = rows.iter().map(|&(lane, ..)| lane as i32).collect();
        let h = graph.rows_or_zeros(&keys, &lanes);
        let tables = policy.tables().expect("a row with tables");
        let block = Block::gather(
            tables,
            &policy.params,
            nn::values(&h),
            &rows,
            self.dictionary.leave_own_out,
        );
        let held = graph.variable(block.keys, (rows.len() * tables.neighbours(), widths.key));
        let values = graph.variable(block.values, (rows.len(), tables.neighbours()));
        let q = graph.distance_read(
            &h,
            &held,
            &values,
            &block.counts,
            self.dictionary.kernel_delta,
        );
        let weights: Vec<f32> = block
            .counts
            .iter()
            .map(|&count| f32::from(u8::from(count > 0)))
            .collect();
        let loss = graph.mse(&q, &targets, &weights);
        let value = f64::from(nn::values(&loss)[0]);
        let gradients = graph.backward(&loss);
        let norm = self.adam.step(
            &mut policy.params,
            &gradients,
            rate,
            self.optimiser.longest(),
        );
        if !value.is_finite() || !norm.is_finite() {
            return Err(Diverged {
                loss: value,
                grad_norm: f64::from(norm),
            });
        }
        if let (Some(d_keys), Some(d_values)) = (gradients.of_variable(0), gradients.of_variable(1))
        {
            self.shift(policy, &block.places, (d_keys, d_values), moved);
        }
        Ok(value)
    }

    /// Moves the rows that were read along their gradients; appends what they were before to `moved`.
    fn shift(
        &self,
        policy: &mut Policy,
        places: &[Option<(usize, usize)>],
        (d_keys, d_values): (&[f32], &[f32]),
        moved: &mut Vec<Moved>,
    ) {
        let width = policy.core.feature_size();
        let (tables, params) = policy.tables_mut().expect("a row with tables");
        let places = places.iter().enumerate();
        for (i, at) in places.filter_map(|(i, place)| Some((i, (*place)?))) {
            let (key, value) = (
                tables.key(params, at.0, at.1),
                tables.value(params, at.0, at.1),
            );
            moved.push((at, key.to_vec(), value));
            let gradient = (&d_keys[i * width..][..width], d_values[i]);
            tables.shift(params, at, gradient, self.dictionary.table_rate);
        }
    }

    /// Draws stored steps.
    fn draw(&self, policy: &Policy, widths: Widths, rng: &mut Xoshiro256PlusPlus) -> Drawn {
        let drawn = self.replay.draw(self.replaying.batch_size, rng);
        let mut batch = Drawn {
            batch: drawn.len(),
            state: policy.core.initial_state(drawn.len()),
            inputs: Vec::new(),
            rows: Vec::new(),
            targets: Vec::new(),
        };
        for (lane, &step) in drawn.iter().enumerate() {
            let (row, action, target) = self.replay.get(step);
            let (before, input) = row.split_at(row.len() - widths.inputs);
            set_lane(&mut batch.state, lane, before);
            batch.inputs.extend_from_slice(input);
            let own = hash(row);
            for table in policy.heads().chosen(action) {
                let own_row = self.memory.index.find(table, own);
                batch.rows.push((lane, table, own_row));
                batch.targets.push(target);
            }
        }
        batch
    }

    /// Takes the optimiser steps that are due; returns the mean loss. If one diverges, weights, optimiser and tables are as
    /// before.
    fn train(
        &mut self,
        policy: &mut Policy,
        widths: Widths,
        progress: f64,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Result<Option<f64>, Diverged> {
        if self.replay.len() < self.replaying.batch_size {
            self.memory.steps = 0;
            return Ok(None);
        }
        let due = self.memory.steps / self.replaying.train_every;
        self.memory.steps %= self.replaying.train_every;
        let backup = Backup::new(policy, &self.adam);
        let (mut sum, mut moved) = (0.0, Vec::new());
        for _ in 0..due {
            match self.update(
                policy,
                widths,
                self.optimiser.rate(progress),
                rng,
                &mut moved,
            ) {
                Ok(loss) => sum += loss,
                Err(diverged) => {
                    backup.restore(policy, &mut self.adam);
                    let (tables, params) = policy.tables_mut().expect("a row with tables");
                    for (at, key, value) in moved.iter().rev() {
                        tables.put(params, *at, key, *value);
                    }
                    return Err(diverged);
                }
            }
        }
        Ok((due > 0).then(|| sum / due as f64))
    }

    /// Writes the returns of episodes that have ended into tables and replay.
    fn write_all(
        &mut self,
        policy: &mut Policy,
        ended: &[Episode],
        returns: &[Vec<f32>],
        widths: Widths,
    ) {
        let heads = policy.heads().clone();
        let components = heads.components();
        let (tables, params) = policy.tables_mut().expect("a row with tables");
        for (episode, t) in by_time(ended) {
            let (episode, target) = (&ended[episode], returns[episode][t]);
            let width = episode.rows.len() / episode.len();
            let (key, again) = episode.rows[t * width..][..width].split_at(widths.key);
            let action = &episode.actions[t * components..][..components];
            let hash = hash(again);
            for table in heads.chosen(action) {
                self.memory.write(
                    tables,
                    params,
                    table,
                    (key, hash),
                    target,
                    self.dictionary.table_alpha,
                );
            }
            let Replaying {
                replay_steps,
                replay_bytes,
                ..
            } = self.replaying;
            let capacity =
                Transitions::capacity(replay_steps, replay_bytes, again.len(), components);
            self.replay.push(again, action, target, capacity);
        }
    }
}

impl Memory {
    /// Writes a return: the value of a known history moves by α of the way, and its key is made new.
    fn write(
        &mut self,
        tables: &Tables,
        params: &mut Params,
        table: usize,
        (key, hash): (&[f32], u64),
        target: f32,
        alpha: f32,
    ) {
        self.now = tables.renumber(params, self.now + 1.0);
        let known = self.index.find(table, hash);
        let row = known.unwrap_or_else(|| tables.place(params, table));
        let value = match known {
            Some(row) => {
                let value = tables.value(params, table, row);
                value + alpha * (target - value)
            }
            None => target,
        };
        tables.set(params, (table, row), key, value, self.now);
        self.index.set(table, row, hash);
    }
}

/// A row, as table and number, and its key and value before it was moved.
type Moved = ((usize, usize), Vec<f32>, f32);

/// The neighbours of rows, `[R, p]`.
struct Block {
    keys: Vec<f32>,
    values: Vec<f32>,
    counts: Vec<usize>,
    /// Table and row of each neighbour that is there.
    places: Vec<Option<(usize, usize)>>,
}

impl Block {
    /// `rows`: lane, table and own row of each key in `h`.
    fn gather(
        tables: &Tables,
        params: &Params,
        h: &[f32],
        rows: &[(usize, usize, Option<usize>)],
        leaves_own_out: bool,
    ) -> Self {
        let (width, neighbours) = (h.len() / rows.len(), tables.neighbours());
        let mut found = vec![Vec::new(); rows.len()];
        for table in 0..tables.len() {
            let those: Vec<usize> = (0..rows.len()).filter(|&i| rows[i].1 == table).collect();
            let keys: Vec<f32> = those
                .iter()
                .flat_map(|&i| &h[i * width..][..width])
                .copied()
                .collect();
            let nearest = tables.nearest(
                params,
                table,
                &keys,
                neighbours + usize::from(leaves_own_out),
            );
            for (i, nearest) in those.into_iter().zip(nearest) {
                found[i] = nearest;
            }
        }
        let mut block = Self {
            keys: vec![0.0; rows.len() * neighbours * width],
            values: vec![0.0; rows.len() * neighbours],
            counts: Vec::with_capacity(rows.len()),
            places: vec![None; rows.len() * neighbours],
        };
        for (i, (found, &(_, table, own))) in found.iter().zip(rows).enumerate() {
            let others = found.iter().map(|neighbour| neighbour.row);
            let others = others.filter(|&row| !leaves_own_out || Some(row) != own);
            let mut count = 0;
            for row in others.take(neighbours) {
                let place = i * neighbours + count;
                block.keys[place * width..][..width]
                    .copy_from_slice(tables.key(params, table, row));
                block.values[place] = tables.value(params, table, row);
                block.places[place] = Some((table, row));
                count += 1;
            }
            block.counts.push(count);
        }
        block
    }
}

/// Appends the memory of a lane.
fn append_lane(state: &State, lane: usize, row: &mut Vec<f32>) {
    for array in &state.arrays {
        row.extend_from_slice(array.row(lane));
    }
}

/// Sets the memory of a lane to what [`append_lane`] appended.
fn set_lane(state: &mut State, lane: usize, mut row: &[f32]) {
    for array in &mut state.arrays {
        let held = array.row_mut(lane);
        let (part, rest) = row.split_at(held.len());
        held.copy_from_slice(part);
        row = rest;
    }
}

/// Returns what is to be remembered of each step of a rollout, and the keys alone.
fn remembered(policy: &Policy, rollout: &Rollout) -> (Vec<f32>, Vec<f32>, Widths) {
    let widths = Widths {
        key: policy.core.feature_size(),
        inputs: rollout.inputs.len() / rollout.starts.len(),
    };
    let fresh = policy.core.initial_state(1);
    let mut state = rollout.initial_state.clone();
    let (mut rows, mut keys) = (Vec::new(), Vec::new());
    let steps = rollout.inputs.chunks_exact(rollout.batch * widths.inputs);
    for (inputs, starts) in steps.zip(rollout.starts.chunks_exact(rollout.batch)) {
        let before = state.clone();
        let step = policy
            .core
            .step(&policy.params, inputs, starts, &mut state, None);
        let features = nn::values(&step.features);
        keys.extend_from_slice(features);
        for (lane, &start) in starts.iter().enumerate() {
            rows.extend_from_slice(&features[lane * widths.key..][..widths.key]);
            match start {
                true => append_lane(&fresh, 0, &mut rows),
                false => append_lane(&before, lane, &mut rows),
            }
            rows.extend_from_slice(&inputs[lane * widths.inputs..][..widths.inputs]);
        }
    }
    (rows, keys, widths)
}

impl Learner for Nec {
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
        let Experience {
            rollout,
            rewards,
            progress,
        } = *experience;
        let (rows, keys, widths) = remembered(policy, rollout);
        let before = (self.memory.episodes.clone(), self.memory.steps);
        let ended = self.memory.episodes.record(rollout, rewards, &rows)?;
        self.memory.steps += rewards.len();
        let learned = returns(&ended, self.gamma, self.dictionary.n_step)
            .and_then(|returns| Ok((returns, self.train(policy, widths, progress, rng)?)));
        let (returns, loss) = match learned {
            Ok(learned) => learned,
            Err(diverged) => {
                (self.memory.episodes, self.memory.steps) = before;
                return Err(diverged);
            }
        };
        let (tables, params) = policy.tables_mut().expect("a row with tables");
        tables.record_reads(params, &keys, self.memory.now);
        self.write_all(policy, &ended, &returns, widths);
        if ended.is_empty() && loss.is_none() {
            return Ok(None);
        }
        let mut metrics = written(policy, ended.len());
        metrics.put_known(Group::Train, "loss", loss).put(
            Group::Memory,
            "replay_steps",
            self.replay.len() as f64,
        );
        Ok(Some(metrics))
    }

    fn export(&self) -> LearnerState {
        LearnerState {
            adam: self.adam.export(),
            rest: LearnerState::pack(&self.memory),
            replay: LearnerState::pack(&self.replay),
            ..LearnerState::default()
        }
    }

    fn import(&mut self, state: &LearnerState) -> Result<(), StateError> {
        self.adam.import(&state.adam)?;
        self.memory = state.unpack()?;
        self.replay = state.unpack_replay()?.unwrap_or_default();
        Ok(())
    }
}
