//! A durable journal: an append-only log of checksummed records, in segments.
//!
//! What a record means is its caller's business; the journal knows a [`Key`] (whose record it is) and bytes. It keeps
//! three promises:
//!
//! - A record whose [`append`](Journal::append) returned survives the end of the process, by whatever signal; one whose
//!   [`durable`](Journal::durable) completed under [`Durability::Disk`] survives a power cut too.
//! - An append that failed left nothing behind. Where that cannot be guaranteed any more, the journal is *poisoned*:
//!   every later append is an error.
//! - Damage loses the records it hit and no others, and [`open`](Journal::open) says whose they were.
//!
//! Layers: `frame` (bytes), `index` (whose they are, a second time), `storage` and `lock` (files), `recovery` (reading),
//! `writer` (appending), `log` (sharing and syncing), `compaction`. `docs/durability.md` has the measurements that led to it.

mod compaction;
mod frame;
mod index;
mod lock;
mod log;
mod recovery;
mod storage;
#[cfg(test)]
mod tests;
mod writer;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
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

/// What a record is about, chosen by the caller and never used again for something else.
pub type Key = u64;

/// What is appended: `head` and then `payload`, which come back as one.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Whose it is.
    pub key: Key,
    /// The first bytes, so that who has the others need not copy them.
    pub head: &'a [u8],
    /// The other bytes.
    pub payload: &'a [u8],
    /// What its owner is called, for a record that is the first of its key or the last: kept a second time in another file,
    /// and given back when the record is damaged. Empty, or 32,767 bytes at most.
    pub name: &'a [u8],
}

impl<'a> Record<'a> {
    /// A record without a name.
    pub fn new(key: Key, payload: &'a [u8]) -> Record<'a> {
        Record {
            key,
            head: &[],
            payload,
            name: &[],
        }
    }

    fn len(&self) -> usize {
        self.head.len() + self.payload.len()
    }
}

/// What acknowledged records survive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// The end of the process, however sudden: written to the system before it is acknowledged.
    #[default]
    Process,
    /// A power cut as well: on the disk before it is acknowledged.
    Disk,
}

/// Where and how a journal is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalConfig {
    /// The folder, for this journal alone; created with mode 0700 if missing.
    pub dir: PathBuf,
    /// What is promised.
    pub durability: Durability,
    /// A segment that reaches this size is followed by another. Also the least that is appended between compactions.
    pub segment_bytes: u64,
}

impl JournalConfig {
    /// Segments of 64 MiB.
    pub const DEFAULT_SEGMENT_BYTES: u64 = 64 << 20;

    /// A journal in `dir`, with segments of the default size.
    pub fn new(dir: impl Into<PathBuf>, durability: Durability) -> JournalConfig {
        JournalConfig {
            dir: dir.into(),
            durability,
            segment_bytes: JournalConfig::DEFAULT_SEGMENT_BYTES,
        }
    }
}

/// A frame's place in the order of appending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(u64);

impl Position {
    /// Frames up to and including this one, since the journal began.
    pub fn get(self) -> u64 {
        self.0
    }
}

/// What can go wrong with a journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process, or another [`Journal`] of this one, has the folder.
    #[error("{0}: in use by another process")]
    Locked(PathBuf),
    /// A segment was written by a later version of this program.
    #[error(
        "{path}: format version {version} is newer than {}, the newest this program reads",
        frame::VERSION
    )]
    NewerFormat {
        /// The segment.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// The folder, or something in it, is not for this process alone.
    #[error("{path}: {detail}")]
    Unsafe {
        /// What it is about.
        path: PathBuf,
        /// Why it is refused.
        detail: String,
    },
    /// Where a segment was there is none, or another file. Nothing was changed.
    #[error("{0}: has been deleted or replaced, or its file system is gone: nothing would be kept")]
    Gone(PathBuf),
    /// The file system refused something. Nothing was changed.
    #[error("{path}: cannot {action}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// An append takes 1 to 65,535 records and 3 GiB at most.
    #[error("{records} records of {bytes} bytes are more than can be appended at once")]
    FrameSize {
        /// How many records.
        records: usize,
        /// Bytes of them.
        bytes: usize,
    },
    /// What is on the disk is no longer known, so that nothing can be promised any more.
    #[error("the journal takes no more records: {0}")]
    Poisoned(Arc<str>),
    /// The journal was closed.
    #[error("the journal is closed")]
    Closed,
    /// The compaction was begun on another journal.
    #[error("the compaction belongs to another journal")]
    ForeignToken,
}

impl JournalError {
    fn io(action: &'static str, path: &Path, source: io::Error) -> JournalError {
        JournalError::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

/// A journal that is open. All methods may be called from many threads.
pub struct Journal {
    log: Arc<Log>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Journal {
    /// Opens or creates a journal and hands every intact record to `visit`, in order of appending; then cuts off the
    /// torn tail.
    ///
    /// A compaction that a crash broke off leaves old segments and part of their rewrite: then `visit` sees old records
    /// first and the rewritten state of the same key later, which must replace what it made of them.
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
            // They may have been written under the weaker promise; the last one is synced by the writer.
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

    /// Appends `records`, all of which survive a crash or none. One write to the operating system for each MiB: a
    /// microsecond or so for small records.
    ///
    /// # Errors
    /// On any error the journal is as before. [`JournalError::Io`] (the disk is full, say) and [`JournalError::Gone`] may go
    /// away; [`JournalError::Poisoned`] and [`JournalError::Closed`] stay.
    pub fn append(&self, records: &[Record<'_>]) -> Result<Position, JournalError> {
        self.log.append(records)
    }

    /// Why records cannot be appended now, if so, as far as the last append or [`look`](Self::look_after) told. Waits for
    /// nothing.
    pub fn trouble(&self) -> Option<Arc<str>> {
        self.log.trouble()
    }

    /// Looks whether the folder is where it was and has room, and whether what kept records from being appended has gone;
    /// to be called about once a second. Blocks on the disk.
    pub fn look_after(&self) {
        self.log.look_after();
    }

    /// Completes when everything up to `position` has the promised durability: at once under [`Durability::Process`];
    /// under [`Durability::Disk`] after a sync that covers it, which all who wait share.
    ///
    /// # Errors
    /// [`JournalError::Poisoned`]: whether it survives a power cut is unknown.
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

    /// Begins a compaction if one is due: when, since the last, as much was appended as twice what that one left, but at
    /// least `segment_bytes`; or after damage was found. The caller then appends the whole live state, for each key one record that
    /// replaces all before it, while others go on appending, and [finishes](Journal::finish_compaction).
    ///
    /// # Errors
    /// As for [`append`](Journal::append).
    pub fn begin_compaction(&self) -> Result<Option<CompactionToken>, JournalError> {
        self.log.begin_compaction()
    }

    /// Syncs what was appended since the compaction began, then deletes the segments from before. Blocks on the disk; not
    /// for an async thread. A crash at any point loses nothing.
    ///
    /// # Errors
    /// As for [`append`](Journal::append). Segments that could not be deleted are ignored and deleted at the next opening.
    pub fn finish_compaction(&self, token: CompactionToken) -> Result<(), JournalError> {
        token.finish(&self.log)
    }

    /// What the journal holds and how far it lags.
    pub fn stats(&self) -> JournalStats {
        self.log.stats()
    }

    /// Takes no more records, syncs what there is, whatever was promised, and ends the journal's threads. Closing again
    /// does nothing. Dropping a journal closes it. Blocks on the disk. The folder stays locked until the journal
    /// (and any [`CompactionToken`]) is dropped.
    ///
    /// # Errors
    /// [`JournalError::Poisoned`].
    pub fn close(&self) -> Result<(), JournalError> {
        let closed = self.log.close();
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            // It ends once the writer lets go of its end of the channel, which closing did.
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

/// Reads `bytes` as if they were the only segment of a journal, for fuzzing: never panics, and needs memory in
/// proportion to `bytes` at most. Returns what was found.
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
