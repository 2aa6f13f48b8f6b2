//! Appending frames to the newest segment.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use super::frame::{self, Link, SEGMENT_HEADER_LEN, SegmentHeader};
use super::recovery::Resume;
use super::storage::{Folder, LogFile, write_all};
use super::{JournalError, Key};

/// A buffer that grew beyond this for one large frame is given back.
const MAX_KEPT_BUFFER: usize = 1 << 20;

/// How much was appended since the journal was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub records: u64,
    pub bytes: u64,
}

/// The newest segment, and what is known of the others.
pub(super) struct Writer {
    pub folder: Arc<Folder>,
    pub file: Arc<dyn LogFile>,
    pub header: SegmentHeader,
    /// Bytes of each segment; the newest one's are all of whole frames.
    pub segments: BTreeMap<u64, u64>,
    /// The last frame.
    pub link: Link,
    pub appended: Tally,
    /// Full segments that a compaction wrote to and nobody has synced yet.
    pub unsynced: Vec<Arc<dyn LogFile>>,
    /// Wakes the thread that syncs; none under [`Durability::Process`](super::Durability::Process).
    pub wake: Option<SyncSender<()>>,
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
    /// Goes on where recovery ended.
    pub fn new(folder: Arc<Folder>, resume: Resume) -> Result<Writer, JournalError> {
        let mut header = SegmentHeader {
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
        Ok(Writer {
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

    /// Appends one frame. `records` must have passed [`frame::len_of`].
    pub fn append(
        &mut self,
        num_unsettled: u64,
        records: &[(Key, &[u8])],
    ) -> Result<(), WriteError> {
        let journal = self.header.journal;
        let link = frame::encode(&mut self.buffer, journal, self.link, num_unsettled, records);
        if let Err(error) = write_all(&*self.file, &self.buffer) {
            return Err(match self.file.truncate(self.len()) {
                Ok(()) => WriteError::Undone(error),
                Err(_) => WriteError::Stuck(error),
            });
        }
        let len = self.buffer.len() as u64;
        if self.buffer.capacity() > MAX_KEPT_BUFFER {
            self.buffer = Vec::new();
        }
        self.link = link;
        self.appended.records += records.len() as u64;
        self.appended.bytes += len;
        *self.segments.entry(self.header.number).or_default() += len;
        Ok(())
    }

    /// Starts a new segment. On an error the old one goes on.
    pub fn roll(&mut self, first: u64, rewritten: u64) -> Result<Arc<dyn LogFile>, JournalError> {
        let header = SegmentHeader {
            number: self.header.number + 1,
            first,
            rewritten,
            next_seq: self.link.seq + 1,
            ..self.header
        };
        let file = self.folder.create(&header)?;
        self.header = header;
        self.segments
            .insert(header.number, SEGMENT_HEADER_LEN as u64);
        Ok(std::mem::replace(&mut self.file, file))
    }
}
