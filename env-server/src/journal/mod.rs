//! A durable journal: an append-only log of checksummed records, in segments.
//!
//! The journal does not interpret records: it knows bytes and a [`Key`] that says whose they are.
//! It makes three promises:
//!
//! - A record whose [`append`](Journal::append) returned survives the end of the process, by
//!   whatever signal. A record whose [`durable`](Journal::durable) completed under
//!   [`Durability::Disk`] survives a power cut too.
//! - A failed append leaves nothing behind. Where that can no longer be guaranteed, the journal is
//!   *poisoned*: every later append is an error.
//! - Damage loses the records it hit and no others, and [`open`](Journal::open) reports whose they
//!   were.
//!
//! Layers: `frame` (bytes), `index` (a second copy of the keys), `storage` and `lock` (files),
//! `recovery` (reading), `writer` (appending), `log` (sharing and syncing), `compaction`.
//! `docs/durability.md` has the measurements behind this design.

mod compaction;
mod frame;
mod index;
mod lock;
mod log;
mod recovery;
mod storage;
mod system;
#[cfg(test)]
mod tests;
mod types;
mod writer;

#[cfg(any(test, fuzzing))]
use std::path::PathBuf;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use service::observe::JournalStats;

use log::Log;
use storage::{FileSystem, Folder, Storage};
use writer::Writer;

pub use compaction::CompactionToken;
#[cfg(any(test, fuzzing))]
pub(crate) use frame::with_sound_checksums;
pub use recovery::{Corruption, Damage, LostName, Recovered};
pub use types::{Durability, JournalConfig, JournalError, Key, Position, Record};

/// An open journal. All methods may be called from many threads.
pub struct Journal {
    log: Arc<Log>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Journal {
    /// Opens or creates a journal and passes every intact record to `visit`, in the order of
    /// appending; then cuts off the torn tail.
    ///
    /// A compaction interrupted by a crash leaves old segments and part of their rewrite. Then
    /// `visit` sees the old records first and the rewritten state of the same key later, which must
    /// replace what was built from them.
    ///
    /// # Errors
    /// [`JournalError::Locked`], [`JournalError::NewerFormat`], or [`JournalError::Io`].
    pub fn open(
        config: JournalConfig,
        visit: &mut dyn FnMut(Position, Key, &[u8]),
    ) -> Result<(Journal, Recovered), JournalError> {
        Journal::open_on(Box::new(FileSystem), config, visit)
    }

    fn open_on(
        storage: Box<dyn Storage>,
        config: JournalConfig,
        visit: &mut dyn FnMut(Position, Key, &[u8]),
    ) -> Result<(Journal, Recovered), JournalError> {
        let folder = Arc::new(Folder::open(&config.dir, storage)?);
        let (resume, recovered) = recovery::recover(&folder, visit)?;
        let durability = config.durability;
        if durability == Durability::Disk {
            // They may have been written under the weaker promise. The writer syncs the last one.
            for (&number, &len) in &resume.segments {
                folder.reopen(number, len)?;
            }
        }
        let compact_at = match recovered.corrupt.is_empty() {
            true => {
                resume.rewritten + compaction::allowance(config.segment_bytes, resume.rewritten)
            }
            false => 0,
        };
        let mut writer = Writer::new(Arc::clone(&folder), resume)?;
        let (wake, woken) = mpsc::sync_channel(1);
        writer.wake = (durability == Durability::Disk).then_some(wake);
        let (wake, indexing_woken) = mpsc::sync_channel(1);
        writer.wake_indexing = Some(wake);
        let log = Arc::new(Log::new(config, writer, compact_at));
        let mut threads = Vec::new();
        let shared = Arc::clone(&log);
        threads.push(spawn("journal-index", &log, move || {
            shared.index_when_woken(&indexing_woken);
        })?);
        if durability == Durability::Disk {
            let shared = Arc::clone(&log);
            threads.push(spawn("journal-sync", &log, move || {
                shared.sync_when_woken(&woken);
            })?);
        }
        let journal = Journal {
            log,
            threads: Mutex::new(threads),
        };
        Ok((journal, recovered))
    }

    /// Appends `records`; after a crash either all of them are there or none. It takes one write to
    /// the operating system per MiB: about a microsecond for small records.
    ///
    /// # Errors
    /// On any error the journal is unchanged. [`JournalError::Io`] (a full disk, say) and
    /// [`JournalError::Gone`] may be temporary; [`JournalError::Poisoned`] and
    /// [`JournalError::Closed`] are final.
    pub fn append(&self, records: &[Record<'_>]) -> Result<Position, JournalError> {
        self.log.append(records)
    }

    /// Returns why records cannot be appended now, if so, as found by the last append or
    /// [`look_after`](Self::look_after). Never blocks.
    pub fn trouble(&self) -> Option<Arc<str>> {
        self.log.trouble()
    }

    /// Checks whether the folder is in place and has room, and whether the cause of failed appends
    /// has gone. To be called about once a second. Blocks on the disk.
    pub fn look_after(&self) {
        self.log.look_after();
    }

    /// Completes when everything up to `position` has the promised durability: at once under
    /// [`Durability::Process`]; under [`Durability::Disk`] after the next sync, which all waiters
    /// share.
    ///
    /// # Errors
    /// [`JournalError::Poisoned`]: it is unknown whether the record survives a power cut.
    pub async fn durable(&self, position: Position) -> Result<(), JournalError> {
        match self.log.config.durability {
            Durability::Process => Ok(()),
            Durability::Disk => self.log.durable(position).await,
        }
    }

    /// Whether [`begin_compaction`](Journal::begin_compaction) would begin one. Costs two loads.
    pub fn is_compaction_due(&self) -> bool {
        self.log.is_compaction_due()
    }

    /// Begins a compaction if one is due: when twice the size of the last rewrite, and at least
    /// `segment_bytes`, have been appended since; or after damage was found. The caller then
    /// appends the whole live state, one record per key that replaces all earlier ones, and calls
    /// [`finish_compaction`](Journal::finish_compaction). Other threads may append meanwhile.
    ///
    /// # Errors
    /// As for [`append`](Journal::append).
    pub fn begin_compaction(&self) -> Result<Option<CompactionToken>, JournalError> {
        CompactionToken::begin(&self.log)
    }

    /// Syncs everything appended since the compaction began, then deletes the older segments.
    /// Blocks on the disk, so it is not for async threads. A crash at any point loses nothing.
    ///
    /// # Errors
    /// As for [`append`](Journal::append). Segments that could not be deleted are ignored, and
    /// deleted at the next opening.
    pub fn finish_compaction(&self, token: CompactionToken) -> Result<(), JournalError> {
        token.finish(&self.log)
    }

    /// Returns the size and progress of the journal.
    pub fn stats(&self) -> JournalStats {
        self.log.stats()
    }

    /// Stops accepting records, syncs those appended, whatever was promised, and ends the journal's
    /// threads. Closing again does nothing; dropping a journal closes it. Blocks on the disk. The
    /// folder stays locked until the journal (and any [`CompactionToken`]) is dropped.
    ///
    /// # Errors
    /// [`JournalError::Poisoned`].
    pub fn close(&self) -> Result<(), JournalError> {
        let closed = self.log.close();
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            // The thread ends when the writer drops its end of the channel, which closing did.
            let _ = thread.join();
        }
        closed
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        let _ = self.close();
    }
}

fn spawn(
    name: &str,
    log: &Log,
    work: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, JournalError> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.map_err(|error| JournalError::io("start a thread for", &log.config.dir, error))
}

/// Reads `bytes` as if they were the only segment of a journal, for fuzzing. It never panics, and
/// needs memory at most in proportion to `bytes`.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz_segment(bytes: &[u8]) -> Recovered {
    let header = match frame::SegmentHeader::decode(bytes) {
        frame::Start::Intact(header) => Some(header),
        _ => None,
    };
    let mut visit = |_: Position, _: Key, payload: &[u8]| assert!(payload.len() <= bytes.len());
    let mut scanner = recovery::Scanner::new(header.map(|header| header.journal), &mut visit);
    let number = header.map_or(1, |header| header.number);
    let end = scanner.segment(number, header, bytes);
    let mut found = scanner.finish(number, recovery::Tail::Torn);
    found.resolve(&|_| PathBuf::new(), &index::Index::default());
    let mut recovered = found.recovered;
    recovered.torn_tail_bytes = (bytes.len() - end) as u64;
    recovered
}
