//! Vectors with a lane for each of sixteen rows, so that what is summed over a row is a sum of vectors: folding a vector of a
//! row's own numbers takes longer than the rest of a short row.
//!
//! All are `#[inline(always)]`, so that they become part of the multiversioned kernel that calls them.

use super::math::{exp, one_by_one, zip_lanes};

/// Numbers of a vector.
pub(crate) const LANES: usize = 16;

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
