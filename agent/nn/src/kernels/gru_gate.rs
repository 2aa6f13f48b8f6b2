//! The pointwise parts of the gate of GTrXL (Parisotto et al. 2020, arXiv:1910.06764, section 3.2). Rows of `pair` hold the
//! new `y` and then the old `x`, `width` numbers each; rows of `gates` the reset r and then the update z. Slices are cut to
//! `width` before a loop, because loops whose bounds are checked inside do not become vectors.

use multiversion::multiversion;

use super::math::{sigmoid, tanh};

/// Evaluates a call with the width as a constant, if it is a usual one: rows of known length are copied without a call.
macro_rules! with_known_width {
    ($width:ident, $call:expr) => {
        with_known_width!($width, $call, 16 32 64)
    };
    ($width:ident, $call:expr, $($known:literal)*) => {
        match $width {
            $($known => {
                let $width = $known;
                $call
            })*
            _ => $call,
        }
    };
}

/// Writes `pair` `[rows, 2 * width]` from `y` and `x` `[rows, width]`.
#[multiversion(targets = "simd")]
pub(crate) fn join(pair: &mut [f32], y: &[f32], x: &[f32], width: usize) {
    with_known_width!(width, join_rows(pair, y, x, width));
}

#[inline(always)]
fn join_rows(pair: &mut [f32], y: &[f32], x: &[f32], width: usize) {
    let rows = y.chunks_exact(width).zip(x.chunks_exact(width));
    for (pair, (y, x)) in pair.chunks_exact_mut(2 * width).zip(rows) {
        pair[..width].copy_from_slice(y);
        pair[width..].copy_from_slice(x);
    }
}

/// Writes the parts of `pair` `[rows, 2 * width]` to `y` and `x` `[rows, width]`.
#[multiversion(targets = "simd")]
pub(crate) fn split(y: &mut [f32], x: &mut [f32], pair: &[f32], width: usize) {
    with_known_width!(width, split_rows(y, x, pair, width));
}

#[inline(always)]
fn split_rows(y: &mut [f32], x: &mut [f32], pair: &[f32], width: usize) {
    let rows = y.chunks_exact_mut(width).zip(x.chunks_exact_mut(width));
    for ((y, x), pair) in rows.zip(pair.chunks_exact(2 * width)) {
        y.copy_from_slice(&pair[..width]);
        x.copy_from_slice(&pair[width..]);
    }
}

/// Turns the second half of each row of `pair` from x into r ⊙ x.
#[multiversion(targets = "simd")]
pub(crate) fn scale_second_half(pair: &mut [f32], gates: &[f32], width: usize) {
    with_known_width!(width, scale_rows(pair, gates, width));
}

#[inline(always)]
fn scale_rows(pair: &mut [f32], gates: &[f32], width: usize) {
    let rows = pair.chunks_exact_mut(2 * width);
    for (pair, gates) in rows.zip(gates.chunks_exact(2 * width)) {
        for (x, r) in pair[width..].iter_mut().zip(&gates[..width]) {
            *x *= r;
        }
    }
}

/// Turns the pre-activations of the gates into the gates, and the second half of `pair` from x into r ⊙ x.
#[multiversion(targets = "simd")]
pub(crate) fn reset(pair: &mut [f32], gates: &mut [f32], width: usize) {
    with_known_width!(width, reset_rows(pair, gates, width));
}

#[inline(always)]
fn reset_rows(pair: &mut [f32], gates: &mut [f32], width: usize) {
    let rows = pair.chunks_exact_mut(2 * width);
    for (pair, gates) in rows.zip(gates.chunks_exact_mut(2 * width)) {
        gates.iter_mut().for_each(|gate| *gate = sigmoid(*gate));
        let (x, r) = (&mut pair[width..], &gates[..width]);
        for (x, r) in x.iter_mut().zip(r) {
            *x *= r;
        }
    }
}

/// Turns the pre-activation of the candidate into the candidate h, and writes `out = (1 − z) ⊙ x + z ⊙ h`.
#[multiversion(targets = "simd")]
pub(crate) fn mix(out: &mut [f32], candidate: &mut [f32], gates: &[f32], x: &[f32], width: usize) {
    with_known_width!(width, mix_rows(out, candidate, gates, x, width));
}

#[inline(always)]
fn mix_rows(out: &mut [f32], candidate: &mut [f32], gates: &[f32], x: &[f32], width: usize) {
    let rows = out
        .chunks_exact_mut(width)
        .zip(candidate.chunks_exact_mut(width));
    let inputs = gates.chunks_exact(2 * width).zip(x.chunks_exact(width));
    for ((out, h), (gates, x)) in rows.zip(inputs) {
        let z = &gates[width..][..width];
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
    outputs: (&mut [f32], &mut [f32], &mut [f32]),
    d_out: &[f32],
    candidate: &[f32],
    gates: &[f32],
    x: &[f32],
    width: usize,
) {
    with_known_width!(
        width,
        mix_gradient_rows(outputs, d_out, candidate, gates, x, width)
    );
}

#[inline(always)]
fn mix_gradient_rows(
    outputs: (&mut [f32], &mut [f32], &mut [f32]),
    d_out: &[f32],
    candidate: &[f32],
    gates: &[f32],
    x: &[f32],
    width: usize,
) {
    let (d_candidate, d_gates, d_pair) = outputs;
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
        let z = &gates[width..][..width];
        let (d_z, d_x) = (
            &mut d_gates[width..][..width],
            &mut d_pair[width..][..width],
        );
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
    outputs: (&mut [f32], &mut [f32]),
    d_inputs: &[f32],
    gates: &[f32],
    x: &[f32],
    width: usize,
) {
    with_known_width!(
        width,
        reset_gradient_rows(outputs, d_inputs, gates, x, width)
    );
}

#[inline(always)]
fn reset_gradient_rows(
    outputs: (&mut [f32], &mut [f32]),
    d_inputs: &[f32],
    gates: &[f32],
    x: &[f32],
    width: usize,
) {
    let (d_gates, d_pair) = outputs;
    let outputs = d_gates
        .chunks_exact_mut(2 * width)
        .zip(d_pair.chunks_exact_mut(2 * width));
    let saved = gates.chunks_exact(2 * width).zip(x.chunks_exact(width));
    let rows = outputs.zip(saved).zip(d_inputs.chunks_exact(2 * width));
    for (((d_gates, d_pair), (gates, x)), d_inputs) in rows {
        let (d_pair_y, d_pair_x) = d_pair.split_at_mut(width);
        d_pair_y.copy_from_slice(&d_inputs[..width]);
        let (d_reset, r) = (&d_inputs[width..][..width], &gates[..width]);
        let (d_r, d_x) = (&mut d_gates[..width], &mut d_pair_x[..width]);
        for j in 0..width {
            d_r[j] = d_reset[j] * x[j] * r[j] * (1.0 - r[j]);
            d_x[j] = d_reset[j].mul_add(r[j], d_x[j]);
        }
    }
}
