//! A one-layer transformer over the episode so far, whose last token is the features: what the reference notebook's
//! agent makes of its context. The preset adds a lifetime memory.
//!
//! Of an episode the first `context_length` steps can be attended to, and always the current one. Raw inputs are kept
//! with the keys and values that they have by the weights of the rollout. A lane takes
//! `4·context_length·(input_size + 2·mem_dim)` bytes for it, 69 kB at the preset's values; its lifetime memory
//! `4·max_entries·64·(input_size + num_actions + 1)`, 25 kB: evaluating a thousand lanes takes a hundred megabytes.

use crate::hyper::section::section;
use crate::memory::attention::layer::{TransformerLayer, padded};
use crate::memory::{Array, CoreContext, CoreStep, MemoryCore, Segment, Slots, State, Unrolled};
use crate::nn::{self, Activation, Graph, Init, ParamId, Params, Tensor};
use crate::seeds::LaneGenerators;

section! {
    /// How much of an episode attention can see.
    pub struct Episodes, overridden by EpisodesOverrides {
        /// Longest part of an episode, in steps from its beginning, that a transformer over episodes can see.
        context_length: usize = 1024, |&v| (1..=16_384).contains(&v), "1 to 16384";
    }
}

/// Heads of the context's attention, as in the notebook.
pub const HEADS: usize = 4;

/// Deviation of fresh positions. Tokens have length 1 to 2; positions must differ from the start.
const POSITION_STD: f32 = 0.1;

/// Indices of the state's arrays.
mod array {
    /// Age of the lane's episode, in steps.
    pub const AGE: usize = 0;
    /// Raw inputs of the steps that can be attended to.
    pub const INPUT: usize = 1;
    /// Their keys.
    pub const KEY: usize = 2;
    /// Their values.
    pub const VALUE: usize = 3;
}

/// Transformer over the episode.
pub struct EpisodicTransformer {
    embed: (ParamId, ParamId),
    /// One row for each step that can be attended to, one for all later ones.
    positions: ParamId,
    encoder: TransformerLayer,
    input_size: usize,
    mem_dim: usize,
    context_length: usize,
}

impl EpisodicTransformer {
    /// Adds its parameters to the context's.
    pub fn new(context: &mut CoreContext<'_>) -> Self {
        let dim = context.hyper.get::<Slots>().mem_dim;
        let length = context.hyper.get::<Episodes>().context_length;
        let inputs = context.input_size;
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

    /// Encodes the current token of each lane with the steps before it; returns the result and the
    /// token's keys and values.
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

    /// Stores the current step for later attention, if there is room.
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
        self.mem_dim
    }

    fn initial_state(&self, batch: usize) -> State {
        let length = self.context_length;
        let widths = [
            1,
            length * self.input_size,
            length * self.mem_dim,
            length * self.mem_dim,
        ];
        let arrays = widths.map(|width| Array::filled(batch, width, 0.0));
        State::new(batch, arrays.into())
    }

    fn step(
        &self,
        params: &Params,
        inputs: &[f32],
        starts: &[bool],
        state: &mut State,
        _rng: Option<&mut LaneGenerators>,
    ) -> CoreStep {
        for lane in (0..starts.len()).filter(|&lane| starts[lane]) {
            state.arrays[array::AGE].row_mut(lane)[0] = 0.0;
        }
        let mut graph = Graph::inference(params);
        let ages: Vec<usize> = state.arrays[array::AGE]
            .data
            .iter()
            .map(|&age| age as usize)
            .collect();
        let tokens = self.tokens(&mut graph, inputs, &ages);
        let (context, (keys, values)) = self.attend(&mut graph, state, &tokens);
        self.append(state, inputs, (&keys, &values));
        CoreStep {
            features: context,
            critic_features: None,
            decisions: Vec::new(),
        }
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
        let pool = (&keys, &values);
        Unrolled {
            features: self.encoder.encode(graph, &tokens, pool, &padded(&lists)),
            critic_features: None,
            losses: Vec::new(),
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
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::*;
    use crate::hyper::Hyperparameters;
    use crate::memory::Network;
    use crate::spaces::actions::ActionHeads;

    fn transformer(context_length: usize) -> (EpisodicTransformer, Params) {
        let hyper = Hyperparameters::new()
            .with(Network { hidden_size: 8 })
            .with(Episodes { context_length })
            .edited(|slots: &mut Slots| slots.mem_dim = 8);
        let mut params = Params::new();
        let core = EpisodicTransformer::new(&mut CoreContext {
            input_size: 2,
            columns: &[],
            previous: crate::memory::Previous::default(),
            heads: &ActionHeads::of(&[2]),
            hyper: &hyper,
            params: &mut params,
            rng: &mut Xoshiro256PlusPlus::seed_from_u64(0),
        });
        (core, params)
    }

    /// Features of each step of an episode in one lane.
    fn act(core: &EpisodicTransformer, params: &Params, inputs: &[f32]) -> Vec<Vec<f32>> {
        let mut state = core.initial_state(1);
        inputs
            .chunks(2)
            .enumerate()
            .map(|(t, input)| {
                let step = core.step(params, input, &[t == 0], &mut state, None);
                nn::values(&step.features).to_vec()
            })
            .collect()
    }

    const INPUTS: [f32; 10] = [1.0, 0.0, 0.5, -1.0, 0.25, 0.75, -0.5, 0.0, 1.0, 1.0];

    /// Every token attends to every other of the prefix, not only to earlier ones; the last one's encoding is taken.
    #[test]
    fn growing_a_prefix_gives_what_encoding_it_anew_gives() {
        let (core, params) = transformer(8);
        let features = act(&core, &params, &INPUTS);
        for (t, found) in features.iter().enumerate() {
            let mut graph = Graph::inference(&params);
            let ages: Vec<usize> = (0..=t).collect();
            let tokens = core.tokens(&mut graph, &INPUTS[..2 * t + 2], &ages);
            let (keys, values) = core.encoder.keys_and_values(&mut graph, &tokens);
            let all = vec![(0..=t as i32).collect(); t + 1];
            let pool = (&keys, &values);
            let encoded = core
                .encoder
                .encode(&mut graph, &tokens, pool, &padded(&all));
            let last = &nn::values(&encoded)[t * 8..];
            assert!(found.iter().zip(last).all(|(a, b)| (a - b).abs() < 1e-6));
        }
    }

    #[test]
    fn the_first_steps_and_the_current_one_are_seen() {
        let (core, params) = transformer(2);
        let last = |changed: usize| {
            let mut inputs = INPUTS;
            inputs[2 * changed] += 1.0;
            act(&core, &params, &inputs).pop().unwrap()
        };
        let unchanged = act(&core, &params, &INPUTS).pop().unwrap();
        let seen = [0, 1, 2, 3, 4].map(|step| last(step) != unchanged);
        assert_eq!(seen, [true, true, false, false, true]);
    }

    #[test]
    fn positions_tell_equal_inputs_apart() {
        let (core, params) = transformer(8);
        let features = act(&core, &params, &[1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        let swapped = act(&core, &params, &[0.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
        assert_ne!(features[2], swapped[2]);
    }
}
