//! The loss of proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347).

use crate::nn::categorical;
use crate::nn::graph::Graph;
use crate::nn::tensor::{Tensor, shape, values};

/// What was experienced, one value a row of the logits.
#[derive(Clone, Copy, Debug)]
pub struct PpoBatch<'a> {
    /// Actions taken, `0..A`.
    pub actions: &'a [u32],
    /// Their log-probabilities when they were taken.
    pub old_log_probs: &'a [f32],
    /// Advantages, normalised or not as the learner likes.
    pub advantages: &'a [f32],
    /// Targets of the values.
    pub returns: &'a [f32],
    /// Values when the actions were taken; used by `clip_vloss` only.
    pub old_values: &'a [f32],
    /// Weights of the rows; 0 masks a row.
    pub weights: &'a [f32],
}

/// The coefficients, under their usual names.
#[derive(Clone, Copy, Debug)]
pub struct PpoCoefficients {
    /// Half the width of the range of ratios, usually 0.2.
    pub clip_coef: f32,
    /// Whether values are clipped around the old ones too.
    pub clip_vloss: bool,
    /// Coefficient of the entropy.
    pub ent_coef: f32,
    /// Coefficient of the value loss.
    pub vf_coef: f32,
}

/// Weighted means over the batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PpoStats {
    /// `max(-A r, -A clip(r))`.
    pub policy_loss: f32,
    /// `½ (v - R)²`, clipped or not.
    pub value_loss: f32,
    /// Entropy of the policy in nats.
    pub entropy: f32,
    /// `(r - 1) - ln r`, Schulman's low-variance estimate of the divergence from the old policy.
    pub approx_kl: f32,
    /// Share of rows whose ratio is outside the range.
    pub clip_fraction: f32,
}

impl Graph<'_> {
    /// `policy_loss - ent_coef · entropy + vf_coef · value_loss` `[1, 1]`, weighted means over the
    /// rows of `logits` `[M, A]` and `values` `[M, 1]`, with `r = π(a) / π_old(a)` (eq. 7 and 9;
    /// value clipping as in the authors' code). All 0 when every weight is 0.
    pub fn ppo_loss(
        &mut self,
        logits: &Tensor,
        state_values: &Tensor,
        batch: &PpoBatch<'_>,
        coefficients: &PpoCoefficients,
    ) -> (Tensor, PpoStats) {
        let (rows, num_actions) = shape(logits);
        assert_eq!(
            shape(state_values),
            (rows, 1),
            "one value per row of the logits"
        );
        check_lengths(batch, rows);
        let (logits_key, values_key) = (self.key(logits), self.key(state_values));
        let mut sums = Sums::default();
        let mut d_logits = vec![0.0; rows * num_actions];
        let mut d_values = vec![0.0; rows];
        let total_weight: f32 = batch.weights.iter().sum();
        let factor = if total_weight > 0.0 {
            1.0 / total_weight
        } else {
            0.0
        };
        let mut log_probs = vec![0.0; num_actions];
        for row in 0..rows {
            let span = row * num_actions..(row + 1) * num_actions;
            log_probs.copy_from_slice(&values(logits)[span.clone()]);
            categorical::log_softmax(&mut log_probs, num_actions);
            let weight = factor * batch.weights[row];
            policy_row(
                &mut d_logits[span],
                &log_probs,
                batch,
                row,
                weight,
                coefficients,
                &mut sums,
            );
            let (loss, slope) = value_row(values(state_values)[row], batch, row, coefficients);
            sums.value_loss += f64::from(weight * loss);
            d_values[row] = weight * coefficients.vf_coef * slope;
        }
        let stats = sums.stats();
        let loss = stats.policy_loss - coefficients.ent_coef * stats.entropy
            + coefficients.vf_coef * stats.value_loss;
        let loss = self.constant(vec![loss], (1, 1));
        if logits_key.wanted() || values_key.wanted() {
            self.record(&loss, move |d_loss, grads| {
                grads.give(&logits_key, scaled(d_logits, d_loss[0]));
                grads.give(&values_key, scaled(d_values, d_loss[0]));
            });
        }
        (loss, stats)
    }
}

fn check_lengths(batch: &PpoBatch<'_>, rows: usize) {
    let PpoBatch {
        actions,
        old_log_probs,
        advantages,
        returns,
        old_values,
        weights,
    } = batch;
    assert_eq!(actions.len(), rows, "one action per row of the logits");
    for numbers in [old_log_probs, advantages, returns, old_values, weights] {
        assert_eq!(
            numbers.len(),
            rows,
            "every part of a batch has one number per row"
        );
    }
}

/// Weighted sums, in `f64` because thousands of small terms add up.
#[derive(Default)]
struct Sums {
    policy_loss: f64,
    value_loss: f64,
    entropy: f64,
    approx_kl: f64,
    clip_fraction: f64,
}

impl Sums {
    fn stats(&self) -> PpoStats {
        PpoStats {
            policy_loss: self.policy_loss as f32,
            value_loss: self.value_loss as f32,
            entropy: self.entropy as f32,
            approx_kl: self.approx_kl as f32,
            clip_fraction: self.clip_fraction as f32,
        }
    }
}

/// Policy and entropy terms of one row: adds to the sums and writes the gradient of its logits.
fn policy_row(
    d_logits: &mut [f32],
    log_probs: &[f32],
    batch: &PpoBatch<'_>,
    row: usize,
    weight: f32,
    coefficients: &PpoCoefficients,
    sums: &mut Sums,
) {
    let action = batch.actions[row] as usize;
    let advantage = batch.advantages[row];
    let log_ratio = log_probs[action] - batch.old_log_probs[row];
    let ratio = log_ratio.exp();
    let clip = coefficients.clip_coef;
    let unclipped = -advantage * ratio;
    let clipped = -advantage * ratio.clamp(1.0 - clip, 1.0 + clip);
    let entropy = categorical::entropy(log_probs);
    sums.policy_loss += f64::from(weight * unclipped.max(clipped));
    sums.entropy += f64::from(weight * entropy);
    sums.approx_kl += f64::from(weight * (log_ratio.exp_m1() - log_ratio));
    sums.clip_fraction += f64::from(weight * f32::from((ratio - 1.0).abs() > clip));

    let d_log_prob = if unclipped >= clipped {
        weight * unclipped
    } else {
        0.0
    };
    let d_entropy = -weight * coefficients.ent_coef;
    for (other, (d, &log_prob)) in d_logits.iter_mut().zip(log_probs).enumerate() {
        let prob = log_prob.exp();
        let taken = f32::from(other == action);
        *d = d_log_prob * (taken - prob) - d_entropy * prob * (log_prob + entropy);
    }
}

/// Value loss of one row and its slope.
fn value_row(
    value: f32,
    batch: &PpoBatch<'_>,
    row: usize,
    coefficients: &PpoCoefficients,
) -> (f32, f32) {
    let error = value - batch.returns[row];
    if coefficients.clip_vloss {
        let clip = coefficients.clip_coef;
        let change = value - batch.old_values[row];
        let clipped_error = batch.old_values[row] + change.clamp(-clip, clip) - batch.returns[row];
        if clipped_error * clipped_error > error * error {
            let inside = change.abs() < clip;
            return (
                0.5 * clipped_error * clipped_error,
                if inside { clipped_error } else { 0.0 },
            );
        }
    }
    (0.5 * error * error, error)
}

fn scaled(mut numbers: Vec<f32>, factor: f32) -> Vec<f32> {
    if factor != 1.0 {
        numbers.iter_mut().for_each(|x| *x *= factor);
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Params;

    /// Three rows with even odds; the third is masked.
    fn stats(clip_vloss: bool) -> PpoStats {
        let params = Params::new();
        let mut graph = Graph::inference(&params);
        let logits = graph.constant(vec![0.0; 6], (3, 2));
        let state_values = graph.constant(vec![1.0, 1.0, 50.0], (3, 1));
        let half = 0.5f32.ln();
        let batch = PpoBatch {
            actions: &[0, 1, 1],
            // Ratios 2 and 1.
            old_log_probs: &[half - 2.0f32.ln(), half, 0.0],
            advantages: &[1.0, -3.0, 9.0],
            returns: &[0.0, 1.5, -9.0],
            old_values: &[0.5, 1.0, 9.0],
            weights: &[3.0, 1.0, 0.0],
        };
        let coefficients = PpoCoefficients {
            clip_coef: 0.2,
            clip_vloss,
            ent_coef: 0.1,
            vf_coef: 0.5,
        };
        let (loss, stats) = graph.ppo_loss(&logits, &state_values, &batch, &coefficients);
        let expected = stats.policy_loss - 0.1 * stats.entropy + 0.5 * stats.value_loss;
        assert!((values(&loss)[0] - expected).abs() < 1e-6);
        stats
    }

    fn assert_stats(stats: PpoStats, expected: [f32; 5]) {
        let PpoStats {
            policy_loss,
            value_loss,
            entropy,
            approx_kl,
            clip_fraction,
        } = stats;
        let found = [policy_loss, value_loss, entropy, approx_kl, clip_fraction];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{stats:?}");
        }
    }

    #[test]
    fn by_hand() {
        let ln_2 = std::f32::consts::LN_2;
        let policy_loss = 0.75 * -1.2 + 0.25 * 3.0;
        let kl = 0.75 * (1.0 - ln_2);
        let value_loss = 0.75 * 0.5 + 0.25 * 0.125;
        assert_stats(stats(false), [policy_loss, value_loss, ln_2, kl, 0.75]);
        // Clipped to 0.7 the first error would be smaller, so the larger one counts.
        assert_stats(stats(true), [policy_loss, value_loss, ln_2, kl, 0.75]);
    }

    #[test]
    fn a_clipped_value_counts_when_its_error_is_larger() {
        let params = Params::new();
        let mut graph = Graph::training(&params);
        let logits = graph.constant(vec![0.0; 2], (1, 2));
        let state_value = graph.constant(vec![1.0], (1, 1));
        let batch = PpoBatch {
            actions: &[0],
            old_log_probs: &[0.5f32.ln()],
            advantages: &[0.0],
            returns: &[1.0],
            old_values: &[0.0],
            weights: &[1.0],
        };
        let coefficients = PpoCoefficients {
            clip_coef: 0.25,
            clip_vloss: true,
            ent_coef: 0.0,
            vf_coef: 1.0,
        };
        let (_, stats) = graph.ppo_loss(&logits, &state_value, &batch, &coefficients);
        assert_eq!(stats.value_loss, 0.5 * 0.75 * 0.75);
    }

    #[test]
    fn without_weights_everything_is_zero() {
        let params = Params::new();
        let mut graph = Graph::inference(&params);
        let logits = graph.constant(vec![1.0, 2.0], (1, 2));
        let state_value = graph.constant(vec![1.0], (1, 1));
        let one = &[1.0][..];
        let batch = PpoBatch {
            actions: &[0],
            old_log_probs: one,
            advantages: one,
            returns: one,
            old_values: one,
            weights: &[0.0],
        };
        let coefficients = PpoCoefficients {
            clip_coef: 0.2,
            clip_vloss: true,
            ent_coef: 0.1,
            vf_coef: 0.5,
        };
        let (loss, stats) = graph.ppo_loss(&logits, &state_value, &batch, &coefficients);
        assert_eq!((values(&loss)[0], stats), (0.0, PpoStats::default()));
    }
}
