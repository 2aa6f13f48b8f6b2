//! Changes to seeds, as a strategy, so that a failing input shrinks to few changes.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::Index;

/// Longest input.
const MAX_LEN: usize = 32 << 10;

/// Input for a target; a failure prints it as a Rust byte string.
#[derive(Clone)]
pub(super) struct Input(pub(super) Vec<u8>);

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

/// Generates a seed with a few changes.
pub(super) fn mutated(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Input> {
    let seeds: Arc<[Vec<u8>]> = seeds.into();
    let changes = prop::collection::vec(change(), 0..6);
    (any::<Index>(), changes).prop_map(move |(seed, changes)| {
        let mut bytes = seed.get(&seeds).clone();
        for change in &changes {
            change.apply(&mut bytes, &seeds);
        }
        bytes.truncate(MAX_LEN);
        Input(bytes)
    })
}

#[derive(Clone, Debug)]
enum Change {
    Flip {
        at: Index,
        bit: u32,
    },
    Set {
        at: Index,
        byte: u8,
    },
    /// Removes some bytes.
    Cut {
        at: Index,
        len: usize,
    },
    /// Removes everything from here on.
    End {
        at: Index,
    },
    /// Repeats some bytes.
    Repeat {
        at: Index,
        len: usize,
        times: usize,
    },
    Insert {
        at: Index,
        bytes: Vec<u8>,
    },
    /// Replaces the next decimal number.
    Number {
        at: Index,
        text: &'static str,
    },
    /// Replaces some bytes by as many of another seed.
    Splice {
        at: Index,
        seed: Index,
        from: Index,
        len: usize,
    },
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    let numbers = prop::sample::select(vec![
        "0",
        "1",
        "-1",
        "2",
        "255",
        "65536",
        "4294967295",
        "9223372036854775807",
        "-9223372036854775808",
        "18446744073709551615",
        "0.5",
        "1e308",
        "1e999",
        "null",
        "true",
        "[]",
        "{}",
        "\"\"",
    ]);
    let bytes = prop::collection::vec(any::<u8>(), 1..9);
    prop_oneof![
        4 => (at(), 0u32..8).prop_map(|(at, bit)| Change::Flip { at, bit }),
        4 => (at(), any::<u8>()).prop_map(|(at, byte)| Change::Set { at, byte }),
        2 => (at(), 1usize..16).prop_map(|(at, len)| Change::Cut { at, len }),
        1 => at().prop_map(|at| Change::End { at }),
        1 => (at(), 1usize..16, 1usize..200)
            .prop_map(|(at, len, times)| Change::Repeat { at, len, times }),
        1 => (at(), bytes).prop_map(|(at, bytes)| Change::Insert { at, bytes }),
        4 => (at(), numbers).prop_map(|(at, text)| Change::Number { at, text }),
        2 => (at(), at(), at(), 1usize..64)
            .prop_map(|(at, seed, from, len)| Change::Splice { at, seed, from, len }),
    ]
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        // A position is before a byte or at the end.
        let place = |at: &Index| at.index(bytes.len() + 1);
        match self {
            Change::Flip { at, bit } => {
                let at = place(at);
                bytes
                    .get_mut(at)
                    .into_iter()
                    .for_each(|byte| *byte ^= 1 << bit);
            }
            Change::Set { at, byte: new } => {
                let at = place(at);
                bytes.get_mut(at).into_iter().for_each(|byte| *byte = *new);
            }
            Change::Cut { at, len } => drop(bytes.drain(part(bytes, place(at), *len))),
            Change::End { at } => bytes.truncate(place(at)),
            Change::Repeat { at, len, times } => {
                let part = part(bytes, place(at), *len);
                let more = bytes[part.clone()].repeat(*times);
                bytes.splice(part.end..part.end, more);
            }
            Change::Insert { at, bytes: new } => {
                let at = place(at);
                bytes.splice(at..at, new.iter().copied());
            }
            Change::Number { at, text } => {
                let is_digit = |byte: &u8| byte.is_ascii_digit();
                let start = place(at);
                let Some(skipped) = bytes[start..].iter().position(is_digit) else {
                    return;
                };
                let start = start + skipped;
                let len = bytes[start..]
                    .iter()
                    .take_while(|byte| is_digit(byte))
                    .count();
                bytes.splice(start..start + len, text.bytes());
            }
            Change::Splice {
                at,
                seed,
                from,
                len,
            } => {
                let seed = seed.get(seeds);
                let from = part(seed, from.index(seed.len() + 1), *len);
                let at = part(bytes, place(at), *len);
                bytes.splice(at, seed[from].iter().copied());
            }
        }
    }
}

/// Returns the range of up to `len` bytes from `at` on.
fn part(bytes: &[u8], at: usize, len: usize) -> Range<usize> {
    at..(at + len).min(bytes.len())
}
