//! Reading a journal back: every intact record is handed over, what is damaged is reported.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use memchr::memmem;

use super::frame::{Frame, Header, Link, MAGIC, SEGMENT_HEADER_LEN, SegmentHeader, Start};
use super::storage::Folder;
use super::{JournalError, Key};

/// What opening a journal found.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// Records handed over.
    pub records: u64,
    /// Bytes of the segments read, torn tail included.
    pub bytes: u64,
    /// Segments read.
    pub segments: u64,
    /// Bytes cut off the end: writes that a crash broke off. Under [`Durability::Process`](super::Durability::Process)
    /// after a mere `kill -9`, and under `Disk` always, nobody was told that they had succeeded.
    pub torn_tail_bytes: u64,
    /// What is damaged, in order. It is reported at every opening until a compaction has replaced it.
    pub corrupt: Vec<Corruption>,
    /// How long reading took, handing over included.
    pub took: Duration,
}

/// One loss, and whose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corruption {
    /// Number of the segment.
    pub segment: u64,
    /// Where in it, in bytes.
    pub offset: u64,
    /// Whose record is lost; a frame of several records has one entry for each key. `None`: unknown, so that
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

/// Where a journal goes on after recovery.
pub(super) struct Resume {
    pub journal: u32,
    pub first: u64,
    pub rewritten: u64,
    /// Number of the last segment and the length of its intact part; none if there is none to go on in.
    pub last: Option<(u64, u64)>,
    /// The number the next new segment takes.
    pub next_number: u64,
    /// Bytes of each segment.
    pub segments: BTreeMap<u64, u64>,
    /// The last intact frame, or what the last header says of it.
    pub link: Link,
}

/// Reads all segments that count, hands over every intact record in order of appending, and removes what compactions
/// or crashes left behind. The torn tail is reported, and left for the caller to cut.
pub(super) fn recover(
    folder: &Folder,
    visit: &mut dyn FnMut(Key, &[u8]),
) -> Result<(Resume, Recovered), JournalError> {
    let started = Instant::now();
    let mut starts = starts(folder)?;
    let torn_headers = drop_torn(folder, &mut starts)?;
    let headers = || starts.values().filter_map(|start| intact(*start));
    let first = headers().map(|header| header.first).max();
    let first = first.or_else(|| starts.keys().next().copied()).unwrap_or(1);
    let newest = headers().next_back();
    drop_superseded(folder, &mut starts, first)?;

    let mut scanner = Scanner::new(newest.map(|header| header.journal), visit);
    let (mut buffer, mut segments, mut expected) = (Vec::new(), BTreeMap::new(), first);
    let mut last = None;
    for (&number, &start) in &starts {
        if number > expected {
            scanner.report(expected, 0, None, 0, Damage::SegmentMissing);
        }
        expected = number + 1;
        folder.read(number, &mut buffer)?;
        let end = scanner.segment(number, intact(start), &buffer) as u64;
        segments.insert(number, buffer.len() as u64);
        last = Some((number, end, buffer.len() as u64));
    }
    let next_seq = newest.map_or(1, |header| header.next_seq);
    let mut found = scanner.finish(last.map_or(0, |(number, ..)| number));
    let mut resume_at = None;
    if let Some((number, end, len)) = last {
        found.recovered.torn_tail_bytes += len - end;
        segments.insert(number, end);
        // Behind a damaged header nothing new is written: should that file suffer more, less is lost.
        resume_at = intact(starts[&number]).map(|_| (number, end));
        if resume_at.is_none() && end < len {
            folder.reopen(number, end)?;
        }
    }
    if found.link.seq + 1 < next_seq {
        found.link = Link {
            seq: next_seq - 1,
            ..Link::default()
        };
    }
    let resume = Resume {
        journal: found.journal.unwrap_or_else(rand::random),
        first,
        rewritten: newest.map_or(0, |header| header.rewritten),
        last: resume_at,
        next_number: expected,
        segments,
        link: found.link,
    };
    let mut recovered = found.recovered;
    recovered.torn_tail_bytes += torn_headers;
    recovered.bytes += torn_headers;
    recovered.took = started.elapsed();
    Ok((resume, recovered))
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

/// Removes the segments at the end that were being created when the process ended, and says how many bytes they had.
fn drop_torn(folder: &Folder, starts: &mut BTreeMap<u64, Start>) -> Result<u64, JournalError> {
    let mut bytes = 0;
    while let Some(entry) = starts.last_entry()
        && *entry.get() == Start::Torn
    {
        bytes += folder.read_header(*entry.key())?.1;
        folder.remove(*entry.key())?;
        entry.remove();
    }
    Ok(bytes)
}

/// Removes the segments that the last compaction replaced, the oldest first.
fn drop_superseded(
    folder: &Folder,
    starts: &mut BTreeMap<u64, Start>,
    first: u64,
) -> Result<(), JournalError> {
    let kept = starts.split_off(&first);
    for number in std::mem::replace(starts, kept).into_keys() {
        folder.remove(number)?;
    }
    Ok(())
}

/// Reads segments one after another.
pub(super) struct Scanner<'a> {
    visit: &'a mut dyn FnMut(Key, &[u8]),
    journal: Option<u32>,
    /// Sequence number of the next frame; unknown before the first frame behind a damaged header.
    expected: Option<u64>,
    /// Where bytes began that are no frame, until the next frame tells what they were.
    unread: Option<(u64, u64)>,
    /// What was found, each with the sequence number it is about.
    corrupt: Vec<(u64, Corruption)>,
    /// How many of them are followed by an intact frame, so that they are no torn tail.
    num_confirmed: usize,
    /// The last frame that was durable when a later one was written.
    settled: u64,
    link: Link,
    recovered: Recovered,
}

/// What a [`Scanner`] found.
pub(super) struct Found {
    pub recovered: Recovered,
    pub journal: Option<u32>,
    pub link: Link,
}

impl<'a> Scanner<'a> {
    /// `journal`: its id, if an intact header told it. Otherwise the first frame does.
    pub fn new(journal: Option<u32>, visit: &'a mut dyn FnMut(Key, &[u8])) -> Scanner<'a> {
        Scanner {
            visit,
            journal,
            expected: None,
            unread: None,
            corrupt: Vec::new(),
            num_confirmed: 0,
            settled: 0,
            link: Link::default(),
            recovered: Recovered::default(),
        }
    }

    /// Reads a segment and says where its last intact frame ends.
    pub fn segment(&mut self, number: u64, header: Option<SegmentHeader>, bytes: &[u8]) -> usize {
        self.recovered.segments += 1;
        self.recovered.bytes += bytes.len() as u64;
        match header {
            Some(header) => self.expected = self.expected.or(Some(header.next_seq)),
            None => {
                self.report(number, 0, None, 0, Damage::SegmentHeader);
                self.num_confirmed = self.corrupt.len();
            }
        }
        let mut at = SEGMENT_HEADER_LEN.min(bytes.len());
        let mut end = at;
        while at < bytes.len() {
            let Some(frame) = Frame::read(&bytes[at..], self.journal) else {
                self.unread.get_or_insert((number, at as u64));
                at = memmem::find(&bytes[at + 1..], &MAGIC)
                    .map_or(bytes.len(), |next| at + 1 + next);
                continue;
            };
            let is_intact = self.frame(number, at as u64, &frame);
            at += frame.len();
            if is_intact {
                end = at;
            }
        }
        end
    }

    /// Takes a frame in and says whether it was intact.
    fn frame(&mut self, number: u64, offset: u64, frame: &Frame<'_>) -> bool {
        let header = &frame.header;
        if self
            .expected
            .is_some_and(|expected| header.link.seq < expected)
        {
            self.report(number, offset, None, 0, Damage::Repeated);
            return false;
        }
        self.account(number, offset, header);
        self.journal = Some(header.journal);
        self.expected = Some(header.link.seq + 1);
        match frame.visit(self.visit) {
            Ok(num_records) => {
                self.recovered.records += num_records;
                self.link = header.link;
                let settled = header.link.seq - 1;
                self.settled = self
                    .settled
                    .max(settled.saturating_sub(header.num_unsettled.into()));
                self.num_confirmed = self.corrupt.len();
                true
            }
            Err(keys) => {
                let num_unknown = usize::from(header.link.num_records) - keys.len();
                for key in keys {
                    self.lost(header.link.seq, number, offset, Some(key), Damage::Body);
                }
                if num_unknown > 0 {
                    self.lost(header.link.seq, number, offset, None, Damage::Body);
                }
                false
            }
        }
    }

    /// Reports what is missing before a frame.
    fn account(&mut self, number: u64, offset: u64, header: &Header) {
        let unread = self.unread.take();
        let (segment, at) = unread.unwrap_or((number, offset));
        let Some(expected) = self.expected else {
            if unread.is_some() {
                let seq = header.link.seq - 1;
                self.lost(seq, segment, at, None, Damage::Frame);
                self.lost(seq, segment, at, Some(header.previous_key), Damage::Frame);
            }
            return;
        };
        let num_lost = header.link.seq - expected;
        if num_lost == 0 {
            if unread.is_some() {
                self.report(segment, at, None, 0, Damage::Garbage);
            }
            return;
        }
        // Of several frames only the last one's key is known, and of that frame only its first record's.
        let num_unknown = match header.previous_num_records {
            1 => num_lost - 1,
            _ => num_lost,
        };
        if num_unknown > 0 {
            self.report_at(expected, segment, at, None, num_unknown, Damage::Frame);
        }
        if header.previous_num_records > 0 {
            self.lost(
                header.link.seq - 1,
                segment,
                at,
                Some(header.previous_key),
                Damage::Frame,
            );
        }
    }

    /// Reports one lost frame.
    fn lost(&mut self, seq: u64, segment: u64, offset: u64, key: Option<Key>, detail: Damage) {
        self.report_at(seq, segment, offset, key, 1, detail);
    }

    /// Reports something at this point of the journal.
    fn report(&mut self, segment: u64, offset: u64, key: Option<Key>, frames: u64, detail: Damage) {
        let seq = self.expected.unwrap_or(0);
        self.report_at(seq, segment, offset, key, frames, detail);
    }

    fn report_at(
        &mut self,
        seq: u64,
        segment: u64,
        offset: u64,
        key: Option<Key>,
        frames: u64,
        detail: Damage,
    ) {
        let corruption = Corruption {
            segment,
            offset,
            key,
            frames,
            settled: false,
            detail,
        };
        self.corrupt.push((seq, corruption));
    }

    /// Ends the reading; `last` is the number of the last segment, the only one whose tail may be torn.
    pub fn finish(mut self, last: u64) -> Found {
        let num_confirmed = self.num_confirmed;
        let mut index = 0;
        self.corrupt.retain(|(_, corruption)| {
            index += 1;
            index <= num_confirmed || corruption.segment != last
        });
        if let Some((segment, offset)) = self.unread
            && segment != last
        {
            self.report(segment, offset, None, 1, Damage::Frame);
        }
        let settled = self.settled;
        let corrupt = self
            .corrupt
            .into_iter()
            .map(|(seq, corruption)| Corruption {
                settled: seq <= settled,
                ..corruption
            });
        self.recovered.corrupt = corrupt.collect();
        Found {
            recovered: self.recovered,
            journal: self.journal,
            link: self.link,
        }
    }
}
