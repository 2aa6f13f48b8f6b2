//! The reference notebook's agent: a one-layer transformer over the episode so far, and a lifetime memory of whole
//! episodes that its last token attends to; both, side by side, are the features.
//!
//! Of an episode the first `context_length` steps can be attended to, and always the current one. Raw inputs are kept
//! with the keys and values that they have by the weights of the rollout. A lane takes about
//! `4·context_length·(input_size + 2·mem_dim)` bytes for it (69 kB at the defaults), and the lifetime memory
//! `4·max_entries·64·(input_size + num_actions + 1)` (25 kB), so evaluating a thousand lanes takes a hundred megabytes.

use rand_xoshiro::Xoshiro256PlusPlus;

use super::lifetime::Lifetime;
use super::transformer::{TransformerLayer, padded};
use super::{Array, CoreContext, CoreStep, MemoryContents, MemoryCore, Segment, State, Unrolled};
use crate::nn::{self, Activation, Graph, Init, ParamId, Params, Tensor};

/// Heads of the context's attention, as in the notebook.
pub const HEADS: usize = 4;

/// Most steps that the lifetime memory keeps of an episode.
const ENTRY_STEPS: usize = 64;

/// Deviation of fresh positions. Tokens have length 1 to 2; positions must be told apart from the start.
const POSITION_STD: f32 = 0.1;

/// Indices of the state's arrays; the lifetime memory's follow.
mod array {
    /// Steps that the lane has taken in its episode.
    pub const AGE: usize = 0;
    /// Raw inputs of the steps that can be attended to.
    pub const INPUT: usize = 1;
    /// Their keys.
    pub const KEY: usize = 2;
    /// Their values.
    pub const VALUE: usize = 3;
    /// How many there are.
    pub const COUNT: usize = 4;
}

/// Transformer over the episode, lifetime memory of episodes.
pub struct EpisodicTransformer {
    embed: (ParamId, ParamId),
    /// One row for each step that can be attended to, one for all later ones.
    positions: ParamId,
    encoder: TransformerLayer,
    lifetime: Lifetime,
    input_size: usize,
    mem_dim: usize,
    context_length: usize,
}

impl EpisodicTransformer {
    /// Adds its parameters to the context's.
    pub fn new(context: &mut CoreContext<'_>) -> Self {
        let hyper = context.hyper;
        let (inputs, dim, length) = (context.input_size, hyper.mem_dim, hyper.context_length);
        let CoreContext { params, rng, .. } = context;
        let orthogonal = Init::Orthogonal { gain: 1.0 };
        let embed = (
            params.add("core.embed.weight", (inputs, dim), orthogonal, rng),
            params.add("core.embed.bias", (1, dim), Init::Zeros, rng),
        );
        let positions = Init::Normal { std: POSITION_STD };
        Self {
            embed,
            positions: params.add("core.positions", (length + 1, dim), positions, rng),
            encoder: TransformerLayer::new("core.encoder", HEADS, context),
            lifetime: Lifetime::new(context, array::COUNT, dim, length.min(ENTRY_STEPS)),
            input_size: inputs,
            mem_dim: dim,
            context_length: length,
        }
    }

    /// Steps that a lane can attend to.
    fn kept(&self, state: &State, lane: usize) -> usize {
        (state.arrays[array::AGE].row(lane)[0] as usize).min(self.context_length)
    }

    /// Tokens `[rows, mem_dim]` of raw inputs at their steps of the episode.
    fn tokens(&self, graph: &mut Graph<'_>, inputs: &[f32], ages: &[usize]) -> Tensor {
        let x = graph.constant(inputs.to_vec(), (ages.len(), self.input_size));
        let embedded = graph.linear(&x, self.embed.0, Some(self.embed.1), Activation::Identity);
        let rows: Vec<u32> = ages
            .iter()
            .map(|&age| age.min(self.context_length) as u32)
            .collect();
        let table = graph.param(self.positions);
        let positions = graph.gather_rows(&table, &rows);
        graph.add(&embedded, &positions)
    }

    /// Numbers of an array for the steps that lanes can attend to, lane after lane.
    fn kept_rows(&self, state: &State, array: usize, width: usize) -> Vec<f32> {
        (0..state.rows())
            .flat_map(|lane| &state.arrays[array].row(lane)[..self.kept(state, lane) * width])
            .copied()
            .collect()
    }

    /// Raw inputs of the steps that lanes can attend to, and their steps of the episode.
    fn kept_inputs(&self, state: &State) -> (Vec<f32>, Vec<usize>) {
        let ages = (0..state.rows()).flat_map(|lane| 0..self.kept(state, lane));
        (
            self.kept_rows(state, array::INPUT, self.input_size),
            ages.collect(),
        )
    }

    /// What each lane makes of its current token and the steps before it; keys and values of the token.
    fn attend(
        &self,
        graph: &mut Graph<'_>,
        state: &State,
        tokens: &Tensor,
    ) -> (Tensor, (Tensor, Tensor)) {
        let (keys, values) = self.encoder.keys_and_values(graph, tokens);
        let [old_keys, old_values] = [array::KEY, array::VALUE].map(|array| {
            let rows = self.kept_rows(state, array, self.mem_dim);
            let count = rows.len() / self.mem_dim;
            graph.constant(rows, (count, self.mem_dim))
        });
        let mut begin = 0;
        let total: usize = (0..state.rows()).map(|lane| self.kept(state, lane)).sum();
        let mut lists = Vec::with_capacity(state.rows());
        for lane in 0..state.rows() {
            let end = begin + self.kept(state, lane);
            lists.push(
                (begin..end)
                    .chain([total + lane])
                    .map(|i| i as i32)
                    .collect(),
            );
            begin = end;
        }
        let all_keys = graph.concat_rows(&[&old_keys, &keys]);
        let all_values = graph.concat_rows(&[&old_values, &values]);
        let pool = (&all_keys, &all_values);
        (
            self.encoder.encode(graph, tokens, pool, &padded(&lists)),
            (keys, values),
        )
    }

    /// Adds the current step to those that can be attended to, where there is room.
    fn append(&self, state: &mut State, inputs: &[f32], (keys, values): (&Tensor, &Tensor)) {
        let columns = [
            (array::INPUT, inputs, self.input_size),
            (array::KEY, nn::values(keys), self.mem_dim),
            (array::VALUE, nn::values(values), self.mem_dim),
        ];
        for lane in 0..state.rows() {
            let place = self.kept(state, lane);
            if place < self.context_length {
                for (array, rows, width) in columns {
                    state.arrays[array].row_mut(lane)[place * width..][..width]
                        .copy_from_slice(&rows[lane * width..][..width]);
                }
            }
            state.arrays[array::AGE].row_mut(lane)[0] += 1.0;
        }
    }

    /// For each row of a segment: the rows that it attends to, in a pool of the steps kept from before and then the
    /// segment's own; and its step of the episode.
    fn attended(&self, segment: &Segment<'_>) -> (Vec<Vec<i32>>, Vec<usize>) {
        let before = segment.initial_state;
        let mut visible: Vec<Vec<i32>> = Vec::with_capacity(segment.batch);
        let mut count = 0;
        for lane in 0..segment.batch {
            let end = count + self.kept(before, lane) as i32;
            visible.push((count..end).collect());
            count = end;
        }
        let mut age: Vec<usize> = before.arrays[array::AGE]
            .data
            .iter()
            .map(|&age| age as usize)
            .collect();
        let (mut lists, mut ages) = (Vec::new(), Vec::new());
        for (row, &start) in segment.starts.iter().enumerate() {
            let lane = row % segment.batch;
            if start {
                visible[lane].clear();
                age[lane] = 0;
            }
            let own = count + row as i32;
            lists.push([&visible[lane][..], &[own]].concat());
            ages.push(age[lane]);
            if age[lane] < self.context_length {
                visible[lane].push(own);
            }
            age[lane] += 1;
        }
        (lists, ages)
    }
}

impl MemoryCore for EpisodicTransformer {
    fn feature_size(&self) -> usize {
        2 * self.mem_dim
    }

    fn decision_width(&self) -> usize {
        self.lifetime.decision_width()
    }

    fn initial_state(&self, batch: usize) -> State {
        let length = self.context_length;
        let widths = [
            1,
            length * self.input_size,
            length * self.mem_dim,
            length * self.mem_dim,
        ];
        let mut arrays: Vec<Array> = widths.map(|width| Array::filled(batch, width, 0.0)).into();
        arrays.extend(self.lifetime.arrays(batch));
        State::new(batch, arrays)
    }

    fn step(
        &self,
        params: &Params,
        inputs: &[f32],
        starts: &[bool],
        state: &mut State,
        _rng: Option<&mut Xoshiro256PlusPlus>,
    ) -> CoreStep {
        for lane in (0..starts.len()).filter(|&lane| starts[lane]) {
            state.arrays[array::AGE].row_mut(lane)[0] = 0.0;
        }
        let mut decisions = Vec::with_capacity(starts.len() * self.decision_width());
        (0..starts.len()).for_each(|lane| self.lifetime.record(state, lane, &mut decisions));
        self.lifetime.begin_step(state, inputs, starts);

        let mut graph = Graph::inference(params);
        let ages: Vec<usize> = state.arrays[array::AGE]
            .data
            .iter()
            .map(|&age| age as usize)
            .collect();
        let tokens = self.tokens(&mut graph, inputs, &ages);
        let (context, (keys, values)) = self.attend(&mut graph, state, &tokens);
        self.append(state, inputs, (&keys, &values));
        let readout = self.lifetime.read(&mut graph, state, &context);
        CoreStep {
            features: graph.concat_cols(&[&context, &readout]),
            decisions,
        }
    }

    fn outcome(
        &self,
        params: &Params,
        state: &mut State,
        actions: &[i64],
        rewards: &[f64],
        ends: &[bool],
    ) {
        self.lifetime.outcome(params, state, actions, rewards, ends);
    }

    fn unroll(&self, graph: &mut Graph<'_>, segment: &Segment<'_>) -> Unrolled {
        let (lists, ages) = self.attended(segment);
        let tokens = self.tokens(graph, segment.inputs, &ages);
        let (old_inputs, old_ages) = self.kept_inputs(segment.initial_state);
        let all = if old_ages.is_empty() {
            tokens.clone()
        } else {
            let old = self.tokens(graph, &old_inputs, &old_ages);
            graph.concat_rows(&[&old, &tokens])
        };
        let (keys, values) = self.encoder.keys_and_values(graph, &all);
        let context = self
            .encoder
            .encode(graph, &tokens, (&keys, &values), &padded(&lists));
        let read = self
            .lifetime
            .unroll(graph, segment, &context, segment.decisions);
        Unrolled {
            features: graph.concat_cols(&[&context, &read.readout]),
            losses: read.losses,
        }
    }

    fn refresh(&self, params: &Params, state: &mut State) {
        let (inputs, ages) = self.kept_inputs(state);
        if !ages.is_empty() {
            let mut graph = Graph::inference(params);
            let tokens = self.tokens(&mut graph, &inputs, &ages);
            let (keys, values) = self.encoder.keys_and_values(&mut graph, &tokens);
            for (array, fresh) in [(array::KEY, keys), (array::VALUE, values)] {
                let mut fresh = nn::values(&fresh);
                for lane in 0..state.rows() {
                    let (own, rest) = fresh.split_at(self.kept(state, lane) * self.mem_dim);
                    state.arrays[array].row_mut(lane)[..own.len()].copy_from_slice(own);
                    fresh = rest;
                }
            }
        }
        self.lifetime.refresh(params, state);
    }

    fn evaluation_state(&self, trained: &State, batch: usize) -> State {
        let mut state = self.initial_state(batch);
        for lane in 0..batch {
            self.lifetime
                .copy_entries(&mut state, lane, trained, lane % trained.rows());
        }
        state
    }

    fn inspect(&self, state: &State, lane: usize) -> MemoryContents {
        MemoryContents::Episodes(self.lifetime.contents(state, lane))
    }
}
