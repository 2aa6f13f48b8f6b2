//! Products of a vector with eight rows at a time. To fold the partial sums of a product of short vectors takes longer than the
//! product; those of eight are folded together.
//!
//! All are `#[inline(always)]`, so that they become part of the multiversioned kernel that calls them.

use super::folds::{HALF, fold_halves};
use super::lanes::LANES;
use super::math::fma_lanes;

/// How many rows are taken at a time.
pub(crate) const ROWS: usize = HALF;

/// Returns the products of `a` with the rows of a table that begin at `starts`, with the bits of [`dot`](super::math::dot).
#[inline(always)]
pub(crate) fn dots(a: &[f32], table: &[f32], starts: [usize; ROWS]) -> [f32; ROWS] {
    let mut halves = [[0.0; HALF]; ROWS];
    let mut rests = [0.0; ROWS];
    for (row, start) in starts.into_iter().enumerate() {
        let b = &table[start..][..a.len()];
        (halves[row], rests[row]) = partial_sums(a, b);
    }
    let mut sums = fold_halves(&halves);
    for (sum, rest) in sums.iter_mut().zip(rests) {
        *sum += rest;
    }
    sums
}

/// Partial sums of a product, halfway folded, and what is left of it.
#[inline(always)]
fn partial_sums(a: &[f32], b: &[f32]) -> ([f32; HALF], f32) {
    let mut partial = [0.0f32; LANES];
    let ((a, a_tail), (b, b_tail)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        partial = fma_lanes(*a, *b, partial);
    }
    let mut half = *partial.first_chunk::<HALF>().expect("16 lanes");
    let ((a, a_tail), (b, b_tail)) = (a_tail.as_chunks::<HALF>(), b_tail.as_chunks::<HALF>());
    for (a, b) in a.iter().zip(b) {
        half = fma_lanes(*a, *b, half);
    }
    for lane in 0..HALF {
        half[lane] += partial[lane + HALF];
    }
    let mut rest = 0.0;
    for (a, b) in a_tail.iter().zip(b_tail) {
        rest = a.mul_add(*b, rest);
    }
    (half, rest)
}

#[cfg(test)]
mod tests {
    use super::super::math::dot;
    use super::*;

    /// Rows with whole vectors, with halves of them, with single numbers, and with all of these.
    #[test]
    fn products_have_the_bits_of_single_ones() {
        for width in [3, 8, 12, 16, 24, 32, 45] {
            let numbers = |count: usize, step: f32| -> Vec<f32> {
                (0..count).map(|i| (i as f32 * step).sin()).collect()
            };
            let (a, table) = (numbers(width, 1.7), numbers(10 * width, 0.9));
            let starts = [3, 0, 9, 1, 1, 7, 5, 2].map(|row| row * width);
            let expected = starts.map(|start| dot(&a, &table[start..][..width]));
            assert_eq!(dots(&a, &table, starts), expected, "{width}");
        }
    }
}
