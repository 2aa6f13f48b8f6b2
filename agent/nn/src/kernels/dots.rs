//! Products of a vector with eight rows at a time. To fold the partial sums of a product of short vectors takes longer than the
//! product; those of eight are folded together, in a fifth of the instructions.
//!
//! All are `#[inline(always)]`, so that they become part of the multiversioned kernel that calls them.

use super::math::fma_lanes;

/// How many rows are taken at a time.
pub(crate) const ROWS: usize = 8;

/// Numbers of a vector of partial sums.
const LANES: usize = 16;
const HALF: usize = LANES / 2;

/// Returns the products of `a` with the rows of a table that begin at `starts`, with the bits of [`dot`](super::math::dot).
#[inline(always)]
pub(crate) fn dots(a: &[f32], table: &[f32], starts: [usize; ROWS]) -> [f32; ROWS] {
    let mut halves = [[0.0; HALF]; ROWS];
    let mut rests = [0.0; ROWS];
    for (row, start) in starts.into_iter().enumerate() {
        let b = &table[start..][..a.len()];
        (halves[row], rests[row]) = partial_sums(a, b);
    }
    let mut sums = fold(&halves);
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

/// Returns the sum of the numbers of each vector: of those four apart first, then of those two apart.
#[inline(always)]
fn fold(halves: &[[f32; HALF]; ROWS]) -> [f32; ROWS] {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx") {
        // SAFETY: the processor has the instructions.
        return unsafe { avx::fold(halves) };
    }
    halves.map(|half| {
        let fours: [f32; 4] = std::array::from_fn(|lane| half[lane] + half[lane + 4]);
        (fours[0] + fours[2]) + (fours[1] + fours[3])
    })
}

/// Compilers move the numbers of such vectors one by one.
#[cfg(target_arch = "x86_64")]
mod avx {
    use std::arch::x86_64::{
        __m256, _mm256_add_ps, _mm256_loadu_ps, _mm256_permute2f128_ps, _mm256_shuffle_ps,
        _mm256_storeu_ps,
    };

    use super::{HALF, ROWS};

    /// Returns the sum of the numbers of each vector.
    #[target_feature(enable = "avx")]
    #[inline]
    pub fn fold(halves: &[[f32; HALF]; ROWS]) -> [f32; ROWS] {
        let [a, b] = [fours(halves, 0), fours(halves, 1)];
        let [c, d] = [fours(halves, 2), fours(halves, 3)];
        let (ab, cd) = (twos(a, b), twos(c, d));
        let even = _mm256_shuffle_ps::<0x88>(ab, cd);
        let odd = _mm256_shuffle_ps::<0xdd>(ab, cd);
        let mut sums = [0.0; ROWS];
        // SAFETY: there is room for eight numbers.
        unsafe { _mm256_storeu_ps(sums.as_mut_ptr(), _mm256_add_ps(even, odd)) };
        sums
    }

    /// Four partial sums of a row, then four of that four rows below.
    #[target_feature(enable = "avx")]
    #[inline]
    fn fours(halves: &[[f32; HALF]; ROWS], row: usize) -> __m256 {
        // SAFETY: each row has eight numbers.
        let (upper, lower) = unsafe {
            (
                _mm256_loadu_ps(halves[row].as_ptr()),
                _mm256_loadu_ps(halves[row + 4].as_ptr()),
            )
        };
        let low = _mm256_permute2f128_ps::<0x20>(upper, lower);
        let high = _mm256_permute2f128_ps::<0x31>(upper, lower);
        _mm256_add_ps(low, high)
    }

    /// Two partial sums of a row and two of the next, of each half.
    #[target_feature(enable = "avx")]
    #[inline]
    fn twos(row: __m256, next: __m256) -> __m256 {
        let low = _mm256_shuffle_ps::<0x44>(row, next);
        let high = _mm256_shuffle_ps::<0xee>(row, next);
        _mm256_add_ps(low, high)
    }
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
