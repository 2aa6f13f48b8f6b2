//! Appending frames to the newest segment.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use super::frame::{self, Link, SEGMENT_HEADER_LEN, SegmentHeader};
use super::index::IndexWriter;
use super::recovery::Resume;
use super::storage::{Folder, Identity, LogFile, write_all};
use super::types::{JournalError, Record, VERSION};

/// A buffer that grew beyond this for a large frame is freed afterwards.
const MAX_KEPT_BUFFER: usize = 2 << 20;
/// How long a check that the newest segment is in place remains valid.
const LOOK_EVERY: coarsetime::Duration = coarsetime::Duration::from_ticks(1 << 22);

/// How much was appended since the journal was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub records: u64,
    pub bytes: u64,
}

/// The newest segment, and the bookkeeping of the others.
pub(super) struct Writer {
    pub folder: Arc<Folder>,
    pub file: Arc<dyn LogFile>,
    /// Identity of the newest segment's file.
    pub identity: Identity,
    /// Time of the last check that it is in place.
    pub looked_at: coarsetime::Instant,
    pub index: IndexWriter,
    pub header: SegmentHeader,
    /// Bytes of each segment; the newest one's count only whole frames.
    pub segments: BTreeMap<u64, u64>,
    /// Segments with damaged places; once superseded they are set aside instead of deleted.
    pub damaged: BTreeSet<u64>,
    /// The last frame.
    pub link: Link,
    pub appended: Tally,
    /// Full segments written during a compaction that are not synced yet.
    pub unsynced: Vec<Arc<dyn LogFile>>,
    /// Wakes the thread that syncs; `None` under
    /// [`Durability::Process`](super::Durability::Process).
    pub wake: Option<SyncSender<()>>,
    /// Wakes the thread that writes the index.
    pub wake_indexing: Option<SyncSender<()>>,
    pub is_closed: bool,
    buffer: Vec<u8>,
}

/// Why an append failed.
pub(super) enum WriteError {
    /// The file is as it was before.
    Undone(io::Error),
    /// The file ends in part of a frame, and cutting that off failed too.
    Stuck(io::Error),
}

impl Writer {
    /// Continues the journal where recovery ended.
    pub fn new(folder: Arc<Folder>, resume: Resume) -> Result<Writer, JournalError> {
        let mut header = SegmentHeader {
            version: VERSION,
            journal: resume.journal,
            number: resume.next_number,
            first: resume.first,
            rewritten: resume.rewritten,
            next_seq: resume.link.seq + 1,
        };
        let mut segments = resume.segments;
        let file = match resume.last {
            Some((number, len)) => {
                header.number = number;
                folder.reopen(number, len)?
            }
            None => {
                let file = folder.create(&header)?;
                segments.insert(header.number, SEGMENT_HEADER_LEN as u64);
                file
            }
        };
        folder.sync()?;
        let index_path = folder.index_path(header.number);
        Ok(Writer {
            identity: folder.identity(header.number)?,
            looked_at: coarsetime::Instant::now(),
            index: IndexWriter::open(&index_path, &header, resume.last.is_none()),
            damaged: resume.damaged,
            wake_indexing: None,
            folder,
            file,
            header,
            segments,
            link: resume.link,
            appended: Tally::default(),
            unsynced: Vec::new(),
            wake: None,
            is_closed: false,
            buffer: Vec::new(),
        })
    }

    /// Bytes of the newest segment.
    pub fn len(&self) -> u64 {
        self.segments[&self.header.number]
    }

    /// Whether the newest segment holds no frame.
    pub fn is_empty(&self) -> bool {
        self.len() == SEGMENT_HEADER_LEN as u64
    }

    /// Checks that the newest segment is in place; unless it `must`, at most once every few
    /// milliseconds: the check costs as much as a small append.
    pub fn check_is_there(&mut self, must: bool) -> Result<(), JournalError> {
        let now = coarsetime::Instant::now();
        if !must && now.duration_since(self.looked_at) < LOOK_EVERY {
            return Ok(());
        }
        self.folder
            .check_is_there(self.header.number, self.identity)?;
        self.looked_at = now;
        Ok(())
    }

    /// Appends one frame, or the parts of one body. `records` must have passed [`frame::len_of`].
    pub fn append(&mut self, num_unsettled: u64, records: &[Record<'_>]) -> Result<(), WriteError> {
        let (journal, file, mut len) = (self.header.journal, &self.file, 0);
        let mut write = |frame: &[u8]| {
            len += frame.len() as u64;
            write_all(&**file, frame)
        };
        let buffer = &mut self.buffer;
        let written = frame::encode(
            buffer,
            journal,
            self.link,
            num_unsettled,
            records,
            &mut write,
        );
        let link = match written {
            Ok(link) => link,
            Err(error) => {
                return Err(match self.file.truncate(self.len()) {
                    Ok(()) => WriteError::Undone(error),
                    Err(_) => WriteError::Stuck(error),
                });
            }
        };
        if self.buffer.capacity() > MAX_KEPT_BUFFER {
            self.buffer = Vec::new();
        }
        if self.index.push(self.link.seq + 1, link.seq, records)
            && let Some(wake) = &self.wake_indexing
        {
            // A full channel means that the thread was already woken and has yet to look.
            let _ = wake.try_send(());
        }
        self.link = link;
        self.appended.records += records.len() as u64;
        self.appended.bytes += len;
        *self.segments.entry(self.header.number).or_default() += len;
        Ok(())
    }

    /// Starts a new segment and returns the previous file. On an error the old segment continues.
    pub fn roll(&mut self, first: u64, rewritten: u64) -> Result<Arc<dyn LogFile>, JournalError> {
        let header = SegmentHeader {
            number: self.header.number + 1,
            first,
            rewritten,
            next_seq: self.link.seq + 1,
            ..self.header
        };
        let file = self.folder.create(&header)?;
        let identity = self.folder.identity(header.number)?;
        self.index.flush();
        self.index = IndexWriter::open(&self.folder.index_path(header.number), &header, true);
        self.identity = identity;
        self.header = header;
        self.segments
            .insert(header.number, SEGMENT_HEADER_LEN as u64);
        Ok(std::mem::replace(&mut self.file, file))
    }
}
