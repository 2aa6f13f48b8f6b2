//! Vectors with a lane for each of sixteen rows, so that what is summed over a row is a sum of vectors: folding a vector of a
//! row's own numbers takes longer than the rest of a short row.
//!
//! All are `#[inline(always)]`, so that they become part of the multiversioned kernel that calls them.

use super::math::exp;
use super::transpose::transpose_into;

/// Numbers of a vector.
pub(crate) const LANES: usize = 16;

/// `a + b` lane by lane. The arguments are passed by value, so that they cannot alias and the compiler can use vectors.
#[inline(always)]
fn add_lanes(a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
    let mut sum = a;
    for lane in 0..LANES {
        sum[lane] = a[lane] + b[lane];
    }
    sum
}

/// Returns the sum of the numbers of each vector, in the order of [`sum`](super::math::sum).
#[inline(always)]
pub(crate) fn fold(vectors: &[[f32; LANES]; LANES]) -> [f32; LANES] {
    let mut parts = [[0.0; LANES]; LANES];
    let to = (parts.as_flattened_mut(), LANES);
    transpose_into(to, (vectors.as_flattened(), LANES), (LANES, LANES));
    let mut width = LANES / 2;
    while width > 0 {
        let (low, high) = parts.split_at_mut(width);
        for (low, high) in low.iter_mut().zip(high) {
            *low = add_lanes(*low, *high);
        }
        width /= 2;
    }
    parts[0]
}

/// The larger number of each lane; NaN in `b` is ignored.
#[inline(always)]
fn larger_lanes(a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
    let mut larger = a;
    for lane in 0..LANES {
        larger[lane] = if b[lane] > a[lane] { b[lane] } else { a[lane] };
    }
    larger
}

/// `e^(score − largest)` lane by lane, 0 for a score of −∞.
#[inline(always)]
fn exp_lanes(scores: [f32; LANES], largest: [f32; LANES]) -> [f32; LANES] {
    let mut out = scores;
    for lane in 0..LANES {
        let e = exp(scores[lane] - largest[lane]);
        let is_none = scores[lane] == f32::NEG_INFINITY;
        out[lane] = if is_none { 0.0 } else { e };
    }
    out
}

/// Softmax in place over the scores of each lane; 0 for those of −∞, which may be all of a lane.
#[inline(always)]
pub(crate) fn softmax(scores: &mut [[f32; LANES]]) {
    let mut largest = [f32::NEG_INFINITY; LANES];
    for scores in &*scores {
        largest = larger_lanes(largest, *scores);
    }
    let mut total = [0.0f32; LANES];
    for scores in scores.iter_mut() {
        *scores = exp_lanes(*scores, largest);
        total = add_lanes(total, *scores);
    }
    let mut factors = total;
    for factor in &mut factors {
        *factor = if *factor == 0.0 { 0.0 } else { 1.0 / *factor };
    }
    for scores in scores {
        for lane in 0..LANES {
            scores[lane] *= factors[lane];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::math::sum;
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
