//! The score-function loss of a memory's choices about which entries to keep.

use crate::graph::Graph;
use crate::tensor::{Tensor, shape, values};

impl Graph<'_> {
    /// `-mean_e(w_e · ln p_e)` over all entries, to be minimised.
    ///
    /// An entry with score `u` and Gumbel noise `g` has the key `κ = u + g`. The time for which it
    /// was kept determines bounds of its key, `low ≤ κ < high`: with a lower key it would have been
    /// dropped earlier, with a higher key it would have been kept longer. With `r(x) = exp(u - x)`
    /// the bounds have the probability `p = e^-r(high) - e^-r(low)`. `low = -∞` marks an entry that
    /// was dropped at once, `high = +∞` an entry that was kept to the end. If both bounds are
    /// infinite, no choice was made about the entry, and it contributes nothing.
    ///
    /// `u` is `[E, 1]`, bounds and weights are `[E]`. The weight of an entry is its advantage: how
    /// much better than expected things went.
    pub fn retention_score(&mut self, u: &Tensor, bounds: &[[f32; 2]], weights: &[f32]) -> Tensor {
        let (entries, columns) = shape(u);
        assert_eq!(columns, 1, "one score per entry");
        assert!(
            bounds.len() == entries && weights.len() == entries,
            "bounds and a weight for each of {entries} entries"
        );
        let factor = if entries == 0 {
            0.0
        } else {
            1.0 / entries as f64
        };
        let mut loss = 0.0;
        let mut gradient = vec![0.0; entries];
        for e in 0..entries {
            if bounds[e] == [f32::NEG_INFINITY, f32::INFINITY] || weights[e] == 0.0 {
                continue;
            }
            let weight = factor * f64::from(weights[e]);
            let u = f64::from(values(u)[e]);
            let (log_prob, slope) = log_prob_within(u, bounds[e].map(f64::from));
            loss -= weight * log_prob;
            gradient[e] = (-weight * slope) as f32;
        }
        self.loss(loss, u, gradient)
    }
}

/// Largest exponent; larger ones are replaced by it. It gives a probability of e^-e^30.
const LARGEST_EXPONENT: f64 = 30.0;

/// Returns the log-probability of a key between two bounds, and its derivative with respect to `u`.
fn log_prob_within(u: f64, [low, high]: [f64; 2]) -> (f64, f64) {
    let rate = |bound: f64| (u - bound).min(LARGEST_EXPONENT).exp();
    let above = rate(high);
    if low == f64::NEG_INFINITY {
        return (-above, -above);
    }
    // e^-above - e^-below = e^-above (1 - e^-width). The bounds may be equal, so the width may be
    // 0.
    let width = (rate(low) - above).max(f64::MIN_POSITIVE);
    let log_prob = -above + (-(-width).exp_m1()).max(f64::MIN_POSITIVE).ln();
    let slope = -above + width / width.exp_m1();
    (log_prob, slope)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: f64 = f64::NEG_INFINITY;
    const ALWAYS: f64 = f64::INFINITY;

    #[test]
    fn kept_to_the_end() {
        let (kept, slope) = log_prob_within(0.0, [0.0, ALWAYS]);
        assert!((kept - (1.0 - (-1.0f64).exp()).ln()).abs() < 1e-12);
        assert!((slope - 1.0 / (1.0f64.exp() - 1.0)).abs() < 1e-12);
        let (low, slope) = log_prob_within(-20.0, [0.0, ALWAYS]);
        assert!((low + 20.0).abs() < 1e-8 && (slope - 1.0).abs() < 1e-8);
        let (high, slope) = log_prob_within(1e4, [0.0, ALWAYS]);
        assert!(high.abs() < 1e-12 && slope.abs() < 1e-12);
        assert!(log_prob_within(-1e4, [0.0, ALWAYS]).0.is_finite());
    }

    #[test]
    fn dropped_at_once() {
        assert_eq!(log_prob_within(0.0, [NEVER, 0.0]), (-1.0, -1.0));
        assert!(log_prob_within(1e4, [NEVER, 0.0]).0.is_finite());
    }

    #[test]
    fn dropped_in_between() {
        let (u, low, high) = (0.3, -0.5, 1.2);
        let p = |u: f64| (-(u - high).exp()).exp() - (-(u - low).exp()).exp();
        let (log_prob, slope) = log_prob_within(u, [low, high]);
        assert!((log_prob - p(u).ln()).abs() < 1e-12);
        let numeric = (p(u + 1e-6).ln() - p(u - 1e-6).ln()) / 2e-6;
        assert!((slope - numeric).abs() < 1e-6, "{slope} {numeric}");
        // The probabilities of the three possible outcomes add up to 1.
        let parts = [[NEVER, low], [low, high], [high, ALWAYS]];
        let total: f64 = parts
            .map(|bounds| log_prob_within(u, bounds).0.exp())
            .iter()
            .sum();
        assert!((total - 1.0).abs() < 1e-12);
        let (log_prob, slope) = log_prob_within(0.0, [0.5, 0.5]);
        assert!(log_prob.is_finite() && slope.is_finite());
    }
}
