//! Reading a journal back: intact records are passed to the caller, damage is reported.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use memchr::memmem;

use super::frame::{self, Frame, Header, Link, MAGIC, SEGMENT_HEADER_LEN, SegmentHeader, Start};
use super::index::Index;
use super::storage::Folder;
use super::system::boot;
use super::types::{JournalError, Key, Position, VERSION};

/// Receives each intact record with the position of its frame.
pub(super) type Visit<'a> = dyn FnMut(Position, Key, &[u8]) + 'a;

/// The result of opening a journal.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// Intact records read.
    pub records: u64,
    /// Bytes of the segments read, torn tail included.
    pub bytes: u64,
    /// Segments read.
    pub segments: u64,
    /// Bytes cut off the end: writes interrupted by a crash. They had not been acknowledged, with
    /// two exceptions. After a power cut under [`Durability::Process`](super::Durability::Process)
    /// they may have been. And after a reboot (or where the system has no boot id) damage at the
    /// end cannot be distinguished from a torn write and is counted here.
    pub torn_tail_bytes: u64,
    /// Damage, in the order in which it was found. It is reported at every opening until a
    /// compaction has replaced it.
    pub corrupt: Vec<Corruption>,
    /// The names of lost records, where they are known.
    pub names: Vec<LostName>,
    /// Files into which damaged bytes were moved at this opening.
    pub set_aside: Vec<PathBuf>,
    /// Number and bytes of all files set aside, at this opening or earlier, that still exist.
    pub aside: (u64, u64),
    /// Bytes of the last segment's index that cannot be read. They cost nothing else.
    pub index_damaged_bytes: u64,
    /// How long reading took, including the caller's work on records.
    pub took: Duration,
}

/// A lost record that had a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostName {
    /// Position of the record.
    pub position: Position,
    /// Its key.
    pub key: Key,
    /// Its name.
    pub name: Vec<u8>,
}

/// One loss and its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corruption {
    /// Number of the segment.
    pub segment: u64,
    /// The segment's file.
    pub path: PathBuf,
    /// Offset of the damage in the file, in bytes.
    pub offset: u64,
    /// Position of the last frame that this entry covers.
    pub position: Position,
    /// Key of the lost records; a stretch with several keys has one entry for each. `None` means
    /// unknown: with `frames > 0` any environment may have lost its latest records before this
    /// place.
    pub key: Option<Key>,
    /// Number of frames with lost records of this key. 0 means that no record is lost and something
    /// else is wrong.
    pub frames: u64,
    /// Whether the lost frames had been durable. If `false`, this may be a write torn by a power
    /// cut before it was acknowledged.
    pub settled: bool,
    /// The kind of damage.
    pub detail: Damage,
}

/// A kind of damage to a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The segment's own header is damaged; its frames can still be read.
    SegmentHeader,
    /// The segments before and after exist, but not this one.
    SegmentMissing,
    /// A frame's header or a whole frame is damaged or missing.
    Frame,
    /// A frame's body is damaged; its header says whose it is.
    Body,
    /// Bytes that belong to no frame; no frame is missing.
    Garbage,
    /// A frame with a number that was read before: a copy. It was skipped.
    Repeated,
}

impl fmt::Display for Damage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Damage::SegmentHeader => "the segment's header is damaged",
            Damage::SegmentMissing => "the segment is missing",
            Damage::Frame => "a frame is damaged or missing",
            Damage::Body => "a frame's body is damaged",
            Damage::Garbage => "bytes that belong to no frame",
            Damage::Repeated => "a frame that was read before",
        })
    }
}

/// Where a journal continues after recovery.
pub(super) struct Resume {
    pub journal: u32,
    pub first: u64,
    pub rewritten: u64,
    /// Number of the last segment and the length of its intact part; `None` if no segment can be
    /// continued.
    pub last: Option<(u64, u64)>,
    /// The number the next new segment takes.
    pub next_number: u64,
    /// Bytes of each segment.
    pub segments: BTreeMap<u64, u64>,
    /// Segments with damaged places.
    pub damaged: BTreeSet<u64>,
    /// The last frame, as far as it is known.
    pub link: Link,
}

/// State of the last segment's end, after its last whole frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tail {
    /// Nothing follows.
    #[default]
    Clean,
    /// A write was interrupted. It had not been acknowledged, or only under the promise that does
    /// not cover power cuts.
    Torn,
    /// Bytes that no crash leaves behind.
    Damaged,
}

/// Reads all current segments, passes every intact record to `visit` in the order of appending, and
/// removes leftovers of compactions and crashes. The torn tail is reported and left for the caller
/// to cut.
pub(super) fn recover(
    folder: &Folder,
    visit: &mut Visit<'_>,
) -> Result<(Resume, Recovered), JournalError> {
    let started = Instant::now();
    let boot = boot();
    let current = Current::open(folder, boot)?;
    let mut scanner = Scanner::new(current.journal(folder), visit);
    let (mut buffer, mut segments) = (Vec::new(), BTreeMap::new());
    let (mut expected, mut last) = (current.first, None);
    for (&number, &start) in &current.starts {
        if number > expected {
            scanner.note(expected, 0, Damage::SegmentMissing);
        }
        expected = number + 1;
        folder.read(number, &mut buffer)?;
        let end = scanner.segment(number, intact(start), &buffer);
        segments.insert(number, buffer.len() as u64);
        last = Some((number, end));
    }
    let next_seq = current.newest.map_or(1, |header| header.next_seq);
    if scanner.link.seq + 1 < next_seq {
        scanner.link = Link {
            seq: next_seq - 1,
            ..Link::default()
        };
    }

    let mut index = Index::default();
    let mut ending = Ending::default();
    if let Some((number, end)) = last {
        index.read_end(&folder.index_path(number), scanner.journal);
        let last = LastSegment {
            number,
            start: current.starts[&number],
            end: end as u64,
            rest: &buffer[end..],
        };
        ending = last.end(folder, &index, boot, &mut scanner)?;
        if ending.tail == Tail::Torn {
            segments.insert(number, last.end);
        }
    }
    let index_damaged_bytes = index.damaged_bytes;
    drop(buffer);
    let link = scanner.link;
    let journal = scanner.journal;
    let mut found = scanner.finish(last.map_or(0, |(number, _)| number), ending.tail);
    if found.has_losses() {
        // Read the indexes of all segments, since a key's name may have been recorded long before.
        for &number in current.starts.keys() {
            index.read(&folder.index_path(number), journal);
        }
    }
    found.resolve(&|number| folder.segment_path(number), &index);
    let mut recovered = found.recovered;
    let damaged = recovered.corrupt.iter().map(|place| place.segment);
    let resume = Resume {
        journal: journal.unwrap_or_else(rand::random),
        first: current.first,
        rewritten: current.newest.map_or(0, |header| header.rewritten),
        last: ending.resume_at,
        next_number: expected,
        segments,
        damaged: damaged.collect(),
        link,
    };
    recovered.torn_tail_bytes = ending.torn + current.torn_headers;
    recovered.bytes += current.torn_headers;
    recovered.set_aside = current.set_aside;
    recovered.set_aside.extend(ending.set_aside);
    recovered.aside = folder.aside();
    recovered.index_damaged_bytes = index_damaged_bytes;
    recovered.took = started.elapsed();
    Ok((resume, recovered))
}

/// The segments to read, after leftovers of compactions and crashes have been removed.
struct Current {
    starts: BTreeMap<u64, Start>,
    /// Number of the first segment.
    first: u64,
    /// Header of the newest segment with an intact one.
    newest: Option<SegmentHeader>,
    /// Bytes of segments that were being created when the process ended.
    torn_headers: u64,
    /// Copies of damaged bytes in segments that were removed.
    set_aside: Vec<PathBuf>,
}

impl Current {
    fn open(folder: &Folder, boot: u64) -> Result<Current, JournalError> {
        let mut starts = starts(folder)?;
        let torn_headers = drop_torn(folder, &mut starts, boot)?;
        let headers = || starts.values().filter_map(|start| intact(*start));
        let first = headers().map(|header| header.first).max();
        let first = first.or_else(|| starts.keys().next().copied()).unwrap_or(1);
        let newest = headers().next_back();
        let set_aside = drop_superseded(folder, &mut starts, first)?;
        for number in folder.indexes()? {
            if !starts.contains_key(&number) {
                folder.remove_index(number);
            }
        }
        Ok(Current {
            starts,
            first,
            newest,
            torn_headers,
            set_aside,
        })
    }

    /// Returns the id of the journal, from a header or else from an index.
    fn journal(&self, folder: &Folder) -> Option<u32> {
        let mut journal = self.newest.map(|header| header.journal);
        if journal.is_none() {
            // Without the id, a frame that a client planted in a payload could be the first one
            // found.
            for &number in self.starts.keys() {
                journal = Index::default().read_end(&folder.index_path(number), journal);
            }
        }
        journal
    }
}

/// The last segment, and the bytes after its last whole frame.
struct LastSegment<'a> {
    number: u64,
    start: Start,
    /// Where the last whole frame ends.
    end: u64,
    rest: &'a [u8],
}

/// How the last segment ends, and where the journal continues.
#[derive(Default)]
struct Ending {
    tail: Tail,
    /// Bytes of the torn tail.
    torn: u64,
    /// Copy of a torn tail that is not the beginning of frames.
    set_aside: Option<PathBuf>,
    /// Segment and position to append at; `None` for a new segment.
    resume_at: Option<(u64, u64)>,
}

impl LastSegment<'_> {
    /// Judges the bytes after the last whole frame, reports damage to `scanner`, and decides where
    /// the journal continues. `index` is that of this segment.
    fn end(
        &self,
        folder: &Folder,
        index: &Index,
        boot: u64,
        scanner: &mut Scanner<'_>,
    ) -> Result<Ending, JournalError> {
        let mut ending = Ending::default();
        // There was no power cut since the index was written, so everything written is there.
        let told = index.end.filter(|end| boot != 0 && end.boot == boot);
        let is_cut_short = is_cut_short(self.rest, scanner.journal, scanner.link);
        ending.tail = match told {
            Some(told) if told.seq > scanner.last_seq() => Tail::Damaged,
            _ if self.rest.is_empty() => Tail::Clean,
            Some(_) if !is_cut_short => Tail::Damaged,
            _ => Tail::Torn,
        };
        match ending.tail {
            Tail::Damaged => {
                let told = told.map_or(0, |told| told.seq);
                scanner.end_is_damaged(self.number, self.end, told);
            }
            Tail::Torn => {
                ending.torn = self.rest.len() as u64;
                if !is_cut_short && self.rest.iter().any(|byte| *byte != 0) {
                    ending.set_aside = Some(folder.save_aside(self.number, self.rest)?);
                }
            }
            Tail::Clean => {}
        }
        // Nothing is appended after damage, so that further damage to this file costs less; nor
        // after frames of another format.
        let is_good = ending.tail != Tail::Damaged
            && intact(self.start).is_some_and(|header| header.version == VERSION);
        if is_good {
            ending.resume_at = Some((self.number, self.end));
        } else if ending.tail == Tail::Torn {
            folder.reopen(self.number, self.end)?;
        }
        Ok(ending)
    }
}

/// Whether `bytes` are what a process leaves behind when it ends while writing the frames of one
/// append.
fn is_cut_short(mut bytes: &[u8], journal: Option<u32>, mut previous: Link) -> bool {
    while let Some(frame) = Frame::read(bytes, journal) {
        let header = frame.header;
        if header.link.seq != previous.seq + 1 || !header.is_continued || !frame.is_intact() {
            return false;
        }
        previous = header.link;
        bytes = &bytes[frame.len()..];
    }
    frame::is_cut_short(bytes, journal, previous)
}

/// Reads the headers of all segments. One that names another number counts as damaged.
fn starts(folder: &Folder) -> Result<BTreeMap<u64, Start>, JournalError> {
    let mut starts = BTreeMap::new();
    for number in folder.segments()? {
        let start = match SegmentHeader::decode(&folder.read_header(number)?.0) {
            Start::Newer(version) => {
                return Err(JournalError::NewerFormat {
                    path: folder.segment_path(number),
                    version,
                });
            }
            Start::Intact(header) if header.number != number => Start::Damaged,
            start => start,
        };
        starts.insert(number, start);
    }
    Ok(starts)
}

fn intact(start: Start) -> Option<SegmentHeader> {
    match start {
        Start::Intact(header) => Some(header),
        _ => None,
    }
}

/// Removes segments at the end that were being created when the process ended, and returns their
/// number of bytes. They are empty and nothing was written to them; a segment that was zeroed later
/// has entries in its index and is kept.
fn drop_torn(
    folder: &Folder,
    starts: &mut BTreeMap<u64, Start>,
    boot: u64,
) -> Result<u64, JournalError> {
    let (mut num_bytes, mut bytes) = (0, Vec::new());
    while let Some(mut entry) = starts.last_entry()
        && *entry.get() == Start::Torn
    {
        let number = *entry.key();
        folder.read(number, &mut bytes)?;
        let mut index = Index::default();
        index.read_end(&folder.index_path(number), None);
        let had_frames = index.end.is_some_and(|end| boot != 0 && end.boot == boot);
        let is_empty = bytes.len() < SEGMENT_HEADER_LEN || bytes.iter().all(|byte| *byte == 0);
        if had_frames || !is_empty {
            *entry.get_mut() = Start::Damaged;
            break;
        }
        num_bytes += bytes.len() as u64;
        folder.remove(number)?;
        entry.remove();
    }
    Ok(num_bytes)
}

/// Removes segments replaced by the last compaction, the oldest first. Damaged ones are set aside.
fn drop_superseded(
    folder: &Folder,
    starts: &mut BTreeMap<u64, Start>,
    first: u64,
) -> Result<Vec<PathBuf>, JournalError> {
    let kept = starts.split_off(&first);
    let (mut aside, mut bytes) = (Vec::new(), Vec::new());
    for (number, start) in std::mem::replace(starts, kept) {
        folder.read(number, &mut bytes)?;
        match intact(start).is_some_and(|header| is_sound(&header, &bytes)) {
            true => folder.remove(number)?,
            false => aside.push(folder.set_aside(number)?),
        }
    }
    Ok(aside)
}

/// Whether a segment consists of whole frames only.
fn is_sound(header: &SegmentHeader, bytes: &[u8]) -> bool {
    let mut rest = bytes.get(SEGMENT_HEADER_LEN..).unwrap_or_default();
    while !rest.is_empty() {
        match Frame::read(rest, Some(header.journal)) {
            Some(frame) if frame.is_intact() => rest = &rest[frame.len()..],
            _ => return false,
        }
    }
    true
}

/// Something wrong in a segment.
struct Finding {
    segment: u64,
    offset: u64,
    detail: Damage,
    lost: Option<Lost>,
}

/// A range of lost frames.
struct Lost {
    from: u64,
    to: u64,
    /// Whether more frames may be missing before `from`.
    is_open: bool,
    /// The known keys of the last frame; `is_complete` says whether these are all of them.
    keys: Vec<Key>,
    is_complete: bool,
    /// Whether the frames are parts of one body, so that they share their keys.
    is_one_body: bool,
}

/// A body whose parts have been read so far.
struct Group {
    segment: u64,
    offset: u64,
    from: u64,
    /// Its last part.
    link: Link,
    body: Vec<u8>,
}

/// Reads segments one after another.
pub(super) struct Scanner<'a> {
    visit: &'a mut Visit<'a>,
    journal: Option<u32>,
    /// Sequence number of the next frame; unknown before the first frame after a damaged header.
    expected: Option<u64>,
    /// Where bytes that belong to no frame begin. The next frame will show what they were.
    unread: Option<(u64, u64)>,
    findings: Vec<Finding>,
    /// Number of findings that an intact frame or segment follows, so that they are not a torn
    /// tail.
    num_confirmed: usize,
    /// The last frame that was durable when a later one was written.
    settled: u64,
    /// The last whole frame.
    link: Link,
    group: Option<Group>,
    recovered: Recovered,
}

/// The result of a [`Scanner`].
pub(super) struct Found {
    pub recovered: Recovered,
    findings: Vec<Finding>,
    settled: u64,
}

impl<'a> Scanner<'a> {
    /// Creates a scanner. `journal` is the journal's id from an intact header; if `None`, the first
    /// frame sets it.
    pub fn new(journal: Option<u32>, visit: &'a mut Visit<'a>) -> Scanner<'a> {
        Scanner {
            visit,
            journal,
            expected: None,
            unread: None,
            findings: Vec::new(),
            num_confirmed: 0,
            settled: 0,
            link: Link::default(),
            group: None,
            recovered: Recovered::default(),
        }
    }

    /// Reads a segment and returns where its last whole frame ends.
    pub fn segment(&mut self, number: u64, header: Option<SegmentHeader>, bytes: &[u8]) -> usize {
        self.recovered.segments += 1;
        self.recovered.bytes += bytes.len() as u64;
        let mut at = SEGMENT_HEADER_LEN.min(bytes.len());
        self.break_group();
        match header {
            // If earlier bytes could not be read, the first frame tells more about them than the
            // header.
            Some(header) if self.unread.is_none() => {
                self.expected = self.expected.or(Some(header.next_seq));
            }
            Some(_) => {}
            None => self.note(number, 0, Damage::SegmentHeader),
        }
        self.num_confirmed = self.findings.len();
        let mut end = at;
        while at < bytes.len() {
            let Some(frame) = Frame::read(&bytes[at..], self.journal) else {
                self.unread.get_or_insert((number, at as u64));
                at = memmem::find(&bytes[at + 1..], &MAGIC)
                    .map_or(bytes.len(), |next| at + 1 + next);
                continue;
            };
            let is_whole = self.frame(number, at as u64, &frame);
            at += frame.len();
            if is_whole {
                end = at;
            }
        }
        if let Some(header) = header
            && self
                .expected
                .is_none_or(|expected| expected < header.next_seq)
        {
            // No frame describes the ones before it, but the segment's header does.
            let previous = (header.next_seq - 1, Vec::new(), false);
            self.account(number, end as u64, header.next_seq, previous);
            self.num_confirmed = self.findings.len();
            self.expected = Some(header.next_seq);
        }
        end
    }

    /// Processes a frame. Returns whether everything up to its end has been dealt with.
    fn frame(&mut self, number: u64, offset: u64, frame: &Frame<'_>) -> bool {
        let header = &frame.header;
        let seq = header.link.seq;
        if self.expected.is_some_and(|expected| seq < expected) {
            self.note(number, offset, Damage::Repeated);
            return false;
        }
        let previous_keys = match header.previous_num_records {
            0 => Vec::new(),
            _ => vec![header.previous_key],
        };
        let previous = (seq - 1, previous_keys, header.previous_num_records == 1);
        let is_next = self
            .group
            .as_ref()
            .is_some_and(|group| group.link.seq + 1 == seq);
        if !(header.continues && is_next) {
            self.break_group();
        }
        self.account(number, offset, seq, previous);
        self.journal = Some(header.journal);
        self.expected = Some(seq + 1);
        if !frame.is_intact() {
            let group = self.group.take();
            let (from, mut body) =
                group.map_or((seq, Vec::new()), |group| (group.from, group.body));
            body.extend_from_slice(frame.body());
            let keys = match header.continues && from == seq {
                // The directory was in an earlier part.
                true => vec![header.link.key],
                false => frame::known_keys(header.link, &body),
            };
            self.lose_frame(number, offset, from, header.link, keys, Damage::Body);
            return false;
        }
        let settled = (seq - 1).saturating_sub(header.num_unsettled.into());
        self.settled = self.settled.max(settled);
        if !header.continues && !header.is_continued {
            let whole = self.whole(number, offset, header, frame.body());
            self.num_confirmed = self.findings.len();
            return whole;
        }
        match &mut self.group {
            Some(group) => {
                group.body.extend_from_slice(frame.body());
                group.link = header.link;
            }
            None if header.continues => {
                self.lose_part(number, offset, header.link);
                self.num_confirmed = self.findings.len();
                self.link = header.link;
                return !header.is_continued;
            }
            None => {
                self.group = Some(Group {
                    segment: number,
                    offset,
                    from: seq,
                    link: header.link,
                    body: frame.body().to_vec(),
                });
            }
        }
        self.num_confirmed = self.findings.len();
        if header.is_continued {
            return false;
        }
        match self.group.take() {
            Some(group) => self.whole(number, offset, header, &group.body),
            None => false,
        }
    }

    /// Passes on the records of a body.
    fn whole(&mut self, number: u64, offset: u64, header: &Header, body: &[u8]) -> bool {
        let position = Position(header.link.seq);
        let visit = &mut *self.visit;
        let mut visit = |key: Key, record: &[u8]| visit(position, key, record);
        match frame::visit(header.link, body, &mut visit) {
            Ok(num_records) => {
                self.recovered.records += num_records;
                self.link = header.link;
                true
            }
            // The checksum matches, so the body was written like this.
            Err(keys) => {
                let link = header.link;
                self.lose_frame(number, offset, link.seq, link, keys, Damage::Body);
                false
            }
        }
    }

    /// Reports a lost frame; only its keys are known.
    fn lose_frame(
        &mut self,
        segment: u64,
        offset: u64,
        from: u64,
        link: Link,
        keys: Vec<Key>,
        detail: Damage,
    ) {
        let lost = Lost {
            from,
            to: link.seq,
            is_open: false,
            is_complete: keys.len() == usize::from(link.num_records),
            keys,
            is_one_body: true,
        };
        self.lose(segment, offset, lost, detail);
    }

    /// Reports a part of a body whose first parts are missing.
    fn lose_part(&mut self, segment: u64, offset: u64, link: Link) {
        if let Some(last) = self.findings.last_mut()
            && let Some(lost) = &mut last.lost
            && lost.is_one_body
            && lost.to + 1 == link.seq
            && lost.keys.first() == Some(&link.key)
        {
            lost.to = link.seq;
            return;
        }
        self.lose_frame(
            segment,
            offset,
            link.seq,
            link,
            vec![link.key],
            Damage::Frame,
        );
    }

    /// Reports a body whose last parts are missing as lost.
    fn break_group(&mut self) {
        let Some(group) = self.group.take() else {
            return;
        };
        let keys = frame::known_keys(group.link, &group.body);
        let (segment, offset) = (group.segment, group.offset);
        self.lose_frame(segment, offset, group.from, group.link, keys, Damage::Frame);
    }

    /// Reports frames missing before frame `seq`. `previous` is what is known of the frame before
    /// it: its number, its keys, and whether these are all its keys.
    fn account(&mut self, number: u64, offset: u64, seq: u64, previous: (u64, Vec<Key>, bool)) {
        let unread = self.unread.take();
        let (segment, at) = unread.unwrap_or((number, offset));
        let (to, keys, is_complete) = previous;
        let (from, is_open) = match self.expected {
            Some(expected) if expected >= seq => {
                if unread.is_some() {
                    self.note(segment, at, Damage::Garbage);
                }
                return;
            }
            Some(expected) => (expected, false),
            // It is unknown how many frames followed the damaged header.
            None if unread.is_some() && to > 0 => (to, true),
            None => return,
        };
        let lost = Lost {
            from,
            to,
            is_open,
            keys,
            is_complete,
            is_one_body: false,
        };
        self.lose(segment, at, lost, Damage::Frame);
    }

    fn lose(&mut self, segment: u64, offset: u64, lost: Lost, detail: Damage) {
        self.findings.push(Finding {
            segment,
            offset,
            detail,
            lost: Some(lost),
        });
    }

    /// Reports a problem that loses no records.
    fn note(&mut self, segment: u64, offset: u64, detail: Damage) {
        self.findings.push(Finding {
            segment,
            offset,
            detail,
            lost: None,
        });
    }

    /// Returns the number of the last frame, whole or not.
    fn last_seq(&self) -> u64 {
        let read = self.expected.map_or(0, |expected| expected - 1);
        read.max(self.link.seq)
    }

    /// Reports damage after the last whole frame of the last segment. `told` is the last frame in
    /// the index.
    fn end_is_damaged(&mut self, segment: u64, offset: u64, told: u64) {
        self.break_group();
        let last = self.last_seq();
        let unread = self.unread.take();
        // Without any record of how many frames there were, assume one.
        let to = match unread {
            Some(_) => told.max(last + 1),
            None => told,
        };
        if to > last {
            let (segment, offset) = unread.unwrap_or((segment, offset));
            let is_open = self.expected.is_none();
            let lost = Lost {
                from: if is_open { to } else { last + 1 },
                to,
                is_open,
                keys: Vec::new(),
                is_complete: false,
                is_one_body: false,
            };
            self.lose(segment, offset, lost, Damage::Frame);
        }
        self.link = Link {
            seq: to.max(last),
            ..Link::default()
        };
    }

    /// Ends reading. `last` is the number of the last segment; only its tail may be torn.
    pub fn finish(mut self, last: u64, tail: Tail) -> Found {
        if tail == Tail::Torn {
            let num_confirmed = self.num_confirmed;
            let mut index = 0;
            self.findings.retain(|finding| {
                index += 1;
                index <= num_confirmed || finding.segment != last
            });
        }
        if let Some((segment, offset)) = self.unread
            && segment != last
        {
            let seq = self.last_seq() + 1;
            let lost = Lost {
                from: seq,
                to: seq,
                is_open: false,
                keys: Vec::new(),
                is_complete: false,
                is_one_body: false,
            };
            self.lose(segment, offset, lost, Damage::Frame);
        }
        Found {
            recovered: self.recovered,
            findings: self.findings,
            settled: self.settled,
        }
    }
}

impl Found {
    fn has_losses(&self) -> bool {
        self.findings.iter().any(|finding| finding.lost.is_some())
    }

    /// Determines whose frames were lost, as far as the surrounding frames and the indexes show.
    pub fn resolve(&mut self, path_of: &dyn Fn(u64) -> PathBuf, index: &Index) {
        for finding in std::mem::take(&mut self.findings) {
            let place = |key, frames, seq: u64, settled| Corruption {
                segment: finding.segment,
                path: path_of(finding.segment),
                offset: finding.offset,
                position: Position(seq),
                key,
                frames,
                settled,
                detail: finding.detail,
            };
            let corrupt = &mut self.recovered.corrupt;
            let Some(lost) = &finding.lost else {
                corrupt.push(place(None, 0, 0, false));
                continue;
            };
            let whose = Whose::from_lost(lost, index, &mut self.recovered.names);
            let unknown = (whose.num_unknown > 0).then(|| {
                let settled = lost.from <= self.settled;
                place(None, whose.num_unknown, lost.to, settled)
            });
            let known = whose.known.into_iter().map(|(key, (frames, seq))| {
                let settled = seq <= self.settled;
                place(Some(key), frames, seq, settled)
            });
            match finding.detail {
                Damage::Body => corrupt.extend(known.chain(unknown)),
                _ => corrupt.extend(unknown.into_iter().chain(known)),
            }
        }
    }
}

/// The owners of lost frames.
struct Whose {
    /// For each key, how many frames it lost and the last of them.
    known: BTreeMap<Key, (u64, u64)>,
    /// Number of frames whose keys are not all known.
    num_unknown: u64,
}

impl Whose {
    fn from_lost(lost: &Lost, index: &Index, names: &mut Vec<LostName>) -> Whose {
        let mut known = BTreeMap::<Key, (u64, u64)>::new();
        let from = match lost.is_open {
            true => index
                .first()
                .map_or(lost.from, |first| first.min(lost.from)),
            false => lost.from,
        };
        let mut num_unknown = lost.to - from + 1;
        let mut is_last_told = false;
        for (seq, records) in index.frames(from, lost.to) {
            num_unknown -= 1;
            is_last_told |= seq == lost.to;
            for (key, name) in records {
                let (frames, last) = known.entry(*key).or_default();
                if *last != seq {
                    *frames += 1;
                    *last = seq;
                }
                if !name.is_empty() {
                    names.push(LostName {
                        position: Position(seq),
                        key: *key,
                        name: name.clone(),
                    });
                }
            }
        }
        if !is_last_told && !lost.keys.is_empty() {
            for key in &lost.keys {
                let (frames, last) = known.entry(*key).or_default();
                *frames += 1;
                *last = lost.to;
            }
            num_unknown = match (lost.is_complete, lost.is_one_body) {
                (true, true) => 0,
                (true, false) => num_unknown - 1,
                (false, _) => num_unknown,
            };
        }
        let is_all_told = index.first().is_some_and(|first| first <= from);
        if lost.is_open && !is_all_told {
            num_unknown = num_unknown.max(1);
        }
        Whose { known, num_unknown }
    }
}
