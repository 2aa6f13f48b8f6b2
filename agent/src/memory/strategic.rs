//! TraceRL's memory: N slots that learn what to keep (retention) and what to attend to (retrieval), end to end.
//!
//! Every step offers an entry: its raw input, its write time, and a retention score u = f(embedding). The memory keeps
//! the N entries of the episode with the largest keys κ = u + g, where the Gumbel noise g is drawn once, at the write
//! (none in evaluation); the incoming entry competes. Reading is soft attention over the slots and a learned null slot
//! with weights α ∝ exp(q·eᵢ/√d + log σ(uᵢ)): through the gate σ(u) the policy's gradient reaches the retention score.
//! A read sees the entries of earlier steps; the current one stands beside it in the features.
//!
//! Entries are kept raw and embedded with the weights of the day, so nothing is stale and no gradient runs through
//! time: from the judged action to the first observation is one hop. Each step of a rollout is embedded once, then every
//! row gathers what its step had in memory, which makes the cost of a step independent of the episode's length.
//!
//! The projection of keys is left out because q·(W mᵢ) = (Wᵀq)·mᵢ, the projection of values because a layer follows.

use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::retention::{self, OfferedEntries};
use super::{
    Array, CoreContext, CoreStep, MemoryContents, MemoryCore, Segment, SlotContents, State,
    Unrolled,
};
use crate::nn::{self, Activation, Graph, Init, ParamId, Params, Tensor};

/// Time constants, in steps, of the write-time features `exp(−t/τ)`: bounded, distinct near an episode's beginning,
/// and the same for all late times, so that a memory trained on hundreds of steps meets nothing new at thousands.
const TIME_CONSTANTS: [f32; 4] = [1.0, 4.0, 16.0, 64.0];

/// A slot's step when it is empty.
const EMPTY: f32 = -1.0;

/// Indices of the state's arrays.
mod array {
    /// Steps that the lane has taken in its episode.
    pub const AGE: usize = 0;
    /// Steps that the lane has taken in the rollout.
    pub const CLOCK: usize = 1;
    /// Per slot: step of the episode at which its entry was written, or EMPTY.
    pub const WRITTEN: usize = 2;
    /// Per slot: where learning finds the entry: step of the rollout, or `-2 - slot` for one from before it.
    pub const ORIGIN: usize = 3;
    /// Per slot: the noise g.
    pub const NOISE: usize = 4;
    /// Per slot: the score u, by the weights of the rollout.
    pub const USEFULNESS: usize = 5;
    /// Per slot: the raw input.
    pub const INPUT: usize = 6;
    /// Per slot, after the null slot's: the embedding, by the weights of the rollout.
    pub const EMBEDDING: usize = 7;
    /// Per slot: share of attention in the last read.
    pub const ATTENTION: usize = 8;
}

/// A memory of slots with learned retention and retrieval.
pub struct Strategic {
    embed: (ParamId, ParamId),
    query: ParamId,
    null: ParamId,
    usefulness: (ParamId, ParamId),
    output: (ParamId, ParamId),
    input_size: usize,
    mem_dim: usize,
    slots: usize,
    hidden_size: usize,
    learn_retention: bool,
    retention_coef: f32,
    score_coef: f32,
}

impl Strategic {
    /// Adds its parameters to the context's.
    pub fn new(context: &mut CoreContext<'_>) -> Self {
        let hyper = context.hyper;
        let (inputs, dim, hidden) = (context.input_size, hyper.mem_dim, hyper.hidden_size);
        let CoreContext { params, rng, .. } = context;
        let wide = Init::Orthogonal {
            gain: std::f32::consts::SQRT_2,
        };
        let embed = (
            params.add(
                "core.embed.weight",
                (inputs + TIME_CONSTANTS.len(), dim),
                wide,
                rng,
            ),
            params.add("core.embed.bias", (1, dim), Init::Zeros, rng),
        );
        let query = params.add(
            "core.query.weight",
            (dim, dim),
            Init::Orthogonal { gain: 1.0 },
            rng,
        );
        let null = params.add("core.null", (1, dim), Init::Zeros, rng);
        let usefulness = (
            params.add(
                "core.usefulness.weight",
                (dim, 1),
                Init::Orthogonal { gain: 0.1 },
                rng,
            ),
            params.add("core.usefulness.bias", (1, 1), Init::Zeros, rng),
        );
        let output = (
            params.add("core.output.weight", (2 * dim, hidden), wide, rng),
            params.add("core.output.bias", (1, hidden), Init::Zeros, rng),
        );
        Self {
            embed,
            query,
            null,
            usefulness,
            output,
            input_size: inputs,
            mem_dim: dim,
            slots: hyper.max_entries,
            hidden_size: hidden,
            learn_retention: hyper.memory_learn_retention,
            retention_coef: hyper.memory_retention_coef,
            score_coef: hyper.memory_score_coef,
        }
    }

    /// Embeddings `[rows, mem_dim]` of raw inputs written at `times`.
    fn embed(
        &self,
        graph: &mut Graph<'_>,
        inputs: &[f32],
        times: impl Iterator<Item = f32>,
    ) -> Tensor {
        let rows = inputs.len() / self.input_size;
        let width = self.input_size + TIME_CONSTANTS.len();
        let mut timed = Vec::with_capacity(rows * width);
        for (input, time) in inputs.chunks_exact(self.input_size).zip(times) {
            timed.extend_from_slice(input);
            timed.extend(TIME_CONSTANTS.map(|tau| (-time / tau).exp()));
        }
        let x = graph.constant(timed, (rows, width));
        graph.linear(&x, self.embed.0, Some(self.embed.1), Activation::Tanh)
    }

    fn usefulness(&self, graph: &mut Graph<'_>, embedding: &Tensor) -> Tensor {
        graph.linear(
            embedding,
            self.usefulness.0,
            Some(self.usefulness.1),
            Activation::Identity,
        )
    }

    /// `log σ(u)` for entries behind a null slot whose gate is open; nothing where retention is not learned.
    fn gates(&self, graph: &mut Graph<'_>, usefulness: &Tensor) -> Option<Tensor> {
        self.learn_retention.then(|| {
            let open = graph.constant(vec![0.0], (1, 1));
            let gates = graph.activate(usefulness, Activation::LogSigmoid);
            graph.concat_rows(&[&open, &gates])
        })
    }

    fn features(&self, graph: &mut Graph<'_>, readout: &Tensor, embedding: &Tensor) -> Tensor {
        let both = graph.concat_cols(&[readout, embedding]);
        graph.linear(&both, self.output.0, Some(self.output.1), Activation::Tanh)
    }

    /// Clears the slots of a lane.
    fn clear_slots(state: &mut State, lane: usize) {
        state.arrays[array::WRITTEN].row_mut(lane).fill(EMPTY);
        state.arrays[array::ATTENTION].row_mut(lane).fill(0.0);
    }

    /// What learning must know of a step: the slots' origins (-1 for empty), then the key that the entry will have.
    fn record(&self, state: &State, lane: usize, decisions: &mut Vec<i32>) {
        let written = state.arrays[array::WRITTEN].row(lane);
        let origin = state.arrays[array::ORIGIN].row(lane);
        decisions.extend(
            written
                .iter()
                .zip(origin)
                .map(|(&w, &o)| if w == EMPTY { -1 } else { o as i32 }),
        );
    }

    /// Offers an entry to a lane's slots.
    fn write(
        &self,
        state: &mut State,
        lane: usize,
        input: &[f32],
        embedding: &[f32],
        usefulness: f32,
        noise: f32,
    ) {
        let key = |slot: usize| {
            if state.arrays[array::WRITTEN].row(lane)[slot] == EMPTY {
                f32::NEG_INFINITY
            } else {
                state.arrays[array::USEFULNESS].row(lane)[slot]
                    + state.arrays[array::NOISE].row(lane)[slot]
            }
        };
        let weakest = (0..self.slots)
            .min_by(|&a, &b| key(a).total_cmp(&key(b)))
            .expect("at least one slot");
        // Strictly: of two equal entries the older stays.
        if usefulness + noise > key(weakest) {
            let (age, clock) = (
                state.arrays[array::AGE].row(lane)[0],
                state.arrays[array::CLOCK].row(lane)[0],
            );
            let slot_values = [
                (array::WRITTEN, age),
                (array::ORIGIN, clock),
                (array::NOISE, noise),
                (array::USEFULNESS, usefulness),
            ];
            for (index, value) in slot_values {
                state.arrays[index].row_mut(lane)[weakest] = value;
            }
            let (inputs, dim) = (self.input_size, self.mem_dim);
            state.arrays[array::INPUT].row_mut(lane)[weakest * inputs..][..inputs]
                .copy_from_slice(input);
            state.arrays[array::EMBEDDING].row_mut(lane)[weakest * dim..][..dim]
                .copy_from_slice(embedding);
        }
    }

    /// Attention of every lane over its slots: readout `[batch, mem_dim]`; the weights go into the state.
    fn read(&self, graph: &mut Graph<'_>, state: &mut State, embedding: &Tensor) -> Tensor {
        let batch = state.rows();
        let query = graph.linear(embedding, self.query, None, Activation::Identity);
        let entries = graph.constant(
            state.arrays[array::EMBEDDING].data.clone(),
            (batch * self.slots, self.mem_dim),
        );
        let null = graph.param(self.null);
        let pool = graph.concat_rows(&[&null, &entries]);
        let usefulness = graph.constant(
            state.arrays[array::USEFULNESS].data.clone(),
            (batch * self.slots, 1),
        );
        let gates = self.gates(graph, &usefulness);
        let mut index = Vec::with_capacity(batch * (self.slots + 1));
        for (lane, written) in state.arrays[array::WRITTEN]
            .data
            .chunks_exact(self.slots)
            .enumerate()
        {
            index.push(0);
            index.extend(written.iter().enumerate().map(|(slot, &step)| {
                if step == EMPTY {
                    -1
                } else {
                    (1 + lane * self.slots + slot) as i32
                }
            }));
        }
        let read = graph.attention_read(&query, &pool, &pool, gates.as_ref(), &index, 1);
        for (lane, weights) in read.weights.chunks_exact(self.slots + 1).enumerate() {
            state.arrays[array::ATTENTION]
                .row_mut(lane)
                .copy_from_slice(&weights[1..]);
        }
        read.readout
    }

    /// Where each row's slots lie in the pool of a segment (null, carried entries, rows): `[T*B, slots + 1]`, null
    /// first, -1 for empty.
    fn pool_index(&self, segment: &Segment<'_>, carried: usize) -> Vec<i32> {
        let width = self.decision_width();
        let mut index = Vec::with_capacity(segment.decisions.len());
        for (row, decisions) in segment.decisions.chunks_exact(width).enumerate() {
            let lane = row % segment.batch;
            index.push(0);
            index.extend(decisions[..self.slots].iter().map(|&origin| match origin {
                -1 => -1,
                from_before if from_before < 0 => {
                    1 + (lane * self.slots) as i32 + (-2 - from_before)
                }
                step => 1 + carried as i32 + step * segment.batch as i32 + lane as i32,
            }));
        }
        index
    }

    /// Step of the episode of every row.
    fn ages(&self, segment: &Segment<'_>) -> Vec<f32> {
        let mut age = segment.initial_state.arrays[array::AGE].data.clone();
        let mut ages = Vec::with_capacity(segment.starts.len());
        for starts in segment.starts.chunks_exact(segment.batch) {
            for (age, &start) in age.iter_mut().zip(starts) {
                if start {
                    *age = 0.0;
                }
                ages.push(*age);
                *age += 1.0;
            }
        }
        ages
    }

    fn retention_losses(
        &self,
        graph: &mut Graph<'_>,
        segment: &Segment<'_>,
        usefulness: &Tensor,
        index: &[i32],
        weights: &[f32],
        carried: usize,
    ) -> Vec<(&'static str, f32, Tensor)> {
        let mut losses = Vec::new();
        if self.retention_coef > 0.0 {
            let (index, target) =
                retention::usefulness_targets(index, weights, segment.returns, self.slots + 1);
            let rows = vec![1.0; segment.returns.len()];
            let loss = graph.slot_regression(usefulness, &index, &target, &rows);
            losses.push(("usefulness_loss", self.retention_coef, loss));
        }
        if self.score_coef > 0.0 {
            let offered = OfferedEntries::of(segment, self.decision_width(), self.slots);
            let rows: Vec<u32> = (0..segment.starts.len())
                .map(|row| (carried + row) as u32)
                .collect();
            let scores = graph.gather_rows(usefulness, &rows);
            let loss =
                graph.retention_score(&scores, &offered.threshold, &offered.kept, &offered.weight);
            losses.push(("retention_score_loss", self.score_coef, loss));
        }
        losses
    }
}

/// A standard Gumbel variable: the race for the largest `u + g` picks entries in proportion to `exp(u)`.
fn gumbel(rng: &mut Xoshiro256PlusPlus) -> f32 {
    let uniform: f64 = rng.random_range(f64::MIN_POSITIVE..1.0);
    -(-uniform.ln()).ln() as f32
}

impl MemoryCore for Strategic {
    fn feature_size(&self) -> usize {
        self.hidden_size
    }

    fn decision_width(&self) -> usize {
        self.slots + 1
    }

    fn initial_state(&self, batch: usize) -> State {
        let mut arrays = vec![Array::filled(batch, 1, 0.0), Array::filled(batch, 1, 0.0)];
        arrays.push(Array::filled(batch, self.slots, EMPTY));
        for width in [1, 1, 1, self.input_size, self.mem_dim, 1] {
            arrays.push(Array::filled(batch, self.slots * width, 0.0));
        }
        State::new(batch, arrays)
    }

    fn step(
        &self,
        params: &Params,
        inputs: &[f32],
        starts: &[bool],
        state: &mut State,
        mut rng: Option<&mut Xoshiro256PlusPlus>,
    ) -> CoreStep {
        let mut graph = Graph::inference(params);
        for lane in (0..starts.len()).filter(|&lane| starts[lane]) {
            Self::clear_slots(state, lane);
            state.arrays[array::AGE].row_mut(lane)[0] = 0.0;
        }
        let ages = state.arrays[array::AGE].data.clone();
        let embedding = self.embed(&mut graph, inputs, ages.into_iter());
        let readout = self.read(&mut graph, state, &embedding);
        let features = self.features(&mut graph, &readout, &embedding);
        let scores = self.usefulness(&mut graph, &embedding);
        let (embeddings, scores) = (nn::values(&embedding), nn::values(&scores));

        let mut decisions = Vec::with_capacity(starts.len() * self.decision_width());
        for (lane, input) in inputs.chunks_exact(self.input_size).enumerate() {
            let noise = rng.as_deref_mut().map_or(0.0, gumbel);
            let usefulness = if self.learn_retention {
                scores[lane]
            } else {
                0.0
            };
            self.record(state, lane, &mut decisions);
            decisions.push((usefulness + noise).to_bits() as i32);
            let embedding = &embeddings[lane * self.mem_dim..][..self.mem_dim];
            self.write(state, lane, input, embedding, usefulness, noise);
        }
        for clock in [array::AGE, array::CLOCK] {
            state.arrays[clock].data.iter_mut().for_each(|t| *t += 1.0);
        }
        CoreStep {
            features,
            decisions,
        }
    }

    fn unroll(&self, graph: &mut Graph<'_>, segment: &Segment<'_>) -> Unrolled {
        let before = &segment.initial_state.arrays;
        let rows = segment.starts.len();
        let embedding = self.embed(graph, segment.inputs, self.ages(segment).into_iter());
        let has_carried = before[array::WRITTEN]
            .data
            .iter()
            .any(|&step| step != EMPTY);
        let (entries, carried) = if has_carried {
            let old = self.embed(
                graph,
                &before[array::INPUT].data,
                before[array::WRITTEN].data.iter().copied(),
            );
            (
                graph.concat_rows(&[&old, &embedding]),
                segment.batch * self.slots,
            )
        } else {
            (embedding.clone(), 0)
        };
        let scores = self.usefulness(graph, &entries);
        let gates = self.gates(graph, &scores);
        let null = graph.param(self.null);
        let pool = graph.concat_rows(&[&null, &entries]);
        let index = self.pool_index(segment, carried);
        debug_assert_eq!(index.len(), rows * (self.slots + 1));
        let query = graph.linear(&embedding, self.query, None, Activation::Identity);
        let read = graph.attention_read(&query, &pool, &pool, gates.as_ref(), &index, 1);
        let losses = if self.learn_retention {
            self.retention_losses(graph, segment, &scores, &index, &read.weights, carried)
        } else {
            Vec::new()
        };
        Unrolled {
            features: self.features(graph, &read.readout, &embedding),
            losses,
        }
    }

    fn refresh(&self, params: &Params, state: &mut State) {
        let mut graph = Graph::inference(params);
        let times = state.arrays[array::WRITTEN].data.clone();
        let embedding = self.embed(
            &mut graph,
            &state.arrays[array::INPUT].data,
            times.into_iter(),
        );
        let scores = self.usefulness(&mut graph, &embedding);
        state.arrays[array::EMBEDDING]
            .data
            .copy_from_slice(nn::values(&embedding));
        if self.learn_retention {
            state.arrays[array::USEFULNESS]
                .data
                .copy_from_slice(nn::values(&scores));
        }
        for (slot, origin) in state.arrays[array::ORIGIN].data.iter_mut().enumerate() {
            *origin = -2.0 - (slot % self.slots) as f32;
        }
        state.arrays[array::CLOCK].data.fill(0.0);
    }

    fn forget(&self, state: &mut State) {
        for lane in 0..state.rows() {
            Self::clear_slots(state, lane);
        }
    }

    fn inspect(&self, state: &State, lane: usize) -> MemoryContents {
        let row = |index: usize| state.arrays[index].row(lane);
        let slot = |slot: usize| {
            let written = row(array::WRITTEN)[slot];
            (written != EMPTY).then(|| SlotContents {
                written_at: written as u32,
                usefulness: row(array::USEFULNESS)[slot],
                attention: row(array::ATTENTION)[slot],
            })
        };
        MemoryContents::Slots((0..self.slots).map(slot).collect())
    }
}
