//! The vocabulary of the journal: records, promises, settings and errors.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// The version this build writes, and the newest it reads.
pub(super) const VERSION: u32 = 2;

/// The subject of a record, chosen by the caller and never reused for another.
pub type Key = u64;

/// A record to append. `head` and `payload` are stored one after the other and read back as one.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Whose record it is.
    pub key: Key,
    /// The first bytes, separate so that a caller that holds the rest need not copy it.
    pub head: &'a [u8],
    /// The other bytes.
    pub payload: &'a [u8],
    /// Name of the key's owner, for the first or the last record of a key. It is stored a second
    /// time in another file and reported if the record is damaged. Empty, or at most 32,767 bytes.
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

    pub(super) fn len(&self) -> usize {
        self.head.len() + self.payload.len()
    }
}

/// How much an acknowledged record survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// The end of the process, however sudden: the record is written to the operating system before
    /// it is acknowledged.
    #[default]
    Process,
    /// A power cut as well: the record is on the disk before it is acknowledged.
    Disk,
}

/// Where and how a journal is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalConfig {
    /// The folder, for this journal alone; created with mode 0700 if missing.
    pub dir: PathBuf,
    /// The durability promised to callers.
    pub durability: Durability,
    /// A segment that reaches this size is followed by another. Also the least that is appended
    /// between two compactions.
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

/// Position of a frame in the order of appending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub(super) u64);

impl Position {
    /// Returns the number of frames up to and including this one since the journal was created.
    pub fn get(self) -> u64 {
        self.0
    }
}

/// An error of the journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process, or another [`Journal`](super::Journal) of this one, has the folder.
    #[error("{0}: in use by another process")]
    Locked(PathBuf),
    /// A segment was written by a later version of this program.
    #[error(
        "{path}: format version {version} is newer than {}, the newest this program reads",
        VERSION
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
        /// The file or folder.
        path: PathBuf,
        /// Why it is refused.
        detail: String,
    },
    /// A segment is missing or has been replaced by another file. Nothing was changed.
    #[error("{0}: was deleted or replaced, or its file system is gone, so nothing would be kept")]
    Gone(PathBuf),
    /// The file system refused an operation. Nothing was changed.
    #[error("{path}: cannot {action}: {source}")]
    Io {
        /// The operation that failed.
        action: &'static str,
        /// Its file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// One append takes from 1 to 65,535 records and at most 3 GiB.
    #[error("{records} records of {bytes} bytes are too many to append at once")]
    FrameSize {
        /// How many records.
        records: usize,
        /// Bytes of them.
        bytes: usize,
    },
    /// The content of the disk is no longer known, so nothing can be promised any longer.
    #[error("the journal no longer accepts records: {0}")]
    Poisoned(Arc<str>),
    /// The journal was closed.
    #[error("the journal is closed")]
    Closed,
    /// The compaction was begun on another journal.
    #[error("the compaction belongs to another journal")]
    ForeignToken,
}

impl JournalError {
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> JournalError {
        JournalError::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}
