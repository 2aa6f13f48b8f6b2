//! A minimal gated recurrent unit (Feng et al. 2024, arXiv:2410.01201): it forgets by content. Its gate and its candidate
//! see the input alone, as those of Mamba (arXiv:2312.00752) and RG-LRU (arXiv:2402.19427) do.

use super::stack::{Linear, LinearRecurrence, Sequence};
use crate::memory::{CoreContext, Network};
use crate::nn::{Graph, Tensor};
use crate::onnx::{self, StepGraph};

/// Bias of the gate at the beginning: 73 % of the state stays.
const GATE_BIAS: f32 = -1.0;

/// h' = (1 − z) ⊙ h + z ⊙ c with z = σ(W x + b) and c = U x + d; h' is read. Gates stand before candidates in the columns
/// of one matrix.
pub struct MinGru {
    gate_and_candidate: Linear,
    hidden_size: usize,
}

impl LinearRecurrence for MinGru {
    fn new(context: &mut CoreContext<'_>, layer: &str) -> Self {
        let width = context.hyper.get::<Network>().hidden_size;
        // Rows of length √2 over twice the columns: a gate and a candidate vary as much as their input.
        let gain = std::f32::consts::SQRT_2;
        let name = format!("{layer}.gate_and_candidate");
        let (weight, bias) = context.layer(&name, (width, 2 * width), gain);
        context.params.data_mut(bias)[..width].fill(GATE_BIAS);
        Self {
            gate_and_candidate: (weight, bias),
            hidden_size: width,
        }
    }

    fn state_size(&self) -> usize {
        self.hidden_size
    }

    fn layer(&self, graph: &mut Graph<'_>, x: &Tensor, over: &Sequence<'_>) -> (Tensor, Vec<f32>) {
        let layer = self.gate_and_candidate;
        graph.min_gru(x, layer, over.starts, over.before, over.batch)
    }

    fn onnx(
        &self,
        step: &mut StepGraph<'_>,
        x: &onnx::Value,
        state: &str,
    ) -> Result<onnx::Value, &'static str> {
        let width = self.hidden_size;
        let before = step.state(state, &[width], "of a minGRU, after the step before");
        let h = step.reset(&before, 0.0);
        let sums = step.linear(x, self.gate_and_candidate);
        let gate = step.graph.columns(&sums, 0, width);
        let gate = step.graph.op("Sigmoid", &[&gate]);
        let candidate = step.graph.columns(&sums, width, 2 * width);
        let difference = step.graph.op("Sub", &[&candidate, &h]);
        let moved = step.graph.op("Mul", &[&gate, &difference]);
        let h = step.graph.op("Add", &[&h, &moved]);
        step.next(state, &h);
        Ok(h)
    }
}

#[cfg(test)]
mod tests {
    use super::super::stack::testing::{features, set, stack};
    use super::*;
    use crate::hyper::Hyperparameters;
    use crate::memory::Layers;

    /// One unit: inputs that open the gate are stored, and kept exactly while it is shut.
    #[test]
    fn a_shut_gate_keeps_exactly() {
        let hyper = Hyperparameters::new()
            .with(Network { hidden_size: 2 })
            .with(Layers { memory_layers: 1 });
        let (core, mut params) = stack::<MinGru>(2, &hyper);
        // tanh(9 · 1) is 1: the first input drives the gate, the second the candidate.
        set(&mut params, "core.embed.weight", &[9.0, 0.0, 0.0, 1.0]);
        let gates = [200.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0];
        set(&mut params, "core.layer1.gate_and_candidate.weight", &gates);
        let bias = [-100.0, -100.0, 0.0, 0.0];
        set(&mut params, "core.layer1.gate_and_candidate.bias", &bias);
        let inputs = [1.0, 0.5, 0.0, -2.0, 0.0, 3.0, 1.0, -0.25, 0.0, 7.0];
        let seen: Vec<f32> = features(&core, &params, &inputs)
            .chunks(2)
            .map(|features| features[0])
            .collect();
        // The first feature is tanh of the first unit of h, and of 1 where the gate is open.
        let [first, second] = [0.5f32, -0.25].map(f32::tanh);
        let expected = [first + 1.0, first, first, second + 1.0, second].map(f32::tanh);
        for (seen, expected) in seen.iter().zip(expected) {
            assert!((seen - expected).abs() < 1e-6, "{seen} {expected}");
        }
        assert_eq!(seen[1], seen[2]);
    }
}
