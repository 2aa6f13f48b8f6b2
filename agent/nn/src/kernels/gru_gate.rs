//! The pointwise parts of the gate of GTrXL (Parisotto et al. 2020, arXiv:1910.06764, section 3.2). Rows of `pair` hold the
//! new `y` and then the old `x`, `width` numbers each; rows of `gates` the reset r and then the update z.

use multiversion::multiversion;

use super::math::{sigmoid, tanh};

/// Writes `pair` `[rows, 2 * width]` from `y` and `x` `[rows, width]`.
pub(crate) fn join(pair: &mut [f32], y: &[f32], x: &[f32], width: usize) {
    let rows = y.chunks_exact(width).zip(x.chunks_exact(width));
    for (pair, (y, x)) in pair.chunks_exact_mut(2 * width).zip(rows) {
        pair[..width].copy_from_slice(y);
        pair[width..].copy_from_slice(x);
    }
}

/// Turns the pre-activations of the gates into the gates, and the second half of `pair` from x into r ⊙ x.
#[multiversion(targets = "simd")]
pub(crate) fn reset(pair: &mut [f32], gates: &mut [f32], width: usize) {
    let rows = pair.chunks_exact_mut(2 * width);
    for (pair, gates) in rows.zip(gates.chunks_exact_mut(2 * width)) {
        gates.iter_mut().for_each(|gate| *gate = sigmoid(*gate));
        let x = &mut pair[width..];
        for j in 0..width {
            x[j] *= gates[j];
        }
    }
}

/// Turns the pre-activation of the candidate into the candidate h, and writes `out = (1 − z) ⊙ x + z ⊙ h`.
#[multiversion(targets = "simd")]
pub(crate) fn mix(out: &mut [f32], candidate: &mut [f32], gates: &[f32], x: &[f32], width: usize) {
    let rows = out
        .chunks_exact_mut(width)
        .zip(candidate.chunks_exact_mut(width));
    let inputs = gates.chunks_exact(2 * width).zip(x.chunks_exact(width));
    for ((out, h), (gates, x)) in rows.zip(inputs) {
        let z = &gates[width..];
        for j in 0..width {
            h[j] = tanh(h[j]);
            out[j] = z[j].mul_add(h[j] - x[j], x[j]);
        }
    }
}

/// Backward pass of [`mix`]: writes the gradient of the candidate's pre-activation, that of z's pre-activation into the
/// second half of `d_gates`, and the part of the gradient of x that passes by the gates into the second half of `d_pair`.
#[multiversion(targets = "simd")]
pub(crate) fn mix_gradient(
    (d_candidate, d_gates, d_pair): (&mut [f32], &mut [f32], &mut [f32]),
    d_out: &[f32],
    candidate: &[f32],
    gates: &[f32],
    x: &[f32],
    width: usize,
) {
    let outputs = d_candidate
        .chunks_exact_mut(width)
        .zip(d_gates.chunks_exact_mut(2 * width))
        .zip(d_pair.chunks_exact_mut(2 * width));
    let saved = candidate
        .chunks_exact(width)
        .zip(gates.chunks_exact(2 * width))
        .zip(x.chunks_exact(width));
    let rows = outputs.zip(saved).zip(d_out.chunks_exact(width));
    for ((((d_candidate, d_gates), d_pair), ((h, gates), x)), d_out) in rows {
        let (z, d_z, d_x) = (&gates[width..], &mut d_gates[width..], &mut d_pair[width..]);
        for j in 0..width {
            let change = d_out[j] * z[j];
            d_candidate[j] = change * h[j].mul_add(-h[j], 1.0);
            d_z[j] = change * (1.0 - z[j]) * (h[j] - x[j]);
            d_x[j] = d_out[j] - change;
        }
    }
}

/// Backward pass of [`reset`]. `d_inputs` `[rows, 2 * width]` holds the gradient of y and r ⊙ x by the candidate, and
/// `d_pair` in its second half what [`mix_gradient`] wrote. Writes the gradient of r's pre-activation into the first half
/// of `d_gates`, and adds the rest to `d_pair`.
#[multiversion(targets = "simd")]
pub(crate) fn reset_gradient(
    (d_gates, d_pair): (&mut [f32], &mut [f32]),
    d_inputs: &[f32],
    gates: &[f32],
    x: &[f32],
    width: usize,
) {
    let outputs = d_gates
        .chunks_exact_mut(2 * width)
        .zip(d_pair.chunks_exact_mut(2 * width));
    let saved = gates.chunks_exact(2 * width).zip(x.chunks_exact(width));
    let rows = outputs.zip(saved).zip(d_inputs.chunks_exact(2 * width));
    for (((d_gates, d_pair), (gates, x)), d_inputs) in rows {
        let (dy, d_reset) = d_inputs.split_at(width);
        let (d_pair_y, d_pair_x) = d_pair.split_at_mut(width);
        d_pair_y.copy_from_slice(dy);
        for j in 0..width {
            d_gates[j] = d_reset[j] * x[j] * gates[j] * (1.0 - gates[j]);
            d_pair_x[j] = d_reset[j].mul_add(gates[j], d_pair_x[j]);
        }
    }
}
