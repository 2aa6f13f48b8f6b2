//! A gated recurrent unit over a sequence with resets inside it.

use crate::graph::{GradKey, GradStore, Graph};
use crate::kernels::elementwise::{add_sum_rows, add_to};
use crate::kernels::gru::{StepSaved, gru_step, gru_step_gradient};
use crate::kernels::matmul::{add_matmul, add_matmul_transposed, append_matmul_bias};
use crate::kernels::transpose::transpose;
use crate::ops::sequence::{Sizes, state_before, zero_started};
use crate::params::ParamId;
use crate::tensor::{Tensor, shape, values};

/// The parameters of a cell. Gate order r, z, n (reset, update, candidate); z is the share of the new.
#[derive(Clone, Copy, Debug)]
pub struct GruParams {
    /// Weight of the input, `[inputs, 3 * hidden]`.
    pub w_ih: ParamId,
    /// Weight of the previous hidden state, `[hidden, 3 * hidden]`.
    pub w_hh: ParamId,
    /// Bias of the input's part, `[1, 3 * hidden]`.
    pub bias: ParamId,
    /// Bias of the state's part, `[1, 3 * hidden]`. Its last third stands inside the reset.
    pub bias_hh: ParamId,
}

/// The result of [`Graph::gru`].
pub struct GruOutput {
    /// Hidden state after every step, `[T * batch, hidden]`.
    pub hidden: Tensor,
    /// Hidden state after the last step, `[batch, hidden]`.
    pub h: Vec<f32>,
}

impl Graph<'_> {
    /// Runs a cell over `x` `[T * batch, inputs]` (Cho et al. 2014, arXiv 1406.1078; the reset acts after the product):
    /// `r, z = σ(x·W + b + h·U + c)`, `n = tanh(x·W + b + r ⊙ (h·U + c))`, `h' = (1 − z) ⊙ h + z ⊙ n`.
    ///
    /// Where `starts[t * batch + b]` is set, the state of sequence `b` is zeroed before step `t`. The initial state `h0`
    /// `[batch, hidden]` gets no gradient.
    ///
    /// # Panics
    /// When shapes do not match.
    pub fn gru(
        &mut self,
        x: &Tensor,
        starts: &[bool],
        h0: &[f32],
        cell: &GruParams,
        batch: usize,
    ) -> GruOutput {
        let params = self.params();
        let (rows, inputs) = shape(x);
        let hidden = params.shape(cell.w_hh).0;
        let sizes = Sizes {
            rows,
            batch,
            inputs,
            hidden,
        };
        assert!(
            params.shape(cell.w_ih) == (inputs, 3 * hidden)
                && params.shape(cell.w_hh) == (hidden, 3 * hidden)
                && params.shape(cell.bias) == (1, 3 * hidden)
                && params.shape(cell.bias_hh) == (1, 3 * hidden),
            "the parameters do not match a GRU with {inputs} inputs and {hidden} hidden units"
        );
        sizes.check(starts, h0);
        let weights = [cell.w_ih, cell.w_hh, cell.bias, cell.bias_hh].map(|id| params.data(id));
        let unrolled = unroll(values(x), weights, starts, h0, sizes);
        let h = sizes.last(&unrolled.h, h0);
        let hidden = self.constant(unrolled.h, (rows, hidden));
        let keys = Keys {
            x: self.key(x),
            w_ih: self.param_key(cell.w_ih),
            w_hh: self.param_key(cell.w_hh),
            bias: self.param_key(cell.bias),
            bias_hh: self.param_key(cell.bias_hh),
        };
        if keys.w_hh.wanted() {
            let saved = Saved {
                sizes,
                keys,
                x: x.clone(),
                w_ih: self.param(cell.w_ih),
                w_hh: self.param(cell.w_hh),
                starts: starts.to_vec(),
                h0: h0.to_vec(),
                gates: unrolled.gates,
                kept: unrolled.kept,
                h: hidden.clone(),
            };
            self.record(&hidden, move |dh, grads| saved.backward(dh, grads));
        }
        GruOutput { hidden, h }
    }
}

/// Results of all steps: activations `[rows, 3 * hidden]`, the state's part of the candidate and states `[rows, hidden]`.
struct Unrolled {
    gates: Vec<f32>,
    kept: Vec<f32>,
    h: Vec<f32>,
}

/// Computes all steps in order, the product with the input as well: the gates of one step fit the cache.
fn unroll(
    x: &[f32],
    [w_ih, w_hh, bias, bias_hh]: [&[f32]; 4],
    starts: &[bool],
    h0: &[f32],
    sizes: Sizes,
) -> Unrolled {
    let Sizes {
        rows,
        batch,
        inputs,
        hidden,
    } = sizes;
    let mut gates = Vec::with_capacity(rows * 3 * hidden);
    let mut recalled = Vec::with_capacity(batch * 3 * hidden);
    let [mut h, mut kept] = std::array::from_fn(|_| vec![0.0; rows * hidden]);
    let mut scratch = Vec::new();
    for t in 0..sizes.num_steps() {
        let step = sizes.step(t);
        let (h_past, h_now) = h.split_at_mut(step.start);
        let h_before = state_before(h_past, h0, starts, t, sizes, &mut scratch);
        let x = &x[t * batch * inputs..(t + 1) * batch * inputs];
        append_matmul_bias(&mut gates, x, w_ih, bias, (batch, inputs, 3 * hidden));
        recalled.clear();
        let products = (batch, hidden, 3 * hidden);
        append_matmul_bias(&mut recalled, h_before, w_hh, bias_hh, products);
        gru_step(
            &mut h_now[..step.len()],
            &mut kept[step.clone()],
            &mut gates[3 * step.start..],
            &recalled,
            h_before,
            hidden,
        );
    }
    Unrolled { gates, kept, h }
}

struct Keys {
    x: GradKey,
    w_ih: GradKey,
    w_hh: GradKey,
    bias: GradKey,
    bias_hh: GradKey,
}

/// The values of the forward pass that the backward pass needs.
struct Saved {
    sizes: Sizes,
    keys: Keys,
    x: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    starts: Vec<bool>,
    h0: Vec<f32>,
    gates: Vec<f32>,
    kept: Vec<f32>,
    h: Tensor,
}

impl Saved {
    /// Computes the backward pass through time. Each step adds to the gradients of the weights at once, while the gradient
    /// of its gates is in cache.
    fn backward(self, mut d_hidden: Vec<f32>, grads: &mut GradStore<'_>) {
        let Sizes {
            rows,
            batch,
            inputs,
            hidden,
        } = self.sizes;
        let w_hh_transposed = transpose(values(&self.w_hh), hidden, 3 * hidden);
        let w_ih_transposed = transpose(values(&self.w_ih), inputs, 3 * hidden);
        let [mut d_gates, mut d_recalled] = std::array::from_fn(|_| vec![0.0; batch * 3 * hidden]);
        let mut scratch = Vec::new();
        let wants_dx = self.keys.x.wanted();
        let mut dx = vec![0.0; if wants_dx { rows * inputs } else { 0 }];
        for t in (0..self.sizes.num_steps()).rev() {
            let step = self.sizes.step(t);
            let states = values(&self.h);
            let h_before =
                state_before(states, &self.h0, &self.starts, t, self.sizes, &mut scratch);
            let (past, now) = d_hidden.split_at_mut(step.start);
            let dh = &mut now[..step.len()];
            let saved = StepSaved {
                gates: &self.gates[3 * step.start..3 * step.end],
                kept: &self.kept[step.clone()],
                h_before,
            };
            gru_step_gradient(&mut d_gates, &mut d_recalled, dh, saved, hidden);
            if t > 0 {
                let sizes = (batch, 3 * hidden, hidden);
                let starts = &self.starts[t * batch..(t + 1) * batch];
                add_matmul(dh, &d_recalled, &w_hh_transposed, sizes);
                zero_started(dh, starts, hidden);
                add_to(&mut past[self.sizes.step(t - 1)], dh);
            }
            let x_step = t * batch * inputs..(t + 1) * batch * inputs;
            if wants_dx {
                let sizes = (batch, 3 * hidden, inputs);
                add_matmul(&mut dx[x_step.clone()], &d_gates, &w_ih_transposed, sizes);
            }
            let x = &values(&self.x)[x_step];
            self.add_weight_gradients(grads, (&d_gates, &d_recalled), x, h_before);
        }
        grads.give(&self.keys.x, dx);
    }

    fn add_weight_gradients(
        &self,
        grads: &mut GradStore<'_>,
        (d_gates, d_recalled): (&[f32], &[f32]),
        x: &[f32],
        h_before: &[f32],
    ) {
        let Sizes {
            batch,
            inputs,
            hidden,
            ..
        } = self.sizes;
        let columns = 3 * hidden;
        grads.update(&self.keys.bias, |d| add_sum_rows(d, d_gates, columns));
        grads.update(&self.keys.bias_hh, |d| add_sum_rows(d, d_recalled, columns));
        grads.update(&self.keys.w_hh, |d| {
            add_matmul_transposed(d, h_before, d_recalled, (hidden, batch, columns));
        });
        grads.update(&self.keys.w_ih, |d| {
            add_matmul_transposed(d, x, d_gates, (inputs, batch, columns));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Activation, Init, Params};
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    const INPUTS: usize = 3;
    const HIDDEN: usize = 5;
    const BATCH: usize = 2;
    const STEPS: usize = 6;

    fn cell() -> (Params, GruParams) {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
        let mut params = Params::new();
        let mut add = |name: &str, rows| {
            let normal = Init::Normal { std: 0.6 };
            params.add(name, (rows, 3 * HIDDEN), normal, &mut rng)
        };
        let cell = GruParams {
            w_ih: add("w_ih", INPUTS),
            w_hh: add("w_hh", HIDDEN),
            bias: add("bias", 1),
            bias_hh: add("bias_hh", 1),
        };
        (params, cell)
    }

    fn wave(len: usize, phase: f32) -> Vec<f32> {
        (0..len).map(|i| (i as f32 * 0.7 + phase).sin()).collect()
    }

    /// One step of composed operations.
    fn composed(graph: &mut Graph<'_>, cell: &GruParams, x: &Tensor, h: &Tensor) -> Tensor {
        let identity = Activation::Identity;
        let from_x = graph.linear(x, cell.w_ih, Some(cell.bias), identity);
        let from_h = graph.linear(h, cell.w_hh, Some(cell.bias_hh), identity);
        let part = |graph: &mut Graph<'_>, sums: &Tensor, gate: usize| {
            graph.columns(sums, gate * HIDDEN..(gate + 1) * HIDDEN)
        };
        let [r, z] = [0, 1].map(|gate| {
            let [a, b] = [&from_x, &from_h].map(|sums| part(graph, sums, gate));
            let sum = graph.add(&a, &b);
            graph.activate(&sum, Activation::Sigmoid)
        });
        let [a, b] = [&from_x, &from_h].map(|sums| part(graph, sums, 2));
        let recalled = graph.mul(&r, &b);
        let sum = graph.add(&a, &recalled);
        let n = graph.activate(&sum, Activation::Tanh);
        let minus = graph.scale(h, -1.0);
        let difference = graph.add(&n, &minus);
        let moved = graph.mul(&z, &difference);
        graph.add(h, &moved)
    }

    /// Values and gradients, with a reset in the middle of one sequence.
    #[test]
    fn a_sequence_equals_composed_steps() {
        let (params, cell) = cell();
        let x = wave(STEPS * BATCH * INPUTS, 0.0);
        let h0 = wave(BATCH * HIDDEN, 1.0);
        let mut starts = vec![false; STEPS * BATCH];
        starts[3 * BATCH] = true;
        let targets = wave(STEPS * BATCH * HIDDEN, 2.0);
        let ones = vec![1.0; STEPS * BATCH];

        let mut graph = Graph::training(&params);
        let input = graph.constant(x.clone(), (STEPS * BATCH, INPUTS));
        let fused = graph.gru(&input, &starts, &h0, &cell, BATCH);
        let loss = graph.mse(&fused.hidden, &targets, &ones);
        let fused_gradients = graph.backward(&loss);

        let mut graph = Graph::training(&params);
        let mut h = graph.constant(h0.clone(), (BATCH, HIDDEN));
        let mut all = Vec::new();
        for (t, x) in x.chunks(BATCH * INPUTS).enumerate() {
            if t == 3 {
                let mut kept = vec![1.0; BATCH * HIDDEN];
                kept[..HIDDEN].fill(0.0);
                let kept = graph.constant(kept, (BATCH, HIDDEN));
                h = graph.mul(&h, &kept);
            }
            let x = graph.constant(x.to_vec(), (BATCH, INPUTS));
            h = composed(&mut graph, &cell, &x, &h);
            all.push(h.clone());
        }
        let hidden = graph.concat_rows(&all.iter().collect::<Vec<_>>());
        let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(close(values(&fused.hidden), values(&hidden)));
        assert!(close(&fused.h, values(&h)));
        let loss = graph.mse(&hidden, &targets, &ones);
        let gradients = graph.backward(&loss);
        for id in params.ids() {
            let (fused, composed) = (fused_gradients.of(id), gradients.of(id));
            assert!(
                close(fused.unwrap(), composed.unwrap()),
                "{}",
                params.name(id)
            );
        }
    }

    /// One input, one unit: r = σ(0) = ½, z = σ(ln 3) = ¾, n = tanh(½·(2·½ + 0)), h' = ¼·½ + ¾·n.
    #[test]
    fn by_hand() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(0);
        let mut params = Params::new();
        let mut add = |name: &str, numbers: [f32; 3]| {
            let id = params.add(name, (1, 3), Init::Zeros, &mut rng);
            params.data_mut(id).copy_from_slice(&numbers);
            id
        };
        let cell = GruParams {
            w_ih: add("w_ih", [0.0, 0.0, 0.0]),
            w_hh: add("w_hh", [0.0, 0.0, 2.0]),
            bias: add("bias", [0.0, 3.0f32.ln(), 0.0]),
            bias_hh: add("bias_hh", [0.0; 3]),
        };
        let mut graph = Graph::inference(&params);
        let x = graph.constant(vec![1.0], (1, 1));
        let output = graph.gru(&x, &[false], &[0.5], &cell, 1);
        let expected = 0.25 * 0.5 + 0.75 * 0.5f32.tanh();
        assert!((output.h[0] - expected).abs() < 1e-6);
    }

    /// An update gate of 0 keeps the state exactly; of 1, with a reset of 0, it forgets it.
    #[test]
    fn gates_keep_and_forget() {
        let (mut params, cell) = cell();
        let mut closed = |z: f32, r: f32| {
            params.data_mut(cell.bias)[..HIDDEN].fill(r);
            params.data_mut(cell.bias)[HIDDEN..2 * HIDDEN].fill(z);
            let mut graph = Graph::inference(&params);
            let x = graph.constant(wave(BATCH * INPUTS, 0.0), (BATCH, INPUTS));
            let states = [1.0, 2.0].map(|phase| wave(BATCH * HIDDEN, phase));
            let after = [0, 1].map(|i| graph.gru(&x, &[false; BATCH], &states[i], &cell, BATCH).h);
            (states, after)
        };
        let (states, after) = closed(-200.0, 0.0);
        assert_eq!(after, states);
        let (_, after) = closed(200.0, -200.0);
        let [first, second] = after;
        assert!(first.iter().zip(&second).all(|(a, b)| (a - b).abs() < 1e-6));
    }
}
