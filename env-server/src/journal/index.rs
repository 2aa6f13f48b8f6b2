//! The index of each segment: a short file next to it that lists the keys in each frame.
//!
//! The index is not consulted while the segment is sound. Where frames are damaged, however many,
//! it supplies their keys and the *names* recorded with them: what the owner of a key is called, so
//! that losing all its records can be reported to a client that asks for it. It also records where
//! the segment ended, and under which boot of the machine. A process that ends in the middle of a
//! write leaves the beginning of a frame behind; only a power cut leaves anything else. This
//! distinguishes a torn write from later damage.
//!
//! An index file has the header of its segment and frames like a segment's. Each covers the frames
//! appended since the previous one: its sequence number is that of the last frame covered, and its
//! key identifies the boot of the machine. The body is the sequence number of the first frame
//! covered (8 bytes), then for each record of each frame, in order, its key (8 bytes), the length
//! of its name (2; bit 15 marks the frame's last record), and the name.
//!
//! Entries are collected and written within [`PAUSE`], or at once if they have names. A failed
//! write costs names and nothing else.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use memchr::memmem;

use super::frame::{self, Frame, Link, MAGIC, SEGMENT_HEADER_LEN, SegmentHeader, Start};
use super::system::boot;
use super::types::{Key, Record};

/// The longest time for which entries are collected.
pub(super) const PAUSE: Duration = Duration::from_millis(2);
/// Bytes of pending entries at which they are written without waiting.
const MAX_PENDING: usize = 64 << 10;
/// Marks the last record of a frame.
const LAST: u16 = 1 << 15;
/// The longest name that is stored.
const MAX_NAME_LEN: usize = LAST as usize - 1;

/// Writes the index of the newest segment.
pub(super) struct IndexWriter {
    file: Option<File>,
    journal: u32,
    boot: u64,
    /// The last frame of this file, from which the next one is numbered.
    link: Link,
    /// Entries not written yet, after the number of the first frame that they cover.
    pending: Vec<u8>,
    /// The last frame that they cover.
    last: u64,
    buffer: Vec<u8>,
}

impl IndexWriter {
    /// Opens the index of a segment; the index of a new segment starts empty.
    pub fn open(path: &Path, header: &SegmentHeader, is_new: bool) -> IndexWriter {
        let open = || {
            let mut options = OpenOptions::new();
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let mut file = options.create(true).append(true).open(path)?;
            if is_new || file.metadata()?.len() < SEGMENT_HEADER_LEN as u64 {
                file.set_len(0)?;
                file.write_all(&header.encode())?;
            }
            io::Result::Ok(file)
        };
        let file = open().inspect_err(|error| cannot_be_written(path, error));
        IndexWriter {
            file: file.ok(),
            journal: header.journal,
            boot: boot(),
            link: Link::default(),
            pending: Vec::new(),
            last: 0,
            buffer: Vec::new(),
        }
    }

    /// Records the frames from `first` to `last`, which are the parts of one body. Returns whether
    /// the caller must arrange for the entries to be flushed.
    pub fn push(&mut self, first: u64, last: u64, records: &[Record<'_>]) -> bool {
        if self.file.is_none() {
            return false;
        }
        let was_empty = self.pending.is_empty();
        if was_empty {
            self.pending.extend_from_slice(&first.to_le_bytes());
        }
        let mut has_names = false;
        for seq in first..=last {
            for (index, record) in records.iter().enumerate() {
                let name = match record.name.len() {
                    ..=MAX_NAME_LEN if seq == first => record.name,
                    _ => &[],
                };
                let is_last = index + 1 == records.len();
                let length = name.len() as u16 | if is_last { LAST } else { 0 };
                self.pending.extend_from_slice(&record.key.to_le_bytes());
                self.pending.extend_from_slice(&length.to_le_bytes());
                self.pending.extend_from_slice(name);
                has_names |= !name.is_empty();
            }
        }
        self.last = last;
        if has_names || self.pending.len() > MAX_PENDING {
            self.flush();
            return false;
        }
        was_empty
    }

    /// Writes the pending entries.
    pub fn flush(&mut self) {
        let Some(file) = &mut self.file else { return };
        if self.pending.is_empty() {
            return;
        }
        let previous = Link {
            seq: self.last - 1,
            ..self.link
        };
        let entries = Record::new(self.boot, &self.pending);
        let mut write = |bytes: &[u8]| file.write_all(bytes);
        let (buffer, journal) = (&mut self.buffer, self.journal);
        // The pending entries are smaller than a part, so this is one frame.
        match frame::encode(buffer, journal, previous, 0, &[entries], &mut write) {
            Ok(link) => self.link = link,
            Err(error) => tracing::warn!(
                %error,
                "the index of a segment cannot be written: should the segment be damaged, its owners may be unknown"
            ),
        }
        self.pending.clear();
    }
}

fn cannot_be_written(path: &Path, error: &io::Error) {
    tracing::warn!(%error, path = %path.display(), "the index of a segment cannot be opened");
}

/// The contents of the indexes.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Key and name of each record of a frame.
    frames: BTreeMap<u64, Vec<(Key, Vec<u8>)>>,
    /// Where the index of the last segment ends.
    pub end: Option<End>,
    /// Bytes that could not be read.
    pub damaged_bytes: u64,
}

/// The end of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// The last frame it covers.
    pub seq: u64,
    /// The boot of the machine under which it was written.
    pub boot: u64,
}

impl Index {
    /// Returns the first frame covered.
    pub fn first(&self) -> Option<u64> {
        self.frames.keys().next().copied()
    }

    /// Returns the covered frames in a range, with the key and name of each record.
    pub fn frames(&self, from: u64, to: u64) -> impl Iterator<Item = (u64, &Vec<(Key, Vec<u8>)>)> {
        self.frames
            .range(from..=to)
            .map(|(seq, records)| (*seq, records))
    }

    /// Adds the index of another segment, if it exists and belongs to `journal` (or to any, if
    /// `None`). Returns the journal's id.
    pub fn read(&mut self, path: &Path, journal: Option<u32>) -> Option<u32> {
        self.scan(path, journal, true)
    }

    /// As [`Index::read`], but only finds where the index ends.
    pub fn read_end(&mut self, path: &Path, journal: Option<u32>) -> Option<u32> {
        self.scan(path, journal, false)
    }

    fn scan(&mut self, path: &Path, journal: Option<u32>, with_entries: bool) -> Option<u32> {
        self.end = None;
        let is_file = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file());
        let bytes = match fs::read(path) {
            Ok(bytes) if is_file => bytes,
            _ => return journal,
        };
        let mut journal = journal;
        match SegmentHeader::decode(&bytes) {
            Start::Intact(header) => _ = journal.get_or_insert(header.journal),
            _ => self.damaged_bytes += bytes.len().min(SEGMENT_HEADER_LEN) as u64,
        }
        let mut at = SEGMENT_HEADER_LEN.min(bytes.len());
        while at < bytes.len() {
            let found = Frame::read(&bytes[at..], journal);
            let Some(frame) = found.filter(|frame| frame.is_intact()) else {
                let next = memmem::find(&bytes[at + 1..], &MAGIC);
                let next = next.map_or(bytes.len(), |next| at + 1 + next);
                self.damaged_bytes += (next - at) as u64;
                at = next;
                continue;
            };
            journal.get_or_insert(frame.header.journal);
            let seq = frame.header.link.seq;
            if with_entries && !frame.header.is_continued && !frame.header.continues {
                self.record(seq, frame.body());
            }
            self.end = Some(End {
                seq,
                boot: frame.header.link.key,
            });
            at += frame.len();
        }
        journal
    }

    /// Adds the frames up to `last`. A frame number seen before was reused after a power cut: the
    /// earlier entries from there on are void.
    fn record(&mut self, last: u64, body: &[u8]) {
        let Some((first, mut rest)) = body.split_first_chunk::<8>() else {
            return;
        };
        let mut seq = u64::from_le_bytes(*first);
        self.frames.split_off(&seq);
        let mut records = Vec::new();
        while let Some((entry, after)) = rest.split_first_chunk::<10>()
            && seq <= last
        {
            let (key, length) = entry.split_at(8);
            let key = u64::from_le_bytes(key.try_into().expect("eight bytes"));
            let length = u16::from_le_bytes(length.try_into().expect("two bytes"));
            let Some((name, after)) = after.split_at_checked(usize::from(length & !LAST)) else {
                break;
            };
            records.push((key, name.to_vec()));
            if length & LAST != 0 {
                self.frames.insert(seq, std::mem::take(&mut records));
                seq += 1;
            }
            rest = after;
        }
    }
}
