//! What all sessions of a server share: the clock, the room they take together, and the journal.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use env_protocol::{ErrorCode, Problem};

use super::lease::Clock;
use crate::journal::{Journal, JournalError, Position, Record};
use service::observe::Metrics;

/// How far the journal must be safe before a client may be told of what was written down;
/// nowhere, where there is no journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written(Option<Position>);

/// Shared by all sessions of a store.
pub struct Keeper {
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    /// Bytes of operations that a session keeps for its trajectory, at least.
    trajectory_bytes: usize,
    /// Bytes that all sessions take, by estimate.
    memory_bytes: AtomicUsize,
    next_key: AtomicU64,
    journal: Option<Journal>,
}

impl Keeper {
    /// For sessions that a journal, if there is one, knows up to and including `last_key`.
    pub(super) fn new(
        trajectory_bytes: usize,
        clock: Clock,
        journal: Option<Journal>,
        last_key: u64,
    ) -> Self {
        Keeper {
            clock,
            metrics: Arc::default(),
            trajectory_bytes,
            memory_bytes: AtomicUsize::new(0),
            next_key: AtomicU64::new(last_key + 1),
            journal,
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

    /// The journal, if there is one.
    pub fn journal(&self) -> Option<&Journal> {
        self.journal.as_ref()
    }

    /// Bytes of operations that a session keeps for its trajectory, at least.
    pub(super) fn trajectory_bytes(&self) -> usize {
        self.trajectory_bytes
    }

    /// Writes records down, all or none of them. Without a journal there is nothing to do.
    ///
    /// # Errors
    /// `storage-failed`; nothing has been written then.
    pub(super) fn write_down(&self, records: &[Record<'_>]) -> Result<Written, Problem> {
        let Some(journal) = &self.journal else {
            return Ok(Written::default());
        };
        let begun = Instant::now();
        let position = journal.append(records).map_err(failed)?;
        self.metrics.journal_appended(begun.elapsed());
        Ok(Written(Some(position)))
    }

    /// Waits until everything up to this point is as safe as promised.
    ///
    /// # Errors
    /// `storage-failed`: whether it is safe is not known.
    pub async fn safe(&self, written: Written) -> Result<(), Problem> {
        match (&self.journal, written.0) {
            (Some(journal), Some(position)) => journal.durable(position).await.map_err(failed),
            _ => Ok(()),
        }
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

fn failed(error: JournalError) -> Problem {
    tracing::error!(%error, "the journal failed");
    Problem::new(ErrorCode::StorageFailed, error.to_string())
}
