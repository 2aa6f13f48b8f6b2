//! State shared by all sessions of a server: the clock, their total memory, and the journal.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use env_protocol::{ErrorCode, Problem};

use super::catalogue::Catalogue;
use super::position::JournalPosition;
use crate::journal::{Journal, JournalError, Record};
use service::leases::Clock;
use service::observe::Metrics;

/// State shared by all sessions of a store.
pub struct SessionContext {
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    /// Least bytes of operations that a session keeps for its trajectory.
    trajectory_bytes: usize,
    /// Estimated bytes of all sessions.
    memory_bytes: AtomicUsize,
    next_key: AtomicU64,
    journal: Option<Journal>,
    catalogue: Catalogue,
}

impl SessionContext {
    /// Creates the context of sessions; their journal, if any, has used keys up to `last_key`.
    pub(super) fn new(
        trajectory_bytes: usize,
        clock: Clock,
        journal: Option<Journal>,
        last_key: u64,
        catalogue: Catalogue,
    ) -> Self {
        SessionContext {
            clock,
            metrics: Arc::default(),
            trajectory_bytes,
            memory_bytes: AtomicUsize::new(0),
            next_key: AtomicU64::new(last_key + 1),
            journal,
            catalogue,
        }
    }

    /// Returns everything that can be created.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Returns the metrics in which operations are counted.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Returns a key that no other session in this server's journal has had.
    pub(super) fn draw_key(&self) -> u64 {
        self.next_key.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns the journal, if there is one.
    pub fn journal(&self) -> Option<&Journal> {
        self.journal.as_ref()
    }

    /// Returns the least bytes of operations that a session keeps for its trajectory.
    pub(super) fn trajectory_bytes(&self) -> usize {
        self.trajectory_bytes
    }

    /// Writes records to the journal, all or none. Does nothing without a journal.
    ///
    /// # Errors
    /// `storage-failed`; then nothing has been written.
    pub(super) fn write_down(&self, records: &[Record<'_>]) -> Result<JournalPosition, Problem> {
        let Some(journal) = &self.journal else {
            return Ok(JournalPosition::default());
        };
        let begun = Instant::now();
        let position = journal.append(records).map_err(failed)?;
        self.metrics.journal_appended(begun.elapsed());
        Ok(JournalPosition(Some(position)))
    }

    /// Waits until everything up to this position is as durable as promised.
    ///
    /// # Errors
    /// `storage-failed`: it is unknown whether it is durable.
    pub async fn safe(&self, written: JournalPosition) -> Result<(), Problem> {
        match (&self.journal, written.0) {
            (Some(journal), Some(position)) => journal.durable(position).await.map_err(failed),
            _ => Ok(()),
        }
    }

    /// Returns the estimated bytes of all sessions.
    pub fn memory_bytes(&self) -> usize {
        self.memory_bytes.load(Ordering::Relaxed)
    }

    /// Records a session's change of size.
    pub(super) fn resized(&self, from: usize, to: usize) {
        // Wraps around for a session that shrinks.
        let difference = to.wrapping_sub(from);
        self.memory_bytes.fetch_add(difference, Ordering::Relaxed);
    }
}

fn failed(error: JournalError) -> Problem {
    tracing::error!(%error, "the journal failed");
    Problem::new(ErrorCode::StorageFailed, error.to_string())
}
