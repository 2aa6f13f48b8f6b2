//! Reading a journal back: every intact record is handed over, what is damaged is reported.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use memchr::memmem;

use super::frame::{
    self, Frame, Header, Link, MAGIC, SEGMENT_HEADER_LEN, SegmentHeader, Start, VERSION,
};
use super::index::{self, Index};
use super::storage::Folder;
use super::{JournalError, Key, Position};

/// Sees each intact record, with the place of its frame.
pub(super) type Visit<'a> = dyn FnMut(Position, Key, &[u8]) + 'a;

/// What opening a journal found.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// Records handed over.
    pub records: u64,
    /// Bytes of the segments read, torn tail included.
    pub bytes: u64,
    /// Segments read.
    pub segments: u64,
    /// Bytes cut off the end: writes that a crash broke off. Nobody was told that they had succeeded, but for two cases. After
    /// a power cut under [`Durability::Process`](super::Durability::Process) it may have been told. And after a restart of the
    /// machine (or where it tells no boot id) damage of the end cannot be told from a torn write and is counted here.
    pub torn_tail_bytes: u64,
    /// What is damaged, in order. It is reported at every opening until a compaction has replaced it.
    pub corrupt: Vec<Corruption>,
    /// The names that lost records came with, where they are known.
    pub names: Vec<LostName>,
    /// Files that were made of what was damaged, at this opening.
    pub set_aside: Vec<PathBuf>,
    /// Files that were set aside at this opening or before and are still there, and their bytes.
    pub aside: (u64, u64),
    /// Bytes of the last segment's index that cannot be read. Nothing is lost with them.
    pub index_damaged_bytes: u64,
    /// How long reading took, handing over included.
    pub took: Duration,
}

/// A lost record that came with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostName {
    /// The record's place.
    pub position: Position,
    /// Its key.
    pub key: Key,
    /// Its name.
    pub name: Vec<u8>,
}

/// One loss, and whose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corruption {
    /// Number of the segment.
    pub segment: u64,
    /// The segment's file.
    pub path: PathBuf,
    /// Where in it, in bytes.
    pub offset: u64,
    /// The last frame that this entry is about, by its place.
    pub position: Position,
    /// Whose record is lost; a stretch of several has one entry for each key. `None`: unknown, so that
    /// with `frames > 0` any environment may have lost its latest records before this place.
    pub key: Option<Key>,
    /// Frames of which this entry's records are lost. 0: none; something else is wrong.
    pub frames: u64,
    /// Whether the loss had been durable. `false`: it may be a write that a power cut tore before anyone was told of it.
    pub settled: bool,
    /// What is wrong.
    pub detail: Damage,
}

/// What can be wrong with a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The segment's own header; its frames can still be read.
    SegmentHeader,
    /// There are segments before and after, but not this one.
    SegmentMissing,
    /// A frame's header, or all of a frame.
    Frame,
    /// A frame's body; its header says whose it is.
    Body,
    /// Bytes that belong to no frame; none is missing.
    Garbage,
    /// A frame that stands before frames already read: a copy. It was left out.
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
            Damage::Repeated => "a frame that was there before",
        })
    }
}

/// Where a journal continues after recovery.
pub(super) struct Resume {
    pub journal: u32,
    pub first: u64,
    pub rewritten: u64,
    /// Number of the last segment and the length of its intact part; none if there is none to continue in.
    pub last: Option<(u64, u64)>,
    /// The number the next new segment takes.
    pub next_number: u64,
    /// Bytes of each segment.
    pub segments: BTreeMap<u64, u64>,
    /// Those with damaged places.
    pub damaged: BTreeSet<u64>,
    /// The last frame, or what is known of it.
    pub link: Link,
}

/// The end of the last segment, behind its last whole frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// There is nothing.
    Clean,
    /// A write was broken off. Nobody was told that it had succeeded, or only a promise was given that does not hold for
    /// power cuts.
    Torn,
    /// Something that no crash leaves behind.
    Damaged,
}

/// Reads all segments that count, hands over every intact record in order of appending, and removes what compactions
/// or crashes left behind. The torn tail is reported, and left for the caller to cut.
pub(super) fn recover(
    folder: &Folder,
    visit: &mut Visit<'_>,
) -> Result<(Resume, Recovered), JournalError> {
    let started = Instant::now();
    let boot = index::boot();
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

    let mut journal = newest.map(|header| header.journal);
    if journal.is_none() {
        // So that no frame that somebody has planted in a payload can be the first that is found.
        for &number in starts.keys() {
            journal = Index::default().read_end(&folder.index_path(number), journal);
        }
    }
    let mut scanner = Scanner::new(journal, visit);
    let (mut buffer, mut segments, mut expected) = (Vec::new(), BTreeMap::new(), first);
    let mut last = None;
    for (&number, &start) in &starts {
        if number > expected {
            scanner.note(expected, 0, Damage::SegmentMissing);
        }
        expected = number + 1;
        folder.read(number, &mut buffer)?;
        let end = scanner.segment(number, intact(start), &buffer);
        segments.insert(number, buffer.len() as u64);
        last = Some((number, end));
    }
    let next_seq = newest.map_or(1, |header| header.next_seq);
    if scanner.link.seq + 1 < next_seq {
        scanner.link = Link {
            seq: next_seq - 1,
            ..Link::default()
        };
    }

    let mut index = Index::default();
    let (mut resume_at, mut tail, mut torn) = (None, Tail::Clean, 0);
    let mut set_aside = set_aside;
    let mut index_damaged_bytes = 0;
    if let Some((number, end)) = last {
        let rest = &buffer[end..];
        index.read_end(&folder.index_path(number), scanner.journal);
        index_damaged_bytes = index.damaged_bytes;
        // The power was not cut since, so that whatever was written is there.
        let told = index.end.filter(|end| boot != 0 && end.boot == boot);
        let is_cut_short = is_cut_short(rest, scanner.journal, scanner.link);
        tail = match told {
            Some(told) if told.seq > scanner.last_seq() => Tail::Damaged,
            _ if rest.is_empty() => Tail::Clean,
            Some(_) if !is_cut_short => Tail::Damaged,
            _ => Tail::Torn,
        };
        match tail {
            Tail::Damaged => {
                scanner.end_is_damaged(number, end as u64, told.map_or(0, |told| told.seq));
            }
            Tail::Torn => {
                torn = rest.len() as u64;
                if !is_cut_short && rest.iter().any(|byte| *byte != 0) {
                    set_aside.push(folder.save_aside(number, rest)?);
                }
                segments.insert(number, end as u64);
            }
            Tail::Clean => {}
        }
        // Behind damage nothing new is written: should that file suffer more, less is lost. Nor behind frames of another
        // format.
        let is_good = tail != Tail::Damaged
            && intact(starts[&number]).is_some_and(|header| header.version == VERSION);
        if is_good {
            resume_at = Some((number, end as u64));
        } else if tail == Tail::Torn {
            folder.reopen(number, end as u64)?;
        }
    }
    drop(buffer);
    let link = scanner.link;
    let journal = scanner.journal;
    let mut found = scanner.finish(last.map_or(0, |(number, _)| number), tail);
    if found.has_losses() {
        // Of all segments, so that names of keys are known that came long before.
        for &number in starts.keys() {
            index.read(&folder.index_path(number), journal);
        }
    }
    found.resolve(&|number| folder.segment_path(number), &index);
    let mut recovered = found.recovered;
    let resume = Resume {
        journal: journal.unwrap_or_else(rand::random),
        first,
        rewritten: newest.map_or(0, |header| header.rewritten),
        last: resume_at,
        next_number: expected,
        segments,
        damaged: recovered
            .corrupt
            .iter()
            .map(|place| place.segment)
            .collect(),
        link,
    };
    recovered.torn_tail_bytes = torn + torn_headers;
    recovered.bytes += torn_headers;
    recovered.set_aside = set_aside;
    recovered.aside = folder.aside();
    recovered.index_damaged_bytes = index_damaged_bytes;
    recovered.took = started.elapsed();
    Ok((resume, recovered))
}

/// Whether `bytes` are what a process leaves behind that ends while it writes the frames of one append.
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

/// The headers of all segments. One whose header names another number counts as damaged.
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

/// Removes the segments at the end that were being created when the process ended, and says how many bytes they had. Nothing
/// stands in them, and nobody has written anything: what was zeroed later is no such segment.
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

/// Removes the segments that the last compaction replaced, the oldest first. Those with damaged places are set aside.
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

/// Whether a segment holds whole frames and nothing else.
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

/// Something that is wrong.
struct Finding {
    segment: u64,
    offset: u64,
    detail: Damage,
    lost: Option<Lost>,
}

/// Frames that are lost.
struct Lost {
    from: u64,
    to: u64,
    /// Whether there may be more before them.
    is_open: bool,
    /// The keys that are known of the last one, and whether these are all it has.
    keys: Vec<Key>,
    is_complete: bool,
    /// Whether they are parts of one body, so that what is known of one is known of all.
    is_one_body: bool,
}

/// A body whose parts have been read up to here.
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
    /// Sequence number of the next frame; unknown before the first frame behind a damaged header.
    expected: Option<u64>,
    /// Where bytes began that are no frame, until the next frame tells what they were.
    unread: Option<(u64, u64)>,
    findings: Vec<Finding>,
    /// How many of them are followed by an intact frame or segment, so that they are no torn tail.
    num_confirmed: usize,
    /// The last frame that was durable when a later one was written.
    settled: u64,
    /// The last whole frame.
    link: Link,
    group: Option<Group>,
    recovered: Recovered,
}

/// What a [`Scanner`] found.
pub(super) struct Found {
    pub recovered: Recovered,
    findings: Vec<Finding>,
    settled: u64,
}

impl<'a> Scanner<'a> {
    /// `journal`: its id, if an intact header told it. Otherwise the first frame does.
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

    /// Reads a segment and says where its last whole frame ends.
    pub fn segment(&mut self, number: u64, header: Option<SegmentHeader>, bytes: &[u8]) -> usize {
        self.recovered.segments += 1;
        self.recovered.bytes += bytes.len() as u64;
        let mut at = SEGMENT_HEADER_LEN.min(bytes.len());
        self.break_group();
        match header {
            // Where bytes before could not be read, the first frame tells more of them than the header.
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
            // No frame told of those before it; the segment's header does.
            let previous = (header.next_seq - 1, Vec::new(), false);
            self.account(number, end as u64, header.next_seq, previous);
            self.num_confirmed = self.findings.len();
            self.expected = Some(header.next_seq);
        }
        end
    }

    /// Takes a frame in and says whether all before its end has been seen to.
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
                // The directory was in a part before.
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

    /// Hands over the records of a body.
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
            // Its checksum holds, so that it was written like this.
            Err(keys) => {
                let link = header.link;
                self.lose_frame(number, offset, link.seq, link, keys, Damage::Body);
                false
            }
        }
    }

    /// Reports a frame of which no more than its keys are known.
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

    /// A body whose last parts are missing is lost.
    fn break_group(&mut self) {
        let Some(group) = self.group.take() else {
            return;
        };
        let keys = frame::known_keys(group.link, &group.body);
        let (segment, offset) = (group.segment, group.offset);
        self.lose_frame(segment, offset, group.from, group.link, keys, Damage::Frame);
    }

    /// Reports what is missing before frame `seq`. `previous`: what is known of the frame before it.
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
            // How many frames were behind the damaged header is unknown.
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

    /// Reports something with which nothing is lost.
    fn note(&mut self, segment: u64, offset: u64, detail: Damage) {
        self.findings.push(Finding {
            segment,
            offset,
            detail,
            lost: None,
        });
    }

    /// The last frame there was, whole or not.
    fn last_seq(&self) -> u64 {
        let read = self.expected.map_or(0, |expected| expected - 1);
        read.max(self.link.seq)
    }

    /// What stands behind the last whole frame of the last segment is damaged; `told` is the last frame that the index knows.
    fn end_is_damaged(&mut self, segment: u64, offset: u64, told: u64) {
        self.break_group();
        let last = self.last_seq();
        let unread = self.unread.take();
        // Where nothing tells how many there were, there was one at least.
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

    /// Ends the reading; `last` is the number of the last segment, the only one whose tail may be torn.
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

    /// Says whose the lost frames were, as far as the frames around them and the indexes tell.
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
            let whose = Whose::of(lost, index, &mut self.recovered.names);
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

/// Whose lost frames are.
struct Whose {
    /// How many each key has lost, and the last of them.
    known: BTreeMap<Key, (u64, u64)>,
    /// Of how many not everything is known.
    num_unknown: u64,
}

impl Whose {
    fn of(lost: &Lost, index: &Index, names: &mut Vec<LostName>) -> Whose {
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
