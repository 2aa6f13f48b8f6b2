//! The bytes of a segment: its header and the frames after it.
//!
//! All numbers are little-endian. A segment's header, 56 bytes:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | magic `SMRLJRNL` |
//! | 8 | 4 | version of the format: 2; version 1 had no parts |
//! | 12 | 4 | CRC-32C of everything else in the header; at this place in every version |
//! | 16 | 4 | the journal's random id |
//! | 20 | 4 | zero |
//! | 24 | 8 | the segment's number |
//! | 32 | 8 | number of the first segment that still counts |
//! | 40 | 8 | bytes that the last compaction left |
//! | 48 | 8 | sequence number of the segment's first frame |
//!
//! A frame is a header of 52 bytes followed by its body. The header has its own checksum, so a
//! damaged body can be skipped with its key known. It names the previous frame, so the key of a
//! frame with a damaged header is known too. It repeats the journal's id, which no client ever
//! sees, so no client can plant a frame inside a payload.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 4 | magic `F5 4A 0D 31` |
//! | 4 | 4 | CRC-32C of the rest of the header |
//! | 8 | 4 | bytes of the body; bit 31: the next frame continues this one, bit 30: this one continues the frame before |
//! | 12 | 4 | CRC-32C of the body |
//! | 16 | 4 | the journal's id |
//! | 20 | 2 | records in this frame, at least 1 |
//! | 22 | 2 | records in the frame before; 0 in a journal's first |
//! | 24 | 8 | sequence number, counting frames from 1 |
//! | 32 | 8 | key of the first record |
//! | 40 | 8 | key of the first record of the frame before |
//! | 48 | 4 | how many frames before this one were not yet durable when it was written |
//!
//! The body of a single record is its payload. The body of several records is a directory (for each
//! record its key, 8 bytes, and its length, 4), the directory's CRC-32C, and the payloads.
//!
//! A body of more than 1 MiB is written as several frames, its *parts*, each with its own sequence
//! number. The parts are adjacent in one segment, and count together or not at all.

use std::io;

use super::types::{JournalError, Key, Record, VERSION};

/// Bytes of a segment's header.
pub(super) const SEGMENT_HEADER_LEN: usize = 56;
/// Bytes of a frame's header.
pub(super) const HEADER_LEN: usize = 52;
/// The largest frame that is read, header included; version 1 wrote frames of up to this size.
const MAX_FRAME_LEN: usize = 64 << 20;
/// The largest body of a frame; a longer one is written in parts.
pub(super) const MAX_PART_LEN: usize = 1 << 20;
/// The largest body, all parts together.
pub(super) const MAX_BODY_LEN: usize = 3 << 30;
/// First bytes of every frame. The first one is not ASCII, so text never looks like a frame.
pub(super) const MAGIC: [u8; 4] = [0xf5, 0x4a, 0x0d, 0x31];

const SEGMENT_MAGIC: [u8; 8] = *b"SMRLJRNL";
const ENTRY_LEN: usize = 12;
const CRC_LEN: usize = 4;
/// Flag bits in the length of a body.
const CONTINUED: u32 = 1 << 31;
const CONTINUES: u32 = 1 << 30;

/// The number, key and record count of a frame, as the next frame repeats them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    /// Sequence number; 0 means that there is no frame yet.
    pub seq: u64,
    pub key: Key,
    pub num_records: u16,
}

/// The fields of a segment's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    /// The format of its frames.
    pub version: u32,
    pub journal: u32,
    pub number: u64,
    pub first: u64,
    pub rewritten: u64,
    pub next_seq: u64,
}

/// How the start of a segment file reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    Intact(SegmentHeader),
    /// JournalPosition by a later version of this program.
    Newer(u32),
    /// Too short for a header, or zeros in its place. A file with nothing else in it was being
    /// created.
    Torn,
    Damaged,
}

impl SegmentHeader {
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_LEN] {
        let mut bytes = [0; SEGMENT_HEADER_LEN];
        bytes[..8].copy_from_slice(&SEGMENT_MAGIC);
        bytes[8..12].copy_from_slice(&self.version.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.journal.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.number.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.first.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.rewritten.to_le_bytes());
        bytes[48..].copy_from_slice(&self.next_seq.to_le_bytes());
        let checksum = segment_checksum(&bytes);
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Start {
        let Some(bytes) = bytes.first_chunk::<SEGMENT_HEADER_LEN>() else {
            return Start::Torn;
        };
        if bytes.iter().all(|byte| *byte == 0) {
            return Start::Torn;
        }
        if bytes[..8] != SEGMENT_MAGIC || segment_checksum(bytes) != u32_at(bytes, 12) {
            return Start::Damaged;
        }
        let version = u32_at(bytes, 8);
        if version > VERSION {
            return Start::Newer(version);
        }
        let header = SegmentHeader {
            version,
            journal: u32_at(bytes, 16),
            number: u64_at(bytes, 24),
            first: u64_at(bytes, 32),
            rewritten: u64_at(bytes, 40),
            next_seq: u64_at(bytes, 48),
        };
        let is_sound = header.first <= header.number && (1..u64::MAX).contains(&header.next_seq);
        match is_sound {
            true => Start::Intact(header),
            false => Start::Damaged,
        }
    }
}

fn segment_checksum(bytes: &[u8; SEGMENT_HEADER_LEN]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..])
}

/// A frame's header whose checksum matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub journal: u32,
    pub body_len: u32,
    pub body_checksum: u32,
    /// This frame.
    pub link: Link,
    /// Key of the first record in the previous frame, and that frame's number of records.
    pub previous_key: Key,
    pub previous_num_records: u16,
    /// How many earlier frames were not yet durable.
    pub num_unsettled: u32,
    /// Whether the next frame continues the body.
    pub is_continued: bool,
    /// Whether this frame continues the body of the previous one.
    pub continues: bool,
}

impl Header {
    fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..4].copy_from_slice(&MAGIC);
        let mut length = self.body_len;
        if self.is_continued {
            length |= CONTINUED;
        }
        if self.continues {
            length |= CONTINUES;
        }
        bytes[8..12].copy_from_slice(&length.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.body_checksum.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.journal.to_le_bytes());
        bytes[20..22].copy_from_slice(&self.link.num_records.to_le_bytes());
        bytes[22..24].copy_from_slice(&self.previous_num_records.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.link.seq.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.link.key.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.previous_key.to_le_bytes());
        bytes[48..].copy_from_slice(&self.num_unsettled.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[8..]);
        bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; HEADER_LEN]) -> Option<Header> {
        if bytes[..4] != MAGIC || crc32c::crc32c(&bytes[8..]) != u32_at(bytes, 4) {
            return None;
        }
        let length = u32_at(bytes, 8);
        let header = Header {
            journal: u32_at(bytes, 16),
            body_len: length & !(CONTINUED | CONTINUES),
            body_checksum: u32_at(bytes, 12),
            link: Link {
                seq: u64_at(bytes, 24),
                key: u64_at(bytes, 32),
                num_records: u16_at(bytes, 20),
            },
            previous_key: u64_at(bytes, 40),
            previous_num_records: u16_at(bytes, 22),
            num_unsettled: u32_at(bytes, 48),
            is_continued: length & CONTINUED != 0,
            continues: length & CONTINUES != 0,
        };
        let is_sound = header.body_len as usize <= MAX_FRAME_LEN - HEADER_LEN
            && header.link.num_records > 0
            && (1..u64::MAX).contains(&header.link.seq);
        is_sound.then_some(header)
    }
}

/// A frame with an intact header and a complete body, which may be damaged.
pub(super) struct Frame<'a> {
    pub header: Header,
    body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads the frame at the start of `bytes`, if it belongs to `journal` (to any, if `None`).
    pub fn read(bytes: &'a [u8], journal: Option<u32>) -> Option<Frame<'a>> {
        let header = Header::decode(bytes.first_chunk()?)?;
        if journal.is_some_and(|journal| journal != header.journal) {
            return None;
        }
        let body = bytes[HEADER_LEN..].get(..header.body_len as usize)?;
        Some(Frame { header, body })
    }

    /// Bytes of the frame.
    pub fn len(&self) -> usize {
        HEADER_LEN + self.body.len()
    }

    /// Whether the body matches its checksum.
    pub fn is_intact(&self) -> bool {
        crc32c::crc32c(self.body) == self.header.body_checksum
    }

    /// The body, or this part of it.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }
}

/// Passes every record of a checked body to `visit` and returns their number. If the directory is
/// damaged it passes none and returns the keys that are known.
pub(super) fn visit(
    link: Link,
    body: &[u8],
    visit: &mut dyn FnMut(Key, &[u8]),
) -> Result<u64, Vec<Key>> {
    if link.num_records == 1 {
        visit(link.key, body);
        return Ok(1);
    }
    let Some((directory, payloads)) = directory(link.num_records, body) else {
        return Err(vec![link.key]);
    };
    let num_bytes: usize = entries(directory).map(|(_, len)| len).sum();
    if num_bytes != payloads.len() {
        return Err(entries(directory).map(|(key, _)| key).collect());
    }
    let mut rest = payloads;
    for (key, len) in entries(directory) {
        let (payload, after) = rest.split_at(len);
        visit(key, payload);
        rest = after;
    }
    Ok(u64::from(link.num_records))
}

/// Returns the keys of a damaged or incomplete body, as far as they are known.
pub(super) fn known_keys(link: Link, body: &[u8]) -> Vec<Key> {
    match link.num_records {
        1 => vec![link.key],
        num_records => match directory(num_records, body) {
            Some((directory, _)) => entries(directory).map(|(key, _)| key).collect(),
            None => vec![link.key],
        },
    }
}

/// Splits off the directory if it is intact; returns it and the bytes after its checksum.
fn directory(num_records: u16, body: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = usize::from(num_records) * ENTRY_LEN;
    let (directory, rest) = body.split_at_checked(len)?;
    let (checksum, payloads) = rest.split_at_checked(CRC_LEN)?;
    (crc32c::crc32c(directory) == u32_at(checksum, 0)).then_some((directory, payloads))
}

fn entries(directory: &[u8]) -> impl Iterator<Item = (Key, usize)> {
    directory
        .chunks_exact(ENTRY_LEN)
        .map(|entry| (u64_at(entry, 0), u32_at(entry, 8) as usize))
}

/// Whether `bytes` are the beginning, but not all, of the frame after `previous`. This is what a
/// process leaves behind when it ends in the middle of a write.
pub(super) fn is_cut_short(bytes: &[u8], journal: Option<u32>, previous: Link) -> bool {
    let Some(header) = bytes.first_chunk::<HEADER_LEN>() else {
        let number = |at: usize, number: &[u8]| {
            let len = bytes.len().saturating_sub(at).min(number.len());
            len == 0 || bytes[at..at + len] == number[..len]
        };
        return number(0, &MAGIC)
            && journal.is_none_or(|journal| number(16, &journal.to_le_bytes()))
            && number(22, &previous.num_records.to_le_bytes())
            && number(24, &(previous.seq + 1).to_le_bytes())
            && number(40, &previous.key.to_le_bytes());
    };
    Header::decode(header).is_some_and(|header| {
        journal.is_none_or(|journal| journal == header.journal)
            && header.link.seq == previous.seq + 1
            && bytes.len() - HEADER_LEN < header.body_len as usize
    })
}

/// Returns the bytes of the frames that would hold `records`.
///
/// # Errors
/// [`JournalError::FrameSize`] if there are no records, more than 65,535 of them, or more than 3
/// GiB.
pub(super) fn len_of(records: &[Record<'_>]) -> Result<usize, JournalError> {
    let directory = match records.len() {
        1 => 0,
        len => len * ENTRY_LEN + CRC_LEN,
    };
    let payloads: usize = records.iter().map(Record::len).sum();
    let len = directory + payloads;
    if u16::try_from(records.len()).is_ok_and(|len| len > 0) && len <= MAX_BODY_LEN {
        return Ok(len.div_ceil(MAX_PART_LEN).max(1) * HEADER_LEN + len);
    }
    Err(JournalError::FrameSize {
        records: records.len(),
        bytes: len,
    })
}

/// Encodes `records` as the frames after `previous`, passes each frame to `write`, and returns the
/// link of the last one. Frames are assembled in `buffer`.
///
/// `records` must have passed [`len_of`].
///
/// # Errors
/// Those of `write`. Some of the frames may have been written by then.
pub(super) fn encode(
    buffer: &mut Vec<u8>,
    journal: u32,
    previous: Link,
    num_unsettled: u64,
    records: &[Record<'_>],
    write: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<Link> {
    let mut frames = Frames {
        journal,
        link: previous,
        this: Link {
            seq: 0,
            key: records[0].key,
            num_records: records.len() as u16,
        },
        num_unsettled: u32::try_from(num_unsettled).unwrap_or(u32::MAX),
        continues: false,
        buffer,
        write,
    };
    frames.begin();
    if let [record] = records {
        frames.extend(record)?;
    } else {
        let mut directory = Vec::with_capacity(records.len() * ENTRY_LEN + CRC_LEN);
        for record in records {
            directory.extend_from_slice(&record.key.to_le_bytes());
            directory.extend_from_slice(&(record.len() as u32).to_le_bytes());
        }
        let checksum = crc32c::crc32c(&directory);
        directory.extend_from_slice(&checksum.to_le_bytes());
        frames.push(&directory)?;
        for record in records {
            frames.extend(record)?;
        }
    }
    frames.end(false)?;
    Ok(frames.link)
}

/// Frames being written.
struct Frames<'a> {
    journal: u32,
    /// The last frame written.
    link: Link,
    /// The link of each of these frames, except for its sequence number.
    this: Link,
    num_unsettled: u32,
    /// Whether one of these frames has been written already.
    continues: bool,
    buffer: &'a mut Vec<u8>,
    write: &'a mut dyn FnMut(&[u8]) -> io::Result<()>,
}

impl Frames<'_> {
    fn begin(&mut self) {
        self.buffer.clear();
        self.buffer.resize(HEADER_LEN, 0);
    }

    fn extend(&mut self, record: &Record<'_>) -> io::Result<()> {
        self.push(record.head)?;
        self.push(record.payload)
    }

    fn push(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        loop {
            let room = HEADER_LEN + MAX_PART_LEN - self.buffer.len();
            if bytes.len() <= room {
                self.buffer.extend_from_slice(bytes);
                return Ok(());
            }
            let (now, later) = bytes.split_at(room);
            self.buffer.extend_from_slice(now);
            self.end(true)?;
            self.begin();
            bytes = later;
        }
    }

    fn end(&mut self, is_continued: bool) -> io::Result<()> {
        let body = &self.buffer[HEADER_LEN..];
        let header = Header {
            journal: self.journal,
            body_len: body.len() as u32,
            body_checksum: crc32c::crc32c(body),
            link: Link {
                seq: self.link.seq + 1,
                ..self.this
            },
            previous_key: self.link.key,
            previous_num_records: self.link.num_records,
            num_unsettled: self.num_unsettled,
            is_continued,
            continues: self.continues,
        };
        self.buffer[..HEADER_LEN].copy_from_slice(&header.encode());
        (self.write)(self.buffer)?;
        self.link = header.link;
        self.continues = true;
        Ok(())
    }
}

/// Corrects the checksums in a segment, for fuzzing: random bytes would almost never pass one.
#[cfg(any(test, fuzzing))]
pub(crate) fn with_sound_checksums(segment: &[u8]) -> Vec<u8> {
    let mut bytes = segment.to_vec();
    if let Some(header) = bytes.first_chunk_mut::<SEGMENT_HEADER_LEN>() {
        let checksum = segment_checksum(header);
        header[12..16].copy_from_slice(&checksum.to_le_bytes());
    }
    let mut at = SEGMENT_HEADER_LEN;
    while let Some(next) = bytes
        .get(at..)
        .and_then(|rest| memchr::memmem::find(rest, &MAGIC))
    {
        at += next;
        let Some((header, rest)) = bytes[at..].split_first_chunk_mut::<HEADER_LEN>() else {
            break;
        };
        at += HEADER_LEN;
        let body_len = u32_at(header, 8) & !(CONTINUED | CONTINUES);
        if let Some(body) = rest.get_mut(..body_len as usize) {
            let directory = match u16_at(header, 20) {
                ..=1 => 0,
                len => usize::from(len) * ENTRY_LEN,
            };
            if directory > 0 && body.len() >= directory + CRC_LEN {
                let checksum = crc32c::crc32c(&body[..directory]);
                body[directory..][..CRC_LEN].copy_from_slice(&checksum.to_le_bytes());
            }
            header[12..16].copy_from_slice(&crc32c::crc32c(body).to_le_bytes());
            at += body.len();
        }
        let checksum = crc32c::crc32c(&header[8..]);
        header[4..8].copy_from_slice(&checksum.to_le_bytes());
    }
    bytes
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}
