//! Gated Transformer-XL (Parisotto et al. 2020, arXiv:1910.06764): layers of attention over the last steps of the episode,
//! normalised at their inputs and joined to the stream by gates that begin nearly closed.
//!
//! Of each layer the inputs of the last M steps are kept, in a ring for each lane, with the keys and values that they have
//! by the weights of the rollout: a step adds one row to each and copies nothing. No gradient flows into what was kept
//! from before a sequence; within a sequence gradients reach its rows.

use std::rc::Rc;

use crate::hyper::section::section;
use crate::memory::attention::Width;
use crate::memory::attention::window::Context;
use crate::memory::{
    Array, CoreContext, CoreStep, Layers, MemoryContents, MemoryCore, Segment, State, Unrolled,
};
use crate::nn::{
    self, Activation, Graph, GruGateParams, Init, ParamId, Params, RelativeTerms, Tensor, Windows,
};
use crate::onnx::{self, StepGraph};
use crate::seeds::LaneGenerators;

section! {
    /// Heads of attention.
    pub struct Heads, overridden by HeadsOverrides {
        /// Heads of each attention; they share the model's width evenly.
        memory_heads: usize = 2, |&v| (1..=64).contains(&v), "1 to 64, a divisor of model_width";
    }
}

/// Names of the attentions of the layers, for inspection.
const ATTENTION: [&str; 4] = [
    "attention by steps ago (layer 1)",
    "attention by steps ago (layer 2)",
    "attention by steps ago (layer 3)",
    "attention by steps ago (layer 4)",
];

/// Indices of the state's arrays.
mod array {
    /// Steps kept of the episode, at most M.
    pub const LENGTH: usize = 0;
    /// Place in the rings where the next step goes.
    pub const PLACE: usize = 1;
    /// Attention of each layer in the last step, M + 1 numbers each, the current step first: the mean over heads.
    pub const ATTENTION: usize = 2;

    /// Inputs of a layer, M + 1 rows.
    pub fn inputs(layer: usize) -> usize {
        3 + 3 * layer
    }

    /// Their keys.
    pub fn keys(layer: usize) -> usize {
        inputs(layer) + 1
    }

    /// Their values.
    pub fn values(layer: usize) -> usize {
        inputs(layer) + 2
    }
}

/// What a layer's scores are made of, besides queries and keys.
struct Asked {
    content_bias: Tensor,
    distance_bias: Tensor,
    distances: Tensor,
}

impl Asked {
    fn terms(&self) -> RelativeTerms<'_> {
        RelativeTerms {
            content_bias: &self.content_bias,
            distance_bias: &self.distance_bias,
            distances: &self.distances,
        }
    }
}

/// The parameters of a layer.
struct Layer {
    norm1: (ParamId, ParamId),
    query: ParamId,
    /// u, what all queries ask of contents.
    content_bias: ParamId,
    /// v, what all queries ask of distances.
    distance_bias: ParamId,
    key: ParamId,
    value: ParamId,
    /// W_R, from sinusoids to keys of distances.
    distance: ParamId,
    output: (ParamId, ParamId),
    gate1: GruGateParams,
    norm2: (ParamId, ParamId),
    feed1: (ParamId, ParamId),
    feed2: (ParamId, ParamId),
    gate2: GruGateParams,
}

impl Layer {
    fn new(number: usize, width: usize, context: &mut CoreContext<'_>) -> Self {
        let CoreContext { params, rng, .. } = &mut *context;
        let mut add = |part: &str, shape, init| {
            params.add(&format!("core.layer{number}.{part}"), shape, init, rng)
        };
        let orthogonal = Init::Orthogonal { gain: 1.0 };
        let [query, key, value, distance] = ["query", "key", "value", "distance"]
            .map(|part| add(&format!("{part}.weight"), (width, width), orthogonal));
        let [content_bias, distance_bias] = ["query.content_bias", "query.distance_bias"]
            .map(|part| add(part, (1, width), Init::Zeros));
        let [output, feed1, feed2] = ["output", "feed1", "feed2"].map(|part| {
            (
                add(&format!("{part}.weight"), (width, width), orthogonal),
                add(&format!("{part}.bias"), (1, width), Init::Zeros),
            )
        });
        let [norm1, norm2] = ["norm1", "norm2"].map(|part| {
            (
                add(&format!("{part}.gain"), (1, width), Init::Constant(1.0)),
                add(&format!("{part}.bias"), (1, width), Init::Zeros),
            )
        });
        let [gate1, gate2] = ["gate1", "gate2"]
            .map(|part| context.gru_gate(&format!("core.layer{number}.{part}"), width));
        Self {
            norm1,
            query,
            content_bias,
            distance_bias,
            key,
            value,
            distance,
            output,
            gate1,
            norm2,
            feed1,
            feed2,
            gate2,
        }
    }

    fn normalised(&self, graph: &mut Graph<'_>, inputs: &Tensor) -> Tensor {
        graph.layer_norm(inputs, self.norm1.0, self.norm1.1)
    }

    /// Keys and values of normalised inputs.
    fn keys_and_values(&self, graph: &mut Graph<'_>, normalised: &Tensor) -> [Tensor; 2] {
        [self.key, self.value]
            .map(|weight| graph.linear(normalised, weight, None, Activation::Identity))
    }

    /// Queries, and keys of the distances whose sinusoids are `distances` `[S, width]`.
    fn ask(
        &self,
        graph: &mut Graph<'_>,
        normalised: &Tensor,
        distances: &Tensor,
    ) -> (Tensor, Asked) {
        let queries = graph.linear(normalised, self.query, None, Activation::Identity);
        let asked = Asked {
            content_bias: graph.param(self.content_bias),
            distance_bias: graph.param(self.distance_bias),
            distances: graph.linear(distances, self.distance, None, Activation::Identity),
        };
        (queries, asked)
    }

    /// The layer's output, from its inputs and what its attention has read.
    fn output(&self, graph: &mut Graph<'_>, inputs: &Tensor, read: &Tensor) -> Tensor {
        let relu = |graph: &mut Graph<'_>, x: &Tensor, (weight, bias)| {
            graph.linear(x, weight, Some(bias), Activation::Relu)
        };
        let attended = relu(graph, read, self.output);
        let y = graph.gru_gate(inputs, &attended, &self.gate1);
        let normalised = graph.layer_norm(&y, self.norm2.0, self.norm2.1);
        let fed = relu(graph, &normalised, self.feed1);
        let fed = relu(graph, &fed, self.feed2);
        graph.gru_gate(&y, &fed, &self.gate2)
    }
}

/// Gated Transformer-XL.
pub struct Gtrxl {
    embed: (ParamId, ParamId),
    layers: Vec<Layer>,
    /// Sinusoids of the distances 0 to M, `[M + 1, width]`.
    distances: Vec<f32>,
    window: usize,
    heads: usize,
    width: usize,
    input_size: usize,
}

/// Returns the sinusoids of distances (Vaswani et al. 2017, arXiv:1706.03762, section 3.5), sines before cosines:
/// `[count, width]`.
fn sinusoids(count: usize, width: usize) -> Vec<f32> {
    let half = width.div_ceil(2);
    let angle =
        |distance: usize, j: usize| distance as f64 / 10_000f64.powf(2.0 * j as f64 / width as f64);
    let row = |distance| {
        (0..width).map(move |column| match column.checked_sub(half) {
            None => angle(distance, column).sin() as f32,
            Some(j) => angle(distance, j).cos() as f32,
        })
    };
    (0..count).flat_map(row).collect()
}

impl Gtrxl {
    /// Adds its parameters to the context's.
    pub fn new(context: &mut CoreContext<'_>) -> Self {
        let (hyper, input_size) = (context.hyper, context.input_size);
        let width = hyper.get::<Width>().model_width;
        let window = hyper.get::<Context>().memory_window;
        let CoreContext { params, rng, .. } = &mut *context;
        let orthogonal = Init::Orthogonal { gain: 1.0 };
        let embed = (
            params.add("core.embed.weight", (input_size, width), orthogonal, rng),
            params.add("core.embed.bias", (1, width), Init::Zeros, rng),
        );
        let layers = 0..hyper.get::<Layers>().memory_layers;
        Self {
            embed,
            layers: layers
                .map(|number| Layer::new(number, width, context))
                .collect(),
            distances: sinusoids(window + 1, width),
            window,
            heads: hyper.get::<Heads>().memory_heads,
            width,
            input_size,
        }
    }

    fn embed(&self, graph: &mut Graph<'_>, inputs: &[f32]) -> Tensor {
        let rows = inputs.len() / self.input_size;
        let x = graph.constant(inputs.to_vec(), (rows, self.input_size));
        graph.linear(&x, self.embed.0, Some(self.embed.1), Activation::Identity)
    }

    fn distances(&self, graph: &Graph<'_>, slots: usize) -> Tensor {
        graph.constant(
            self.distances[..slots * self.width].to_vec(),
            (slots, self.width),
        )
    }

    /// Returns the row of the rings in which a lane keeps the step `back` steps before the next one, at most M.
    fn entry(&self, state: &State, lane: usize, back: usize) -> usize {
        let ring = self.window + 1;
        let place = state.arrays[array::PLACE].row(lane)[0] as usize + ring - back;
        lane * ring + place % ring
    }

    /// Puts one row of each lane into a ring, at the current place.
    fn store(&self, state: &mut State, array: usize, rows: &Tensor) {
        for (lane, row) in nn::values(rows).chunks_exact(self.width).enumerate() {
            let place = state.arrays[array::PLACE].row(lane)[0] as usize;
            state.arrays[array].row_mut(lane)[place * self.width..][..self.width]
                .copy_from_slice(row);
        }
    }

    /// Records the attention `[batch, heads, slots]` of a layer, the latest step first.
    fn show(&self, state: &mut State, layer: usize, weights: &[f32], slots: usize) {
        let ring = self.window + 1;
        for (lane, weights) in weights.chunks_exact(self.heads * slots).enumerate() {
            let shown = &mut state.arrays[array::ATTENTION].row_mut(lane)[layer * ring..][..ring];
            shown.fill(0.0);
            for weights in weights.chunks_exact(slots) {
                for (shown, weight) in shown.iter_mut().zip(weights) {
                    *shown += weight / self.heads as f32;
                }
            }
        }
    }

    /// Moves the rings on by a step.
    fn advance(&self, state: &mut State) {
        for length in &mut state.arrays[array::LENGTH].data {
            *length = (*length + 1.0).min(self.window as f32);
        }
        for place in &mut state.arrays[array::PLACE].data {
            *place = if *place < self.window as f32 {
                *place + 1.0
            } else {
                0.0
            };
        }
    }

    /// Returns whether any lane goes on with its episode, so that the rings are read.
    fn goes_on(&self, state: &State, starts: &[bool]) -> bool {
        let lengths = &state.arrays[array::LENGTH].data;
        lengths
            .iter()
            .zip(starts)
            .any(|(&length, start)| length > 0.0 && !start)
    }

    /// Returns how far rows look back, given the state before the first of them: into the rings, and to the rows before
    /// them, whose entries `own` names.
    fn windows(&self, starts: &[bool], state: &State, own: impl Fn(usize) -> usize) -> Windows {
        let batch = state.rows();
        let mut windows = Windows::default();
        let mut lengths = Vec::with_capacity(batch);
        for lane in 0..batch {
            let kept = match starts[lane] {
                true => 0,
                false => state.arrays[array::LENGTH].row(lane)[0] as usize,
            };
            let before = (1..=kept).rev().map(|back| self.entry(state, lane, back));
            let rows = (lane..starts.len()).step_by(batch).map(&own);
            let first = windows.entries.len();
            let entries = before.chain(rows).map(|entry| entry as u32);
            windows.entries.extend(entries);
            windows.counts.push(windows.entries.len() - first);
            lengths.push(kept as u32);
        }
        for starts in starts.chunks_exact(batch) {
            for (length, &start) in lengths.iter_mut().zip(starts) {
                *length = match start {
                    true => 1,
                    false => (*length + 1).min(self.window as u32 + 1),
                };
            }
            windows.lengths.extend(&lengths);
        }
        windows
    }
}

impl MemoryCore for Gtrxl {
    fn feature_size(&self) -> usize {
        self.width
    }

    fn initial_state(&self, batch: usize) -> State {
        let ring = self.window + 1;
        let rings = std::iter::repeat_n(ring * self.width, 3 * self.layers.len());
        let widths = [1, 1, self.layers.len() * ring].into_iter().chain(rings);
        let zeros = widths.map(|width| Array::filled(batch, width, 0.0));
        State::new(batch, zeros.collect())
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
            state.arrays[array::LENGTH].row_mut(lane)[0] = 0.0;
        }
        let windows = self.windows(starts, state, |lane| self.entry(state, lane, 0));
        let mut graph = Graph::inference(params);
        let distances = self.distances(&graph, windows.longest());
        let mut x = self.embed(&mut graph, inputs);
        for (number, layer) in self.layers.iter().enumerate() {
            let normalised = layer.normalised(&mut graph, &x);
            let [keys, values] = layer.keys_and_values(&mut graph, &normalised);
            self.store(state, array::inputs(number), &x);
            self.store(state, array::keys(number), &keys);
            self.store(state, array::values(number), &values);
            let (queries, asked) = layer.ask(&mut graph, &normalised, &distances);
            let [keys, values] = [array::keys(number), array::values(number)]
                .map(|array| &state.arrays[array].data[..]);
            let tables = (keys, values);
            let (read, weights) =
                nn::attend_relatively(&queries, tables, asked.terms(), &windows, self.heads);
            self.show(state, number, &weights, windows.longest());
            let read = graph.constant(read, (starts.len(), self.width));
            x = layer.output(&mut graph, &x, &read);
        }
        self.advance(state);
        CoreStep {
            features: x,
            critic_features: None,
            decisions: Vec::new(),
        }
    }

    fn unroll(&self, graph: &mut Graph<'_>, segment: &Segment<'_>) -> Unrolled {
        let state = segment.initial_state;
        let carried = match self.goes_on(state, &segment.starts[..segment.batch]) {
            true => segment.batch * (self.window + 1),
            false => 0,
        };
        let windows = Rc::new(self.windows(segment.starts, state, |row| carried + row));
        let distances = self.distances(graph, windows.longest());
        let mut x = self.embed(graph, segment.inputs);
        for (number, layer) in self.layers.iter().enumerate() {
            let normalised = layer.normalised(graph, &x);
            let mut tables = layer.keys_and_values(graph, &normalised);
            if carried > 0 {
                let kept = &state.arrays[array::inputs(number)].data;
                let kept = graph.constant(kept.clone(), (carried, self.width));
                let kept = layer.normalised(graph, &kept);
                let kept = layer.keys_and_values(graph, &kept);
                tables = [0, 1].map(|i| graph.concat_rows(&[&kept[i], &tables[i]]));
            }
            let (queries, asked) = layer.ask(graph, &normalised, &distances);
            let [keys, values] = &tables;
            let (terms, heads) = (asked.terms(), self.heads);
            let read = graph.relative_attention(&queries, keys, values, terms, &windows, heads);
            x = layer.output(graph, &x, &read);
        }
        Unrolled {
            features: x,
            critic_features: None,
            losses: Vec::new(),
        }
    }

    fn refresh(&self, params: &Params, state: &mut State) {
        let mut graph = Graph::inference(params);
        let rows = state.rows() * (self.window + 1);
        for (number, layer) in self.layers.iter().enumerate() {
            let kept = &state.arrays[array::inputs(number)].data;
            let kept = graph.constant(kept.clone(), (rows, self.width));
            let kept = layer.normalised(&mut graph, &kept);
            let [keys, values] = layer.keys_and_values(&mut graph, &kept);
            for (array, fresh) in [(array::keys(number), keys), (array::values(number), values)] {
                state.arrays[array].data.copy_from_slice(nn::values(&fresh));
            }
        }
    }

    /// Keys and values are computed anew from the inputs, with a gradient.
    fn before(&self, state: &State, starts: &[bool]) -> State {
        let goes_on = self.goes_on(state, starts);
        let inputs =
            |array: usize| (0..self.layers.len()).any(|layer| array == array::inputs(layer));
        let arrays = state.arrays.iter().enumerate().map(|(array, kept)| {
            match array <= array::PLACE || goes_on && inputs(array) {
                true => kept.clone(),
                false => Array::filled(state.rows(), 0, 0.0),
            }
        });
        State::new(state.rows(), arrays.collect())
    }

    fn inspect(&self, state: &State, lane: usize) -> MemoryContents {
        let weights = state.arrays[array::ATTENTION].row(lane);
        let layers = weights.chunks_exact(self.window + 1).map(<[f32]>::to_vec);
        MemoryContents::Vectors(ATTENTION.into_iter().zip(layers).collect())
    }

    fn onnx(
        &self,
        _step: &mut StepGraph<'_>,
        _inputs: &onnx::Value,
    ) -> Result<onnx::Value, &'static str> {
        Err("each of its layers keeps a ring of steps, which is written in place")
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::super::parity;
    use super::*;
    use crate::hyper::Hyperparameters;
    use crate::spaces::actions::ActionHeads;

    fn transformer(window: usize, layers: usize) -> (Gtrxl, Params) {
        let hyper = Hyperparameters::new()
            .with(Context {
                memory_window: window,
            })
            .with(Width { model_width: 8 })
            .with(Layers {
                memory_layers: layers,
            })
            .with(Heads::default());
        let mut params = Params::new();
        let core = Gtrxl::new(&mut CoreContext {
            input_size: 3,
            columns: &[],
            previous: crate::memory::Previous::default(),
            heads: &ActionHeads::of(&[2]),
            hyper: &hyper,
            params: &mut params,
            rng: &mut Xoshiro256PlusPlus::seed_from_u64(0),
        });
        (core, params)
    }

    /// Features of each step of an episode in one lane, and the state after it.
    fn act(core: &Gtrxl, params: &Params, inputs: &[Vec<f32>]) -> (Vec<Vec<f32>>, State) {
        let mut state = core.initial_state(1);
        let steps = inputs.iter().enumerate().map(|(t, input)| {
            let step = core.step(params, input, &[t == 0], &mut state, None);
            nn::values(&step.features).to_vec()
        });
        (steps.collect(), state)
    }

    fn episode(steps: usize) -> Vec<Vec<f32>> {
        (0..steps).map(|step| parity::inputs(step, 1, 3)).collect()
    }

    /// Two gates of a layer keep (1 − σ(−2))² = 0.7758 of the stream.
    #[test]
    fn without_weights_a_layer_only_shrinks_its_inputs() {
        let (core, mut params) = transformer(4, 2);
        let layers: Vec<ParamId> = params
            .ids()
            .filter(|&id| params.name(id).starts_with("core.layer"))
            .collect();
        for id in layers {
            let is_gate_bias =
                params.name(id).contains("gate") && params.name(id).ends_with("bias");
            if !is_gate_bias {
                params.data_mut(id).fill(0.0);
            }
        }
        let inputs = episode(3);
        let (features, _) = act(&core, &params, &inputs);
        let mut graph = Graph::inference(&params);
        for (features, inputs) in features.iter().zip(&inputs) {
            let embedded = core.embed(&mut graph, inputs);
            for (feature, x) in features.iter().zip(nn::values(&embedded)) {
                assert!((feature - 0.775_803_5 * 0.775_803_5 * x).abs() < 1e-6);
            }
        }
    }

    /// A layer sees the window and the step itself, two layers see twice as far.
    #[test]
    fn each_layer_reaches_back_by_a_window() {
        for (layers, reach) in [(1, 2), (2, 4)] {
            let (core, params) = transformer(2, layers);
            let last = |inputs: &[Vec<f32>]| act(&core, &params, inputs).0.pop().unwrap();
            let unchanged = last(&episode(7));
            for changed in 0..7 {
                let mut inputs = episode(7);
                inputs[changed][0] += 1.0;
                assert_eq!(
                    last(&inputs) != unchanged,
                    6 - changed <= reach,
                    "{changed}"
                );
            }
        }
    }

    #[test]
    fn attention_sums_to_one_and_is_shown_by_layer() {
        let (core, params) = transformer(4, 2);
        let (_, state) = act(&core, &params, &episode(3));
        let MemoryContents::Vectors(layers) = core.inspect(&state, 0) else {
            panic!("vectors");
        };
        assert_eq!(layers.len(), 2);
        for (name, weights) in layers {
            assert!(name.contains("layer"));
            assert!(
                (weights.iter().sum::<f32>() - 1.0).abs() < 1e-6,
                "{weights:?}"
            );
            assert_eq!(weights[3..], [0.0; 2]);
        }
    }

    #[test]
    fn a_rollout_keeps_what_it_reads_of_the_rings() {
        let (core, params) = transformer(2, 1);
        let (_, state) = act(&core, &params, &episode(3));
        for starts in [false, true] {
            let kept = core.before(&state, &[starts]).arrays;
            assert_eq!(kept.len(), state.arrays.len());
            for small in [array::LENGTH, array::PLACE] {
                assert_eq!(kept[small], state.arrays[small]);
            }
            let inputs = &state.arrays[array::inputs(0)];
            assert_eq!(kept[array::inputs(0)] == *inputs, !starts);
            assert_eq!(kept[array::keys(0)].width, 0);
        }
    }

    #[test]
    fn sinusoids_of_a_distance() {
        let found = sinusoids(3, 4);
        assert_eq!(found[..4], [0.0, 0.0, 1.0, 1.0]);
        let expected = [2f64.sin(), 0.02f64.sin(), 2f64.cos(), 0.02f64.cos()];
        for (found, expected) in found[8..].iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < 1e-6);
        }
    }

    /// From a full memory, step by step.
    #[test]
    fn it_computes_what_di_engine_computes() {
        let reference = parity::reference(include_str!("../../../tests/parity/gtrxl.json"));
        let (core, mut params) = transformer(4, 2);
        parity::fill(&mut params, |name| {
            reference["phases"][name].as_f64().unwrap()
        });
        let mut state = core.initial_state(2);
        state.arrays[array::LENGTH].data.fill(4.0);
        for layer in 0..2 {
            for lane in 0..2 {
                let ring = state.arrays[array::inputs(layer)].row_mut(lane);
                for (back, row) in (1..=4).zip(ring.rchunks_exact_mut(8)) {
                    for (column, x) in row.iter_mut().enumerate() {
                        let angle = 0.3 * layer as f64 + 0.7 * lane as f64 + 1.9 * back as f64;
                        *x = (angle + 0.5 * column as f64).sin() as f32;
                    }
                }
            }
        }
        core.refresh(&params, &mut state);
        for step in 0..reference["features"].as_array().unwrap().len() {
            let inputs = parity::inputs(step, 2, 3);
            let out = core.step(&params, &inputs, &[false; 2], &mut state, None);
            parity::assert_close(nn::values(&out.features), &reference, step);
        }
    }
}
