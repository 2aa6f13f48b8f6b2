//! A long short-term memory over a sequence with resets inside it.

use crate::nn::graph::{GradKey, GradStore, Graph};
use crate::nn::kernels::elementwise::{add_to, sum_rows};
use crate::nn::kernels::lstm::{lstm_step, lstm_step_gradient};
use crate::nn::kernels::matmul::{matmul_nn, matmul_nt, matmul_tn};
use crate::nn::params::ParamId;
use crate::nn::tensor::{Tensor, shape, values};

/// The parameters of a cell. Gate order i, f, g, o (input, forget, candidate, output).
#[derive(Clone, Copy, Debug)]
pub struct LstmParams {
    /// From the input, `[inputs, 4 * hidden]`.
    pub w_ih: ParamId,
    /// From the previous hidden state, `[hidden, 4 * hidden]`.
    pub w_hh: ParamId,
    /// `[1, 4 * hidden]`.
    pub bias: ParamId,
}

/// What [`Graph::lstm`] returns.
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
    /// Where `starts[t * batch + b]` is set, the state of `b` is zeroed before step `t`. The state
    /// at the beginning, `h0` and `c0` `[batch, hidden]`, gets no gradient.
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
            "an LSTM with {inputs} inputs and {hidden} hidden units got other parameters"
        );
        assert!(
            batch > 0 && rows % batch == 0 && starts.len() == rows,
            "{rows} rows and {} starts are no sequence of batches of {batch}",
            starts.len()
        );
        assert!(
            h0.len() == batch * hidden && c0.len() == batch * hidden,
            "the state of {batch} sequences with {hidden} hidden units has another size"
        );
        let mut gates = vec![0.0; rows * 4 * hidden];
        let product = (rows, inputs, 4 * hidden);
        matmul_nn(
            &mut gates,
            values(x),
            params.data(cell.w_ih),
            product,
            false,
        );
        add_bias(&mut gates, params.data(cell.bias));
        let unrolled = unroll(gates, starts, h0, c0, params.data(cell.w_hh), sizes);

        let last = rows.saturating_sub(batch) * hidden;
        let output = LstmOutput {
            h: if rows > 0 {
                unrolled.h[last..].to_vec()
            } else {
                h0.to_vec()
            },
            c: if rows > 0 {
                unrolled.c[last..].to_vec()
            } else {
                c0.to_vec()
            },
            hidden: self.constant(unrolled.h, (rows, hidden)),
        };
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
                gates: unrolled.gates,
                h_previous: unrolled.h_previous,
                c_previous: unrolled.c_previous,
                tanh_c: unrolled.tanh_c,
            };
            self.record(&output.hidden, move |dh, grads| saved.backward(&dh, grads));
        }
        output
    }
}

#[derive(Clone, Copy)]
struct Sizes {
    rows: usize,
    batch: usize,
    inputs: usize,
    hidden: usize,
}

/// Activations of every step, each with `rows` rows. `…_previous` is the state that a step started
/// from, after resets.
struct Unrolled {
    gates: Vec<f32>,
    h_previous: Vec<f32>,
    c_previous: Vec<f32>,
    h: Vec<f32>,
    c: Vec<f32>,
    tanh_c: Vec<f32>,
}

/// `gates` holds `x·W_ih + bias` of all steps.
fn unroll(
    mut gates: Vec<f32>,
    starts: &[bool],
    h0: &[f32],
    c0: &[f32],
    w_hh: &[f32],
    sizes: Sizes,
) -> Unrolled {
    let Sizes {
        rows,
        batch,
        hidden,
        ..
    } = sizes;
    let step_len = batch * hidden;
    let zeros = || vec![0.0; rows * hidden];
    let (mut h_previous, mut c_previous) = (zeros(), zeros());
    let (mut h, mut c, mut tanh_c) = (zeros(), zeros(), zeros());
    for t in 0..rows / batch {
        let step = t * step_len..(t + 1) * step_len;
        let (h_before, c_before) = match t {
            0 => (h0, c0),
            _ => (
                &h[step.start - step_len..step.start],
                &c[step.start - step_len..step.start],
            ),
        };
        let step_starts = &starts[t * batch..(t + 1) * batch];
        copy_unless_started(&mut h_previous[step.clone()], h_before, step_starts, hidden);
        copy_unless_started(&mut c_previous[step.clone()], c_before, step_starts, hidden);
        let gates = &mut gates[4 * step.start..4 * step.end];
        matmul_nn(
            gates,
            &h_previous[step.clone()],
            w_hh,
            (batch, hidden, 4 * hidden),
            true,
        );
        lstm_step(
            gates,
            &c_previous[step.clone()],
            &mut c[step.clone()],
            &mut tanh_c[step.clone()],
            &mut h[step],
            hidden,
        );
    }
    Unrolled {
        gates,
        h_previous,
        c_previous,
        h,
        c,
        tanh_c,
    }
}

fn add_bias(gates: &mut [f32], bias: &[f32]) {
    gates
        .chunks_exact_mut(bias.len())
        .for_each(|row| add_to(row, bias));
}

fn copy_unless_started(to: &mut [f32], from: &[f32], starts: &[bool], hidden: usize) {
    to.copy_from_slice(from);
    zero_started(to, starts, hidden);
}

fn zero_started(state: &mut [f32], starts: &[bool], hidden: usize) {
    for (row, _) in state
        .chunks_exact_mut(hidden)
        .zip(starts)
        .filter(|(_, start)| **start)
    {
        row.fill(0.0);
    }
}

struct Keys {
    x: GradKey,
    w_ih: GradKey,
    w_hh: GradKey,
    bias: GradKey,
}

/// What the backward pass needs of the forward pass.
struct Saved {
    sizes: Sizes,
    keys: Keys,
    x: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    starts: Vec<bool>,
    gates: Vec<f32>,
    h_previous: Vec<f32>,
    c_previous: Vec<f32>,
    tanh_c: Vec<f32>,
}

impl Saved {
    /// Back through time for the gradient of the gates, then one product for each weight.
    fn backward(mut self, d_hidden: &[f32], grads: &mut GradStore<'_>) {
        let Sizes {
            rows,
            batch,
            inputs,
            hidden,
        } = self.sizes;
        let step_len = batch * hidden;
        let mut dh_from_next = vec![0.0; step_len];
        let mut dh = vec![0.0; step_len];
        let mut dc = vec![0.0; step_len];
        for t in (0..rows / batch).rev() {
            let step = t * step_len..(t + 1) * step_len;
            dh.copy_from_slice(&d_hidden[step.clone()]);
            add_to(&mut dh, &dh_from_next);
            let gates = &mut self.gates[4 * step.start..4 * step.end];
            lstm_step_gradient(
                gates,
                &self.c_previous[step.clone()],
                &self.tanh_c[step],
                &dh,
                &mut dc,
                hidden,
            );
            if t > 0 {
                let product = (batch, 4 * hidden, hidden);
                matmul_nt(&mut dh_from_next, gates, values(&self.w_hh), product, false);
                let step_starts = &self.starts[t * batch..(t + 1) * batch];
                zero_started(&mut dh_from_next, step_starts, hidden);
                zero_started(&mut dc, step_starts, hidden);
            }
        }
        let d_gates = &self.gates;
        grads.write(&self.keys.bias, 4 * hidden, |d, accumulate| {
            sum_rows(d, d_gates, accumulate)
        });
        grads.write(&self.keys.w_hh, 4 * hidden * hidden, |d, accumulate| {
            matmul_tn(
                d,
                &self.h_previous,
                d_gates,
                (hidden, rows, 4 * hidden),
                accumulate,
            );
        });
        grads.write(&self.keys.w_ih, 4 * hidden * inputs, |d, accumulate| {
            matmul_tn(
                d,
                values(&self.x),
                d_gates,
                (inputs, rows, 4 * hidden),
                accumulate,
            );
        });
        grads.write(&self.keys.x, rows * inputs, |d, accumulate| {
            let product = (rows, 4 * hidden, inputs);
            matmul_nt(d, d_gates, values(&self.w_ih), product, accumulate);
        });
    }
}
