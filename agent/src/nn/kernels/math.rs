//! exp, tanh and the logistic function in forms that compilers vectorise.
//!
//! `#[inline(always)]`, so that each becomes part of the multiversioned kernel that calls it. NaN
//! stays NaN everywhere: a broken loss must show.

/// 1.5 · 2^23: adding it to a small number rounds that to an integer in the low bits.
const ROUND: f32 = 12_582_912.0;
/// ln 2, split so that `n * LN_2_HIGH` is exact for the n that occur.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// Splits `x = n ln 2 + r` with |r| ≤ ln 2 / 2; returns (2^n, e^r - 1).
#[inline(always)]
fn exp_parts(x: f32) -> (f32, f32) {
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN_2_LOW, n.mul_add(-LN_2_HIGH, x));
    // Taylor series to r^7: the first term left out is below 6e-9.
    let p = (1.0f32 / 5040.0)
        .mul_add(r, 1.0 / 720.0)
        .mul_add(r, 1.0 / 120.0)
        .mul_add(r, 1.0 / 24.0)
        .mul_add(r, 1.0 / 6.0)
        .mul_add(r, 0.5);
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    (power, (p * r).mul_add(r, r))
}

/// e^x with relative error ≤ 2e-7 for -87 ≤ x ≤ 88; beyond that the value at the border.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    let (power, expm1) = exp_parts(x.clamp(-87.0, 88.0));
    power.mul_add(expm1, power)
}

/// tanh x with relative error ≤ 5e-7.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    // tanh rounds to ±1 from 9.02 on.
    let (power, expm1) = exp_parts(2.0 * x.clamp(-9.1, 9.1));
    let e = power.mul_add(expm1, power - 1.0);
    e / (e + 2.0)
}

/// 1 / (1 + e^-x) with relative error ≤ 3e-7 for x ≥ -87; below that e^-87.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Number of partial sums in a dot product: one AVX-512 register of them.
const LANES: usize = 16;

/// Σ aᵢ bᵢ in a fixed order that vectorises.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut partial = [0.0f32; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let tail: f32 = a_chunks
        .remainder()
        .iter()
        .zip(b_chunks.remainder())
        .map(|(x, y)| x * y)
        .sum();
    for (x, y) in a_chunks.zip(b_chunks) {
        for lane in 0..LANES {
            partial[lane] = x[lane].mul_add(y[lane], partial[lane]);
        }
    }
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            partial[lane] += partial[lane + width];
        }
        width /= 2;
    }
    partial[0] + tail
}

/// `y += a x`.
#[inline(always)]
pub(crate) fn add_scaled(y: &mut [f32], a: f32, x: &[f32]) {
    for (y, x) in y.iter_mut().zip(x) {
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
        assert!(worst(exp, f64::exp, -87.0, 88.0) <= 2e-7);
        assert!(worst(tanh, f64::tanh, -12.0, 12.0) <= 5e-7);
        assert!(worst(tanh, f64::tanh, -1e-3, 1e-3) <= 5e-7);
        assert!(worst(sigmoid, logistic, -87.0, 87.0) <= 3e-7);
    }

    #[test]
    fn borders() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(tanh(0.0), 0.0);
        assert_eq!(tanh(f32::INFINITY), 1.0);
        assert_eq!(tanh(f32::NEG_INFINITY), -1.0);
        assert_eq!(sigmoid(0.0), 0.5);
        assert_eq!(sigmoid(f32::INFINITY), 1.0);
        assert!(exp(f32::NEG_INFINITY) < 2e-38 && sigmoid(f32::NEG_INFINITY) < 2e-38);
        assert!(exp(f32::INFINITY).is_finite());
        for f in [exp, tanh, sigmoid] {
            assert!(f(f32::NAN).is_nan());
        }
    }

    #[test]
    fn dot_counts_every_element() {
        for len in [0, 1, 15, 16, 17, 40] {
            let a: Vec<f32> = (0..len).map(|i| i as f32).collect();
            let b = vec![2.0; len];
            assert_eq!(dot(&a, &b), (len * len.saturating_sub(1)) as f32);
        }
    }
}
