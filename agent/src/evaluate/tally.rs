//! Returns of episodes while they are played.

use std::time::Duration;

use super::evaluation::{Evaluation, Mode};

/// Returns of the first episodes of each lane: of one, or of all that share a lifetime.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Episodes of a lane that count.
    per_lane: usize,
    /// Sums over the episodes that count, `[lanes]`.
    returns: Vec<f64>,
    lengths: Vec<u64>,
    ended: Vec<usize>,
}

impl Tally {
    /// Lanes whose first episode begins. `per_lane`: how many of a lane's episodes count.
    pub fn new(lanes: usize, per_lane: usize) -> Self {
        Self {
            per_lane,
            returns: vec![0.0; lanes],
            lengths: vec![0; lanes],
            ended: vec![0; lanes],
        }
    }

    /// Takes in a step of every lane, `[lanes]` each; lanes whose episodes are over are passed over.
    pub fn push(&mut self, rewards: &[f64], ends: &[bool]) {
        for lane in 0..self.ended.len() {
            if self.ended[lane] < self.per_lane {
                self.returns[lane] += rewards[lane];
                self.lengths[lane] += 1;
                self.ended[lane] += usize::from(ends[lane]);
            }
        }
    }

    /// How many lanes' episodes are over.
    pub fn num_ended(&self) -> usize {
        let over = |&&ended: &&usize| ended == self.per_lane;
        self.ended.iter().filter(over).count()
    }

    /// Whether that is so in every lane.
    pub fn all_ended(&self) -> bool {
        self.num_ended() == self.ended.len()
    }

    /// What came out, of `steps` steps over all environments.
    pub fn evaluation(self, mode: Mode, steps: u64, elapsed: Duration) -> Evaluation {
        let per_lane = self.per_lane as f64;
        let returns: Vec<f64> = self.returns.iter().map(|sum| sum / per_lane).collect();
        let n = returns.len() as f64;
        let mean_return = returns.iter().sum::<f64>() / n;
        let squares = returns
            .iter()
            .map(|r| (r - mean_return).powi(2))
            .sum::<f64>();
        Evaluation {
            mode,
            mean_return,
            std_return: if n > 1.0 {
                (squares / (n - 1.0)).sqrt()
            } else {
                0.0
            },
            mean_length: self.lengths.iter().sum::<u64>() as f64 / (n * per_lane),
            returns,
            steps,
            elapsed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_counts_first_episodes_only() {
        let mut tally = Tally::new(2, 1);
        tally.push(&[1.0, 0.0], &[true, false]);
        assert!(!tally.all_ended());
        tally.push(&[5.0, -1.0], &[true, true]);
        assert!(tally.all_ended());
        let evaluation = tally.evaluation(Mode::Greedy, 4, Duration::ZERO);
        assert_eq!(evaluation.returns, [1.0, -1.0]);
        assert_eq!((evaluation.mean_return, evaluation.mean_length), (0.0, 1.5));
        assert!((evaluation.std_return - 2f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn a_tally_of_lifetimes_takes_the_mean_over_their_episodes() {
        let mut tally = Tally::new(2, 2);
        tally.push(&[0.0, 0.0], &[true, false]);
        tally.push(&[1.0, 1.0], &[true, true]);
        // The first lane's lifetime is over: its third episode does not count.
        tally.push(&[9.0, -1.0], &[true, true]);
        assert!(tally.all_ended());
        let evaluation = tally.evaluation(Mode::Greedy, 6, Duration::ZERO);
        assert_eq!(evaluation.returns, [0.5, 0.0]);
        // 2 + 3 steps of 4 episodes.
        assert_eq!(evaluation.mean_length, 1.25);
    }
}
