//! Leases: how long a session lives without operations.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use coarsetime::Instant;

/// Milliseconds since the clock was created, for leases, accurate to a few milliseconds: it is read
/// twice per operation, so reading must cost almost nothing. Clones show the same time. It can be
/// moved forward to test leases.
#[derive(Clone, Debug)]
pub struct Clock {
    begun: Instant,
    skipped_ms: Arc<AtomicU64>,
}

impl Default for Clock {
    fn default() -> Self {
        Clock {
            begun: Instant::now(),
            skipped_ms: Arc::default(),
        }
    }
}

impl Clock {
    /// Returns the current time.
    pub fn now_ms(&self) -> u64 {
        self.begun.elapsed().as_millis() + self.skipped_ms.load(Ordering::Relaxed)
    }

    /// Moves the clock and its clones forward.
    pub fn skip(&self, time: Duration) {
        let ms = time.as_millis() as u64;
        self.skipped_ms.fetch_add(ms, Ordering::Relaxed);
    }
}

/// A lease that every operation renews.
#[derive(Debug)]
pub struct Lease {
    ttl_ms: AtomicU64,
    expires_at_ms: AtomicU64,
}

impl Lease {
    /// Creates a lease that begins now.
    pub fn new(ttl_s: u64, clock: &Clock) -> Self {
        let lease = Lease {
            ttl_ms: AtomicU64::new(ms(ttl_s)),
            expires_at_ms: AtomicU64::new(0),
        };
        lease.renew(clock);
        lease
    }

    /// Begins the whole time anew.
    pub fn renew(&self, clock: &Clock) {
        let end = clock
            .now_ms()
            .saturating_add(self.ttl_ms.load(Ordering::Relaxed));
        self.expires_at_ms.store(end, Ordering::Relaxed);
    }

    /// Changes its length from the next renewal on.
    pub fn set_ttl_s(&self, ttl_s: u64) {
        self.ttl_ms.store(ms(ttl_s), Ordering::Relaxed);
    }

    /// Returns its length in seconds.
    pub fn ttl_s(&self) -> u64 {
        self.ttl_ms.load(Ordering::Relaxed) / 1_000
    }

    /// Returns the seconds left, rounded up; 0 once it has expired.
    pub fn expires_in_s(&self, clock: &Clock) -> u64 {
        let end = self.expires_at_ms.load(Ordering::Relaxed);
        end.saturating_sub(clock.now_ms()).div_ceil(1_000)
    }

    /// Whether it has run out.
    pub fn has_expired(&self, clock: &Clock) -> bool {
        clock.now_ms() >= self.expires_at_ms.load(Ordering::Relaxed)
    }
}

/// Converts seconds to milliseconds. The value was checked against limits, or comes from a file.
pub fn ms(ttl_s: u64) -> u64 {
    ttl_s.saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_runs_out_unless_it_is_renewed() {
        let clock = Clock::default();
        let lease = Lease::new(10, &clock);
        clock.skip(Duration::from_secs(9));
        assert!(!lease.has_expired(&clock));
        assert_eq!(lease.expires_in_s(&clock), 1);
        lease.renew(&clock);
        clock.skip(Duration::from_secs(9));
        assert!(!lease.has_expired(&clock));
        clock.skip(Duration::from_secs(1));
        assert!(lease.has_expired(&clock));
        assert_eq!(lease.expires_in_s(&clock), 0);
    }

    #[test]
    fn the_longest_lease_never_runs_out() {
        let clock = Clock::default();
        clock.skip(Duration::from_secs(1));
        let lease = Lease::new(u64::MAX, &clock);
        assert!(!lease.has_expired(&clock));
        lease.set_ttl_s(u64::MAX);
        lease.renew(&clock);
        assert!(!lease.has_expired(&clock));
    }
}
