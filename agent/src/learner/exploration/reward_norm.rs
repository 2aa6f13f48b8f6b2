//! Rewards on a common scale: divided by the running deviation of the discounted return (Engstrom et al. 2020,
//! arXiv:2005.12729). Nothing is subtracted: a constant per step would change what is best wherever actions decide how
//! long an episode lasts.

use serde::{Deserialize, Serialize};

use super::moments::Moments;
use crate::experience::Rollout;

/// Normalised rewards lie within ± this.
const CLIP: f64 = 10.0;

/// The discounted return of every lane, looking back, and its moments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RewardNormalizer {
    returns: Vec<f32>,
    moments: Moments,
}

impl RewardNormalizer {
    /// Returns the moments of `num_envs` lanes before their first reward.
    pub fn new(num_envs: usize) -> Self {
        Self {
            returns: vec![0.0; num_envs],
            moments: Moments::new(1),
        }
    }

    /// Adds a rollout's rewards to the moments, and returns the rewards scaled: `Gₜ = γ·Gₜ₋₁ + rₜ` within an episode, `r / std(G)`.
    pub fn normalize(&mut self, rollout: &Rollout, gamma: f32) -> Vec<f32> {
        let mut seen = Vec::with_capacity(rollout.rewards.len());
        for (row, &reward) in rollout.rewards.iter().enumerate() {
            let lane = &mut self.returns[row % rollout.batch];
            let before = if rollout.starts[row] { 0.0 } else { *lane };
            *lane = gamma * before + reward;
            seen.push(*lane);
        }
        self.moments.add(&seen);
        let scale = 1.0 / (self.moments.std(0) + 1e-8);
        let scaled = |&reward: &f32| (f64::from(reward) * scale).clamp(-CLIP, CLIP) as f32;
        rollout.rewards.iter().map(scaled).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::State;

    fn rollout(rewards: Vec<f32>, starts: Vec<bool>) -> Rollout {
        Rollout {
            rewards,
            starts,
            ..Rollout::empty(1, State::new(1, Vec::new()))
        }
    }

    /// γ = 0.5: returns 2, 1 + 1 = 2 and, in the next episode, −2: deviation √(4 − 4/9) = 4√2/3.
    #[test]
    fn rewards_are_divided_by_the_deviation_of_the_return() {
        let mut norm = RewardNormalizer::new(1);
        let rollout = rollout(vec![2.0, 1.0, -2.0], vec![true, false, true]);
        let scaled = norm.normalize(&rollout, 0.5);
        let deviation = 4.0 * 2.0f32.sqrt() / 3.0;
        for (found, reward) in scaled.iter().zip(&rollout.rewards) {
            assert!((found - reward / deviation).abs() < 1e-6);
        }
    }

    /// An episode continues from one rollout to the next: 4, then 0.5·4 + 0 = 2: deviation 1.
    #[test]
    fn the_return_is_carried_to_the_next_rollout() {
        let mut norm = RewardNormalizer::new(1);
        norm.normalize(&rollout(vec![4.0], vec![true]), 0.5);
        let scaled = norm.normalize(&rollout(vec![0.0], vec![false]), 0.5);
        assert_eq!(scaled, [0.0]);
        assert_eq!(norm.moments.std(0), 1.0);
    }

    #[test]
    fn signs_stay_and_extremes_are_clipped() {
        let mut norm = RewardNormalizer::new(1);
        let mut rewards = vec![0.0; 1_000];
        (rewards[0], rewards[1]) = (100.0, -100.0);
        let scaled = norm.normalize(&rollout(rewards, vec![true; 1_000]), 0.9);
        assert_eq!(scaled[..3], [10.0, -10.0, 0.0]);
        // A constant reward does not vary: no division by zero.
        let mut norm = RewardNormalizer::new(1);
        assert_eq!(
            norm.normalize(&rollout(vec![1.0; 2], vec![true; 2]), 0.9),
            [10.0; 2]
        );
    }
}
