//! Long short-term memory (Hochreiter and Schmidhuber 1997; forget gate bias +1 after Gers et al. 2000 and Jozefowicz
//! et al. 2015), as recurrent PPO uses it (Huang et al. 2022; Pleines et al. 2022, arXiv:2205.11104): learning unrolls
//! whole stored sequences from the state at which acting began them.

use super::cell::{Cell, CellRun};
use crate::memory::{CoreContext, Network, State};
use crate::nn::{Activation, Graph, Init, LstmParams, Tensor};
use crate::onnx::{self, StepGraph};

/// One LSTM layer straight on the inputs, with a fused kernel for whole sequences. State: h and c, `hidden_size` numbers
/// each.
pub struct LstmCell {
    params: LstmParams,
    hidden_size: usize,
}

const H: usize = 0;
const C: usize = 1;

impl LstmCell {
    /// Adds its parameters to the context's.
    pub fn new(context: &mut CoreContext<'_>) -> Self {
        Self::over(context.input_size, context)
    }

    /// Adds its parameters to the context's, for inputs of another width than the context's.
    pub fn over(inputs: usize, context: &mut CoreContext<'_>) -> Self {
        let hidden = context.hyper.get::<Network>().hidden_size;
        let CoreContext { params, rng, .. } = context;
        let orthogonal = Init::Orthogonal { gain: 1.0 };
        let w_ih = params.add("core.lstm.weight_ih", (inputs, 4 * hidden), orthogonal, rng);
        let w_hh = params.add("core.lstm.weight_hh", (hidden, 4 * hidden), orthogonal, rng);
        let bias = params.add("core.lstm.bias", (1, 4 * hidden), Init::Zeros, rng);
        // Gates are i, f, g, o: a forget gate that begins open lets a gradient reach back.
        params.data_mut(bias)[hidden..2 * hidden].fill(1.0);
        Self {
            params: LstmParams { w_ih, w_hh, bias },
            hidden_size: hidden,
        }
    }
}

impl Cell for LstmCell {
    fn feature_size(&self) -> usize {
        self.hidden_size
    }

    fn state_widths(&self) -> Vec<usize> {
        vec![self.hidden_size; 2]
    }

    fn step(&self, graph: &mut Graph<'_>, x: &Tensor, state: &[Tensor]) -> (Tensor, Vec<Tensor>) {
        let LstmParams { w_ih, w_hh, bias } = self.params;
        let from_inputs = graph.linear(x, w_ih, Some(bias), Activation::Identity);
        let from_before = graph.linear(&state[H], w_hh, None, Activation::Identity);
        let gates = graph.add(&from_inputs, &from_before);
        let width = self.hidden_size;
        let gate = |graph: &mut Graph<'_>, number: usize, activation| {
            let columns = graph.columns(&gates, number * width..(number + 1) * width);
            graph.activate(&columns, activation)
        };
        let input = gate(graph, 0, Activation::Sigmoid);
        let forget = gate(graph, 1, Activation::Sigmoid);
        let candidate = gate(graph, 2, Activation::Tanh);
        let output = gate(graph, 3, Activation::Sigmoid);
        let kept = graph.mul(&forget, &state[C]);
        let added = graph.mul(&input, &candidate);
        let c = graph.add(&kept, &added);
        let squashed = graph.activate(&c, Activation::Tanh);
        let h = graph.mul(&output, &squashed);
        (h.clone(), vec![h, c])
    }

    fn fused(
        &self,
        graph: &mut Graph<'_>,
        x: &Tensor,
        starts: &[bool],
        state: &State,
    ) -> Option<CellRun> {
        let [h, c] = [H, C].map(|i| &state.arrays[i].data[..]);
        let out = graph.lstm(x, starts, h, c, &self.params, state.rows());
        Some(CellRun {
            features: out.hidden,
            state: vec![out.h, out.c],
        })
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
        let recurrent = step.param(self.params.w_hh);
        let from_inputs = step.linear(inputs, (self.params.w_ih, self.params.bias));
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

#[cfg(test)]
mod tests {
    use super::super::cell::testing::the_fused_kernel_agrees_with_the_step;
    use super::*;

    #[test]
    fn fused_and_stepwise() {
        the_fused_kernel_agrees_with_the_step(LstmCell::new);
    }
}
