//! A memory of whole episodes that outlives them: the reference notebook's strategic memory buffer.
//!
//! When an episode ends, its steps (input, action, reward) become an entry; when all slots are taken, the least useful
//! entry goes. An entry's encoding is the mean over its steps of a one-layer transformer, and a score of that
//! encoding is its usefulness u. Reading is soft attention over the entries and a learned null slot, α ∝ exp(q·e/√d + log σ(u)), so the
//! policy's gradient reaches usefulness and encoder.
//!
//! Entries are kept raw and encoded with the weights of the day: nothing is stale. Unlike in the
//! notebook, usefulness belongs to the entry and not to the slot's number: a new entry does not
//! inherit the score of the replaced entry. With `relative_age` the reader may ask for how many
//! episodes ago: a lifetime that begins anew contradicts the one before it.

use std::collections::BTreeMap;

use crate::memory::attention::episodic_transformer::Episodes;
use crate::memory::attention::lag::{self, Ages, LagTerms};
use crate::memory::attention::layer::{TransformerLayer, padded};
use crate::memory::slots::retention;
use crate::memory::{Array, CoreContext, Segment, SlotContents, Slots, State};
use crate::nn::{self, Activation, Graph, Init, ParamId, Params, ScoreTerms, Tensor};
use crate::spaces::actions::{ActionHeads, Choice};

/// Heads of the encoder's attention, as in the notebook.
pub const HEADS: usize = 2;

/// Most steps that are kept of an episode, whatever `context_length` says: its first half and its last half are, the
/// middle goes.
const MAX_STEPS: usize = 64;

/// A slot that holds nothing, where its origin is recorded.
const EMPTY: i32 = -1;

/// Places of the arrays in a state, counted from where the buffer's begin.
pub mod with_episodes;

mod array {
    /// Steps so far in the rollout.
    pub const CLOCK: usize = 0;
    /// Episodes that have ended.
    pub const EPISODES: usize = 1;
    /// Steps kept of the episode under way.
    pub const LENGTH: usize = 2;
    /// The steps kept of the episode under way.
    pub const STEPS: usize = 3;
    /// Per slot: steps of its episode, 0 when it is empty.
    pub const ENTRY_LENGTH: usize = 4;
    /// Per slot: the steps of its episode.
    pub const ENTRY_STEPS: usize = 5;
    /// Per slot: how many episodes had ended before its own.
    pub const WRITTEN: usize = 6;
    /// Per slot: where learning finds the entry: step of the rollout at which its episode ended, or `-2 - slot` for one
    /// from before it.
    pub const ORIGIN: usize = 7;
    /// Per slot: encoding by the weights of the rollout.
    pub const ENCODING: usize = 8;
    /// Per slot: usefulness by the weights of the rollout.
    pub const USEFULNESS: usize = 9;
    /// Per slot: share of attention in the last read.
    pub const ATTENTION: usize = 10;
}

/// The parameters and sizes of the buffer. A core that has one keeps its arrays at the end of its own.
pub struct EpisodeMemory {
    project: (ParamId, ParamId),
    encoder: TransformerLayer,
    query: ParamId,
    lag: LagTerms,
    null: ParamId,
    usefulness: (ParamId, ParamId),
    /// Index of its first array in a state.
    first: usize,
    input_size: usize,
    heads: ActionHeads,
    mem_dim: usize,
    slots: usize,
    max_steps: usize,
    learn_retention: bool,
    retention_coef: f32,
}

/// The result of reading a segment.
pub struct LifetimeRead {
    /// `[T*B, mem_dim]`.
    pub readout: Tensor,
    /// Name, weight and value.
    pub losses: Vec<(&'static str, f32, Tensor)>,
}

impl EpisodeMemory {
    /// Adds its parameters to the context's. Its arrays begin at `first` in the core's state; queries are computed from
    /// rows of `query_size` numbers.
    pub fn new(
        context: &mut CoreContext<'_>,
        first: usize,
        query_size: usize,
        relative_age: bool,
    ) -> Self {
        let hyper = context.hyper.get::<Slots>();
        let context_length = context.hyper.get::<Episodes>().context_length;
        let (input_size, heads) = (context.input_size, context.heads.clone());
        let dim = hyper.mem_dim;
        let encoder = TransformerLayer::new("core.lifetime.encoder", HEADS, context);
        let CoreContext { params, rng, .. } = context;
        let ages = match relative_age {
            true => Ages::Known,
            false => Ages::Unknown,
        };
        let lag = LagTerms::new("core.lifetime.lag", query_size, ages, params, rng);
        let mut add = |name: &str, shape, init| {
            params.add(&format!("core.lifetime.{name}"), shape, init, rng)
        };
        let orthogonal = |gain| Init::Orthogonal { gain };
        Self {
            project: (
                add(
                    "project.weight",
                    (input_size + heads.num_outputs() + 1, dim),
                    orthogonal(1.0),
                ),
                add("project.bias", (1, dim), Init::Zeros),
            ),
            encoder,
            query: add("query.weight", (query_size, dim), orthogonal(1.0)),
            lag,
            null: add("null", (1, dim), Init::Zeros),
            usefulness: (
                add("usefulness.weight", (dim, 1), orthogonal(0.1)),
                add("usefulness.bias", (1, 1), Init::Zeros),
            ),
            first,
            input_size,
            heads,
            mem_dim: dim,
            slots: hyper.max_entries,
            max_steps: context_length.min(MAX_STEPS),
            learn_retention: hyper.memory_learn_retention,
            retention_coef: hyper.memory_retention_coef,
        }
    }

    /// Width of a readout.
    pub fn feature_size(&self) -> usize {
        self.mem_dim
    }

    /// Numbers that a step records for learning to repeat: the origin of each slot's entry.
    pub fn decision_width(&self) -> usize {
        self.slots
    }

    /// The arrays of lanes that have seen nothing.
    pub fn arrays(&self, batch: usize) -> Vec<Array> {
        let episode = self.max_steps * self.step_size();
        let (n, dim) = (self.slots, self.mem_dim);
        [1, 1, 1, episode, n, n * episode, n, n, n * dim, n, n]
            .map(|width| Array::filled(batch, width, 0.0))
            .into()
    }

    fn step_size(&self) -> usize {
        self.input_size + self.heads.num_outputs() + 1
    }

    fn row<'s>(&self, state: &'s State, array: usize, lane: usize) -> &'s [f32] {
        state.arrays[self.first + array].row(lane)
    }

    fn row_mut<'s>(&self, state: &'s mut State, array: usize, lane: usize) -> &'s mut [f32] {
        state.arrays[self.first + array].row_mut(lane)
    }

    /// Records the inputs of a step; forgets an unfinished episode where a new one starts.
    pub fn begin_step(&self, state: &mut State, inputs: &[f32], starts: &[bool]) {
        for (lane, input) in inputs.chunks_exact(self.input_size).enumerate() {
            self.push_step(state, lane, input, starts[lane]);
        }
    }

    fn push_step(&self, state: &mut State, lane: usize, input: &[f32], start: bool) {
        let kept = if start {
            0
        } else {
            self.row(state, array::LENGTH, lane)[0] as usize
        };
        let (size, max) = (self.step_size(), self.max_steps);
        let steps = self.row_mut(state, array::STEPS, lane);
        let place = if kept < max {
            kept
        } else {
            steps[max / 2 * size..].rotate_left(size);
            max - 1
        };
        let step = &mut steps[place * size..][..size];
        step.fill(0.0);
        step[..input.len()].copy_from_slice(input);
        self.row_mut(state, array::LENGTH, lane)[0] = (place + 1) as f32;
    }

    /// Completes the step under way with its action and reward.
    fn finish_step(&self, state: &mut State, lane: usize, action: &[u32], reward: f32) {
        let last = self.row(state, array::LENGTH, lane)[0] as usize - 1;
        let size = self.step_size();
        let step = &mut self.row_mut(state, array::STEPS, lane)[last * size..][..size];
        self.heads
            .mark(action, &mut step[self.input_size..size - 1]);
        step[size - 1] = reward;
    }

    /// The steps of the episode under way.
    fn episode<'s>(&self, state: &'s State, lane: usize) -> &'s [f32] {
        let length = self.row(state, array::LENGTH, lane)[0] as usize;
        &self.row(state, array::STEPS, lane)[..length * self.step_size()]
    }

    /// The steps in a slot, none when it is empty.
    fn entry<'s>(&self, state: &'s State, lane: usize, slot: usize) -> &'s [f32] {
        let length = self.row(state, array::ENTRY_LENGTH, lane)[slot] as usize;
        let size = self.step_size();
        &self.row(state, array::ENTRY_STEPS, lane)[slot * self.max_steps * size..][..length * size]
    }

    /// Records the outcome of a step; episodes that ended become entries.
    pub fn outcome(
        &self,
        params: &Params,
        state: &mut State,
        actions: &[Choice],
        rewards: &[f64],
        ends: &[bool],
    ) {
        let mut ended = Vec::new();
        let components = self.heads.components();
        for lane in 0..state.rows() {
            let action = &actions[lane * components..][..components];
            self.finish_step(state, lane, action, rewards[lane] as f32);
            if ends[lane] {
                ended.push((lane, self.write(state, lane)));
            }
            self.row_mut(state, array::CLOCK, lane)[0] += 1.0;
        }
        self.encode_slots(params, state, &ended);
    }

    /// Puts the episode under way into a slot: an empty one, else the least useful or, where usefulness is not learned,
    /// the oldest. Returns the slot.
    fn write(&self, state: &mut State, lane: usize) -> usize {
        let ranking = if self.learn_retention {
            array::USEFULNESS
        } else {
            array::WRITTEN
        };
        let rank = |slot: &usize| match self.row(state, array::ENTRY_LENGTH, lane)[*slot] {
            0.0 => f32::NEG_INFINITY,
            _ => self.row(state, ranking, lane)[*slot],
        };
        let slot = (0..self.slots)
            .min_by(|a, b| rank(a).total_cmp(&rank(b)))
            .expect("at least one slot");
        let episode = self.episode(state, lane).to_vec();
        let values = [
            (
                array::ENTRY_LENGTH,
                (episode.len() / self.step_size()) as f32,
            ),
            (array::WRITTEN, self.row(state, array::EPISODES, lane)[0]),
            (array::ORIGIN, self.row(state, array::CLOCK, lane)[0]),
        ];
        for (array, value) in values {
            self.row_mut(state, array, lane)[slot] = value;
        }
        let begin = slot * self.max_steps * self.step_size();
        self.row_mut(state, array::ENTRY_STEPS, lane)[begin..][..episode.len()]
            .copy_from_slice(&episode);
        self.row_mut(state, array::EPISODES, lane)[0] += 1.0;
        slot
    }

    /// Encodings `[episodes, mem_dim]` and usefulness `[episodes, 1]` of episodes given as their steps.
    fn encode(&self, graph: &mut Graph<'_>, episodes: &[&[f32]]) -> (Tensor, Tensor) {
        let size = self.step_size();
        let mut ranges = Vec::with_capacity(episodes.len());
        let mut index = Vec::new();
        let mut begin = 0;
        for episode in episodes {
            let range = begin..begin + episode.len() / size;
            index.extend(
                range
                    .clone()
                    .map(|_| range.clone().map(|i| i as i32).collect()),
            );
            begin = range.end;
            ranges.push(range);
        }
        let steps = graph.constant(episodes.concat(), (begin, size));
        let (weight, bias) = self.project;
        let tokens = graph.linear(&steps, weight, Some(bias), Activation::Identity);
        let (keys, values) = self.encoder.keys_and_values(graph, &tokens);
        let encoded = self
            .encoder
            .encode(graph, &tokens, (&keys, &values), &padded(&index));
        let encodings = graph.segment_mean(&encoded, &ranges);
        let (weight, bias) = self.usefulness;
        let usefulness = graph.linear(&encodings, weight, Some(bias), Activation::Identity);
        (encodings, usefulness)
    }

    /// Encodes what some slots (lane, slot) hold, for acting.
    fn encode_slots(&self, params: &Params, state: &mut State, slots: &[(usize, usize)]) {
        if slots.is_empty() {
            return;
        }
        let episodes: Vec<&[f32]> = slots
            .iter()
            .map(|&(lane, slot)| self.entry(state, lane, slot))
            .collect();
        let (encodings, usefulness) = self.encode(&mut Graph::inference(params), &episodes);
        let encodings = nn::values(&encodings).chunks_exact(self.mem_dim);
        for ((&(lane, slot), encoding), &useful) in
            slots.iter().zip(encodings).zip(nn::values(&usefulness))
        {
            self.row_mut(state, array::ENCODING, lane)[slot * self.mem_dim..][..self.mem_dim]
                .copy_from_slice(encoding);
            self.row_mut(state, array::USEFULNESS, lane)[slot] = useful;
        }
    }

    fn filled(&self, state: &State, lane: usize) -> Vec<usize> {
        let lengths = self.row(state, array::ENTRY_LENGTH, lane);
        (0..self.slots)
            .filter(|&slot| lengths[slot] > 0.0)
            .collect()
    }

    /// Appends what learning must know of a step: the origin of each slot's entry.
    pub fn record(&self, state: &State, lane: usize, decisions: &mut Vec<i32>) {
        let lengths = self.row(state, array::ENTRY_LENGTH, lane);
        let origins = self.row(state, array::ORIGIN, lane);
        let origin = |(&length, &origin): (&f32, &f32)| match length {
            0.0 => EMPTY,
            _ => origin as i32,
        };
        decisions.extend(lengths.iter().zip(origins).map(origin));
    }

    /// Attention over a pool of entries behind the null slot; `index` as in [`Graph::attention_read`], `lags` as in
    /// [`LagTerms::scores`]: how many episodes ago an entry's was.
    fn attend(
        &self,
        graph: &mut Graph<'_>,
        queries: &Tensor,
        (encodings, usefulness): (&Tensor, &Tensor),
        index: &[i32],
        lags: impl FnOnce() -> Vec<i32>,
    ) -> nn::AttentionRead {
        let query = graph.linear(queries, self.query, None, Activation::Identity);
        let null = graph.param(self.null);
        let pool = graph.concat_rows(&[&null, encodings]);
        let gates = self.learn_retention.then(|| {
            let open = graph.constant(vec![0.0], (1, 1));
            let gates = graph.activate(usefulness, Activation::LogSigmoid);
            graph.concat_rows(&[&open, &gates])
        });
        let lags = self.lag.scores(graph, queries, lags);
        let terms = ScoreTerms {
            entry: gates.as_ref(),
            slot: lags.as_ref(),
        };
        graph.attention_read(&query, &pool, &pool, terms, index, 1)
    }

    /// Acting: what each lane's entries answer to its row of `queries`; the weights go into the state.
    pub fn read(&self, graph: &mut Graph<'_>, state: &mut State, queries: &Tensor) -> Tensor {
        let batch = state.rows();
        let constant = |array: usize, width: usize| {
            let data = state.arrays[self.first + array].data.clone();
            graph.constant(data, (batch * self.slots, width))
        };
        let encodings = constant(array::ENCODING, self.mem_dim);
        let usefulness = constant(array::USEFULNESS, 1);
        let mut index = vec![-1; batch * (self.slots + 1)];
        for (lane, row) in index.chunks_exact_mut(self.slots + 1).enumerate() {
            row[0] = 0;
            for slot in self.filled(state, lane) {
                row[1 + slot] = (1 + lane * self.slots + slot) as i32;
            }
        }
        let lags = || self.lags(state);
        let read = self.attend(graph, queries, (&encodings, &usefulness), &index, lags);
        for (lane, weights) in read.weights.chunks_exact(self.slots + 1).enumerate() {
            self.row_mut(state, array::ATTENTION, lane)
                .copy_from_slice(&weights[1..]);
        }
        read.readout
    }

    /// How many episodes ago each slot's was, behind the null slot: `[batch, slots + 1]`.
    fn lags(&self, state: &State) -> Vec<i32> {
        let mut lags = Vec::with_capacity(state.rows() * (self.slots + 1));
        for lane in 0..state.rows() {
            let ended = self.row(state, array::EPISODES, lane)[0];
            let lengths = self.row(state, array::ENTRY_LENGTH, lane);
            let written = self.row(state, array::WRITTEN, lane);
            lags.push(lag::NONE);
            lags.extend(
                lengths
                    .iter()
                    .zip(written)
                    .map(|(&length, &written)| match length {
                        0.0 => lag::NONE,
                        _ => lag::index(ended - written),
                    }),
            );
        }
        lags
    }

    /// The same for every row of a segment, from the origins of its entries.
    fn segment_lags(&self, segment: &Segment<'_>, origins: &[i32]) -> Vec<i32> {
        let batch = segment.batch;
        // How many episodes had ended before each row.
        let mut ended: Vec<f32> = (0..batch)
            .map(|lane| self.row(segment.initial_state, array::EPISODES, lane)[0])
            .collect();
        for row in batch..segment.ends.len() {
            ended.push(ended[row - batch] + f32::from(u8::from(segment.ends[row - batch])));
        }
        let mut lags = Vec::with_capacity(origins.len() + segment.ends.len());
        for (row, origins) in origins.chunks_exact(self.slots).enumerate() {
            let lane = row % batch;
            let carried = self.row(segment.initial_state, array::WRITTEN, lane);
            lags.push(lag::NONE);
            lags.extend(origins.iter().map(|&origin| {
                let written = match origin {
                    EMPTY => return lag::NONE,
                    from_before if from_before < 0 => carried[(-2 - from_before) as usize],
                    // Its episode ended at that step.
                    step => ended[step as usize * batch + lane],
                };
                lag::index(ended[row] - written)
            }));
        }
        lags
    }

    /// Learning: what the entries of every row of a segment answer to its row of `queries`. `origins`:
    /// `[T*B, slots]`, as recorded.
    pub fn unroll(
        &self,
        graph: &mut Graph<'_>,
        segment: &Segment<'_>,
        queries: &Tensor,
        origins: &[i32],
    ) -> LifetimeRead {
        let episodes = self.episodes(segment, origins);
        let steps: Vec<&[f32]> = episodes.values().map(Vec::as_slice).collect();
        let (encodings, usefulness) = self.encode(graph, &steps);
        let place: BTreeMap<(usize, i32), i32> = episodes.into_keys().zip(1..).collect();
        let mut index = Vec::with_capacity(origins.len() + segment.starts.len());
        for (row, origins) in origins.chunks_exact(self.slots).enumerate() {
            let lane = row % segment.batch;
            index.push(0);
            index.extend(origins.iter().map(|&origin| match origin {
                EMPTY => -1,
                origin => place[&(lane, origin)],
            }));
        }
        let lags = || self.segment_lags(segment, origins);
        let read = self.attend(graph, queries, (&encodings, &usefulness), &index, lags);
        let mut losses = Vec::new();
        if self.learn_retention && self.retention_coef > 0.0 {
            let (index, targets) = retention::usefulness_targets(
                &index,
                &read.weights,
                segment.returns,
                self.slots + 1,
            );
            let rows = vec![1.0; segment.returns.len()];
            let loss = graph.slot_regression(&usefulness, &index, &targets, &rows);
            losses.push(("usefulness_loss", self.retention_coef, loss));
        }
        LifetimeRead {
            readout: read.readout,
            losses,
        }
    }

    /// The steps of every episode that some row had in memory, by lane and origin.
    fn episodes(&self, segment: &Segment<'_>, origins: &[i32]) -> BTreeMap<(usize, i32), Vec<f32>> {
        let mut wanted: BTreeMap<(usize, i32), Vec<f32>> = origins
            .chunks_exact(self.slots)
            .enumerate()
            .flat_map(|(row, origins)| {
                origins
                    .iter()
                    .map(move |&origin| (row % segment.batch, origin))
            })
            .filter(|&(_, origin)| origin != EMPTY)
            .map(|key| (key, Vec::new()))
            .collect();
        for (&(lane, origin), steps) in &mut wanted {
            if origin <= -2 {
                let slot = (-2 - origin) as usize;
                *steps = self.entry(segment.initial_state, lane, slot).to_vec();
            }
        }
        if wanted.keys().any(|&(_, origin)| origin >= 0) {
            self.replay(segment, &mut wanted);
        }
        wanted
    }

    /// Scans a segment's episodes and keeps the wanted ones.
    fn replay(&self, segment: &Segment<'_>, wanted: &mut BTreeMap<(usize, i32), Vec<f32>>) {
        let mut state = segment.initial_state.clone();
        for (row, input) in segment.inputs.chunks_exact(self.input_size).enumerate() {
            let (step, lane) = (row / segment.batch, row % segment.batch);
            self.push_step(&mut state, lane, input, segment.starts[row]);
            let components = self.heads.components();
            let action = &segment.actions[row * components..][..components];
            self.finish_step(&mut state, lane, action, segment.rewards[row]);
            if let Some(steps) = wanted.get_mut(&(lane, step as i32)) {
                *steps = self.episode(&state, lane).to_vec();
            }
        }
    }

    /// A rollout begins, perhaps with new weights.
    pub fn refresh(&self, params: &Params, state: &mut State) {
        for lane in 0..state.rows() {
            let slots: Vec<_> = self
                .filled(state, lane)
                .into_iter()
                .map(|slot| (lane, slot))
                .collect();
            self.encode_slots(params, state, &slots);
            for (slot, origin) in self
                .row_mut(state, array::ORIGIN, lane)
                .iter_mut()
                .enumerate()
            {
                *origin = -2.0 - slot as f32;
            }
            self.row_mut(state, array::CLOCK, lane)[0] = 0.0;
        }
    }

    /// Copies the entries of lane `from` of `trained` to lane `to`, without the episode under way.
    pub fn copy_entries(&self, state: &mut State, to: usize, trained: &State, from: usize) {
        for array in array::ENTRY_LENGTH..=array::ATTENTION {
            self.row_mut(state, array, to)
                .copy_from_slice(self.row(trained, array, from));
        }
        let episodes = self.row(trained, array::EPISODES, from)[0];
        self.row_mut(state, array::EPISODES, to)[0] = episodes;
    }

    /// Returns the entries of a lane.
    pub fn contents(&self, state: &State, lane: usize) -> Vec<Option<SlotContents>> {
        let filled = self.filled(state, lane);
        let slot = |slot: usize| {
            filled.contains(&slot).then(|| SlotContents {
                written_at: self.row(state, array::WRITTEN, lane)[slot] as u32,
                usefulness: self.row(state, array::USEFULNESS, lane)[slot],
                attention: self.row(state, array::ATTENTION, lane)[slot],
            })
        };
        (0..self.slots).map(slot).collect()
    }
}

#[cfg(test)]
mod tests;
