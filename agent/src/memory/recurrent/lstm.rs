//! Long short-term memory (Hochreiter and Schmidhuber 1997; forget gate bias +1 after Gers et al. 2000 and Jozefowicz
//! et al. 2015), as recurrent PPO uses it (Huang et al. 2022; Pleines et al. 2022, arXiv:2205.11104): learning unrolls
//! whole stored sequences from the state at which acting began them.

use rand_xoshiro::Xoshiro256PlusPlus;

use crate::memory::{
    Array, CoreContext, CoreStep, MemoryContents, MemoryCore, Network, Segment, State, Unrolled,
};
use crate::nn::{Graph, Init, LstmParams, Params, Tensor};
use crate::onnx::{self, StepGraph};

/// One LSTM layer straight on the inputs. State: h and c, `hidden_size` numbers each.
pub struct Lstm {
    cell: LstmParams,
    input_size: usize,
    hidden_size: usize,
}

const H: usize = 0;
const C: usize = 1;

impl Lstm {
    /// Adds its parameters to the context's.
    pub fn new(context: &mut CoreContext<'_>) -> Self {
        let inputs = context.input_size;
        let hidden = context.hyper.get::<Network>().hidden_size;
        let CoreContext { params, rng, .. } = context;
        let orthogonal = Init::Orthogonal { gain: 1.0 };
        let w_ih = params.add("core.lstm.weight_ih", (inputs, 4 * hidden), orthogonal, rng);
        let w_hh = params.add("core.lstm.weight_hh", (hidden, 4 * hidden), orthogonal, rng);
        let bias = params.add("core.lstm.bias", (1, 4 * hidden), Init::Zeros, rng);
        // Gates are i, f, g, o: a forget gate that begins open lets a gradient reach back.
        params.data_mut(bias)[hidden..2 * hidden].fill(1.0);
        Self {
            cell: LstmParams { w_ih, w_hh, bias },
            input_size: inputs,
            hidden_size: hidden,
        }
    }

    fn inputs(&self, graph: &Graph<'_>, inputs: &[f32]) -> Tensor {
        graph.constant(
            inputs.to_vec(),
            (inputs.len() / self.input_size, self.input_size),
        )
    }
}

impl MemoryCore for Lstm {
    fn feature_size(&self) -> usize {
        self.hidden_size
    }

    fn initial_state(&self, batch: usize) -> State {
        let zeros = || Array::filled(batch, self.hidden_size, 0.0);
        State::new(batch, vec![zeros(), zeros()])
    }

    fn step(
        &self,
        params: &Params,
        inputs: &[f32],
        starts: &[bool],
        state: &mut State,
        _rng: Option<&mut Xoshiro256PlusPlus>,
    ) -> CoreStep {
        let mut graph = Graph::inference(params);
        let x = self.inputs(&graph, inputs);
        let out = graph.lstm(
            &x,
            starts,
            &state.arrays[H].data,
            &state.arrays[C].data,
            &self.cell,
            state.rows(),
        );
        state.arrays[H].data = out.h;
        state.arrays[C].data = out.c;
        CoreStep {
            features: out.hidden,
            decisions: Vec::new(),
        }
    }

    fn unroll(&self, graph: &mut Graph<'_>, segment: &Segment<'_>) -> Unrolled {
        let x = self.inputs(graph, segment.inputs);
        let [h, c] = [H, C].map(|i| &segment.initial_state.arrays[i].data[..]);
        let out = graph.lstm(&x, segment.starts, h, c, &self.cell, segment.batch);
        Unrolled {
            features: out.hidden,
            losses: Vec::new(),
        }
    }

    fn inspect(&self, state: &State, lane: usize) -> MemoryContents {
        MemoryContents::Units(state.arrays[H].row(lane).to_vec())
    }

    fn onnx(
        &self,
        step: &mut StepGraph<'_>,
        inputs: &onnx::Value,
    ) -> Result<onnx::Value, &'static str> {
        let width = self.hidden_size;
        let [h, c] = ["h", "c"].map(|name| {
            let before = step.state(name, &[width], "of the LSTM, after the step before");
            step.reset(&before, 0.0)
        });
        let recurrent = step.param(self.cell.w_hh);
        let from_inputs = step.linear(inputs, (self.cell.w_ih, self.cell.bias));
        let from_before = step.graph.op("MatMul", &[&h, &recurrent]);
        let gates = step.graph.op("Add", &[&from_inputs, &from_before]);
        let [input, forget, candidate, output] =
            [(0, "Sigmoid"), (1, "Sigmoid"), (2, "Tanh"), (3, "Sigmoid")].map(
                |(gate, activation)| {
                    let columns = step.graph.columns(&gates, gate * width, (gate + 1) * width);
                    step.graph.op(activation, &[&columns])
                },
            );
        let kept = step.graph.op("Mul", &[&forget, &c]);
        let added = step.graph.op("Mul", &[&input, &candidate]);
        let c = step.graph.op("Add", &[&kept, &added]);
        let squashed = step.graph.op("Tanh", &[&c]);
        let h = step.graph.op("Mul", &[&output, &squashed]);
        step.next("h", &h);
        step.next("c", &c);
        Ok(h)
    }
}
