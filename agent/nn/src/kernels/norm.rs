//! Layer normalisation (Ba et al. 2016, arXiv 1607.06450).

use multiversion::multiversion;

use super::math::{dot, sum};

/// Added to the variance; the usual value.
const EPSILON: f32 = 1e-5;

/// For each row of `x` `[rows, columns]`: `normalised = (x - mean) / sd`, `y = normalised * gain +
/// bias`. `scale[row]` becomes 1 / sd.
#[multiversion(targets = "simd")]
pub(crate) fn layer_norm(
    y: &mut [f32],
    normalised: &mut [f32],
    scale: &mut [f32],
    x: &[f32],
    gain: &[f32],
    bias: &[f32],
) {
    let columns = gain.len();
    // Loops whose bounds are checked inside do not become vectors.
    let bias = &bias[..columns];
    let rows = x.chunks_exact(columns).zip(scale);
    let outputs = y
        .chunks_exact_mut(columns)
        .zip(normalised.chunks_exact_mut(columns));
    for ((x, scale), (y, normalised)) in rows.zip(outputs) {
        let mean = sum(x) / columns as f32;
        for (n, x) in normalised.iter_mut().zip(x) {
            *n = x - mean;
        }
        let variance = dot(normalised, normalised) / columns as f32;
        *scale = 1.0 / (variance + EPSILON).sqrt();
        for i in 0..columns {
            normalised[i] *= *scale;
            y[i] = normalised[i].mul_add(gain[i], bias[i]);
        }
    }
}

/// Turns the gradient of `y` into the gradient of `x`, in place, and adds to the gradient of the
/// gain. (The gradient of the bias is the sum of the rows of `dy`.)
#[multiversion(targets = "simd")]
pub(crate) fn layer_norm_gradient(
    dy: &mut [f32],
    d_gain: &mut [f32],
    normalised: &[f32],
    scale: &[f32],
    gain: &[f32],
) {
    let columns = gain.len();
    let d_gain = &mut d_gain[..columns];
    let rows = dy
        .chunks_exact_mut(columns)
        .zip(normalised.chunks_exact(columns));
    for ((dy, normalised), scale) in rows.zip(scale) {
        for i in 0..columns {
            d_gain[i] = dy[i].mul_add(normalised[i], d_gain[i]);
            dy[i] *= gain[i];
        }
        let mean = sum(dy) / columns as f32;
        let slope = dot(dy, normalised) / columns as f32;
        for (d, n) in dy.iter_mut().zip(normalised) {
            *d = scale * (*d - mean - n * slope);
        }
    }
}
