//! Automatic checkpoints, so that a crash costs little.

use std::time::{Duration, Instant};

/// Time from one checkpoint to the next.
pub(crate) const INTERVAL: Duration = Duration::from_secs(30);
/// A checkpoint that takes long to write is followed by a pause this many times as long.
const SHARE: u32 = 200;

/// The time of the next checkpoint: by the clock, not by steps, so that a crash costs the same at every speed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Autosave {
    interval: Duration,
    due: Instant,
}

impl Autosave {
    /// Returns a schedule from now on: each checkpoint `interval` after the last.
    pub(crate) fn every(interval: Duration) -> Self {
        Self {
            interval,
            due: Instant::now() + interval,
        }
    }

    pub(crate) fn is_due(&self, now: Instant) -> bool {
        now >= self.due
    }

    /// Records that a checkpoint was begun and finished at these times.
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
