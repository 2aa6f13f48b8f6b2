//! When to write a checkpoint that nobody asked for, so that a crash costs little.

use std::time::{Duration, Instant};

/// From one checkpoint to the next.
pub(crate) const INTERVAL: Duration = Duration::from_secs(30);
/// A checkpoint that took long to write is followed by as long a pause as makes it at most one part in so many.
const SHARE: u32 = 200;

/// The time of the next checkpoint. By the clock, not by steps: what a crash costs is then the same at every speed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Autosave {
    interval: Duration,
    due: Instant,
}

impl Autosave {
    /// From now on, each `interval` after the last.
    pub(crate) fn every(interval: Duration) -> Self {
        Self {
            interval,
            due: Instant::now() + interval,
        }
    }

    pub(crate) fn is_due(&self, now: Instant) -> bool {
        now >= self.due
    }

    /// A checkpoint was begun and finished at these times.
    pub(crate) fn saved(&mut self, began: Instant, ended: Instant) {
        let took = ended.saturating_duration_since(began);
        self.due = ended + self.interval.max(took * SHARE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_come_at_intervals_and_never_take_much_of_the_time() {
        let mut autosave = Autosave::every(INTERVAL);
        let at = |seconds| Instant::now() + Duration::from_secs(seconds);
        let (began, quick) = (at(100), Duration::from_millis(10));
        autosave.saved(began, began + quick);
        assert!(!autosave.is_due(began + INTERVAL));
        assert!(autosave.is_due(began + quick + INTERVAL));
        let slow = Duration::from_secs(2);
        autosave.saved(began, began + slow);
        assert!(!autosave.is_due(began + slow + 199 * slow));
        assert!(autosave.is_due(began + slow + 200 * slow));
    }
}
