//! Where a run stands.

use std::time::Duration;

use super::LogRecord;

/// Where a training run stands after an update.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// The budget: environment steps to be taken over all lanes.
    pub total_timesteps: u64,
    /// Environment steps taken so far over all lanes (resets are not steps).
    pub timesteps: u64,
    /// Episodes that have ended.
    pub episodes: u64,
    /// Updates of the weights.
    pub updates: u64,
    /// Time spent training in this session.
    pub elapsed: Duration,
    /// Environment steps per second in this session.
    pub steps_per_s: f64,
    /// Mean return of the last 100 episodes; `None` before the first has ended.
    pub return_mean: Option<f64>,
    /// Standard deviation of the returns of the last 100 episodes.
    pub return_std: Option<f64>,
    /// Mean length of the last 100 episodes, in steps.
    pub length_mean: Option<f64>,
}

impl Progress {
    /// The share of the budget that is spent, in `0..=1`; an empty budget is spent.
    #[must_use]
    pub fn fraction(&self) -> f64 {
        if self.total_timesteps == 0 {
            return 1.0;
        }
        (self.timesteps as f64 / self.total_timesteps as f64).min(1.0)
    }

    /// Time until the budget is spent at today's speed; `None` while the speed is unknown.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        let steps = self.total_timesteps.saturating_sub(self.timesteps) as f64;
        Duration::try_from_secs_f64(steps / self.steps_per_s).ok()
    }

    /// A record of everything known here, in the sections `rollout`, `time` and `train`; the
    /// learner adds what it measured.
    #[must_use]
    pub fn to_record(&self) -> LogRecord {
        let mut record = LogRecord::default();
        record
            .section("rollout")
            .put_known("ep_len_mean", self.length_mean)
            .put_known("ep_rew_mean", self.return_mean)
            .put_known("ep_rew_std", self.return_std);
        record
            .section("time")
            .put("episodes", self.episodes)
            .put_wall_clock("fps", self.steps_per_s.round() as u64)
            .put_wall_clock("time_elapsed", self.elapsed.as_secs_f64())
            .put("total_timesteps", self.timesteps);
        record
            .section("train")
            .put("n_updates", self.updates)
            .put("progress", self.fraction());
        record
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remaining_time_is_steps_left_over_speed() {
        let mut progress = Progress {
            total_timesteps: 1_000,
            timesteps: 400,
            steps_per_s: 200.0,
            ..Progress::default()
        };
        assert_eq!(progress.remaining(), Some(Duration::from_secs(3)));
        assert_eq!(progress.fraction(), 0.4);

        progress.steps_per_s = 0.0;
        assert_eq!(progress.remaining(), None);

        progress.timesteps = 1_040;
        assert_eq!(progress.fraction(), 1.0);
    }

    #[test]
    fn record_leaves_out_what_is_not_known_yet() {
        let tags: Vec<String> = Progress::default()
            .to_record()
            .entries()
            .map(|entry| entry.tag())
            .collect();
        assert_eq!(
            tags,
            [
                "time/episodes",
                "time/fps",
                "time/time_elapsed",
                "time/total_timesteps",
                "train/n_updates",
                "train/progress"
            ]
        );
    }
}
