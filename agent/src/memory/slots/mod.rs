//! TraceRL's memory: N slots that learn what to keep (retention) and what to attend to (retrieval), end to end.
//!
//! Every step offers an entry: its raw input, its write time, and a retention score u = f(embedding). R of the N slots
//! hold the latest entries; the others hold, of all older ones of the episode, those with the largest keys κ = u + g,
//! where the Gumbel noise g is drawn once, at the write (none in evaluation). Reading is soft attention over the slots
//! and a learned null slot with weights α ∝ exp(q·eᵢ/√d + log σ(uᵢ) + r·φ(lagᵢ)): through the gate σ(u) the policy's
//! gradient reaches the retention score; r, of the current embedding, says how old an entry is looked for (Shaw et al.
//! 2018, arXiv:1803.02155, with features φ in place of a row for each distance). A read sees the
//! entries of earlier steps; the features hold the current one as well.
//!
//! Entries are kept raw and embedded with the weights of the day, so nothing is stale and no gradient runs through
//! time: from the judged action to the first observation is one hop. Each step of a rollout is embedded once, then every
//! row gathers what its step had in memory, which makes the cost of a step independent of the episode's length.
//!
//! The projection of keys is left out because q·(W mᵢ) = (Wᵀq)·mᵢ, the projection of values because a layer follows.

use std::ops::Range;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use self::controller::Controller;
pub use self::controller::MemoryController;
use self::head::{Heads, lag_of};
use self::noise::noise_of;
use self::reading::{Asking, Pool, Reading};
use self::retention::{OfferedEntries, Ring, fate};
pub use self::rules::RetentionRule;
use self::rules::{Rule, Seen};
pub use self::slot_layer::MemoryReader;
use self::state::{Dropped, EMPTY, Offer, array};
use self::summaries::Summaries;
use self::write_time::{TIME_CONSTANTS, time_features};
use crate::hyper::section::section;
use crate::memory::attention::lag::{self, Ages};
use crate::memory::{
    CoreContext, CoreStep, MemoryContents, MemoryCore, Network, Probed, Segment, Slots, State,
    Unrolled,
};
use crate::nn::{
    self, Activation, AttentionRead, Graph, Init, ParamId, Params, ScoreTerms, Tensor, Weighting,
};
use crate::onnx::StepGraph;
use crate::seeds::LaneGenerators;

mod controller;
mod head;
mod noise;
mod onnx;
mod probed;
mod reading;
pub(super) mod retention;
mod rules;
mod slot_layer;
mod state;
mod summaries;
mod write_time;

/// Kind and lifetime of a memory's entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum MemoryScope {
    /// Entries are steps; cleared when an episode begins.
    Episode,
    /// Entries are whole episodes with their outcome, kept across episodes; within one nothing is remembered.
    Lifetime,
    /// Both, side by side.
    Both,
}

section! {
    /// Memory entries that are steps of an episode, and whether whole episodes are kept as well.
    pub struct Steps, overridden by StepsOverrides {
        /// Number of slots that always hold the latest steps. Entries that leave them compete for
        /// the others.
        recent_entries: usize = 4, |&v| v <= 1_024, "0 to max_entries";
        /// Attend by how long ago an entry was written, too.
        #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
        relative_age: bool = true, |_| true, "true or false";
        /// Tell one longer age from the next as well: with phases, as a transformer's positions have them.
        #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
        age_phases: bool = false, |_| true, "true or false; false without relative_age";
        /// Entries of the memory: `episode` (steps), `lifetime` (whole episodes with their outcome,
        /// and nothing within an episode), `both`.
        #[arg(value_name = "SCOPE")]
        memory_scope: MemoryScope = MemoryScope::Episode, |_| true, "episode, lifetime or both";
        /// Which step goes when there is no room: that with the smallest learned key (`learned`), the oldest (`fifo`), any
        /// (`reservoir`), that attended to least recently (`lru`) or least in all (`attention-mass`), that whose learned importance
        /// decayed most (`trim`), that with the smallest value of keeping (`q`), one drawn by a policy (`ngc`), that at a learned
        /// address (`aler`).
        #[arg(value_name = "RULE", hide_possible_values = true)]
        retention_rule: RetentionRule = RetentionRule::Learned, |_| true,
            "learned, fifo, reservoir, lru, attention-mass, trim, q, ngc or aler";
        /// Weight of the score-function term on keeping and dropping steps; 0 is off, and it is 0 where `memory_scope` is
        /// `lifetime` or `retention_rule` neither `learned` nor `ngc`.
        memory_score_coef: f32 = 0.0, |&v| (0.0..=100.0).contains(&v), "0 to 100";
        /// How entries are read: `attention` (the present attends to them), `transformer` (before that, all attend to each
        /// other), `graph` (before that, each attends to those before and after it and to the four most like it).
        #[arg(value_name = "READER", hide_possible_values = true)]
        memory_reader: MemoryReader = MemoryReader::Attention, |_| true, "attention, transformer or graph";
        /// Sums of dropped entries that are kept and read as further entries, each decaying at a rate of its own; 0 keeps none.
        memory_compression: usize = 0, |&v| v <= 8, "0 to 8";
        /// Ways of asking the entries. The second looks at first for those like the present; the others learn from nothing.
        slot_heads: usize = 1, |&v| (1..=8).contains(&v), "1 to 8";
        /// Read, in all ways of asking but the first, the newest of the entries that match, however many do.
        #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
        newest_match: bool = false, |_| true, "true or false; false with slot_heads = 1";
        /// A recurrent network of `hidden_size` units beside the slots, which asks them with what it holds: `none`, `gru`.
        #[arg(value_name = "CONTROLLER", hide_possible_values = true)]
        memory_controller: MemoryController = MemoryController::None, |_| true, "none or gru";
    }
}

impl Steps {
    /// Returns the knowledge of ages that a reader has.
    pub fn ages(&self) -> Ages {
        match (self.relative_age, self.age_phases) {
            (false, _) => Ages::Unknown,
            (true, false) => Ages::Known,
            (true, true) => Ages::WithPhases,
        }
    }
}

/// Adds the parameters of the ways of asking to the context's, for a present of so many numbers.
fn heads(steps: &Steps, present: usize, context: &mut CoreContext<'_>) -> Heads {
    let weighting = match steps.newest_match {
        true => head::NEWEST_MATCH,
        false => Weighting::Softmax,
    };
    Heads::new(steps.slot_heads, present, steps.ages(), weighting, context)
}

/// A memory of slots with learned retention and retrieval.
pub struct SlotMemory {
    embed: (ParamId, ParamId),
    heads: Heads,
    /// Whether ages have phases.
    has_phases: bool,
    /// Whether entries are read the newest first.
    newest_first: bool,
    null: ParamId,
    usefulness: (ParamId, ParamId),
    output: (ParamId, ParamId),
    input_size: usize,
    mem_dim: usize,
    slots: usize,
    /// How many of the slots hold the latest entries.
    recent: usize,
    hidden_size: usize,
    learn_retention: bool,
    retention_coef: f32,
    score_coef: f32,
    reading: Reading,
    controller: Option<Controller>,
    rule: Rule,
}

/// The first half of a step.
struct Looked {
    /// Of the present inputs, `[batch, mem_dim]`.
    embedding: Tensor,
    /// The asking part of the present.
    present: Tensor,
    /// The slots of every lane in the order in which they were read, `[batch, slots]`.
    order: Vec<usize>,
    /// What the heads found, and how they weighed it.
    read: AttentionRead,
}

impl SlotMemory {
    /// Adds its parameters to the context's.
    pub fn new(context: &mut CoreContext<'_>) -> Self {
        let (hyper, steps) = (context.hyper.get::<Slots>(), context.hyper.get::<Steps>());
        let hidden = context.hyper.get::<Network>().hidden_size;
        let (inputs, dim) = (context.input_size, hyper.mem_dim);
        let controller = Controller::new(steps.memory_controller, context);
        // The present's embedding and the controller's state ask.
        let present = dim + controller.as_ref().map_or(0, Controller::size);
        let CoreContext { params, rng, .. } = &mut *context;
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
        let heads = heads(&steps, present, context);
        let CoreContext { params, rng, .. } = &mut *context;
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
            params.add(
                "core.output.weight",
                (heads.count() * dim + present, hidden),
                wide,
                rng,
            ),
            params.add("core.output.bias", (1, hidden), Init::Zeros, rng),
        );
        let reading = Reading::new(steps.memory_reader, steps.memory_compression, context);
        let others = [reading.summaries.is_some(), controller.is_some()];
        let array = array::SUMMARIES + others.into_iter().filter(|&has| has).count();
        let rule = Rule::new(steps.retention_rule, steps.recent_entries, array, context)
            .with_coef(hyper.memory_retention_coef, steps.memory_score_coef);
        Self {
            embed,
            heads,
            has_phases: steps.ages() == Ages::WithPhases,
            newest_first: steps.newest_match,
            null,
            usefulness,
            output,
            input_size: inputs,
            mem_dim: dim,
            slots: hyper.max_entries,
            recent: rule.recent(),
            hidden_size: hidden,
            learn_retention: hyper.memory_learn_retention,
            retention_coef: hyper.memory_retention_coef,
            score_coef: match rule.is_learned() {
                true => steps.memory_score_coef,
                false => 0.0,
            },
            reading,
            controller,
            rule,
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
            timed.extend(time_features(time));
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

    /// Returns the asking part of the present: its embedding, and the controller's state.
    fn present(&self, graph: &mut Graph<'_>, embedding: &Tensor, held: Option<Tensor>) -> Tensor {
        match held {
            Some(held) => graph.concat_cols(&[embedding, &held]),
            None => embedding.clone(),
        }
    }

    /// Returns the asking part of the present of every row of a segment.
    fn present_of(
        &self,
        graph: &mut Graph<'_>,
        segment: &Segment<'_>,
        embedding: &Tensor,
    ) -> Tensor {
        let held = self.controller.as_ref().map(|controller| {
            let array = &segment.initial_state.arrays[self.controller_array()];
            controller.unroll(graph, segment, array)
        });
        self.present(graph, embedding, held)
    }

    /// Returns the present `[rows, …]`, with the phases of these steps of its episodes where they count.
    fn dated(&self, graph: &mut Graph<'_>, present: &Tensor, ages: &[f32]) -> Tensor {
        if !self.has_phases {
            return present.clone();
        }
        let phases = ages.iter().flat_map(|&age| lag::phases_of(age)).copied();
        let phases = graph.constant(phases.collect(), (ages.len(), lag::PHASES));
        graph.concat_cols(&[present, &phases])
    }

    fn features(&self, graph: &mut Graph<'_>, readout: &Tensor, present: &Tensor) -> Tensor {
        let both = graph.concat_cols(&[readout, present]);
        graph.linear(&both, self.output.0, Some(self.output.1), Activation::Tanh)
    }

    /// Returns the slots of every lane in the order in which they are read, `[batch, slots]`.
    fn order(&self, state: &State) -> Vec<usize> {
        let lanes = 0..state.rows();
        let mut order: Vec<usize> = lanes.flat_map(|_| 0..self.slots).collect();
        if self.newest_first {
            for (lane, order) in order.chunks_exact_mut(self.slots).enumerate() {
                let written = state.arrays[array::WRITTEN].row(lane);
                order.sort_unstable_by(|&a, &b| written[b].total_cmp(&written[a]).then(a.cmp(&b)));
            }
        }
        order
    }

    /// Attention of every lane over its slots in this order: what the heads find, `[batch, heads * mem_dim]`, and their
    /// weights, `[batch, heads, slots + 1]`.
    fn read(
        &self,
        graph: &mut Graph<'_>,
        state: &State,
        present: &Tensor,
        order: &[usize],
    ) -> AttentionRead {
        let dated = self.dated(graph, present, &state.arrays[array::AGE].data);
        let width = self.slots + 1;
        let ages = &state.arrays[array::AGE].data;
        let mut index = Vec::with_capacity(state.rows() * width);
        let mut lags = Vec::with_capacity(index.capacity());
        let mut times = Vec::with_capacity(order.len());
        for (lane, order) in order.chunks_exact(self.slots).enumerate() {
            let written = state.arrays[array::WRITTEN].row(lane);
            let null = lane * width;
            index.push(null as i32);
            lags.push(lag::NONE);
            for &slot in order {
                let step = written[slot];
                let entry = (null + 1 + slot) as i32;
                index.push(if step == EMPTY { -1 } else { entry });
                lags.push(lag_of(ages[lane], step));
                times.push(step);
            }
        }
        let of_rule = self.rule.held_terms(graph, state, &index, &times);
        let table = &state.arrays[array::EMBEDDING].data;
        let gates = &state.arrays[array::GATE].data[..];
        if self.reading.is_of_slots_alone() {
            let ask = (self.heads).ask(graph, (present, &dated), &lags, of_rule.as_ref());
            let terms = ScoreTerms {
                entry: self.learn_retention.then_some(gates),
                slot: ask.terms.as_ref().map(nn::values),
            };
            let ways = &self.heads.ways;
            let (readout, weights) = nn::attend_to_pool(&ask.query, table, terms, &index, ways);
            let shape = (state.rows(), self.heads.count() * self.mem_dim);
            let readout = graph.constant(readout, shape);
            AttentionRead { readout, weights }
        } else {
            let pool = Pool {
                entries: graph.constant(table.clone(), (gates.len(), self.mem_dim)),
                gates: self
                    .learn_retention
                    .then(|| graph.constant(gates.to_vec(), (gates.len(), 1))),
                lags,
                index,
                times,
            };
            let sums = match self.reading.summaries {
                Some(_) => &state.arrays[array::SUMMARIES].data[..],
                None => &[],
            };
            let ask = Asking {
                heads: &self.heads,
                present,
                dated: &dated,
                null: self.null,
            };
            self.reading.read(graph, ask, pool, sums)
        }
    }

    /// The first half of a step: begins episodes, and reads. The attention goes into the state.
    fn look(
        &self,
        params: &Params,
        graph: &mut Graph<'_>,
        inputs: &[f32],
        starts: &[bool],
        state: &mut State,
    ) -> Looked {
        let null = params.data(self.null);
        for lane in (0..starts.len()).filter(|&lane| starts[lane]) {
            self.clear(state, lane);
            state.arrays[array::AGE].data[lane] = 0.0;
            state.arrays[array::EMBEDDING].row_mut(lane)[..self.mem_dim].copy_from_slice(null);
        }
        let ages = state.arrays[array::AGE].data.iter().copied();
        let embedding = self.embed(graph, inputs, ages);
        let held = self.controller.as_ref().map(|controller| {
            let array = &mut state.arrays[self.controller_array()];
            controller.step(graph, inputs, starts, array)
        });
        let present = self.present(graph, &embedding, held);
        let order = self.order(state);
        let read = self.read(graph, state, &present, &order);
        let attention = &mut state.arrays[array::ATTENTION].data;
        attention.fill(0.0);
        let all = (0..self.heads.count(), 1.0 / self.heads.count() as f32);
        self.add_by_slot(attention, &read.weights, all, &order);
        Looked {
            embedding,
            present,
            order,
            read,
        }
    }

    /// Adds a share of the weights of some heads in a read, `[batch, heads, slots + 1]` in this order and with the null slot
    /// first, to what their slots have: `[batch, slots]`.
    fn add_by_slot(
        &self,
        attention: &mut [f32],
        weights: &[f32],
        (heads, share): (Range<usize>, f32),
        order: &[usize],
    ) {
        let width = self.slots + 1;
        let lanes = weights
            .chunks_exact(self.heads.count() * width)
            .zip(order.chunks_exact(self.slots));
        for ((of_heads, order), attention) in lanes.zip(attention.chunks_exact_mut(self.slots)) {
            for weights in of_heads[heads.start * width..heads.end * width].chunks_exact(width) {
                for (&slot, &weight) in order.iter().zip(&weights[1..]) {
                    attention[slot] += share * weight;
                }
            }
        }
    }

    /// The second half of a step: offers an entry of every lane, and moves the clocks. Returns the decisions.
    fn write(
        &self,
        graph: &mut Graph<'_>,
        inputs: &[f32],
        looked: &Looked,
        state: &mut State,
        mut rng: Option<&mut LaneGenerators>,
    ) -> Vec<i32> {
        let Looked {
            embedding, order, ..
        } = looked;
        let scores = self.usefulness(graph, embedding);
        let gates = graph.activate(&scores, Activation::LogSigmoid);
        let judged = self.rule.judge(graph, state, embedding, rng.as_deref_mut());
        let (embeddings, scores, gates) = (
            nn::values(embedding),
            nn::values(&scores),
            nn::values(&gates),
        );
        let mut decisions = Vec::with_capacity(state.rows() * self.decision_width());
        for (lane, input) in inputs.chunks_exact(self.input_size).enumerate() {
            let has_noise = noise_of(rng.as_deref_mut(), lane).is_some();
            let drawn = self.rule.noise(rng.as_deref_mut(), state, lane);
            let noise = drawn.unwrap_or(0.0);
            let usefulness = match self.learn_retention {
                true => scores[lane],
                false => 0.0,
            };
            let offer = Offer {
                input,
                embedding: &embeddings[lane * self.mem_dim..][..self.mem_dim],
                usefulness,
                gate: gates[lane],
                noise,
                key: self.rule.key(judged.as_deref(), lane, usefulness, noise),
            };
            let fate = self.rule.fate(state, lane, &offer, drawn, has_noise);
            let dropped = self.fold_dropped(state, lane, &offer);
            let order = &order[lane * self.slots..][..self.slots];
            state::record(state, lane, order, dropped, fate, &mut decisions);
            state::write(state, lane, self.recent, &offer);
        }
        for clock in [array::AGE, array::CLOCK] {
            state.arrays[clock].data.iter_mut().for_each(|t| *t += 1.0);
        }
        decisions
    }

    /// Embeds the entries that slots hold before a segment, if there are any, and puts those of its rows behind them. Returns
    /// also how many they are.
    fn embedded_with_carried(
        &self,
        graph: &mut Graph<'_>,
        segment: &Segment<'_>,
        embedding: &Tensor,
    ) -> (Tensor, usize) {
        let before = &segment.initial_state.arrays;
        let times = &before[array::WRITTEN].data;
        if times.iter().all(|&step| step == EMPTY) {
            return (embedding.clone(), 0);
        }
        let old = self.embed(graph, &before[array::INPUT].data, times.iter().copied());
        let all = graph.concat_rows(&[&old, embedding]);
        (all, segment.batch * self.slots)
    }

    /// Where each row's slots lie in the pool of a segment (null, carried entries, rows): `[T*B, slots + 1]`, null
    /// first, -1 for empty.
    fn pool_index(&self, segment: &Segment<'_>, carried: usize) -> Vec<i32> {
        let width = self.decision_width();
        let mut index = Vec::with_capacity(segment.starts.len() * (self.slots + 1));
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

    /// Returns the lags of each row's entries, as [`LagTerms::scores`] takes them.
    fn pool_lags(&self, segment: &Segment<'_>, ages: &[f32]) -> Vec<i32> {
        let width = self.decision_width();
        let written = &segment.initial_state.arrays[array::WRITTEN];
        let mut lags = Vec::with_capacity(segment.starts.len() * (self.slots + 1));
        for (row, decisions) in segment.decisions.chunks_exact(width).enumerate() {
            let (step, lane) = (row / segment.batch, row % segment.batch);
            lags.push(lag::NONE);
            lags.extend(decisions[..self.slots].iter().map(|&origin| match origin {
                -1 => lag::NONE,
                from_before if from_before < 0 => {
                    lag_of(ages[row], written.row(lane)[(-2 - from_before) as usize])
                }
                origin => lag::index((step as i32 - origin) as f32),
            }));
        }
        lags
    }

    /// Returns when each row's entries were written, [`EMPTY`] for an empty slot: `[T*B, slots]`.
    fn pool_times(&self, segment: &Segment<'_>, ages: &[f32]) -> Vec<f32> {
        let written = &segment.initial_state.arrays[array::WRITTEN];
        let mut times = Vec::with_capacity(segment.starts.len() * self.slots);
        let decisions = segment.decisions.chunks_exact(self.decision_width());
        for (row, decisions) in decisions.enumerate() {
            let lane = row % segment.batch;
            times.extend(decisions[..self.slots].iter().map(|&origin| match origin {
                -1 => EMPTY,
                from_before if from_before < 0 => written.row(lane)[(-2 - from_before) as usize],
                step => ages[step as usize * segment.batch + lane],
            }));
        }
        times
    }

    /// Empties a lane.
    fn clear(&self, state: &mut State, lane: usize) {
        state::clear(state, lane);
        if self.reading.summaries.is_some() {
            state.arrays[array::SUMMARIES].row_mut(lane).fill(0.0);
        }
        if self.controller.is_some() {
            state.arrays[self.controller_array()]
                .row_mut(lane)
                .fill(0.0);
        }
    }

    /// The index of the controller's state among the arrays.
    fn controller_array(&self) -> usize {
        array::SUMMARIES + usize::from(self.reading.summaries.is_some())
    }

    /// Adds what a write is about to drop to the lane's sums; returns where learning finds it, -1 if nothing is dropped. A
    /// memory without sums has nothing to say.
    fn fold_dropped(&self, state: &mut State, lane: usize, offer: &Offer<'_>) -> Option<i32> {
        let summaries = self.reading.summaries.as_ref()?;
        Some(match state::dropped(state, lane, self.recent, offer.key) {
            Dropped::Nothing => -1,
            Dropped::Slot(slot) => {
                summaries.fold_slot(state, lane, slot);
                state.arrays[array::ORIGIN].row(lane)[slot] as i32
            }
            Dropped::Offer => {
                let age = state.arrays[array::AGE].data[lane];
                let sums = state.arrays[array::SUMMARIES].row_mut(lane);
                summaries::fold(sums, offer.input, age);
                state.arrays[array::CLOCK].data[lane] as i32
            }
        })
    }

    /// Returns the sums that each row of a segment reads: `[T*B, width]`, of raw numbers alone, so that no gradient is lost.
    fn sums(&self, segment: &Segment<'_>, ages: &[f32]) -> Vec<f32> {
        let Some(summaries) = &self.reading.summaries else {
            return Vec::new();
        };
        let before = &segment.initial_state.arrays;
        let (width, size) = (summaries.width(), self.input_size);
        let mut lanes = before[array::SUMMARIES].data.clone();
        let mut sums = Vec::with_capacity(segment.starts.len() * width);
        let decisions = segment.decisions.chunks_exact(self.decision_width());
        for (row, decisions) in decisions.enumerate() {
            let lane = row % segment.batch;
            let lane_sums = &mut lanes[lane * width..][..width];
            if segment.starts[row] {
                lane_sums.fill(0.0);
            }
            sums.extend_from_slice(lane_sums);
            match decisions[self.slots] {
                -1 => {}
                from_before if from_before < 0 => {
                    let slot = (-2 - from_before) as usize;
                    let input = &before[array::INPUT].row(lane)[slot * size..][..size];
                    let written = before[array::WRITTEN].row(lane)[slot];
                    summaries::fold(lane_sums, input, written);
                }
                step => {
                    let row = step as usize * segment.batch + lane;
                    summaries::fold(lane_sums, &segment.inputs[row * size..][..size], ages[row]);
                }
            }
        }
        sums
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
            let offered = OfferedEntries::of(segment, self.decision_width());
            let rows: Vec<u32> = (0..segment.starts.len())
                .map(|row| (carried + row) as u32)
                .collect();
            let scores = graph.gather_rows(usefulness, &rows);
            let loss = graph.retention_score(&scores, &offered.bounds, &offered.weight);
            losses.push(("retention_score_loss", self.score_coef, loss));
        }
        losses
    }
}

impl MemoryCore for SlotMemory {
    fn feature_size(&self) -> usize {
        self.hidden_size
    }

    fn decision_width(&self) -> usize {
        self.slots + usize::from(self.reading.summaries.is_some()) + fate::WIDTH
    }

    fn initial_state(&self, batch: usize) -> State {
        let sums = self.reading.summaries.as_ref().map_or(0, Summaries::width);
        let mut state =
            state::initial_state(batch, self.slots, self.input_size, self.mem_dim, sums);
        if let Some(controller) = &self.controller {
            state.arrays.extend(controller.initial_state(batch).arrays);
        }
        state.arrays.extend(self.rule.array(batch));
        state
    }

    fn step(
        &self,
        params: &Params,
        inputs: &[f32],
        starts: &[bool],
        state: &mut State,
        rng: Option<&mut LaneGenerators>,
    ) -> CoreStep {
        let mut graph = Graph::inference(params);
        let looked = self.look(params, &mut graph, inputs, starts, state);
        let features = self.features(&mut graph, &looked.read.readout, &looked.present);
        let decisions = self.write(&mut graph, inputs, &looked, state, rng);
        CoreStep {
            features,
            critic_features: None,
            decisions,
        }
    }

    fn settle(&self, batch: usize, starts: &[bool], ends: &[bool], decisions: &mut [i32]) {
        if self.learn_retention && self.score_coef > 0.0 {
            let width = self.decision_width();
            let ring = Ring {
                recent: self.recent,
                others: self.slots - self.recent,
            };
            retention::settle(batch, starts, ends, decisions, width, ring);
        }
    }

    fn unroll(&self, graph: &mut Graph<'_>, segment: &Segment<'_>) -> Unrolled {
        let rows = segment.starts.len();
        let ages = self.ages(segment);
        let embedding = self.embed(graph, segment.inputs, ages.iter().copied());
        let (entries, carried) = self.embedded_with_carried(graph, segment, &embedding);
        let scores = self.usefulness(graph, &entries);
        let gates = self.gates(graph, &scores);
        let null = graph.param(self.null);
        let pool = graph.concat_rows(&[&null, &entries]);
        let index = self.pool_index(segment, carried);
        debug_assert_eq!(index.len(), rows * (self.slots + 1));
        let present = self.present_of(graph, segment, &embedding);
        let dated = self.dated(graph, &present, &ages);
        let lags = self.pool_lags(segment, &ages);
        let seen = Seen {
            segment,
            width: self.decision_width(),
            pool: &pool,
            own: 1 + carried,
            index: &index,
            embedding: &embedding,
            ages: &ages,
        };
        let of_rule = (self.rule).terms(graph, &seen, || self.pool_times(segment, &ages));
        let read = if self.reading.is_of_slots_alone() {
            let ask = (self.heads).ask(graph, (&present, &dated), &lags, of_rule.as_ref());
            let terms = ScoreTerms {
                entry: gates.as_ref(),
                slot: ask.terms.as_ref(),
            };
            graph.pool_read(&ask.query, &pool, terms, &index, &self.heads.ways)
        } else {
            let pool = Pool {
                entries: pool.clone(),
                gates,
                index: index.clone(),
                lags,
                times: self.pool_times(segment, &ages),
            };
            let sums = self.sums(segment, &ages);
            let ask = Asking {
                heads: &self.heads,
                present: &present,
                dated: &dated,
                null: self.null,
            };
            self.reading.read(graph, ask, pool, &sums)
        };
        let weights = self.heads.mean(read.weights, self.slots + 1);
        let mut losses = if self.learn_retention {
            self.retention_losses(graph, segment, &scores, &index, &weights, carried)
        } else {
            Vec::new()
        };
        losses.extend(self.rule.losses(graph, &seen, &weights));
        Unrolled {
            features: self.features(graph, &read.readout, &present),
            critic_features: None,
            losses,
        }
    }

    fn refresh(&self, params: &Params, state: &mut State) {
        let mut graph = Graph::inference(params);
        let times = state.arrays[array::WRITTEN].data.iter().copied();
        let embedding = self.embed(&mut graph, &state.arrays[array::INPUT].data, times);
        let scores = self.usefulness(&mut graph, &embedding);
        let gates = graph.activate(&scores, Activation::LogSigmoid);
        let (embeddings, scores, gates) = (
            nn::values(&embedding),
            nn::values(&scores),
            nn::values(&gates),
        );
        let dim = self.mem_dim;
        for lane in 0..state.rows() {
            let table = state.arrays[array::EMBEDDING].row_mut(lane);
            table[..dim].copy_from_slice(params.data(self.null));
            table[dim..]
                .copy_from_slice(&embeddings[lane * self.slots * dim..][..self.slots * dim]);
            state.arrays[array::GATE].row_mut(lane)[1..]
                .copy_from_slice(&gates[lane * self.slots..][..self.slots]);
            for slot in 0..self.slots {
                state.arrays[array::ORIGIN].row_mut(lane)[slot] = -2.0 - slot as f32;
                if self.learn_retention && state.arrays[array::WRITTEN].row(lane)[slot] != EMPTY {
                    let usefulness = scores[lane * self.slots + slot];
                    let noise = state.arrays[array::NOISE].row(lane)[slot];
                    state.arrays[array::USEFULNESS].row_mut(lane)[slot] = usefulness;
                    if self.rule.is_learned() {
                        state.arrays[array::KEY].row_mut(lane)[slot] = usefulness + noise;
                    }
                }
            }
        }
        state.arrays[array::CLOCK].data.fill(0.0);
    }

    fn forget(&self, state: &mut State) {
        for lane in 0..state.rows() {
            self.clear(state, lane);
        }
    }

    fn onnx(
        &self,
        step: &mut StepGraph<'_>,
        inputs: &crate::onnx::Value,
    ) -> Result<crate::onnx::Value, &'static str> {
        match self.reading.is_of_slots_alone() {
            true => self.step_graph(step, inputs),
            false => {
                Err("only memory_reader = attention with memory_compression = 0 has a form there")
            }
        }
    }

    fn may_be_idle(&self, parameter: &str) -> bool {
        self.rule.learns_apart(parameter)
    }

    fn inspect(&self, state: &State, lane: usize) -> MemoryContents {
        MemoryContents::Slots(state::contents(state, lane, self.slots))
    }

    fn probed(&self) -> Result<&dyn Probed, &'static str> {
        match self.reading.is_of_slots_alone() {
            true => Ok(self),
            false => Err(
                "only memory_reader = attention with memory_compression = 0 can be probed: with others no single entry \
                 holds what is needed",
            ),
        }
    }
}
