//! A gated recurrent unit (Cho et al. 2014, arXiv:1406.1078), in the form of cuDNN: the reset acts after the product.

use super::cell::{Cell, CellRun};
use crate::memory::{CoreContext, Network, State};
use crate::nn::{Activation, Graph, GruParams, Init, Tensor};
use crate::onnx::{self, StepGraph};

/// One layer straight on the inputs, with a fused kernel for whole sequences. State: h, `hidden_size` numbers.
pub struct GruCell {
    params: GruParams,
    hidden_size: usize,
}

impl GruCell {
    /// Adds its parameters to the context's.
    pub fn new(context: &mut CoreContext<'_>) -> Self {
        let inputs = context.input_size;
        let hidden = context.hyper.get::<Network>().hidden_size;
        let CoreContext { params, rng, .. } = context;
        let orthogonal = Init::Orthogonal { gain: 1.0 };
        let w_ih = params.add("core.gru.weight_ih", (inputs, 3 * hidden), orthogonal, rng);
        let w_hh = params.add("core.gru.weight_hh", (hidden, 3 * hidden), orthogonal, rng);
        let bias = params.add("core.gru.bias", (1, 3 * hidden), Init::Zeros, rng);
        let bias_hh = params.add("core.gru.bias_hh", (1, 3 * hidden), Init::Zeros, rng);
        // Gates are r, z, n, and z is the share of the new: at first 73 % of the state stays.
        params.data_mut(bias)[hidden..2 * hidden].fill(-1.0);
        Self {
            params: GruParams {
                w_ih,
                w_hh,
                bias,
                bias_hh,
            },
            hidden_size: hidden,
        }
    }
}

impl Cell for GruCell {
    fn feature_size(&self) -> usize {
        self.hidden_size
    }

    fn state_widths(&self) -> Vec<usize> {
        vec![self.hidden_size]
    }

    /// r, z = σ(x W + b + h U + c), n = tanh(x W + b + r ⊙ (h U + c)), h' = h + z ⊙ (n − h).
    fn step(&self, graph: &mut Graph<'_>, x: &Tensor, state: &[Tensor]) -> (Tensor, Vec<Tensor>) {
        let GruParams {
            w_ih,
            w_hh,
            bias,
            bias_hh,
        } = self.params;
        let width = self.hidden_size;
        let from_inputs = graph.linear(x, w_ih, Some(bias), Activation::Identity);
        let from_before = graph.linear(&state[0], w_hh, Some(bias_hh), Activation::Identity);
        let part = |graph: &mut Graph<'_>, sums: &Tensor, gate: usize| {
            graph.columns(sums, gate * width..(gate + 1) * width)
        };
        let [reset, update] = [0, 1].map(|gate| {
            let [a, b] = [&from_inputs, &from_before].map(|sums| part(graph, sums, gate));
            let sum = graph.add(&a, &b);
            graph.activate(&sum, Activation::Sigmoid)
        });
        let [a, b] = [&from_inputs, &from_before].map(|sums| part(graph, sums, 2));
        let recalled = graph.mul(&reset, &b);
        let sum = graph.add(&a, &recalled);
        let candidate = graph.activate(&sum, Activation::Tanh);
        let minus = graph.scale(&state[0], -1.0);
        let difference = graph.add(&candidate, &minus);
        let moved = graph.mul(&update, &difference);
        let h = graph.add(&state[0], &moved);
        (h.clone(), vec![h])
    }

    fn fused(
        &self,
        graph: &mut Graph<'_>,
        x: &Tensor,
        starts: &[bool],
        state: &State,
    ) -> Option<CellRun> {
        let out = graph.gru(x, starts, &state.arrays[0].data, &self.params, state.rows());
        Some(CellRun {
            features: out.hidden,
            state: vec![out.h],
        })
    }

    fn onnx(
        &self,
        step: &mut StepGraph<'_>,
        inputs: &onnx::Value,
    ) -> Result<onnx::Value, &'static str> {
        let width = self.hidden_size;
        let before = step.state("h", &[width], "of the GRU, after the step before");
        let h = step.reset(&before, 0.0);
        let from_inputs = step.linear(inputs, (self.params.w_ih, self.params.bias));
        let from_before = step.linear(&h, (self.params.w_hh, self.params.bias_hh));
        let [reset, update] = [0, 1].map(|gate| {
            let range = (gate * width, (gate + 1) * width);
            let [a, b] =
                [&from_inputs, &from_before].map(|sums| step.graph.columns(sums, range.0, range.1));
            let sum = step.graph.op("Add", &[&a, &b]);
            step.graph.op("Sigmoid", &[&sum])
        });
        let [a, b] =
            [&from_inputs, &from_before].map(|sums| step.graph.columns(sums, 2 * width, 3 * width));
        let recalled = step.graph.op("Mul", &[&reset, &b]);
        let sum = step.graph.op("Add", &[&a, &recalled]);
        let candidate = step.graph.op("Tanh", &[&sum]);
        let difference = step.graph.op("Sub", &[&candidate, &h]);
        let moved = step.graph.op("Mul", &[&update, &difference]);
        let h = step.graph.op("Add", &[&h, &moved]);
        step.next("h", &h);
        Ok(h)
    }
}

#[cfg(test)]
mod tests {
    use super::super::cell::testing::the_fused_kernel_agrees_with_the_step;
    use super::*;

    #[test]
    fn fused_and_stepwise() {
        the_fused_kernel_agrees_with_the_step(GruCell::new);
    }
}
