//! The score-function loss of what a memory kept.

use crate::graph::Graph;
use crate::tensor::{Tensor, shape, values};

impl Graph<'_> {
    /// `-mean_e(w_e · ln p_e)` over all entries, to be minimised.
    ///
    /// An entry with score `u` and Gumbel noise is kept when its key exceeds `threshold`, the
    /// smallest key it had to beat: with `r = exp(u - threshold)`, `ln p(kept) = ln(1 - e^-r)` and
    /// `ln p(dropped) = -r`. A threshold of -∞ is a free slot: kept for certain, so it contributes
    /// nothing. `u` `[E, 1]`, everything else `[E]`. The weight is how good the episode was.
    pub fn retention_score(
        &mut self,
        u: &Tensor,
        threshold: &[f32],
        kept: &[bool],
        weights: &[f32],
    ) -> Tensor {
        let (entries, columns) = shape(u);
        assert_eq!(columns, 1, "one score per entry");
        assert!(
            threshold.len() == entries && kept.len() == entries && weights.len() == entries,
            "threshold, outcome and weight for each of {entries} entries"
        );
        let factor = if entries == 0 {
            0.0
        } else {
            1.0 / entries as f64
        };
        let mut loss = 0.0;
        let mut gradient = vec![0.0; entries];
        for e in 0..entries {
            if threshold[e] == f32::NEG_INFINITY {
                continue;
            }
            let weight = factor * f64::from(weights[e]);
            let margin = f64::from(values(u)[e]) - f64::from(threshold[e]);
            let (log_prob, slope) = log_prob_of_outcome(margin, kept[e]);
            loss -= weight * log_prob;
            gradient[e] = (-weight * slope) as f32;
        }
        self.loss(loss, u, gradient)
    }
}

/// Margins beyond this (a dropped entry with probability e^-e^30) count as this.
const LARGEST_MARGIN: f64 = 30.0;

/// ln p of the outcome and its derivative with respect to the margin `u - threshold`.
fn log_prob_of_outcome(margin: f64, kept: bool) -> (f64, f64) {
    let margin = margin.min(LARGEST_MARGIN);
    let r = margin.exp();
    if !kept {
        (-r, -r)
    } else if margin < -30.0 {
        // 1 - e^-r = r to all digits, and e^margin may underflow.
        (margin, 1.0)
    } else {
        ((-(-r).exp_m1()).ln(), r / r.exp_m1())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_probabilities() {
        let (kept, slope) = log_prob_of_outcome(0.0, true);
        assert!((kept - (1.0 - (-1.0f64).exp()).ln()).abs() < 1e-12);
        assert!((slope - 1.0 / (1.0f64.exp() - 1.0)).abs() < 1e-12);
        assert_eq!(log_prob_of_outcome(0.0, false), (-1.0, -1.0));
        let (low, slope) = log_prob_of_outcome(-20.0, true);
        assert!((low + 20.0).abs() < 1e-8 && (slope - 1.0).abs() < 1e-8);
        assert_eq!(log_prob_of_outcome(-1e4, true), (-1e4, 1.0));
        assert_eq!(log_prob_of_outcome(1e4, true), (0.0, 0.0));
        assert!(log_prob_of_outcome(1e4, false).0.is_finite());
    }
}
