//! Sums of the numbers of each of several vectors. Compilers fold vectors one by one, and move their numbers one by one; eight are
//! folded together in a fifth of the instructions, with the same additions in the same order.
//!
//! All are `#[inline(always)]`, so that they become part of the multiversioned kernel that calls them.

use super::lanes::LANES;
use super::math::sum;

/// Numbers of half a vector, and how many of these are folded together.
pub(crate) const HALF: usize = LANES / 2;

/// Returns the sum of the numbers of each vector, in the order of [`sum`].
#[inline(always)]
pub(crate) fn fold(vectors: &[[f32; LANES]; LANES]) -> [f32; LANES] {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx") {
        // SAFETY: the processor has the instructions.
        return unsafe { avx::fold(vectors) };
    }
    vectors.map(|vector| sum(&vector))
}

/// Returns the sum of the numbers of each half: of those four apart first, then of those two apart.
#[inline(always)]
pub(crate) fn fold_halves(halves: &[[f32; HALF]; HALF]) -> [f32; HALF] {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx") {
        // SAFETY: the processor has the instructions.
        return unsafe { avx::fold_halves(halves) };
    }
    halves.map(|half| {
        let fours: [f32; 4] = std::array::from_fn(|lane| half[lane] + half[lane + 4]);
        (fours[0] + fours[2]) + (fours[1] + fours[3])
    })
}

#[cfg(target_arch = "x86_64")]
mod avx {
    use std::arch::x86_64::{
        __m256, _mm256_add_ps, _mm256_loadu_ps, _mm256_permute2f128_ps, _mm256_shuffle_ps,
        _mm256_storeu_ps,
    };

    use super::{HALF, LANES};

    /// [`fold`](super::fold).
    #[target_feature(enable = "avx")]
    #[inline]
    pub fn fold(vectors: &[[f32; LANES]; LANES]) -> [f32; LANES] {
        let mut sums = [0.0; LANES];
        let (to, _) = sums.as_chunks_mut::<HALF>();
        let (vectors, _) = vectors.as_chunks::<HALF>();
        for (sums, [a, b, c, d, e, f, g, h]) in to.iter_mut().zip(vectors) {
            // A closure would not be inlined.
            *sums = fold_eight([
                add_halves(a),
                add_halves(b),
                add_halves(c),
                add_halves(d),
                add_halves(e),
                add_halves(f),
                add_halves(g),
                add_halves(h),
            ]);
        }
        sums
    }

    /// [`fold_halves`](super::fold_halves).
    #[target_feature(enable = "avx")]
    #[inline]
    pub fn fold_halves([a, b, c, d, e, f, g, h]: &[[f32; HALF]; HALF]) -> [f32; HALF] {
        fold_eight([
            load(a),
            load(b),
            load(c),
            load(d),
            load(e),
            load(f),
            load(g),
            load(h),
        ])
    }

    #[target_feature(enable = "avx")]
    #[inline]
    fn load(half: &[f32; HALF]) -> __m256 {
        // SAFETY: a half has eight numbers.
        unsafe { _mm256_loadu_ps(half.as_ptr()) }
    }

    #[target_feature(enable = "avx")]
    #[inline]
    fn add_halves(vector: &[f32; LANES]) -> __m256 {
        let from = vector.as_ptr();
        // SAFETY: a vector has sixteen numbers.
        unsafe { _mm256_add_ps(_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(HALF))) }
    }

    /// The sums of eight halves, which in this order stand in that of the halves.
    #[target_feature(enable = "avx")]
    #[inline]
    fn fold_eight([a, b, c, d, e, f, g, h]: [__m256; HALF]) -> [f32; HALF] {
        let low = twos(fours(a, e), fours(b, f));
        let high = twos(fours(c, g), fours(d, h));
        let even = _mm256_shuffle_ps::<0x88>(low, high);
        let odd = _mm256_shuffle_ps::<0xdd>(low, high);
        let mut sums = [0.0; HALF];
        // SAFETY: there is room for eight numbers.
        unsafe { _mm256_storeu_ps(sums.as_mut_ptr(), _mm256_add_ps(even, odd)) };
        sums
    }

    /// Four sums of two numbers each, of `a`, then of `b`.
    #[target_feature(enable = "avx")]
    #[inline]
    fn fours(a: __m256, b: __m256) -> __m256 {
        let low = _mm256_permute2f128_ps::<0x20>(a, b);
        let high = _mm256_permute2f128_ps::<0x31>(a, b);
        _mm256_add_ps(low, high)
    }

    /// Two sums of two numbers each, of four halves.
    #[target_feature(enable = "avx")]
    #[inline]
    fn twos(a: __m256, b: __m256) -> __m256 {
        let low = _mm256_shuffle_ps::<0x44>(a, b);
        let high = _mm256_shuffle_ps::<0xee>(a, b);
        _mm256_add_ps(low, high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fold_has_the_bits_of_a_sum() {
        let mut vectors = [[0.0; LANES]; LANES];
        let numbers = vectors.as_flattened_mut().iter_mut();
        numbers
            .enumerate()
            .for_each(|(i, x)| *x = (i as f32 * 1.7).sin());
        assert_eq!(fold(&vectors), vectors.map(|vector| sum(&vector)));
    }
}
