//! What all sessions of a server share: the clock, the room they take together, and the journal.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use env_protocol::{ErrorCode, Problem};

use super::lease::Clock;
use crate::observe::Metrics;

/// How far the journal goes. Temporary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(u64);

/// Shared by all sessions of a store.
#[derive(Debug)]
pub struct Keeper {
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    trajectory_bytes: usize,
    /// Bytes that all sessions take, by estimate.
    memory_bytes: AtomicUsize,
    next_key: AtomicU64,
}

impl Keeper {
    pub(super) fn new(trajectory_bytes: usize) -> Self {
        Keeper {
            clock: Clock::default(),
            metrics: Arc::default(),
            trajectory_bytes,
            memory_bytes: AtomicUsize::new(0),
            next_key: AtomicU64::new(1),
        }
    }

    /// Where what is done is counted.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// An identity that no other session of this server's journal has had.
    pub(super) fn draw_key(&self) -> u64 {
        self.next_key.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether anything is written down.
    pub(super) fn is_durable(&self) -> bool {
        false
    }

    /// Bytes of operations that a session keeps for its trajectory, at least.
    pub(super) fn trajectory_bytes(&self) -> usize {
        self.trajectory_bytes
    }

    /// Writes records down, all or none of them.
    ///
    /// # Errors
    /// `storage-failed`; nothing has been written then.
    pub(super) fn write_down(&self, _records: &[(u64, &[u8])]) -> Result<Position, Problem> {
        Ok(Position::default())
    }

    /// Where the journal ends now: behind everything that has been written down.
    pub(super) fn position(&self) -> Position {
        Position::default()
    }

    /// Waits until everything up to this position is as safe as promised.
    ///
    /// # Errors
    /// `storage-failed`: whether it is safe is not known.
    pub async fn safe(&self, _position: Position) -> Result<(), Problem> {
        Ok(())
    }

    /// Bytes that all sessions take, by estimate.
    pub fn memory_bytes(&self) -> usize {
        self.memory_bytes.load(Ordering::Relaxed)
    }

    /// Counts a session's change of size.
    pub(super) fn resized(&self, from: usize, to: usize) {
        // Wraps around for one that shrinks.
        let difference = to.wrapping_sub(from);
        self.memory_bytes.fetch_add(difference, Ordering::Relaxed);
    }
}

#[expect(dead_code, reason = "until the journal")]
fn failed(detail: String) -> Problem {
    Problem::new(ErrorCode::StorageFailed, detail)
}
