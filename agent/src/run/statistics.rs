//! Counts of a run, and its last episodes.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::experience::{Episode, Rollout};

/// Episodes of a running mean.
const WINDOW: usize = 100;
/// Steps of an epoch, POPGym's.
const EPOCH_STEPS: u64 = 65_536;

/// Counts of a run, and its last episodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunStatistics {
    /// Steps of all lanes together.
    pub timesteps: u64,
    /// Updates of the weights.
    pub updates: u64,
    /// Episodes that ended.
    pub episodes: u64,
    /// Sum of their undiscounted returns.
    #[serde(default)]
    pub return_sum: f64,
    /// Mean return from which the task counts as solved, as the server reports it for the task's arguments; `None` where
    /// the server knows none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub solved_threshold: Option<f64>,
    /// Steps at the first update after which the mean return of the last 100 episodes was at least
    /// [`solved_threshold`](Self::solved_threshold).
    pub solved_at: Option<u64>,
    /// The mean over the last 100 episodes at the best checkpoint.
    pub best_return: Option<f64>,
    /// Learning curve: steps, mean return of the last 100 episodes.
    pub curve: Vec<(u64, f64)>,
    /// Epochs of training.
    #[serde(default)]
    pub epochs: Epochs,
    pub(super) recent: VecDeque<Episode>,
}

/// Epochs of training, by which POPGym compares agents: "the maximum over epochs of the mean episodic reward" (MMER; Morad
/// et al. 2023, arXiv:2303.01859, section 5). An epoch is what ends in 65,536 steps, up to the end of a rollout. A run that
/// was begun by an earlier version counts from where this one continues it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Epochs {
    /// Largest mean return of the episodes that ended in an epoch, of the epochs that are over.
    pub best: Option<f64>,
    /// Steps of the present epoch.
    steps: u64,
    /// Episodes that ended in it.
    episodes: u64,
    /// Sum of their returns.
    return_sum: f64,
}

impl Epochs {
    fn record(&mut self, steps: u64, returns: impl Iterator<Item = f64>) {
        self.steps += steps;
        for episode_return in returns {
            self.episodes += 1;
            self.return_sum += episode_return;
        }
        if self.steps < EPOCH_STEPS {
            return;
        }
        let mean = (self.episodes > 0).then(|| self.return_sum / self.episodes as f64);
        let best = [self.best, mean].into_iter().flatten().reduce(f64::max);
        *self = Self {
            best,
            ..Self::default()
        };
    }
}

impl RunStatistics {
    /// Counts a rollout. `is_judged`: whether its returns say how good the policy is; otherwise the task is not solved by
    /// them.
    pub(super) fn record(&mut self, rollout: &Rollout, is_judged: bool) {
        let steps = (rollout.steps * rollout.batch) as u64;
        self.timesteps += steps;
        self.episodes += rollout.episodes.len() as u64;
        let returns = rollout.episodes.iter().map(|ended| ended.episode_return);
        self.epochs.record(steps, returns.clone());
        self.return_sum += returns.sum::<f64>();
        self.recent.extend(&rollout.episodes);
        self.recent
            .drain(..self.recent.len().saturating_sub(WINDOW));
        if let Some((mean, _)) = self.recent_return() {
            self.curve.push((self.timesteps, mean));
        }
        if is_judged && self.is_solved() {
            self.solved_at.get_or_insert(self.timesteps);
        }
    }

    /// Returns whether the mean return of the last 100 episodes is at least the threshold: the one definition of solved.
    pub(super) fn is_solved(&self) -> bool {
        self.have_reached(|threshold| {
            let recent = self.recent_return();
            recent.is_some_and(|(mean, _)| mean >= threshold)
        })
    }

    /// Returns whether each of the last 100 returns, not only their mean, is at least the threshold: training stops early
    /// then.
    pub(super) fn is_safely_solved(&self) -> bool {
        self.have_reached(|threshold| {
            let mut returns = self.recent.iter().map(|episode| episode.episode_return);
            returns.all(|reached| reached >= threshold)
        })
    }

    /// Returns whether there have been 100 episodes, there is a threshold, and they reach it.
    fn have_reached(&self, reaches: impl Fn(f64) -> bool) -> bool {
        self.recent.len() == WINDOW && self.solved_threshold.is_some_and(reaches)
    }

    /// Returns mean and (population) deviation of the last 100 returns.
    pub fn recent_return(&self) -> Option<(f64, f64)> {
        let n = self.recent.len() as f64;
        let mean = self
            .recent
            .iter()
            .map(|episode| episode.episode_return)
            .sum::<f64>()
            / n;
        let variance = self
            .recent
            .iter()
            .map(|episode| (episode.episode_return - mean).powi(2))
            .sum::<f64>()
            / n;
        (!self.recent.is_empty()).then(|| (mean, variance.sqrt()))
    }

    pub(super) fn recent_length(&self) -> Option<f64> {
        let total: u64 = self.recent.iter().map(|episode| episode.length).sum();
        (!self.recent.is_empty()).then(|| total as f64 / self.recent.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_epoch_is_the_one_with_the_largest_mean() {
        let mut epochs = Epochs::default();
        let half = EPOCH_STEPS / 2;
        epochs.record(half, [1.0].into_iter());
        assert_eq!(epochs.best, None, "the epoch is not over");
        epochs.record(half, [0.0, 0.0].into_iter());
        assert_eq!(epochs.best, Some(1.0 / 3.0));
        epochs.record(EPOCH_STEPS, [0.25].into_iter());
        assert_eq!(epochs.best, Some(1.0 / 3.0));
        epochs.record(EPOCH_STEPS, std::iter::empty());
        assert_eq!(epochs.best, Some(1.0 / 3.0), "no episode ended");
        epochs.record(2 * EPOCH_STEPS, [0.5, 0.75].into_iter());
        assert_eq!(epochs.best, Some(0.625));
    }
}
