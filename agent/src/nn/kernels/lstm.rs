//! The pointwise part of one LSTM step over a batch (Hochreiter & Schmidhuber 1997, with forget
//! gates). Gate order i, f, g, o, each `hidden` wide.

use multiversion::multiversion;

use super::math::{sigmoid, tanh};

/// One step. `gates` `[batch, 4 * hidden]` holds pre-activations and becomes activations;
/// `c_previous` `[batch, hidden]` is the cell state after resets. Writes `c`, `tanh_c` and `h`.
#[multiversion(targets = "simd")]
pub(crate) fn lstm_step(
    gates: &mut [f32],
    c_previous: &[f32],
    c: &mut [f32],
    tanh_c: &mut [f32],
    h: &mut [f32],
    hidden: usize,
) {
    for (b, gates) in gates.chunks_exact_mut(4 * hidden).enumerate() {
        let (input_forget, candidate_output) = gates.split_at_mut(2 * hidden);
        let (input, forget) = input_forget.split_at_mut(hidden);
        let (candidate, output) = candidate_output.split_at_mut(hidden);
        let row = b * hidden..(b + 1) * hidden;
        let c_previous = &c_previous[row.clone()];
        let c = &mut c[row.clone()];
        let tanh_c = &mut tanh_c[row.clone()];
        let h = &mut h[row];
        for j in 0..hidden {
            input[j] = sigmoid(input[j]);
            forget[j] = sigmoid(forget[j]);
            candidate[j] = tanh(candidate[j]);
            output[j] = sigmoid(output[j]);
            c[j] = forget[j].mul_add(c_previous[j], input[j] * candidate[j]);
            tanh_c[j] = tanh(c[j]);
            h[j] = output[j] * tanh_c[j];
        }
    }
}

/// One step back. `gates` holds activations and becomes the gradient of the pre-activations. `dh`
/// is the gradient of this step's output; `dc` that of its cell state and becomes that of
/// `c_previous`.
#[multiversion(targets = "simd")]
pub(crate) fn lstm_step_gradient(
    gates: &mut [f32],
    c_previous: &[f32],
    tanh_c: &[f32],
    dh: &[f32],
    dc: &mut [f32],
    hidden: usize,
) {
    for (b, gates) in gates.chunks_exact_mut(4 * hidden).enumerate() {
        let (input_forget, candidate_output) = gates.split_at_mut(2 * hidden);
        let (input, forget) = input_forget.split_at_mut(hidden);
        let (candidate, output) = candidate_output.split_at_mut(hidden);
        let row = b * hidden..(b + 1) * hidden;
        let c_previous = &c_previous[row.clone()];
        let tanh_c = &tanh_c[row.clone()];
        let dh = &dh[row.clone()];
        let dc = &mut dc[row];
        for j in 0..hidden {
            let (i, f, g, o) = (input[j], forget[j], candidate[j], output[j]);
            let d_cell = (dh[j] * o).mul_add(1.0 - tanh_c[j] * tanh_c[j], dc[j]);
            input[j] = d_cell * g * i * (1.0 - i);
            forget[j] = d_cell * c_previous[j] * f * (1.0 - f);
            candidate[j] = d_cell * i * (1.0 - g * g);
            output[j] = dh[j] * tanh_c[j] * o * (1.0 - o);
            dc[j] = d_cell * f;
        }
    }
}
