//! A bonus for observations that are rare: 1/√n (MBIE-EB: Strehl and Littman 2008), n counted over observations rounded to two
//! places, as in the reference notebook.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The number of times that each rounded observation was met. It grows with the number of different observations, so it
/// suits tasks that have few.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CountBonus {
    observation_size: usize,
    /// By hundredths. Sorted, so that equal counts are saved as equal bytes.
    counts: BTreeMap<Vec<i64>, u64>,
}

impl CountBonus {
    /// Returns counts before the first observation.
    pub fn new(observation_size: usize) -> Self {
        Self {
            observation_size,
            counts: BTreeMap::new(),
        }
    }

    /// Counts each of `next_observations` in their order, and returns `1/√n` for each; n includes the observation itself.
    pub fn bonuses(&mut self, next_observations: &[f32]) -> Vec<f32> {
        next_observations
            .chunks_exact(self.observation_size)
            .map(|observation| {
                let key = observation
                    .iter()
                    .map(|&x| (f64::from(x) * 100.0).round() as i64);
                let count = self.counts.entry(key.collect()).or_insert(0);
                *count += 1;
                (1.0 / (*count as f64).sqrt()) as f32
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nth_meeting_is_worth_one_over_the_root_of_n() {
        let mut counts = CountBonus::new(2);
        // The third differs from the first by less than the rounding, the fourth does not.
        let met = [0.5, 1.0, 0.0, 1.0, 0.501, 1.0, 0.51, 1.0];
        let third = 1.0 / 2.0f32.sqrt();
        assert_eq!(counts.bonuses(&met), [1.0, 1.0, third, 1.0]);
        // Counts continue in the next rollout.
        assert_eq!(counts.bonuses(&[0.5, 1.0]), [1.0 / 3.0f32.sqrt()]);
    }
}
