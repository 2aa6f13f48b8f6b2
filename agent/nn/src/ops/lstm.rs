//! A long short-term memory over a sequence with resets inside it.

use crate::graph::{GradKey, GradStore, Graph};
use crate::kernels::elementwise::{add_sum_rows, add_to};
use crate::kernels::lstm::{StepState, lstm_step, lstm_step_gradient};
use crate::kernels::matmul::{add_matmul, add_matmul_transposed, append_matmul_bias, matmul_bias};
use crate::kernels::transpose::transpose;
use crate::ops::sequence::{Sizes, state_before, zero_started};
use crate::params::ParamId;
use crate::tensor::{Tensor, shape, values};

/// The parameters of a cell. Gate order i, f, g, o (input, forget, candidate, output).
#[derive(Clone, Copy, Debug)]
pub struct LstmParams {
    /// Weight of the input, `[inputs, 4 * hidden]`.
    pub w_ih: ParamId,
    /// Weight of the previous hidden state, `[hidden, 4 * hidden]`.
    pub w_hh: ParamId,
    /// Bias, `[1, 4 * hidden]`.
    pub bias: ParamId,
}

/// The result of [`Graph::lstm`].
pub struct LstmOutput {
    /// Hidden state after every step, `[T * batch, hidden]`.
    pub hidden: Tensor,
    /// Hidden state after the last step, `[batch, hidden]`.
    pub h: Vec<f32>,
    /// Cell state after the last step, `[batch, hidden]`.
    pub c: Vec<f32>,
}

impl Graph<'_> {
    /// Runs a cell over `x` `[T * batch, inputs]` (Hochreiter & Schmidhuber 1997; forget gate of
    /// Gers et al. 2000):
    /// `i, f, o = σ(…), g = tanh(…)` of `x·W_ih + h·W_hh + bias`, `c' = f ⊙ c + i ⊙ g`,
    /// `h' = o ⊙ tanh c'`.
    ///
    /// Where `starts[t * batch + b]` is set, the state of sequence `b` is zeroed before step `t`.
    /// The initial state, `h0` and `c0` `[batch, hidden]`, gets no gradient.
    pub fn lstm(
        &mut self,
        x: &Tensor,
        starts: &[bool],
        h0: &[f32],
        c0: &[f32],
        cell: &LstmParams,
        batch: usize,
    ) -> LstmOutput {
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
            params.shape(cell.w_ih) == (inputs, 4 * hidden)
                && params.shape(cell.w_hh) == (hidden, 4 * hidden)
                && params.shape(cell.bias) == (1, 4 * hidden),
            "the parameters do not match an LSTM with {inputs} inputs and {hidden} hidden units"
        );
        sizes.check(starts, h0);
        sizes.check(starts, c0);
        let weights = [cell.w_ih, cell.w_hh, cell.bias].map(|id| params.data(id));
        let unrolled = unroll(values(x), weights, starts, h0, c0, sizes);
        let (h, c) = (sizes.last(&unrolled.h, h0), sizes.last(&unrolled.c, c0));
        let hidden = self.constant(unrolled.h, (rows, hidden));
        let keys = Keys {
            x: self.key(x),
            w_ih: self.param_key(cell.w_ih),
            w_hh: self.param_key(cell.w_hh),
            bias: self.param_key(cell.bias),
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
                c0: c0.to_vec(),
                gates: unrolled.gates,
                h: hidden.clone(),
                c: unrolled.c,
                tanh_c: unrolled.tanh_c,
            };
            self.record(&hidden, move |dh, grads| saved.backward(dh, grads));
        }
        LstmOutput { hidden, h, c }
    }
}

/// Results of all steps: activated gates `[rows, 4 * hidden]`, and states and tanh of the cell
/// state `[rows, hidden]`.
struct Unrolled {
    gates: Vec<f32>,
    h: Vec<f32>,
    c: Vec<f32>,
    tanh_c: Vec<f32>,
}

/// Computes all steps in order. The product with the input is also computed step by step, because
/// the gates of one step fit the cache and the gates of all steps do not.
fn unroll(
    x: &[f32],
    [w_ih, w_hh, bias]: [&[f32]; 3],
    starts: &[bool],
    h0: &[f32],
    c0: &[f32],
    sizes: Sizes,
) -> Unrolled {
    let Sizes {
        rows,
        batch,
        inputs,
        hidden,
    } = sizes;
    let mut gates = Vec::with_capacity(rows * 4 * hidden);
    let [mut h, mut c, mut tanh_c] = std::array::from_fn(|_| vec![0.0; rows * hidden]);
    let mut scratch = [Vec::new(), Vec::new()];
    for t in 0..sizes.num_steps() {
        let step = sizes.step(t);
        let (h_past, h_now) = h.split_at_mut(step.start);
        let (c_past, c_now) = c.split_at_mut(step.start);
        let [h_scratch, c_scratch] = &mut scratch;
        let h_before = state_before(h_past, h0, starts, t, sizes, h_scratch);
        let c_before = state_before(c_past, c0, starts, t, sizes, c_scratch);
        let x = &x[t * batch * inputs..(t + 1) * batch * inputs];
        append_matmul_bias(&mut gates, x, w_ih, bias, (batch, inputs, 4 * hidden));
        let gates = &mut gates[4 * step.start..];
        add_matmul(gates, h_before, w_hh, (batch, hidden, 4 * hidden));
        let state = StepState {
            h: &mut h_now[..step.len()],
            c: &mut c_now[..step.len()],
            tanh_c: &mut tanh_c[step],
        };
        lstm_step(state, gates, c_before, hidden);
    }
    Unrolled {
        gates,
        h,
        c,
        tanh_c,
    }
}

struct Keys {
    x: GradKey,
    w_ih: GradKey,
    w_hh: GradKey,
    bias: GradKey,
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
    c0: Vec<f32>,
    gates: Vec<f32>,
    h: Tensor,
    c: Vec<f32>,
    tanh_c: Vec<f32>,
}

impl Saved {
    /// Computes the backward pass through time. Each step adds to the gradients of the weights at
    /// once, while the gradient of its gates is in cache.
    fn backward(self, mut d_hidden: Vec<f32>, grads: &mut GradStore<'_>) {
        let Sizes {
            rows,
            batch,
            inputs,
            hidden,
        } = self.sizes;
        let w_hh_transposed = transpose(values(&self.w_hh), hidden, 4 * hidden);
        let w_ih_transposed = transpose(values(&self.w_ih), inputs, 4 * hidden);
        let mut dc = vec![0.0; batch * hidden];
        let mut d_gates = vec![0.0; batch * 4 * hidden];
        let mut scratch = Vec::new();
        let mut dx = vec![
            0.0;
            if self.keys.x.wanted() {
                rows * inputs
            } else {
                0
            }
        ];
        for t in (0..self.sizes.num_steps()).rev() {
            let step = self.sizes.step(t);
            let c_before =
                state_before(&self.c, &self.c0, &self.starts, t, self.sizes, &mut scratch);
            lstm_step_gradient(
                &mut d_gates,
                &mut dc,
                &self.gates[4 * step.start..4 * step.end],
                c_before,
                &self.tanh_c[step.clone()],
                &d_hidden[step],
                hidden,
            );
            if t > 0 {
                let starts = &self.starts[t * batch..(t + 1) * batch];
                zero_started(&mut dc, starts, hidden);
                let dh = &mut d_hidden[self.sizes.step(t - 1)];
                self.add_to_previous(dh, &d_gates, &w_hh_transposed, starts);
            }
            let x_step = t * batch * inputs..(t + 1) * batch * inputs;
            if self.keys.x.wanted() {
                let sizes = (batch, 4 * hidden, inputs);
                add_matmul(&mut dx[x_step.clone()], &d_gates, &w_ih_transposed, sizes);
            }
            let h = values(&self.h);
            let h_before = state_before(h, &self.h0, &self.starts, t, self.sizes, &mut scratch);
            self.add_weight_gradients(grads, &d_gates, &values(&self.x)[x_step], h_before);
        }
        grads.give(&self.keys.x, dx);
    }

    /// Adds the gradient of the previous step's hidden state, except across a start.
    fn add_to_previous(
        &self,
        dh: &mut [f32],
        d_gates: &[f32],
        w_hh_transposed: &[f32],
        starts: &[bool],
    ) {
        let Sizes { batch, hidden, .. } = self.sizes;
        let sizes = (batch, 4 * hidden, hidden);
        if starts.contains(&true) {
            let mut contribution = matmul_bias(d_gates, w_hh_transposed, &[], sizes);
            zero_started(&mut contribution, starts, hidden);
            add_to(dh, &contribution);
        } else {
            add_matmul(dh, d_gates, w_hh_transposed, sizes);
        }
    }

    fn add_weight_gradients(
        &self,
        grads: &mut GradStore<'_>,
        d_gates: &[f32],
        x: &[f32],
        h_before: &[f32],
    ) {
        let Sizes {
            batch,
            inputs,
            hidden,
            ..
        } = self.sizes;
        grads.update(&self.keys.bias, |d| add_sum_rows(d, d_gates, 4 * hidden));
        grads.update(&self.keys.w_hh, |d| {
            add_matmul_transposed(d, h_before, d_gates, (hidden, batch, 4 * hidden));
        });
        grads.update(&self.keys.w_ih, |d| {
            add_matmul_transposed(d, x, d_gates, (inputs, batch, 4 * hidden));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Init, Params};
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    const INPUTS: usize = 3;
    const HIDDEN: usize = 5;
    const BATCH: usize = 2;
    const STEPS: usize = 6;

    fn cell() -> (Params, LstmParams) {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
        let mut params = Params::new();
        let mut add = |name: &str, rows| {
            params.add(
                name,
                (rows, 4 * HIDDEN),
                Init::Normal { std: 0.6 },
                &mut rng,
            )
        };
        let cell = LstmParams {
            w_ih: add("w_ih", INPUTS),
            w_hh: add("w_hh", HIDDEN),
            bias: add("bias", 1),
        };
        (params, cell)
    }

    fn wave(len: usize, phase: f32) -> Vec<f32> {
        (0..len).map(|i| (i as f32 * 0.7 + phase).sin()).collect()
    }

    fn run(
        (params, cell): &(Params, LstmParams),
        x: &[f32],
        starts: &[bool],
        h0: &[f32],
        c0: &[f32],
    ) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
        let mut graph = Graph::inference(params);
        let x = graph.constant(x.to_vec(), (starts.len(), INPUTS));
        let output = graph.lstm(&x, starts, h0, c0, cell, BATCH);
        (values(&output.hidden).to_vec(), output.h, output.c)
    }

    #[test]
    fn a_sequence_equals_its_steps() {
        let cell = cell();
        let x = wave(STEPS * BATCH * INPUTS, 0.0);
        let starts: Vec<bool> = (0..STEPS * BATCH).map(|row| row % 5 == 3).collect();
        let (h0, c0) = (wave(BATCH * HIDDEN, 1.0), wave(BATCH * HIDDEN, 2.0));
        let whole = run(&cell, &x, &starts, &h0, &c0);
        let (mut h, mut c, mut hidden) = (h0, c0, Vec::new());
        for (x, starts) in x.chunks(BATCH * INPUTS).zip(starts.chunks(BATCH)) {
            let step = run(&cell, x, starts, &h, &c);
            hidden.extend(step.0);
            (h, c) = (step.1, step.2);
        }
        assert_eq!(whole, (hidden, h, c));
    }

    #[test]
    fn nothing_passes_a_start() {
        let cell = cell();
        let mut starts = vec![false; STEPS * BATCH];
        let start_row = 3 * BATCH;
        starts[start_row] = true;
        let x = wave(STEPS * BATCH * INPUTS, 0.0);
        let mut other = x.clone();
        for row in (0..3).map(|t| t * BATCH) {
            other[row * INPUTS..(row + 1) * INPUTS].fill(9.0);
        }
        let state = |phase| wave(BATCH * HIDDEN, phase);
        let (first, ..) = run(&cell, &x, &starts, &state(1.0), &state(2.0));
        let (second, ..) = run(&cell, &other, &starts, &state(3.0), &state(2.0));
        let row = |hidden: &[f32], t: usize| hidden[t * BATCH * HIDDEN..][..HIDDEN].to_vec();
        for t in 0..STEPS {
            assert_eq!(
                row(&first, t) == row(&second, t),
                t >= 3,
                "sequence 0, step {t}"
            );
        }
    }

    #[test]
    fn no_gradient_passes_a_start() {
        let (mut params, cell) = cell();
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(0);
        let x = params.add(
            "x",
            (STEPS * BATCH, INPUTS),
            Init::Normal { std: 1.0 },
            &mut rng,
        );
        let mut starts = vec![false; STEPS * BATCH];
        starts[3 * BATCH] = true;
        let mut graph = Graph::training(&params);
        let input = graph.param(x);
        let zeros = [0.0; BATCH * HIDDEN];
        let output = graph.lstm(&input, &starts, &zeros, &zeros, &cell, BATCH);
        // The loss is about the last step of both sequences.
        let mut weights = vec![0.0; STEPS * BATCH];
        weights[(STEPS - 1) * BATCH..].fill(1.0);
        let loss = graph.mse(&output.hidden, &[1.0; STEPS * BATCH * HIDDEN], &weights);
        let gradients = graph.backward(&loss);
        let dx = gradients.of(x).expect("the loss depends on x");
        for (row, dx) in dx.chunks(INPUTS).enumerate() {
            let (t, sequence) = (row / BATCH, row % BATCH);
            let reached = sequence == 1 || t >= 3;
            assert_eq!(
                dx.iter().all(|&d| d != 0.0),
                reached,
                "sequence {sequence}, step {t}"
            );
        }
    }

    #[test]
    fn a_sequence_of_no_steps_keeps_the_state() {
        let (h0, c0) = (wave(BATCH * HIDDEN, 1.0), wave(BATCH * HIDDEN, 2.0));
        let (hidden, h, c) = run(&cell(), &[], &[], &h0, &c0);
        assert!(hidden.is_empty());
        assert_eq!((h, c), (h0, c0));
    }
}
