//! Categorical distributions over slices of logits, used for acting.

use rand::{Rng, RngExt};

/// Turns logits into log-probabilities in place, row by row of `columns` values.
///
/// # Panics
/// When `columns` is 0 and there are values.
pub fn log_softmax(logits: &mut [f32], columns: usize) {
    for row in logits.chunks_exact_mut(columns) {
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = row.iter().map(|x| (x - largest).exp()).sum();
        let log_sum = sum.ln();
        // Two subtractions instead of one of the sum: large logits keep their digits.
        row.iter_mut().for_each(|x| *x = (*x - largest) - log_sum);
    }
}

/// Draws an action by inverting the cumulative distribution of one row of logits with a single
/// uniform draw. Returns the action and its log-probability.
///
/// # Panics
/// Without logits.
pub fn sample(logits: &[f32], rng: &mut impl Rng) -> (u32, f32) {
    let uniform: f64 = rng.random();
    let mut log_probs = logits.to_vec();
    log_softmax(&mut log_probs, logits.len());
    let action = invert(&log_probs, uniform);
    (action as u32, log_probs[action])
}

/// Returns the first action at which the cumulative probability exceeds `uniform` in [0, 1).
fn invert(log_probs: &[f32], uniform: f64) -> usize {
    let mut cumulative = 0.0;
    for (action, &log_prob) in log_probs.iter().enumerate() {
        cumulative += f64::from(log_prob).exp();
        if uniform < cumulative {
            return action;
        }
    }
    // Rounding can leave the total just below 1. Then the last possible action is drawn.
    log_probs
        .iter()
        .rposition(|&log_prob| log_prob > f32::NEG_INFINITY)
        .expect("a distribution has a possible action")
}

/// Returns the index of the largest logit, the first of several equal ones.
///
/// # Panics
/// Without logits.
pub fn argmax(logits: &[f32]) -> u32 {
    assert!(!logits.is_empty(), "no actions to choose from");
    let mut best = 0;
    for (action, &logit) in logits.iter().enumerate() {
        if logit > logits[best] {
            best = action;
        }
    }
    best as u32
}

/// Returns the entropy `-Σ p ln p` of one row of log-probabilities, in nats.
pub fn entropy(log_probs: &[f32]) -> f32 {
    let term = |&log_prob: &f32| {
        let prob = log_prob.exp();
        // p ln p tends to 0 with p.
        if prob > 0.0 { -prob * log_prob } else { 0.0 }
    };
    log_probs.iter().map(term).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    #[test]
    fn log_softmax_of_large_logits() {
        let mut rows = [0.0, 3.0f32.ln(), 1000.0, 1000.0];
        log_softmax(&mut rows, 2);
        for (value, prob) in rows.iter().zip([0.25f32, 0.75, 0.5, 0.5]) {
            assert!((value - prob.ln()).abs() < 1e-6, "{rows:?}");
        }
    }

    #[test]
    fn inversion_at_the_borders() {
        let log_probs = [
            0.25f32.ln(),
            f32::NEG_INFINITY,
            0.75f32.ln(),
            f32::NEG_INFINITY,
        ];
        assert_eq!(invert(&log_probs, 0.0), 0);
        assert_eq!(invert(&log_probs, 0.249), 0);
        assert_eq!(invert(&log_probs, 0.2501), 2);
        assert_eq!(invert(&log_probs, 1.0), 2);
    }

    #[test]
    fn samples_follow_the_probabilities() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
        let logits = [0.0, 3.0f32.ln()];
        let mut ones = 0;
        for _ in 0..10_000 {
            let (action, log_prob) = sample(&logits, &mut rng);
            ones += action;
            assert!((log_prob.exp() - [0.25, 0.75][action as usize]).abs() < 1e-6);
        }
        // Five standard deviations of a binomial count are 217.
        assert!((7_283..=7_717).contains(&ones), "{ones}");
    }

    #[test]
    fn argmax_and_entropy() {
        assert_eq!(argmax(&[1.0, 3.0, 3.0, 2.0]), 1);
        assert!((entropy(&[0.5f32.ln(); 2]) - 2.0f32.ln()).abs() < 1e-6);
        assert_eq!(entropy(&[0.0, f32::NEG_INFINITY]), 0.0);
    }
}
