//! The pointwise part of one step of a gated recurrent unit over a batch (Cho et al. 2014, arXiv:1406.1078; the reset acts
//! after the product, as in cuDNN). Gate order r, z, n (reset, update, candidate), each `hidden` wide.

use multiversion::multiversion;

use super::math::{sigmoid, tanh};

/// Computes one step. `gates` `[batch, 3 * hidden]` holds the input's part of the pre-activations, which is replaced by
/// activations; `recalled` `[batch, 3 * hidden]` the state's part. `h_before` `[batch, hidden]` is the state before the
/// step, after resets. Writes the state after the step to `h`, and the state's part of the candidate to `kept`.
#[multiversion(targets = "simd")]
pub(crate) fn gru_step(
    h: &mut [f32],
    kept: &mut [f32],
    gates: &mut [f32],
    recalled: &[f32],
    h_before: &[f32],
    hidden: usize,
) {
    let rows = gates
        .chunks_exact_mut(3 * hidden)
        .zip(recalled.chunks_exact(3 * hidden));
    for (b, (gates, recalled)) in rows.enumerate() {
        let (reset_update, candidate) = gates.split_at_mut(2 * hidden);
        let (recalled_gates, recalled) = recalled.split_at(2 * hidden);
        for (gate, recalled) in reset_update.iter_mut().zip(recalled_gates) {
            *gate = sigmoid(*gate + recalled);
        }
        let (reset, update) = reset_update.split_at(hidden);
        let row = b * hidden..(b + 1) * hidden;
        let h_before = &h_before[row.clone()];
        let (h, kept) = (&mut h[row.clone()], &mut kept[row]);
        kept.copy_from_slice(recalled);
        // A loop for each result, and tanh in place: compilers do not use vectors where many slices may overlap.
        for j in 0..hidden {
            h[j] = reset[j].mul_add(recalled[j], candidate[j]);
        }
        h.iter_mut().for_each(|h| *h = tanh(*h));
        candidate.copy_from_slice(h);
        for j in 0..hidden {
            h[j] = update[j].mul_add(h[j] - h_before[j], h_before[j]);
        }
    }
}

/// The values of a step that its backward pass needs.
pub(crate) struct StepSaved<'a> {
    /// Activations, `[batch, 3 * hidden]`.
    pub gates: &'a [f32],
    /// The state's part of the candidate, `[batch, hidden]`.
    pub kept: &'a [f32],
    /// The state before the step, after resets, `[batch, hidden]`.
    pub h_before: &'a [f32],
}

/// Computes the backward pass of one step. `dh` holds the gradient of the state after the step, and is replaced by the part
/// of the gradient of the state before it that passes by the gates. Writes the gradients of the two parts of the
/// pre-activations to `d_gates` and `d_recalled`, `[batch, 3 * hidden]` each.
#[multiversion(targets = "simd")]
pub(crate) fn gru_step_gradient(
    d_gates: &mut [f32],
    d_recalled: &mut [f32],
    dh: &mut [f32],
    saved: StepSaved<'_>,
    hidden: usize,
) {
    let rows = d_gates
        .chunks_exact_mut(3 * hidden)
        .zip(d_recalled.chunks_exact_mut(3 * hidden));
    for (b, (d_gates, d_recalled)) in rows.enumerate() {
        let gates = &saved.gates[3 * b * hidden..3 * (b + 1) * hidden];
        let (reset, rest) = gates.split_at(hidden);
        let (update, candidate) = rest.split_at(hidden);
        let row = b * hidden..(b + 1) * hidden;
        let (kept, h_before) = (&saved.kept[row.clone()], &saved.h_before[row.clone()]);
        let dh = &mut dh[row];
        let (d_reset, d_rest) = d_gates.split_at_mut(hidden);
        let (d_update, d_candidate) = d_rest.split_at_mut(hidden);
        for j in 0..hidden {
            let (r, z, n) = (reset[j], update[j], candidate[j]);
            let d_sum = dh[j] * z * (1.0 - n * n);
            d_candidate[j] = d_sum;
            d_reset[j] = d_sum * kept[j] * r * (1.0 - r);
            d_update[j] = dh[j] * (n - h_before[j]) * z * (1.0 - z);
            dh[j] *= 1.0 - z;
        }
        d_recalled.copy_from_slice(d_gates);
        for (d, r) in d_recalled[2 * hidden..].iter_mut().zip(reset) {
            *d *= r;
        }
    }
}
