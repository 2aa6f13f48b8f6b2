//! End-to-end memory network (Sukhbaatar et al. 2015, arXiv:1503.08895) over the last inputs of the episode: the current
//! input asks, and each hop refines the question by what it has read. Weights are tied layer-wise (section 2.2), since
//! inputs and outputs live in different spaces here.
//!
//! The embeddings of entries are linear, so `u·(A x) = (Aᵀ u)·x` and `Σ p (C x) = C Σ p x`: the window is read as it is,
//! and no entry is ever embedded.

use std::f32::consts::SQRT_2;

use crate::hyper::section::section;
use crate::memory::attention::Width;
use crate::memory::attention::query::WindowQuery;
use crate::memory::attention::window::{Context, Read, Reader, Rows};
use crate::memory::{CoreContext, Network};
use crate::nn::{Activation, Graph, HopParams, Init, ParamId};
use crate::onnx::{self, Attribute, StepGraph};

section! {
    /// Reads of a memory network.
    pub struct Hops, overridden by HopsOverrides {
        /// Reads in a row, each asked by what the ones before have found; 0 reads nothing.
        memory_hops: usize = 2, |&v| v <= MAX_HOPS, "0 to 4";
    }
}

/// Most hops.
const MAX_HOPS: usize = 4;

/// Names of the attentions of the hops, for inspection.
const ATTENTION: [&str; MAX_HOPS] = [
    "attention by steps ago (hop 1)",
    "attention by steps ago (hop 2)",
    "attention by steps ago (hop 3)",
    "attention by steps ago (hop 4)",
];

/// The parameters of a memory network.
pub struct MemN2n {
    /// B, from inputs to the first question.
    query: (ParamId, ParamId),
    /// A, C, T_A and T_C.
    window: WindowQuery,
    /// H, from hop to hop.
    hop: ParamId,
    output: (ParamId, ParamId),
    length: usize,
    hops: usize,
    input_size: usize,
    hidden_size: usize,
}

impl MemN2n {
    /// Adds its parameters to the context's.
    pub fn new(context: &mut CoreContext<'_>) -> Self {
        let (hyper, inputs) = (context.hyper, context.input_size);
        let width = hyper.get::<Width>().model_width;
        let hidden = hyper.get::<Network>().hidden_size;
        let query = context.layer("core.query", (inputs, width), 1.0);
        let window = WindowQuery::new(context, width, inputs);
        let orthogonal = Init::Orthogonal { gain: 1.0 };
        let CoreContext { params, rng, .. } = context;
        let hop = params.add("core.hop.weight", (width, width), orthogonal, rng);
        let output = context.layer("core.output", (width, hidden), SQRT_2);
        Self {
            query,
            window,
            hop,
            output,
            length: hyper.get::<Context>().memory_window,
            hops: hyper.get::<Hops>().memory_hops,
            input_size: inputs,
            hidden_size: hidden,
        }
    }

    /// [`WindowQuery::ask`] in an ONNX graph, over a window `[batch, K, input_size]`; `filled` `[batch, K]` is 1 where it has an
    /// entry, else 0.
    fn hop_graph(
        &self,
        step: &mut StepGraph<'_>,
        u: &onnx::Value,
        window: &onnx::Value,
        filled: &onnx::Value,
    ) -> onnx::Value {
        let WindowQuery { key, value, times } = &self.window;
        let [key, value] = [*key, *value].map(|weight| step.param(weight));
        let times = times.as_ref();
        let times = times.map(|times| [times.key, times.value].map(|weight| step.param(weight)));
        let graph = &mut step.graph;
        let question = graph.op("MatMul", &[u, &key]);
        let question = graph.reshape(&question, &[self.input_size, 1]);
        let scores = graph.op("MatMul", &[window, &question]);
        let mut scores = graph.reshape(&scores, &[self.length]);
        if let Some([times, _]) = &times {
            let of_times = graph.op("MatMul", &[u, times]);
            scores = graph.op("Add", &[&scores, &of_times]);
        }
        let [nothing, least] = [0.0, -1e30].map(|number| graph.floats(&[1], &[number]));
        let is_empty = graph.op("Equal", &[filled, &nothing]);
        let scores = graph.op("Where", &[&is_empty, &least, &scores]);
        let p = graph.node("Softmax", &[&scores], vec![Attribute::Int("axis", 1)]);
        let p = graph.op("Mul", &[&p, filled]);
        let row = graph.reshape(&p, &[1, self.length]);
        let read = graph.op("MatMul", &[&row, window]);
        let read = graph.reshape(&read, &[self.input_size]);
        let mut o = graph.op("MatMul", &[&read, &value]);
        if let Some([_, times]) = &times {
            let when = graph.op("MatMul", &[&p, times]);
            o = graph.op("Add", &[&o, &when]);
        }
        o
    }
}

impl Reader for MemN2n {
    fn feature_size(&self) -> usize {
        self.hidden_size
    }

    fn length(&self) -> usize {
        self.length
    }

    fn attention(&self) -> &[&'static str] {
        &ATTENTION[..self.hops]
    }

    /// u¹ = B q, uᵏ⁺¹ = H uᵏ + oᵏ; the features are a layer on the last u, half of it rectified.
    fn read(&self, graph: &mut Graph<'_>, rows: &Rows<'_>) -> Read {
        let (weight, bias) = self.query;
        let question = graph.linear(rows.x, weight, Some(bias), Activation::Identity);
        let WindowQuery { key, value, times } = &self.window;
        let hop = HopParams {
            key: *key,
            value: *value,
            times: times.as_ref().map(|times| (times.key, times.value)),
            hop: self.hop,
        };
        let read = graph.window_hops(&question, rows.entries, rows.index, &hop, self.hops);
        let (weight, bias) = self.output;
        let y = graph.linear(&read.question, weight, Some(bias), Activation::Identity);
        Read {
            features: graph.rectify_columns(&y, 0..self.hidden_size / 2),
            attention: read.attention,
            carried: Vec::new(),
        }
    }

    fn onnx(
        &self,
        step: &mut StepGraph<'_>,
        inputs: &onnx::Value,
    ) -> Result<onnx::Value, &'static str> {
        let (length, size) = (self.length, self.input_size);
        let doc = "the inputs before, the latest first";
        let window = step.state("window", &[length, size], doc);
        let doc = "1 for each input before that belongs to the episode, 0 for each that does not";
        let filled = step.state("filled", &[length], doc);
        let filled = step.reset(&filled, 0.0);
        let hop = step.param(self.hop);
        let mut u = step.linear(inputs, self.query);
        for _ in 0..self.hops {
            let o = self.hop_graph(step, &u, &window, &filled);
            let kept = step.graph.op("MatMul", &[&u, &hop]);
            u = step.graph.op("Add", &[&kept, &o]);
        }
        let y = step.linear(&u, self.output);
        let graph = &mut step.graph;
        let half = self.hidden_size / 2;
        let rectified = graph.columns(&y, 0, half);
        let rectified = graph.op("Relu", &[&rectified]);
        let linear = graph.columns(&y, half, self.hidden_size);
        let features = graph.concat(&[&rectified, &linear]);

        let latest = graph.reshape(inputs, &[1, size]);
        let all = graph.concat(&[&latest, &window]);
        let next = graph.columns(&all, 0, length);
        step.next("window", &next);
        let graph = &mut step.graph;
        let first = graph.columns(&filled, 0, 1);
        let [zero, one] = [0.0, 1.0].map(|number| graph.floats(&[1], &[number]));
        let zeros = graph.op("Mul", &[&first, &zero]);
        let ones = graph.op("Add", &[&zeros, &one]);
        let all = graph.concat(&[&ones, &filled]);
        let next = graph.columns(&all, 0, length);
        step.next("filled", &next);
        Ok(features)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::super::parity;
    use super::super::window::Window;
    use super::*;
    use crate::hyper::Hyperparameters;
    use crate::memory::MemoryCore;
    use crate::memory::attention::Order;
    use crate::nn::{self, Params};
    use crate::spaces::actions::ActionHeads;

    fn network<R>(
        hops: Hops,
        window: usize,
        build: impl Fn(&mut CoreContext<'_>) -> R,
    ) -> (R, Params) {
        ordered(Order::default(), hops, window, build)
    }

    fn ordered<R>(
        order: Order,
        hops: Hops,
        window: usize,
        build: impl Fn(&mut CoreContext<'_>) -> R,
    ) -> (R, Params) {
        let hyper = Hyperparameters::new()
            .with(Network { hidden_size: 6 })
            .with(Context {
                memory_window: window,
            })
            .with(Width { model_width: 8 })
            .with(order)
            .with(hops);
        let mut params = Params::new();
        let network = build(&mut CoreContext {
            input_size: 3,
            columns: &[],
            previous: crate::memory::Previous::default(),
            heads: &ActionHeads::of(&[2]),
            hyper: &hyper,
            params: &mut params,
            rng: &mut Xoshiro256PlusPlus::seed_from_u64(0),
        });
        (network, params)
    }

    const ENTRIES: [f32; 9] = [0.5, 1.0, -1.0, 2.0, 0.0, 1.0, -1.0, 1.5, 0.5];

    /// Features and attentions of one row that remembers entries in this order.
    fn read(network: &MemN2n, params: &Params, index: &[i32]) -> (Vec<f32>, Vec<Vec<f32>>) {
        let mut graph = Graph::inference(params);
        let x = graph.constant(vec![1.0, -0.5, 0.25], (1, 3));
        let entries = graph.constant(ENTRIES.to_vec(), (3, 3));
        let rows = Rows {
            x: &x,
            entries: &entries,
            index,
            starts: &[false],
            carried: &[],
        };
        let read = network.read(&mut graph, &rows);
        (nn::values(&read.features).to_vec(), read.attention)
    }

    fn set(params: &mut Params, name: &str, value: impl Fn(usize) -> f32) {
        let id = params.ids().find(|&id| params.name(id) == name).unwrap();
        let weights = params.data_mut(id).iter_mut();
        weights
            .enumerate()
            .for_each(|(i, weight)| *weight = value(i));
    }

    #[test]
    fn attention_sums_to_one_over_what_is_there() {
        let (network, params) = network(Hops::default(), 3, MemN2n::new);
        let (_, attention) = read(&network, &params, &[2, 0, -1]);
        assert_eq!(attention.len(), 2);
        for weights in attention {
            assert!((weights[0] + weights[1] - 1.0).abs() < 1e-6 && weights[2] == 0.0);
        }
        let (_, single) = read(&network, &params, &[1, -1, -1]);
        assert_eq!(single, [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]);
        let (_, none) = read(&network, &params, &[-1, -1, -1]);
        assert_eq!(none, [[0.0; 3], [0.0; 3]]);
    }

    /// A single entry is read as it is: o = C x + T_C.
    #[test]
    fn one_entry_is_the_answer() {
        let (network, params) = network(Hops::default(), 3, MemN2n::new);
        let mut graph = Graph::inference(&params);
        let u = graph.constant(vec![0.3; 8], (1, 8));
        let entries = graph.constant(ENTRIES.to_vec(), (3, 3));
        let (o, _) = network.window.ask(&mut graph, &u, &entries, &[1, -1, -1]);
        let times = params.data(network.window.times.as_ref().unwrap().value);
        let value = params.data(network.window.value);
        for (j, o) in nn::values(&o).iter().enumerate() {
            let expected = 2.0 * value[j] + value[16 + j] + times[j];
            assert!((o - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn only_times_tell_the_order() {
        for memory_times in [false, true] {
            let order = Order { memory_times };
            let (network, params) = ordered(order, Hops::default(), 3, MemN2n::new);
            let [one, other] =
                [[0, 1, 2], [2, 0, 1]].map(|index| read(&network, &params, &index).0);
            let differs = one.iter().zip(&other).any(|(a, b)| (a - b).abs() > 1e-5);
            assert_eq!(differs, memory_times);
        }
    }

    #[test]
    fn no_hop_sees_no_memory_and_a_hop_that_answers_nothing_changes_nothing() {
        let hops = |memory_hops| Hops { memory_hops };
        let (without, params) = network(hops(0), 3, MemN2n::new);
        let alone = read(&without, &params, &[-1, -1, -1]).0;
        assert_eq!(read(&without, &params, &[0, 1, 2]).0, alone);

        let (two, mut params) = network(hops(2), 3, MemN2n::new);
        set(&mut params, "core.value.weight", |_| 0.0);
        set(&mut params, "core.times.value", |_| 0.0);
        set(&mut params, "core.hop.weight", |i| {
            f32::from(u8::from(i % 9 == 0))
        });
        assert_eq!(read(&two, &params, &[0, 1, 2]).0, alone);
    }

    #[test]
    fn it_computes_the_equations_of_the_paper() {
        let reference = parity::reference(include_str!("../../../tests/parity/memn2n.json"));
        let (core, mut params) = network(Hops::default(), 3, |context| {
            Window::new(MemN2n::new, context)
        });
        let names = reference["names"].as_array().unwrap();
        let phase = |name: &str| names.iter().position(|known| known == name).unwrap() as f64;
        parity::fill(&mut params, phase);
        let mut state = core.initial_state(2);
        for step in 0..reference["features"].as_array().unwrap().len() {
            let inputs = parity::inputs(step, 2, 3);
            let out = core.step(&params, &inputs, &[step == 0; 2], &mut state, None);
            parity::assert_close(nn::values(&out.features), &reference, step);
        }
    }
}
