//! Histograms of durations, counted without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper ends of the buckets in nanoseconds, from 5 µs to 10 s. A step takes about 10 µs, anything
/// over a second is in trouble, and beyond ten seconds the exact time no longer matters.
const BOUNDS_NS: [u64; 20] = [
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// A histogram of durations.
#[derive(Debug, Default)]
pub struct Histogram {
    /// Counts of each bucket alone; the last is for durations above every bound.
    buckets: [AtomicU64; BOUNDS_NS.len() + 1],
    sum_ns: AtomicU64,
}

/// The contents of a histogram at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    /// Sum of all durations, in seconds.
    pub sum_s: f64,
    /// Number of durations.
    pub count: u64,
    /// For each bucket, its upper end in seconds and its own count.
    pub buckets: Vec<(f64, u64)>,
}

impl Histogram {
    /// Counts a duration.
    pub fn record(&self, duration: Duration) {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_NS.partition_point(|&bound| bound < ns);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// Returns the number of durations counted.
    pub fn count(&self) -> u64 {
        let counts = self.buckets.iter().map(|n| n.load(Ordering::Relaxed));
        counts.sum()
    }

    /// Returns all contents. The count is the sum of the buckets returned, even while others
    /// record.
    pub fn distribution(&self) -> Distribution {
        let bounds = BOUNDS_NS.iter().map(|&ns| ns as f64 / 1e9);
        let bounds = bounds.chain([f64::INFINITY]);
        let counts = self.buckets.iter().map(|n| n.load(Ordering::Relaxed));
        let buckets: Vec<_> = bounds.zip(counts).collect();
        Distribution {
            sum_s: self.sum_ns.load(Ordering::Relaxed) as f64 / 1e9,
            count: buckets.iter().map(|(_, count)| count).sum(),
            buckets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_own_bucket() {
        assert!(BOUNDS_NS.is_sorted_by(|a, b| a < b));
        let histogram = Histogram::default();
        for ns in [0, 5_000, 5_001, 10_000_000_000, 10_000_000_001] {
            histogram.record(Duration::from_nanos(ns));
        }
        let Distribution {
            sum_s,
            count,
            buckets,
        } = histogram.distribution();
        assert_eq!(count, 5);
        assert_eq!(sum_s, 20.000_010_002);
        let filled: Vec<_> = buckets.into_iter().filter(|(_, n)| *n > 0).collect();
        let expected = [(5e-6, 2), (1e-5, 1), (10.0, 1), (f64::INFINITY, 1)];
        assert_eq!(filled, expected);
    }
}
