//! A gate in place of a residual sum.

use crate::graph::{GradKey, GradStore, Graph};
use crate::kernels::elementwise::add_sum_rows;
use crate::kernels::gru_gate::{mix, mix_gradient, reset, reset_gradient};
use crate::kernels::matmul::{add_matmul, add_matmul_transposed, append_matmul_bias};
use crate::kernels::transpose::transpose;
use crate::params::ParamId;
use crate::tensor::{Tensor, shape, values};

/// Rows that are computed together, so that a block stays in cache from product to product.
const BLOCK_ROWS: usize = 96;

/// The parameters of a gate of GRU type. Rows of the weights are those of the new y, then those of the old x.
#[derive(Clone, Copy, Debug)]
pub struct GruGateParams {
    /// Weight of the reset and the update, `[2 * width, 2 * width]`: W_r, W_z above U_r, U_z.
    pub gates: ParamId,
    /// Weight of the candidate, `[2 * width, width]`: W_g above U_g.
    pub candidate: ParamId,
    /// b_g, `[1, width]`: how far the gate is closed.
    pub bias: ParamId,
}

impl Graph<'_> {
    /// Lets the new `y` change the old `x`, both `[M, width]` (Parisotto et al. 2020, arXiv 1910.06764, section 3.2):
    /// `r = σ(W_r y + U_r x)`, `z = σ(W_z y + U_z x − b_g)`, `h = tanh(W_g y + U_g (r ⊙ x))`, result
    /// `(1 − z) ⊙ x + z ⊙ h`.
    ///
    /// # Panics
    /// When shapes do not match.
    pub fn gru_gate(&mut self, x: &Tensor, y: &Tensor, gate: &GruGateParams) -> Tensor {
        let (rows, width) = shape(x);
        let params = self.params();
        assert!(
            shape(y) == (rows, width)
                && params.shape(gate.gates) == (2 * width, 2 * width)
                && params.shape(gate.candidate) == (2 * width, width)
                && params.shape(gate.bias) == (1, width),
            "the parameters do not match a gate of {width} numbers"
        );
        let [w_gates, w_candidate, bias] =
            [gate.gates, gate.candidate, gate.bias].map(|id| params.data(id));
        let shift: Vec<f32> = std::iter::repeat_n(0.0, width)
            .chain(bias.iter().map(|bias| -bias))
            .collect();
        let mut out = Vec::with_capacity(rows * width);
        let mut gates = Vec::with_capacity(rows * 2 * width);
        let mut candidate = Vec::with_capacity(rows * width);
        let mut kept = vec![0.0; BLOCK_ROWS.min(rows) * width];
        let [of_y, of_x] = halves(w_gates);
        let [candidate_of_y, candidate_of_x] = halves(w_candidate);
        for first in (0..rows).step_by(BLOCK_ROWS) {
            let count = BLOCK_ROWS.min(rows - first);
            let block = first * width..(first + count) * width;
            let kept = &mut kept[..block.len()];
            let [x, y] = [x, y].map(|rows| &values(rows)[block.clone()]);
            let sizes = (count, width, 2 * width);
            append_matmul_bias(&mut gates, y, of_y, &shift, sizes);
            let gates = &mut gates[2 * block.start..];
            add_matmul(gates, x, of_x, sizes);
            reset(gates, kept, x, width);
            let sizes = (count, width, width);
            append_matmul_bias(&mut candidate, y, candidate_of_y, &[], sizes);
            let candidate = &mut candidate[block.start..];
            add_matmul(candidate, kept, candidate_of_x, sizes);
            out.extend_from_slice(x);
            mix(&mut out[block], candidate, gates, width);
        }
        let out = self.constant(out, (rows, width));
        let keys = Keys {
            x: self.key(x),
            y: self.key(y),
            gates: self.param_key(gate.gates),
            candidate: self.param_key(gate.candidate),
            bias: self.param_key(gate.bias),
        };
        if keys.gates.wanted() {
            let saved = Saved {
                keys,
                x: x.clone(),
                y: y.clone(),
                w_gates: self.param(gate.gates),
                w_candidate: self.param(gate.candidate),
                gates,
                candidate,
            };
            self.record(&out, move |d_out, grads| saved.backward(&d_out, grads));
        }
        out
    }
}

struct Keys {
    x: GradKey,
    y: GradKey,
    gates: GradKey,
    candidate: GradKey,
    bias: GradKey,
}

/// The values of the forward pass that the backward pass needs.
struct Saved {
    keys: Keys,
    x: Tensor,
    y: Tensor,
    w_gates: Tensor,
    w_candidate: Tensor,
    gates: Vec<f32>,
    candidate: Vec<f32>,
}

/// Returns the upper half of a weight, which multiplies y, and the lower half, which multiplies x.
fn halves(weight: &[f32]) -> [&[f32]; 2] {
    let (of_y, of_x) = weight.split_at(weight.len() / 2);
    [of_y, of_x]
}

/// Gradients of the parameters, summed over blocks: of the upper halves, then of the lower ones.
#[derive(Default)]
struct Sums {
    gates: [Vec<f32>; 2],
    candidate: [Vec<f32>; 2],
    /// Of the shifts of r and z: the first half is that of no parameter.
    shift: Vec<f32>,
}

impl Saved {
    fn backward(self, d_out: &[f32], grads: &mut GradStore<'_>) {
        let (rows, width) = shape(&self.x);
        let [w_gates, w_candidate] =
            [(&self.w_gates, 2 * width), (&self.w_candidate, width)].map(|(weight, outputs)| {
                halves(values(weight)).map(|half| transpose(half, width, outputs))
            });
        let [mut dx, mut dy] = [0, 1].map(|_| Vec::with_capacity(rows * width));
        let mut sums = Sums::default();
        let largest = BLOCK_ROWS.min(rows) * width;
        let mut d_gates = vec![0.0; 2 * largest];
        let mut d_candidate = vec![0.0; largest];
        let mut d_kept = Vec::with_capacity(largest);
        for first in (0..rows).step_by(BLOCK_ROWS) {
            let count = BLOCK_ROWS.min(rows - first);
            let block = first * width..(first + count) * width;
            dx.extend_from_slice(&d_out[block.clone()]);
            let dx = &mut dx[block.clone()];
            let d_gates = &mut d_gates[..2 * block.len()];
            let d_candidate = &mut d_candidate[..block.len()];
            let [x, y] = [&self.x, &self.y].map(|rows| &values(rows)[block.clone()]);
            let gates = &self.gates[2 * block.start..2 * block.end];
            let candidate = &self.candidate[block.clone()];
            let outputs = (&mut *d_candidate, &mut *d_gates, &mut *dx);
            mix_gradient(outputs, candidate, gates, x, width);
            let square = (count, width, width);
            append_matmul_bias(&mut dy, d_candidate, &w_candidate[0], &[], square);
            d_kept.clear();
            append_matmul_bias(&mut d_kept, d_candidate, &w_candidate[1], &[], square);
            reset_gradient((&mut *d_gates, &mut *dx), &mut d_kept, gates, x, width);
            let kept = &d_kept;
            let wide = (width, count, 2 * width);
            add_matmul_transposed(&mut sums.gates[0], y, d_gates, wide);
            add_matmul_transposed(&mut sums.gates[1], x, d_gates, wide);
            let square = (width, count, width);
            add_matmul_transposed(&mut sums.candidate[0], y, d_candidate, square);
            add_matmul_transposed(&mut sums.candidate[1], kept, d_candidate, square);
            add_sum_rows(&mut sums.shift, d_gates, 2 * width);
            let back = (count, 2 * width, width);
            add_matmul(&mut dy[block], d_gates, &w_gates[0], back);
            add_matmul(dx, d_gates, &w_gates[1], back);
        }
        grads.give(&self.keys.x, dx);
        grads.give(&self.keys.y, dy);
        grads.give(&self.keys.gates, sums.gates.concat());
        grads.give(&self.keys.candidate, sums.candidate.concat());
        let d_bias = sums.shift.iter().skip(width).map(|d| -d).collect();
        grads.give(&self.keys.bias, d_bias);
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::*;
    use crate::{Activation, Init, Params};

    fn gate(width: usize, init: Init, closed: f32) -> (Params, GruGateParams) {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(0);
        let mut params = Params::new();
        let gates = params.add("gates", (2 * width, 2 * width), init, &mut rng);
        let candidate = params.add("candidate", (2 * width, width), init, &mut rng);
        let bias = params.add("bias", (1, width), Init::Constant(closed), &mut rng);
        let ids = GruGateParams {
            gates,
            candidate,
            bias,
        };
        (params, ids)
    }

    fn numbers(graph: &Graph<'_>, rows: usize, width: usize, seed: u64) -> Tensor {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let draw = |_| (0..12).map(|_| rng.random::<f32>() - 0.5).sum();
        graph.constant((0..rows * width).map(draw).collect(), (rows, width))
    }

    /// All weights 0: σ(−2) of x is lost, and a very closed gate is the identity.
    #[test]
    fn without_weights_the_bias_alone_decides() {
        for (closed, kept, tolerance) in [(2.0, 0.880_797_1, 1e-6), (20.0, 1.0, 1e-7)] {
            let (params, ids) = gate(2, Init::Zeros, closed);
            let mut graph = Graph::inference(&params);
            let x = graph.constant(vec![1.0, -0.5], (1, 2));
            let y = graph.constant(vec![3.0, 4.0], (1, 2));
            let out = graph.gru_gate(&x, &y, &ids);
            for (out, x) in values(&out).iter().zip([1.0, -0.5]) {
                assert!((out - kept * x).abs() < tolerance, "{out}");
            }
        }
    }

    /// Weights of variance 1 / width: the result stays near x.
    #[test]
    fn a_fresh_gate_is_near_the_identity() {
        let width = 32;
        let std = 1.0 / (width as f32).sqrt();
        let (params, ids) = gate(width, Init::Normal { std }, 2.0);
        let mut graph = Graph::inference(&params);
        let [x, y] = [1, 2].map(|seed| numbers(&graph, 200, width, seed));
        let out = graph.gru_gate(&x, &y, &ids);
        let norm = |x: &[f32]| x.iter().map(|x| x * x).sum::<f32>().sqrt();
        let pairs = || values(&out).iter().zip(values(&x));
        let change: Vec<f32> = pairs().map(|(out, x)| out - x).collect();
        let (out_norm, x_norm) = (norm(values(&out)), norm(values(&x)));
        let cosine = pairs().map(|(out, x)| out * x).sum::<f32>() / out_norm / x_norm;
        assert!(norm(&change) / x_norm < 0.35);
        assert!(cosine > 0.93, "{cosine}");
    }

    /// More rows than a block.
    #[test]
    fn it_equals_its_composition() {
        let (width, rows) = (3, 2 * BLOCK_ROWS + 5);
        let (params, ids) = gate(width, Init::Normal { std: 0.5 }, 0.5);
        let mut graph = Graph::inference(&params);
        let [x, y] = [1, 2].map(|seed| numbers(&graph, rows, width, seed));
        let out = graph.gru_gate(&x, &y, &ids);
        let pair = graph.concat_cols(&[&y, &x]);
        let sums = graph.linear(&pair, ids.gates, None, Activation::Identity);
        let r = graph.columns(&sums, 0..width);
        let r = graph.activate(&r, Activation::Sigmoid);
        let z = graph.columns(&sums, width..2 * width);
        let z = graph.affine(&z, 1.0, -0.5);
        let z = graph.activate(&z, Activation::Sigmoid);
        let reset = graph.mul(&r, &x);
        let pair = graph.concat_cols(&[&y, &reset]);
        let h = graph.linear(&pair, ids.candidate, None, Activation::Tanh);
        let kept = graph.affine(&z, -1.0, 1.0);
        let [kept, new] = [(&kept, &x), (&z, &h)].map(|(a, b)| graph.mul(a, b));
        let composed = graph.add(&kept, &new);
        for (fused, composed) in values(&out).iter().zip(values(&composed)) {
            assert!((fused - composed).abs() < 1e-6);
        }
    }
}
