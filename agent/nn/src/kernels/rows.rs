//! Arithmetic on the rows of matrices.

use multiversion::multiversion;

use super::math::{dot, exp, max, sum};

/// Softmax of each row of `columns` numbers, in place.
#[multiversion(targets = "simd")]
pub(crate) fn softmax(x: &mut [f32], columns: usize) {
    for row in x.chunks_exact_mut(columns) {
        let largest = max(row);
        row.iter_mut().for_each(|x| *x = exp(*x - largest));
        let factor = 1.0 / sum(row);
        row.iter_mut().for_each(|x| *x *= factor);
    }
}

/// Turns the gradient of a softmax's output `y` into the gradient of its input, in place: `y · (d − Σ y · d)`.
#[multiversion(targets = "simd")]
pub(crate) fn softmax_gradient(d: &mut [f32], y: &[f32], columns: usize) {
    for (d, y) in d.chunks_exact_mut(columns).zip(y.chunks_exact(columns)) {
        let mean = dot(d, y);
        for (d, y) in d.iter_mut().zip(y) {
            *d = y * (*d - mean);
        }
    }
}

/// Each row of `columns` numbers times its factor, in place.
#[multiversion(targets = "simd")]
pub(crate) fn scale_rows(x: &mut [f32], factors: &[f32], columns: usize) {
    for (row, factor) in x.chunks_exact_mut(columns).zip(factors) {
        row.iter_mut().for_each(|x| *x *= factor);
    }
}

/// Backward pass of [`scale_rows`]: writes the gradients of the factors, and turns that of the result into that of `x`.
#[multiversion(targets = "simd")]
pub(crate) fn scale_rows_gradient(
    d: &mut [f32],
    d_factors: &mut [f32],
    x: &[f32],
    factors: &[f32],
) {
    let columns = x.len() / factors.len().max(1);
    let rows = d.chunks_exact_mut(columns).zip(x.chunks_exact(columns));
    for ((d, x), (d_factor, factor)) in rows.zip(d_factors.iter_mut().zip(factors)) {
        *d_factor = dot(d, x);
        d.iter_mut().for_each(|d| *d *= factor);
    }
}

/// Products of the rows of two matrices.
#[multiversion(targets = "simd")]
pub(crate) fn row_dots(a: &[f32], b: &[f32], rows: usize) -> Vec<f32> {
    let columns = a.len() / rows.max(1);
    let mut dots = Vec::with_capacity(rows);
    for (a, b) in a
        .chunks_exact(columns.max(1))
        .zip(b.chunks_exact(columns.max(1)))
    {
        dots.push(dot(a, b));
    }
    dots
}
