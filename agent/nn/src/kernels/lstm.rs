//! The pointwise part of one LSTM step over a batch (Hochreiter & Schmidhuber 1997, with forget
//! gates). Gate order i, f, g, o, each `hidden` wide.

use multiversion::multiversion;

use super::math::{sigmoid, tanh};

/// Output buffers for the state after a step, `[batch, hidden]` each.
pub(crate) struct StepState<'a> {
    pub h: &'a mut [f32],
    pub c: &'a mut [f32],
    pub tanh_c: &'a mut [f32],
}

/// Computes one step. `gates` `[batch, 4 * hidden]` holds pre-activations, which are replaced by
/// activations. `c_before` `[batch, hidden]` is the cell state before the step, after resets.
#[multiversion(targets = "simd")]
pub(crate) fn lstm_step(state: StepState<'_>, gates: &mut [f32], c_before: &[f32], hidden: usize) {
    let StepState { h, c, tanh_c } = state;
    for (b, gates) in gates.chunks_exact_mut(4 * hidden).enumerate() {
        let (input_forget_candidate, output) = gates.split_at_mut(3 * hidden);
        let (input_forget, candidate) = input_forget_candidate.split_at_mut(2 * hidden);
        input_forget.iter_mut().for_each(|x| *x = sigmoid(*x));
        candidate.iter_mut().for_each(|x| *x = tanh(*x));
        output.iter_mut().for_each(|x| *x = sigmoid(*x));
        let (input, forget) = input_forget.split_at(hidden);
        let row = b * hidden..(b + 1) * hidden;
        let c_before = &c_before[row.clone()];
        let (h, c) = (&mut h[row.clone()], &mut c[row.clone()]);
        let tanh_c = &mut tanh_c[row];
        for j in 0..hidden {
            c[j] = forget[j].mul_add(c_before[j], input[j] * candidate[j]);
            tanh_c[j] = tanh(c[j]);
            h[j] = output[j] * tanh_c[j];
        }
    }
}

/// Computes the backward pass of one step. `gates` holds activations, and `dh` the gradient of the
/// step's output. `dc` holds the gradient of the step's cell state, and is replaced by the gradient
/// of `c_before`. Writes the gradient of the pre-activations to `d_gates`.
#[multiversion(targets = "simd")]
pub(crate) fn lstm_step_gradient(
    d_gates: &mut [f32],
    dc: &mut [f32],
    gates: &[f32],
    c_before: &[f32],
    tanh_c: &[f32],
    dh: &[f32],
    hidden: usize,
) {
    let rows = d_gates
        .chunks_exact_mut(4 * hidden)
        .zip(gates.chunks_exact(4 * hidden));
    for (b, (d_gates, gates)) in rows.enumerate() {
        let (d_input_forget, d_rest) = d_gates.split_at_mut(2 * hidden);
        let (d_input, d_forget) = d_input_forget.split_at_mut(hidden);
        let (d_candidate, d_output) = d_rest.split_at_mut(hidden);
        let gate = |index: usize| &gates[index * hidden..(index + 1) * hidden];
        let (input, forget, candidate, output) = (gate(0), gate(1), gate(2), gate(3));
        let row = b * hidden..(b + 1) * hidden;
        let (c_before, tanh_c) = (&c_before[row.clone()], &tanh_c[row.clone()]);
        let (dh, dc) = (&dh[row.clone()], &mut dc[row]);
        for j in 0..hidden {
            let (i, f, g, o) = (input[j], forget[j], candidate[j], output[j]);
            let d_cell = (dh[j] * o).mul_add(1.0 - tanh_c[j] * tanh_c[j], dc[j]);
            d_input[j] = d_cell * g * i * (1.0 - i);
            d_forget[j] = d_cell * c_before[j] * f * (1.0 - f);
            d_candidate[j] = d_cell * i * (1.0 - g * g);
            d_output[j] = dh[j] * tanh_c[j] * o * (1.0 - o);
            dc[j] = d_cell * f;
        }
    }
}
