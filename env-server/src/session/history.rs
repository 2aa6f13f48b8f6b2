//! The operations on an environment, from which all its answers can be recomputed.
//!
//! An environment is deterministic, so its operations are enough: a step of one lane takes three
//! bytes. They are kept in chunks, each with the state it begins from; the oldest chunks are
//! dropped when newer ones fill the budget. The journal holds the same bytes.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::wire_bytes::{read_length, write_length};

/// Least bytes of operations in a chunk before the next one begins.
const CHUNK_BYTES: usize = 4_096;

/// Least number of operations kept so that each can be answered again: as many as one socket may
/// have in flight. For a large environment, they are kept only as long as they and the states
/// between them take at most [`WINDOW_BYTES`].
pub(super) const WINDOW: u64 = 64;

/// Most bytes kept for the sake of [`WINDOW`].
const WINDOW_BYTES: usize = 4 << 20;

/// An upper bound that no environment's number of operations reaches.
const MAX_SEQ: u64 = 1 << 60;

/// Consecutive operations, beginning at some `seq`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Chunk {
    /// Number of its first operation.
    pub(super) first_seq: u64,
    /// The state before it, as [`environments::vector::Saved`] in MessagePack; absent if that is the state
    /// at creation.
    pub(super) base: Option<ByteBuf>,
    /// Operations in order, each after its length.
    operations: ByteBuf,
    /// Number of operations.
    count: u64,
    /// Offset of the last operation, after its length.
    last_at: usize,
    /// Eight bytes an operation, as far as they are known: the digest of its answer, 0 where it has
    /// none. Only the answers of hosts have digests.
    #[serde(default)]
    digests: ByteBuf,
}

impl Chunk {
    pub(super) fn new(first_seq: u64, base: Option<Vec<u8>>) -> Self {
        Chunk {
            first_seq,
            base: base.map(ByteBuf::from),
            operations: ByteBuf::new(),
            count: 0,
            last_at: 0,
            digests: ByteBuf::new(),
        }
    }

    pub(super) fn push(&mut self, operation: &[u8]) {
        write_length(&mut self.operations, operation.len());
        self.last_at = self.operations.len();
        self.operations.extend_from_slice(operation);
        self.count += 1;
    }

    /// Notes the digest of an answer.
    fn note(&mut self, seq: u64, digest: u64) {
        let at = (seq - self.first_seq) as usize * 8;
        self.digests.resize(at, 0);
        self.digests.extend_from_slice(&digest.to_le_bytes());
    }

    /// Returns the digest of an answer, if it has one.
    pub(super) fn digest(&self, seq: u64) -> Option<u64> {
        let at = usize::try_from(seq.checked_sub(self.first_seq)?).ok()?;
        let bytes = self.digests.get(at.checked_mul(8)?..)?.first_chunk()?;
        Some(u64::from_le_bytes(*bytes)).filter(|digest| *digest != 0)
    }

    /// Returns the number of the operation after its last one.
    pub(super) fn end_seq(&self) -> u64 {
        self.first_seq + self.count
    }

    /// Returns the operations with their numbers.
    pub(super) fn operations(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let mut rest: &[u8] = &self.operations;
        let mut seq = self.first_seq;
        std::iter::from_fn(move || {
            let length = read_length(&mut rest)?;
            let (operation, after) = rest.split_at_checked(length)?;
            rest = after;
            seq += 1;
            Some((seq - 1, operation))
        })
    }

    /// Returns its size in memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.operations.capacity()
            + self.digests.capacity()
            + self.base.as_ref().map_or(0, |base| base.capacity())
    }
}

/// Consecutive chunks without a gap; there is always at least one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct History {
    chunks: VecDeque<Chunk>,
}

impl History {
    /// Creates the history of an environment that begins from a state, or from its creation.
    pub(super) fn new(base: Option<Vec<u8>>) -> Self {
        History {
            chunks: VecDeque::from([Chunk::new(0, base)]),
        }
    }

    /// Whether the chunks are consecutive, which must be checked for a history from a file.
    pub(super) fn is_sound(&self) -> bool {
        let mut chunks = self.chunks.iter().peekable();
        let sound = |chunk: &Chunk| {
            chunk.first_seq <= MAX_SEQ
                && chunk.operations().count() as u64 == chunk.count
                && chunk.last_at <= chunk.operations.len()
        };
        let mut is_sound = !self.chunks.is_empty();
        while let Some(chunk) = chunks.next() {
            is_sound = is_sound && sound(chunk);
            if let Some(next) = chunks.peek() {
                is_sound = is_sound && next.first_seq == chunk.end_seq() && next.base.is_some();
            }
        }
        is_sound
    }

    /// Returns the current chunk.
    pub(super) fn newest(&self) -> &Chunk {
        self.chunks.back().expect("there is always a chunk")
    }

    fn newest_mut(&mut self) -> &mut Chunk {
        self.chunks.back_mut().expect("there is always a chunk")
    }

    /// Whether the next operation should begin a new chunk. A chunk grows as large as the state it
    /// begins from, so that states are at most half of the bytes written.
    pub(super) fn is_due(&self) -> bool {
        let newest = self.newest();
        let base = newest.base.as_ref().map_or(0, |base| base.len());
        newest.operations.len() >= CHUNK_BYTES.max(base)
    }

    /// Begins a chunk from the current state, and drops old chunks as long as the rest have at
    /// least `keep_bytes` of operations, and at least [`WINDOW`] operations.
    pub(super) fn begin_chunk(&mut self, base: Vec<u8>, keep_bytes: usize) {
        self.newest_mut().operations.shrink_to_fit();
        let chunk = Chunk::new(self.end_seq(), Some(base));
        self.chunks.push_back(chunk);
        let sizes = self.chunks.iter().map(|chunk| chunk.operations.len());
        let mut total: usize = sizes.sum();
        while let Some(oldest) = self.chunks.front() {
            let size = oldest.operations.len();
            let is_in_window = self.end_seq() - oldest.end_seq() < WINDOW;
            if self.chunks.len() <= 2
                || total - size < keep_bytes
                || (is_in_window && self.bytes() <= WINDOW_BYTES)
            {
                break;
            }
            total -= size;
            self.chunks.pop_front();
        }
    }

    pub(super) fn push(&mut self, operation: &[u8]) {
        self.newest_mut().push(operation);
    }

    /// Notes the digest of the answer to the last operation.
    pub(super) fn note(&mut self, digest: u64) {
        if let Some(seq) = self.end_seq().checked_sub(1) {
            self.newest_mut().note(seq, digest);
        }
    }

    /// Finds an operation that is kept, and its chunk.
    pub(super) fn find(&self, seq: u64) -> Option<(&Chunk, &[u8])> {
        let mut chunks = self.chunks.iter().rev();
        let chunk = chunks.find(|chunk| (chunk.first_seq..chunk.end_seq()).contains(&seq))?;
        let operation = match seq + 1 == chunk.end_seq() {
            true => &chunk.operations[chunk.last_at..],
            false => chunk.operations().find(|(at, _)| *at == seq)?.1,
        };
        Some((chunk, operation))
    }

    /// Returns the number of the earliest operation kept.
    pub(super) fn first_seq(&self) -> u64 {
        self.chunks.front().map_or(0, |chunk| chunk.first_seq)
    }

    pub(super) fn end_seq(&self) -> u64 {
        self.newest().end_seq()
    }

    /// Returns the chunks with the operations from `seq` on.
    pub(super) fn since(&self, seq: u64) -> Vec<Chunk> {
        let chunks = self.chunks.iter();
        let wanted =
            chunks.filter(|chunk| chunk.end_seq() > seq || chunk.end_seq() == self.end_seq());
        wanted.cloned().collect()
    }

    /// Returns its size in memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.chunks.iter().map(Chunk::bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_come_back_in_order() {
        let mut history = History::new(None);
        assert_eq!(history.end_seq(), 0);
        history.push(b"reset");
        history.push(&[7; 300]);
        let operations: Vec<_> = history.newest().operations().collect();
        assert_eq!(operations, [(0, &b"reset"[..]), (1, &[7; 300][..])]);
        assert!(history.is_sound());
    }

    #[test]
    fn old_chunks_go_when_newer_ones_fill_the_budget() {
        let mut history = History::new(None);
        const SIZE: usize = CHUNK_BYTES / 64;
        for seq in 0..1_280 {
            if history.is_due() {
                history.begin_chunk(vec![1; 10], 3 * CHUNK_BYTES);
            }
            assert_eq!(history.end_seq(), seq);
            history.push(&[0; SIZE]);
        }
        assert!(history.first_seq() > 0);
        let kept = history.end_seq() - history.first_seq();
        assert!(kept as usize * SIZE >= 3 * CHUNK_BYTES, "{kept}");
        assert!(history.bytes() < 6 * CHUNK_BYTES, "{}", history.bytes());
        assert!(history.is_sound());
        let from = history.end_seq() - 1;
        let chunks = history.since(from);
        assert_eq!(chunks.len(), 1);
        assert!(chunks[0].operations().any(|(seq, _)| seq == from));
    }

    #[test]
    fn the_last_operations_are_kept_whatever_they_take() {
        let kept_of = |operation: &[u8], base: usize| {
            let mut history = History::new(None);
            for _ in 0..300 {
                if history.is_due() {
                    history.begin_chunk(vec![1; base], 0);
                }
                history.push(operation);
            }
            assert!(history.bytes() < 3 * WINDOW_BYTES, "{}", history.bytes());
            history.end_seq() - history.first_seq()
        };
        // One chunk each.
        assert!(kept_of(&[0; CHUNK_BYTES], 10) >= WINDOW);
        assert!(kept_of(&[0; CHUNK_BYTES / 3], 10) >= WINDOW);
        assert!(kept_of(&[0; 3], 10) >= WINDOW);
        // More than fit.
        assert!((1..WINDOW).contains(&kept_of(&[0; WINDOW_BYTES / 8], 10)));
    }

    #[test]
    fn operations_are_found_by_their_number() {
        let mut history = History::new(None);
        assert!(history.find(0).is_none());
        for seq in 0..10u8 {
            if seq == 4 {
                history.begin_chunk(vec![1], 0);
            }
            history.push(&[seq; 3]);
        }
        for seq in 0..10u8 {
            let (chunk, operation) = history.find(u64::from(seq)).unwrap();
            assert_eq!(operation, [seq; 3]);
            assert_eq!(chunk.first_seq, if seq < 4 { 0 } else { 4 });
        }
        assert!(history.find(10).is_none() && history.find(u64::MAX).is_none());
    }

    #[test]
    fn digests_belong_to_their_operations() {
        let mut history = History::new(None);
        for digest in [Some(5), None, Some(7)] {
            history.push(b"step");
            if let Some(digest) = digest {
                history.note(digest);
            }
        }
        history.push(b"step");
        let digests = (0..5).map(|seq| history.newest().digest(seq));
        assert_eq!(
            digests.collect::<Vec<_>>(),
            [Some(5), None, Some(7), None, None]
        );
        history.begin_chunk(vec![1], 0);
        history.push(b"step");
        history.note(9);
        assert_eq!(history.newest().digest(4), Some(9));
        assert_eq!(history.newest().digest(3), None);
    }

    #[test]
    fn damage_is_seen() {
        let mut history = History::new(None);
        history.push(b"one");
        history.push(b"two");
        let mut damaged = history.clone();
        damaged.chunks[0].count = 3;
        assert!(!damaged.is_sound());
        let mut gap = history.clone();
        gap.chunks.push_back(Chunk::new(3, Some(Vec::new())));
        assert!(!gap.is_sound());
        let mut far = history.clone();
        far.chunks[0].first_seq = u64::MAX;
        assert!(!far.is_sound());
        assert!(history.is_sound());
    }
}
