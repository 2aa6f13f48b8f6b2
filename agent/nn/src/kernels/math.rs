//! exp, ln, tanh and the logistic function in forms that compilers vectorise, and sums of short
//! vectors.
//!
//! All are `#[inline(always)]`, so that they become part of the multiversioned kernel that calls
//! them. exp, tanh and the logistic function keep NaN, so that a broken loss is noticed.

use std::f32::consts::{LN_2, LOG2_E};

/// 1.5 · 2^23. Adding it to a small number leaves that number, rounded to an integer, in the low
/// bits.
const ROUND: f32 = 12_582_912.0;

/// Splits `x = n ln 2 + r` with |r| ≤ ln 2 / 2; returns (2^n, e^r - 1).
#[inline(always)]
fn exp_parts(x: f32) -> (f32, f32) {
    let shifted = x.mul_add(LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN_2, x);
    // (e^r - 1 - r) / r², fitted over |r| ≤ ln 2 / 2 for the least largest error: 3e-9 of e^r.
    let p = 0.001_381_454f32
        .mul_add(r, 0.008_368_745)
        .mul_add(r, 0.041_668_39)
        .mul_add(r, 0.166_665_2)
        .mul_add(r, 0.499_999_93);
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    (power, (p * r).mul_add(r, r))
}

/// e^x with relative error ≤ 4e-7 for -87 ≤ x ≤ 88; outside, the value at the nearer end.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    let (power, expm1) = exp_parts(x.clamp(-87.0, 88.0));
    power.mul_add(expm1, power)
}

/// e^x - 1 with relative error ≤ 6e-7 for x ≤ 88; above, the value at 88.
#[inline(always)]
pub(crate) fn exp_m1(x: f32) -> f32 {
    let (power, expm1) = exp_parts(x.clamp(-87.0, 88.0));
    power.mul_add(expm1, power - 1.0)
}

/// tanh x with relative error ≤ 6e-7.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    // tanh rounds to ±1 from 9.02 on.
    let (power, expm1) = exp_parts(2.0 * x.clamp(-9.1, 9.1));
    let e = power.mul_add(expm1, power - 1.0);
    e / (e + 2.0)
}

/// 1 / (1 + e^-x) with relative error ≤ 5e-7 for x ≥ -87; below that e^-87.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// ln x for positive normal x; error ≤ 2e-7 · max(1, |ln x|).
#[inline(always)]
pub(crate) fn ln(x: f32) -> f32 {
    // x = 2^n m with √½ ≤ m < √2, and ln m = 2 artanh s for s = (m - 1) / (m + 1), |s| < 0.172.
    const SQRT_HALF_BITS: u32 = 0x3f35_04f3;
    let exponent = x.to_bits().wrapping_sub(SQRT_HALF_BITS) as i32 >> 23;
    let m = f32::from_bits(x.to_bits().wrapping_sub((exponent << 23) as u32));
    let s = (m - 1.0) / (m + 1.0);
    let square = s * s;
    // Series of artanh to s^9: the first term left out is below 4e-10.
    let series = (1.0f32 / 9.0)
        .mul_add(square, 1.0 / 7.0)
        .mul_add(square, 1.0 / 5.0)
        .mul_add(square, 1.0 / 3.0)
        .mul_add(square, 1.0);
    (exponent as f32).mul_add(LN_2, 2.0 * s * series)
}

/// Number of partial results in a reduction: as many as one AVX-512 register holds.
const LANES: usize = 16;

/// `a b + c` lane by lane. The arguments are passed by value, so that they cannot alias and the
/// compiler can use vectors.
#[inline(always)]
pub(crate) fn fma_lanes<const N: usize>(a: [f32; N], b: [f32; N], c: [f32; N]) -> [f32; N] {
    let mut out = c;
    for lane in 0..N {
        out[lane] = a[lane].mul_add(b[lane], c[lane]);
    }
    out
}

/// Keeps a compiler from computing several iterations of the loop around it at once. Where iterations are independent, it
/// takes one lane of many vectors at a time, which gathers and scatters.
#[inline(always)]
pub(crate) fn one_by_one() {
    std::hint::black_box(());
}

/// `f(a, b)` lane by lane. The arguments are passed by value like those of [`fma_lanes`].
#[inline(always)]
pub(crate) fn zip_lanes<const N: usize>(
    a: [f32; N],
    b: [f32; N],
    f: impl Fn(f32, f32) -> f32,
) -> [f32; N] {
    let mut out = a;
    for lane in 0..N {
        out[lane] = f(a[lane], b[lane]);
    }
    out
}

/// Combines partial results in a fixed order.
#[inline(always)]
fn fold_lanes(mut partial: [f32; LANES], combine: impl Fn(f32, f32) -> f32) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            partial[lane] = combine(partial[lane], partial[lane + width]);
        }
        width /= 2;
    }
    partial[0]
}

/// Σ aᵢ bᵢ in a fixed order that vectorises.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut partial = [0.0f32; LANES];
    let ((a, a_tail), (b, b_tail)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        partial = fma_lanes(*a, *b, partial);
    }
    // A tail of 8 is common, because it is the width of a head. Fixed bounds keep `partial` in
    // registers.
    let ((a, a_tail), (b, b_tail)) = (a_tail.as_chunks::<8>(), b_tail.as_chunks::<8>());
    for (a, b) in a.iter().zip(b) {
        let half = *partial.first_chunk::<8>().expect("16 lanes");
        *partial.first_chunk_mut::<8>().expect("16 lanes") = fma_lanes(*a, *b, half);
    }
    let mut rest = 0.0;
    for (a, b) in a_tail.iter().zip(b_tail) {
        rest = a.mul_add(*b, rest);
    }
    fold_lanes(partial, |a, b| a + b) + rest
}

/// Σ xᵢ in a fixed order that vectorises.
#[inline(always)]
pub(crate) fn sum(x: &[f32]) -> f32 {
    let mut partial = [0.0f32; LANES];
    let (chunks, tail) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            partial[lane] += chunk[lane];
        }
    }
    partial
        .iter_mut()
        .zip(tail)
        .for_each(|(partial, x)| *partial += x);
    fold_lanes(partial, |a, b| a + b)
}

/// The largest number in `x`; -∞ if `x` is empty. NaN is ignored.
#[inline(always)]
pub(crate) fn max(x: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut partial = [f32::NEG_INFINITY; LANES];
    let (chunks, tail) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            partial[lane] = larger(partial[lane], chunk[lane]);
        }
    }
    partial
        .iter_mut()
        .zip(tail)
        .for_each(|(partial, &x)| *partial = larger(*partial, x));
    fold_lanes(partial, larger)
}

/// `y += a x`.
#[inline(always)]
pub(crate) fn add_scaled(y: &mut [f32], a: f32, x: &[f32]) {
    let ((y, y_tail), (x, x_tail)) = (y.as_chunks_mut::<8>(), x.as_chunks::<8>());
    for (y, x) in y.iter_mut().zip(x) {
        *y = fma_lanes([a; 8], *x, *y);
    }
    for (y, x) in y_tail.iter_mut().zip(x_tail) {
        *y = a.mul_add(*x, *y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Largest relative error over a fine grid, against `f64`.
    fn worst(f: impl Fn(f32) -> f32, exact: impl Fn(f64) -> f64, low: f32, high: f32) -> f64 {
        let steps = 400_000;
        (0..=steps)
            .map(|i| low + (high - low) * i as f32 / steps as f32)
            .map(|x| {
                let truth = exact(f64::from(x));
                (f64::from(f(x)) - truth).abs() / truth.abs().max(1e-37)
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn errors_are_as_stated() {
        let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
        let below = |error: f64, bound: f64| assert!(error <= bound, "{error} > {bound}");
        below(worst(exp, f64::exp, -87.0, 88.0), 4e-7);
        below(worst(exp_m1, f64::exp_m1, -20.0, 88.0), 6e-7);
        below(worst(exp_m1, f64::exp_m1, -1e-3, 1e-3), 6e-7);
        below(worst(tanh, f64::tanh, -12.0, 12.0), 6e-7);
        below(worst(tanh, f64::tanh, -1e-3, 1e-3), 6e-7);
        below(worst(sigmoid, logistic, -87.0, 87.0), 5e-7);
        for (low, high) in [(1e-30, 1e-3), (1e-3, 10.0), (10.0, 1e30)] {
            let error = |x: f64| (f64::from(ln(x as f32)) - x.ln()).abs() / x.ln().abs().max(1.0);
            let grid = (0..=200_000).map(|i| f64::from(low + (high - low) * i as f32 / 2e5));
            below(grid.map(error).fold(0.0, f64::max), 2e-7);
        }
    }

    #[test]
    fn borders() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(ln(1.0), 0.0);
        assert_eq!(tanh(0.0), 0.0);
        assert_eq!(tanh(f32::INFINITY), 1.0);
        assert_eq!(tanh(f32::NEG_INFINITY), -1.0);
        assert_eq!(sigmoid(0.0), 0.5);
        assert_eq!(sigmoid(f32::INFINITY), 1.0);
        assert!(exp(f32::NEG_INFINITY) < 2e-38 && sigmoid(f32::NEG_INFINITY) < 2e-38);
        assert!(exp(f32::INFINITY).is_finite());
        for f in [exp, exp_m1, tanh, sigmoid] {
            assert!(f(f32::NAN).is_nan());
        }
    }

    #[test]
    fn reductions_count_every_element() {
        for len in [0_usize, 1, 8, 15, 16, 17, 40] {
            let a: Vec<f32> = (0..len).map(|i| i as f32).collect();
            let total = (len * len.saturating_sub(1) / 2) as f32;
            assert_eq!(sum(&a), total);
            assert_eq!(dot(&a, &vec![2.0; len]), 2.0 * total);
            assert_eq!(max(&a), a.last().copied().unwrap_or(f32::NEG_INFINITY));
            let mut y = vec![1.0; len];
            add_scaled(&mut y, 2.0, &a);
            assert!(
                y.iter()
                    .enumerate()
                    .all(|(i, &y)| y == 1.0 + 2.0 * i as f32)
            );
        }
    }
}
