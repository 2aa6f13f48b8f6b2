//! The pointwise parts of the gate of GTrXL (Parisotto et al. 2020, arXiv:1910.06764, section 3.2). Rows of `gates` hold the
//! reset r and then the update z, `width` numbers each.

use multiversion::multiversion;

use super::math::{exp, tanh};

/// Numbers of a vector.
const LANES: usize = 16;

/// Calls a function of slices for the vectors of a row, and for the numbers that are left. Of a whole row of known width a
/// compiler would take one number of many rows at a time, which gathers and scatters.
macro_rules! by_vectors {
    ($width:expr, $numbers:ident($($out:ident),*; $($of:ident),*)) => {
        let whole = $width / LANES * LANES;
        for first in (0..whole).step_by(LANES) {
            $numbers(
                $(&mut $out[first..first + LANES],)*
                $(&$of[first..first + LANES],)*
            );
        }
        $numbers($(&mut $out[whole..$width],)* $(&$of[whole..$width],)*);
    };
}

/// Turns the pre-activations of the gates into the gates, and writes r ⊙ x.
#[multiversion(targets = "simd")]
pub(crate) fn reset(gates: &mut [f32], kept: &mut [f32], x: &[f32], width: usize) {
    let rows = kept.chunks_exact_mut(width).zip(x.chunks_exact(width));
    for ((kept, x), gates) in rows.zip(gates.chunks_exact_mut(2 * width)) {
        let (r, z) = gates.split_at_mut(width);
        by_vectors!(width, reset_numbers(r, z, kept; x));
    }
}

/// The logistic function of two numbers, with one division: divisions take as long as all the rest.
#[inline(always)]
fn sigmoids(a: f32, b: f32) -> (f32, f32) {
    // Below −40 a gate is closed by all digits, and the product stays finite.
    let [a, b] = [a, b].map(|x| 1.0 + exp(-x.clamp(-40.0, 88.0)));
    let inverse = 1.0 / (a * b);
    (b * inverse, a * inverse)
}

#[inline(always)]
fn reset_numbers(r: &mut [f32], z: &mut [f32], kept: &mut [f32], x: &[f32]) {
    let len = r.len();
    let (z, kept, x) = (&mut z[..len], &mut kept[..len], &x[..len]);
    for j in 0..len {
        (r[j], z[j]) = sigmoids(r[j], z[j]);
        kept[j] = r[j] * x[j];
    }
}

/// Turns the pre-activation of the candidate into the candidate h, and x in `out` into `(1 − z) ⊙ x + z ⊙ h`.
#[multiversion(targets = "simd")]
pub(crate) fn mix(out: &mut [f32], candidate: &mut [f32], gates: &[f32], width: usize) {
    candidate.iter_mut().for_each(|h| *h = tanh(*h));
    let rows = out
        .chunks_exact_mut(width)
        .zip(candidate.chunks_exact(width));
    for ((out, h), gates) in rows.zip(gates.chunks_exact(2 * width)) {
        let z = &gates[width..];
        by_vectors!(width, mix_numbers(out; h, z));
    }
}

#[inline(always)]
fn mix_numbers(out: &mut [f32], h: &[f32], z: &[f32]) {
    let len = out.len();
    let (h, z) = (&h[..len], &z[..len]);
    for j in 0..len {
        out[j] = z[j].mul_add(h[j] - out[j], out[j]);
    }
}

/// Backward pass of [`mix`]: writes the gradient of the candidate's pre-activation, that of z's pre-activation into the
/// second half of `d_gates`, and turns the gradient of the output in `dx` into the part of that of x that passes by the gates.
#[multiversion(targets = "simd")]
pub(crate) fn mix_gradient(
    (d_candidate, d_gates, dx): (&mut [f32], &mut [f32], &mut [f32]),
    candidate: &[f32],
    gates: &[f32],
    x: &[f32],
    width: usize,
) {
    let outputs = d_candidate
        .chunks_exact_mut(width)
        .zip(d_gates.chunks_exact_mut(2 * width))
        .zip(dx.chunks_exact_mut(width));
    let saved = candidate
        .chunks_exact(width)
        .zip(gates.chunks_exact(2 * width))
        .zip(x.chunks_exact(width));
    for (((d_candidate, d_gates), dx), ((h, gates), x)) in outputs.zip(saved) {
        let (d_z, z) = (&mut d_gates[width..], &gates[width..]);
        by_vectors!(width, mix_gradients(d_candidate, d_z, dx; h, z, x));
    }
}

#[inline(always)]
fn mix_gradients(
    d_candidate: &mut [f32],
    d_z: &mut [f32],
    dx: &mut [f32],
    h: &[f32],
    z: &[f32],
    x: &[f32],
) {
    let len = d_candidate.len();
    let (d_z, dx) = (&mut d_z[..len], &mut dx[..len]);
    let (h, z, x) = (&h[..len], &z[..len], &x[..len]);
    for j in 0..len {
        let change = dx[j] * z[j];
        d_candidate[j] = change * h[j].mul_add(-h[j], 1.0);
        d_z[j] = change * (1.0 - z[j]) * (h[j] - x[j]);
        dx[j] -= change;
    }
}

/// Backward pass of [`reset`], from the gradient of r ⊙ x: writes the gradient of r's pre-activation into the first half of
/// `d_gates`, adds to `dx`, and replaces the gradient of r ⊙ x by r ⊙ x.
#[multiversion(targets = "simd")]
pub(crate) fn reset_gradient(
    (d_gates, dx): (&mut [f32], &mut [f32]),
    d_kept: &mut [f32],
    gates: &[f32],
    x: &[f32],
    width: usize,
) {
    let outputs = d_gates
        .chunks_exact_mut(2 * width)
        .zip(dx.chunks_exact_mut(width))
        .zip(d_kept.chunks_exact_mut(width));
    let saved = gates.chunks_exact(2 * width).zip(x.chunks_exact(width));
    for (((d_r, dx), d_kept), (r, x)) in outputs.zip(saved) {
        by_vectors!(width, reset_gradients(d_r, dx, d_kept; r, x));
    }
}

#[inline(always)]
fn reset_gradients(d_r: &mut [f32], dx: &mut [f32], d_kept: &mut [f32], r: &[f32], x: &[f32]) {
    let len = d_r.len();
    let (dx, d_kept) = (&mut dx[..len], &mut d_kept[..len]);
    let (r, x) = (&r[..len], &x[..len]);
    for j in 0..len {
        let d = d_kept[j];
        d_r[j] = d * x[j] * r[j] * (1.0 - r[j]);
        dx[j] = d.mul_add(r[j], dx[j]);
        d_kept[j] = r[j] * x[j];
    }
}

#[cfg(test)]
mod tests {
    use super::super::math::sigmoid;
    use super::*;

    #[test]
    fn two_sigmoids_are_as_good_as_one() {
        let numbers: Vec<f32> = (-100..=100).map(|i| i as f32).collect();
        for &a in &numbers {
            for &b in &numbers {
                let pairs = [sigmoids(a, b).0 - sigmoid(a), sigmoids(a, b).1 - sigmoid(b)];
                assert!(pairs.iter().all(|error| error.abs() < 3e-7), "{a} {b}");
            }
        }
        assert!(sigmoids(f32::NAN, 0.0).0.is_nan());
    }
}
