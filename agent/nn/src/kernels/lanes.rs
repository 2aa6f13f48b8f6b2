//! Vectors with a lane for each of sixteen rows, so that what is summed over a row is a sum of vectors: folding a vector of a
//! row's own numbers takes longer than the rest of a short row.
//!
//! All are `#[inline(always)]`, so that they become part of the multiversioned kernel that calls them.

use super::math::{exp, one_by_one, sum, zip_lanes};

/// Numbers of a vector.
pub(crate) const LANES: usize = 16;

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

/// Compilers fold vectors one by one.
#[cfg(target_arch = "x86_64")]
mod avx {
    use std::arch::x86_64::{
        __m256, _mm256_add_ps, _mm256_loadu_ps, _mm256_permute2f128_ps, _mm256_shuffle_ps,
        _mm256_storeu_ps,
    };

    use super::LANES;

    /// [`fold`](super::fold): the halves of vectors are added, then halves of halves, of more and more vectors at once.
    ///
    /// # Safety
    /// The processor must have AVX.
    #[target_feature(enable = "avx")]
    #[inline]
    pub unsafe fn fold(vectors: &[[f32; LANES]; LANES]) -> [f32; LANES] {
        let mut sums = [0.0; LANES];
        for (sums, vectors) in sums.chunks_exact_mut(8).zip(vectors.chunks_exact(8)) {
            // In this order the sums stand in that of the vectors. A closure for both would not be inlined.
            let a = add_quarters(
                add_halves(&vectors[0], &vectors[4]),
                add_halves(&vectors[1], &vectors[5]),
            );
            let b = add_quarters(
                add_halves(&vectors[2], &vectors[6]),
                add_halves(&vectors[3], &vectors[7]),
            );
            let even = _mm256_shuffle_ps::<0x88>(a, b);
            let odd = _mm256_shuffle_ps::<0xdd>(a, b);
            // SAFETY: there is room for eight numbers.
            unsafe { _mm256_storeu_ps(sums.as_mut_ptr(), _mm256_add_ps(even, odd)) }
        }
        sums
    }

    /// Four sums of four numbers each, of `a`, then of `b`.
    #[target_feature(enable = "avx")]
    #[inline]
    fn add_halves(a: &[f32; LANES], b: &[f32; LANES]) -> __m256 {
        let [a, b] = [a, b].map(|vector| {
            let from = vector.as_ptr();
            // SAFETY: a vector has sixteen numbers.
            unsafe { _mm256_add_ps(_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) }
        });
        let low = _mm256_permute2f128_ps::<0x20>(a, b);
        let high = _mm256_permute2f128_ps::<0x31>(a, b);
        _mm256_add_ps(low, high)
    }

    /// Two sums of two numbers each, of four vectors.
    #[target_feature(enable = "avx")]
    #[inline]
    fn add_quarters(a: __m256, b: __m256) -> __m256 {
        let low = _mm256_shuffle_ps::<0x44>(a, b);
        let high = _mm256_shuffle_ps::<0xee>(a, b);
        _mm256_add_ps(low, high)
    }
}

/// Softmax in place over the scores of each lane; 0 for those of −∞, which may be all of a lane.
#[inline(always)]
pub(crate) fn softmax(scores: &mut [[f32; LANES]]) {
    let mut largest = [f32::NEG_INFINITY; LANES];
    for scores in &*scores {
        largest = zip_lanes(largest, *scores, |a, b| if b > a { b } else { a });
    }
    let mut total = [0.0f32; LANES];
    for scores in scores.iter_mut() {
        *scores = zip_lanes(*scores, largest, |score, largest| {
            let e = exp(score - largest);
            if score == f32::NEG_INFINITY { 0.0 } else { e }
        });
        total = zip_lanes(total, *scores, |a, b| a + b);
    }
    let factors = total.map(|total| if total == 0.0 { 0.0 } else { 1.0 / total });
    for scores in scores {
        one_by_one();
        *scores = zip_lanes(*scores, factors, |score, factor| score * factor);
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

    #[test]
    fn each_lane_has_a_softmax_of_its_own() {
        let mut scores = [[f32::NEG_INFINITY; LANES]; 3];
        (scores[0][1], scores[2][1]) = (0.5, 0.5);
        (scores[1][2], scores[2][2]) = (0.0, 3.0f32.ln());
        scores[1][3] = f32::NAN;
        softmax(&mut scores);
        let lane = |lane: usize| scores.map(|scores| scores[lane]);
        assert_eq!(lane(0), [0.0; 3]);
        assert_eq!(lane(1), [0.5, 0.0, 0.5]);
        let [none, quarter, rest] = lane(2);
        assert!(none == 0.0 && (quarter - 0.25).abs() < 1e-6 && (rest - 0.75).abs() < 1e-6);
        assert!(scores[1][3].is_nan());
    }
}
