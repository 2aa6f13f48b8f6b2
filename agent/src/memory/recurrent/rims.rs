//! Recurrent independent mechanisms (Goyal et al. 2021, arXiv:1909.10893): small LSTMs with weights of their own that
//! compete for the input. At each step those that attend to it most are active: they update, then read from all.

use super::cell::{Cell, CellRun};
use crate::hyper::section::section;
use crate::memory::{CoreContext, MemoryContents, Network, State};
use crate::nn::{
    self, Activation, Graph, Init, ModuleParams, ModuleSizes, ParamId, ScoreTerms, Tensor,
};
use crate::onnx::{self, StepGraph};

section! {
    /// Recurrent modules that take turns.
    pub struct Modules, overridden by ModulesOverrides {
        /// Recurrent modules that share `hidden_size` evenly.
        modules: usize = 4, |&v| (1..=64).contains(&v), "1 to 64, a divisor of hidden_size";
        /// Modules that update at each step. With 0 nothing is ever remembered: the control that must fail.
        active_modules: usize = 2, |&v| v <= 64, "0 to modules";
    }
}

/// Width of the encoded input.
const ENCODED: usize = 32;
/// Widths of the input's key and of its value.
const KEY: usize = 16;
const VALUE: usize = 32;
/// Heads with which modules read from each other; their keys and values are as wide as a module's state.
const HEADS: usize = 2;

/// Indices of the state's matrices: h and c of all modules, one after the other, and which were active in the last step.
const H: usize = 0;
const C: usize = 1;
const ACTIVE: usize = 2;

/// The modules. Their weights stand below each other, one block a module.
pub struct RimsCell {
    encode: (ParamId, ParamId),
    /// Key and value of the input, side by side.
    entry: ParamId,
    query: (ParamId, ParamId),
    lstm: (ParamId, ParamId),
    /// Queries, keys and values of the communication, side by side.
    ask: ParamId,
    answer: ParamId,
    modules: usize,
    active: usize,
    size: usize,
}

impl RimsCell {
    /// Adds its parameters to the context's.
    pub fn new(context: &mut CoreContext<'_>) -> Self {
        let inputs = context.input_size;
        let Modules {
            modules,
            active_modules,
        } = context.hyper.get();
        let size = context.hyper.get::<Network>().hidden_size / modules;
        let CoreContext { params, rng, .. } = context;
        let orthogonal = Init::Orthogonal { gain: 1.0 };
        let mut add =
            |name: &str, shape, init| params.add(&format!("core.{name}"), shape, init, rng);
        let encode = (
            add("encode.weight", (inputs, ENCODED), orthogonal),
            add("encode.bias", (1, ENCODED), Init::Zeros),
        );
        let entry = add("entry.weight", (ENCODED, KEY + VALUE), orthogonal);
        // States begin with zeros: the biases tell the modules apart from the first step on.
        let spread = Init::Normal { std: 1.0 };
        let query_bias = add("modules.query.bias", (1, modules * KEY), spread);
        let lstm_bias = add("modules.lstm.bias", (1, modules * 4 * size), Init::Zeros);
        let gates = params.data_mut(lstm_bias).chunks_exact_mut(size);
        gates.skip(1).step_by(4).for_each(|forget| forget.fill(1.0));
        let mut add = |name: &str, shape, gain| {
            let name = format!("core.modules.{name}.weight");
            params.add_blocks(&name, modules, shape, Init::Orthogonal { gain }, rng)
        };
        Self {
            encode,
            entry,
            query: (add("query", (size, KEY), 1.0), query_bias),
            lstm: (add("lstm", (VALUE + size, 4 * size), 1.0), lstm_bias),
            ask: add("ask", (size, 3 * HEADS * size), 1.0),
            answer: add("answer", (HEADS * size, size), 0.1),
            modules,
            active: active_modules,
            size,
        }
    }

    fn blocks(&self, graph: &mut Graph<'_>, x: &Tensor, weight: ParamId) -> Tensor {
        graph.block_linear(x, weight, None, self.modules, Activation::Identity)
    }

    /// Returns what each module reads of the input, and how much it is drawn to it. `entry` holds the input's key and
    /// value; a module attends to them and to a row of zeros.
    fn read_input(&self, graph: &mut Graph<'_>, entry: &Tensor, h: &Tensor) -> (Tensor, Vec<f32>) {
        let (weight, bias) = self.query;
        let query = graph.block_linear(h, weight, Some(bias), self.modules, Activation::Identity);
        graph.read_entry(&query, entry, self.modules)
    }

    /// Returns whether each module of each lane is active: those with the highest scores; of equal ones the first.
    fn choose(&self, scores: &[f32]) -> Vec<bool> {
        let mut active = vec![false; scores.len()];
        let lanes = active.chunks_exact_mut(self.modules);
        for (active, scores) in lanes.zip(scores.chunks_exact(self.modules)) {
            let order = |a: usize, b: usize| scores[b].total_cmp(&scores[a]).then(a.cmp(&b));
            for (module, active) in active.iter_mut().enumerate() {
                let others = 0..self.modules;
                let rank = others.filter(|&other| order(other, module).is_lt()).count();
                *active = rank < self.active;
            }
        }
        active
    }

    /// Returns what each module hears from all modules of its lane, itself included.
    fn communicate(&self, graph: &mut Graph<'_>, h: &Tensor) -> Tensor {
        let width = HEADS * self.size;
        let asked = self.blocks(graph, h, self.ask);
        let [query, keys, values] =
            [0, 1, 2].map(|part| graph.columns(&asked, part * width..(part + 1) * width));
        let rows = nn::values(h).len() / self.size;
        let index: Vec<i32> = (0..rows)
            .flat_map(|row| {
                let first = row - row % self.modules;
                (first..first + self.modules).map(|row| row as i32)
            })
            .collect();
        let heard = graph.attention_read(&query, &keys, &values, ScoreTerms::NONE, &index, HEADS);
        self.blocks(graph, &heard.readout, self.answer)
    }
}

impl Cell for RimsCell {
    fn feature_size(&self) -> usize {
        self.modules * self.size
    }

    fn state_widths(&self) -> Vec<usize> {
        let units = self.modules * self.size;
        vec![units, units, self.modules]
    }

    /// Key and value of each input.
    fn prepare(&self, graph: &mut Graph<'_>, x: &Tensor) -> Tensor {
        let (weight, bias) = self.encode;
        let encoded = graph.linear(x, weight, Some(bias), Activation::Tanh);
        graph.linear(&encoded, self.entry, None, Activation::Identity)
    }

    fn step(
        &self,
        graph: &mut Graph<'_>,
        entry: &Tensor,
        state: &[Tensor],
    ) -> (Tensor, Vec<Tensor>) {
        let lanes = nn::values(&state[ACTIVE]).len() / self.modules;
        let rows = (lanes * self.modules, self.size);
        let [h, c] = [H, C].map(|matrix| graph.reshape(&state[matrix], rows));
        let (input, scores) = self.read_input(graph, entry, &h);
        let active = self.choose(&scores);
        let joined = graph.concat_cols(&[&input, &h]);
        let (weight, bias) = self.lstm;
        let identity = Activation::Identity;
        let gates = graph.block_linear(&joined, weight, Some(bias), self.modules, identity);
        let (new_h, new_c) = graph.lstm_cell(&gates, &c);
        let c = graph.where_rows(&active, &new_c, &c);
        // Others hear an inactive module's state, and no gradient flows back to it that way.
        let silent = graph.detach(&h);
        let stepped = graph.where_rows(&active, &new_h, &silent);
        let heard = self.communicate(graph, &stepped);
        let told = graph.add(&stepped, &heard);
        let h = graph.where_rows(&active, &told, &h);
        let units = (lanes, self.modules * self.size);
        let [h, c] = [h, c].map(|x| graph.reshape(&x, units));
        let active = active.iter().map(|&active| f32::from(u8::from(active)));
        let active = graph.constant(active.collect(), (lanes, self.modules));
        (h.clone(), vec![h, c, active])
    }

    fn fused(
        &self,
        graph: &mut Graph<'_>,
        x: &Tensor,
        starts: &[bool],
        state: &State,
    ) -> Option<CellRun> {
        let entries = self.prepare(graph, x);
        let [h, c] = [H, C].map(|array| &state.arrays[array].data[..]);
        let params = ModuleParams {
            query: self.query,
            lstm: self.lstm,
            ask: self.ask,
            answer: self.answer,
        };
        let sizes = ModuleSizes {
            modules: self.modules,
            key: KEY,
            heads: HEADS,
        };
        let choose = |scores: &[f32]| self.choose(scores);
        let out = graph.modules(&entries, starts, (h, c), &params, sizes, choose);
        let active = out.active.iter().map(|&active| f32::from(u8::from(active)));
        Some(CellRun {
            features: out.hidden,
            state: vec![out.h, out.c, active.collect()],
        })
    }

    fn inspect(&self, state: &State, lane: usize) -> MemoryContents {
        let row = |matrix: usize| state.arrays[matrix].row(lane).to_vec();
        MemoryContents::Vectors(vec![
            ("active modules", row(ACTIVE)),
            ("units of the modules", row(H)),
        ])
    }

    fn onnx(&self, _: &mut StepGraph<'_>, _: &onnx::Value) -> Result<onnx::Value, &'static str> {
        Err("its modules are ranked anew at each step")
    }
}

#[cfg(test)]
mod tests;
