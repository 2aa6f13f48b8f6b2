//! Sums and products of vectors, and sums over rows.

use multiversion::multiversion;

use super::math::dot;

/// `y += x`.
#[multiversion(targets = "simd")]
pub(crate) fn add_to(y: &mut [f32], x: &[f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += x;
    }
}

/// `out[columns] += Σ over rows of x[rows, columns]`; an empty `out` counts as zeros.
#[multiversion(targets = "simd")]
pub(crate) fn add_sum_rows(out: &mut Vec<f32>, x: &[f32], columns: usize) {
    out.resize(columns, 0.0);
    let mut first = 0;
    first = add_sum_blocks::<64>(out, x, first);
    first = add_sum_blocks::<16>(out, x, first);
    for row in x.chunks_exact(columns.max(1)) {
        for (sum, value) in out[first..].iter_mut().zip(&row[first..]) {
            *sum += value;
        }
    }
}

/// Adds the rows of all whole blocks of `WIDTH` columns from column `first`, keeping a block of `out` in registers at a
/// time. Returns the first column that is left.
#[inline(always)]
fn add_sum_blocks<const WIDTH: usize>(out: &mut [f32], x: &[f32], mut first: usize) -> usize {
    let columns = out.len();
    while let Some(out) = out[first..].first_chunk_mut::<WIDTH>() {
        let mut sums = *out;
        for row in x.chunks_exact(columns) {
            let row = row[first..].first_chunk::<WIDTH>().expect("whole block");
            for j in 0..WIDTH {
                sums[j] += row[j];
            }
        }
        *out = sums;
        first += WIDTH;
    }
    first
}

/// `Σ x²` in `f64`, summed in an order that does not depend on the processor.
#[multiversion(targets = "simd")]
pub(crate) fn sum_of_squares(x: &[f32]) -> f64 {
    let mut partial = [0.0f64; 8];
    let chunks = x.chunks_exact(8);
    let tail: f64 = chunks
        .remainder()
        .iter()
        .map(|&v| f64::from(v) * f64::from(v))
        .sum();
    for chunk in chunks {
        for (sum, &value) in partial.iter_mut().zip(chunk) {
            *sum += f64::from(value) * f64::from(value);
        }
    }
    partial.iter().sum::<f64>() + tail
}

/// Returns `Σ factor · w_row · (p - t)²` over a matrix with `weights.len()` rows, and writes its
/// gradient with respect to `p`.
#[multiversion(targets = "simd")]
pub(crate) fn weighted_squares(
    gradient: &mut [f32],
    p: &[f32],
    t: &[f32],
    weights: &[f32],
    factor: f32,
) -> f64 {
    let columns = p.len().checked_div(weights.len()).unwrap_or(0).max(1);
    let rows = p.chunks_exact(columns).zip(t.chunks_exact(columns));
    let mut total = 0.0;
    for (((p, t), gradient), weight) in rows.zip(gradient.chunks_exact_mut(columns)).zip(weights) {
        for ((d, p), t) in gradient.iter_mut().zip(p).zip(t) {
            *d = p - t;
        }
        let weight = factor * weight;
        total += f64::from(weight) * f64::from(dot(gradient, gradient));
        gradient.iter_mut().for_each(|d| *d *= 2.0 * weight);
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hand_computed() {
        let mut y = vec![1.0, 2.0];
        add_to(&mut y, &[10.0, 20.0]);
        assert_eq!(y, [11.0, 22.0]);
        add_sum_rows(&mut y, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2);
        assert_eq!(y, [20.0, 34.0]);
        let mut sums = Vec::new();
        let rows: Vec<f32> = (0..2 * 90).map(|i| i as f32).collect();
        add_sum_rows(&mut sums, &rows, 90);
        let expected: Vec<f32> = (0..90).map(|i| (90 + 2 * i) as f32).collect();
        assert_eq!(sums, expected);
        assert_eq!(sum_of_squares(&[3.0; 9]), 81.0);
    }
}
