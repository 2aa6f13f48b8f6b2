//! Sums and products of vectors, and sums over rows.

use multiversion::multiversion;

/// `y += x`.
#[multiversion(targets = "simd")]
pub(crate) fn add_to(y: &mut [f32], x: &[f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += x;
    }
}

/// `out (+)= Σ over rows of x [rows, out.len()]`.
#[multiversion(targets = "simd")]
pub(crate) fn sum_rows(out: &mut [f32], x: &[f32], accumulate: bool) {
    if !accumulate {
        out.fill(0.0);
    }
    for row in x.chunks_exact(out.len()) {
        for (sum, value) in out.iter_mut().zip(row) {
            *sum += value;
        }
    }
}

/// `Σ x²` in `f64`, in an order that does not depend on the processor.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hand_computed() {
        let mut y = vec![1.0, 2.0];
        add_to(&mut y, &[10.0, 20.0]);
        assert_eq!(y, [11.0, 22.0]);
        sum_rows(&mut y, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], true);
        assert_eq!(y, [20.0, 34.0]);
        sum_rows(&mut y, &[1.0, 2.0, 3.0, 4.0], false);
        assert_eq!(y, [4.0, 6.0]);
        assert_eq!(sum_of_squares(&[3.0; 9]), 81.0);
    }
}
