//! What the journal holds of sessions, and how they come back from it.
//!
//! A record's first byte says what it is. Operations, of which there are many, are written by
//! hand; the others are MessagePack with named fields, so that later versions can add some.
//!
//! A record that begins a session, or ends it, has a name for the journal to keep a second time: a record of its end, which
//! stands in for it should it be damaged.

use std::collections::HashMap;

use env_protocol::Seed;
use serde::{Deserialize, Serialize};

use super::Creation;
use super::history::History;
use super::wire_bytes::{read_number, write_number};

/// The largest state of an environment that is written down. A session is a few times that: it keeps states of some time ago,
/// and between two of them as many bytes of operations as a state has.
pub(super) const MAX_STATE_BYTES: usize = 256 << 20;

const OPERATION: u8 = 1;
const CHUNK: u8 = 2;
const WHOLE: u8 = 3;
const LEASE: u8 = 4;
const END: u8 = 5;

/// A session, but for its operations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Birth {
    pub(super) id: String,
    pub(super) creation: Creation,
    pub(super) seed: Seed,
    pub(super) ttl_s: u64,
    #[serde(default)]
    pub(super) owner: Option<String>,
    #[serde(default)]
    pub(super) is_fork: bool,
}

impl Birth {
    /// What is remembered of a session whose records were damaged.
    pub(super) fn lost(&self) -> Tombstone {
        Tombstone {
            id: self.id.clone(),
            is_vector: matches!(self.creation, Creation::Vector(_)),
            end: End::Lost,
            ttl_s: self.ttl_s,
            owner: self.owner.clone(),
        }
    }
}

/// A session as it is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Whole {
    pub(super) birth: Birth,
    pub(super) history: History,
}

/// Why a session is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum End {
    /// Its client closed it.
    Closed,
    /// Its lease ran out.
    Expired,
    /// Its records were damaged.
    Lost,
}

/// What is remembered of a session that is no more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Tombstone {
    pub(super) id: String,
    pub(super) is_vector: bool,
    pub(super) end: End,
    /// How long to remember it.
    pub(super) ttl_s: u64,
    /// Who created it.
    #[serde(default)]
    pub(super) owner: Option<String>,
}

/// An operation, applied as number `seq`.
pub(super) fn operation(seq: u64, operation: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(12 + operation.len());
    record.push(OPERATION);
    write_number(&mut record, seq);
    record.extend_from_slice(operation);
    record
}

/// What stands before the state before operation `seq`, with which a chunk begins.
pub(super) fn chunk_head(seq: u64) -> Vec<u8> {
    let mut record = Vec::with_capacity(12);
    record.push(CHUNK);
    write_number(&mut record, seq);
    record
}

/// A session at its creation, or again as it is now: what came before of it is replaced.
pub(super) fn whole(birth: &Birth, history: &History) -> Vec<u8> {
    named(WHOLE, &(birth, history))
}

/// What stands in for the record of a whole session should that be damaged.
pub(super) fn name(birth: &Birth) -> Vec<u8> {
    end(&birth.lost())
}

/// A new time to live.
pub(super) fn lease(ttl_s: u64) -> Vec<u8> {
    let mut record = vec![LEASE];
    write_number(&mut record, ttl_s);
    record
}

/// The end of a session.
pub(super) fn end(tombstone: &Tombstone) -> Vec<u8> {
    named(END, tombstone)
}

fn named(tag: u8, content: &impl Serialize) -> Vec<u8> {
    let mut record = vec![tag];
    rmp_serde::encode::write_named(&mut record, content).expect("plain data into memory");
    record
}

/// What a journal tells of its sessions, record by record.
#[derive(Debug, Default)]
pub(super) struct Recollection {
    /// Sessions that have not ended.
    pub(super) sessions: HashMap<u64, Whole>,
    /// Ends, the oldest first.
    pub(super) tombstones: Vec<Tombstone>,
    /// Sessions whose records do not follow one another, and why.
    pub(super) lost: HashMap<u64, String>,
    /// Sessions of which a name is all that is left.
    pub(super) only_names: HashMap<u64, Tombstone>,
    /// Where each session was last told of as a whole, or its end.
    told_at: HashMap<u64, u64>,
    /// Where the record is that is being taken in.
    at: u64,
    /// Records of sessions whose beginning has not been seen (yet).
    strays: HashMap<u64, u64>,
    /// The greatest key seen.
    pub(super) last_key: u64,
    /// Bytes of operations that a session keeps for its trajectory, at least.
    keep_bytes: usize,
}

impl Recollection {
    pub(super) fn new(keep_bytes: usize) -> Self {
        Recollection {
            keep_bytes,
            ..Recollection::default()
        }
    }

    /// Takes in the next record of a session, which is at this place in the journal.
    pub(super) fn record(&mut self, at: u64, key: u64, record: &[u8]) {
        self.last_key = self.last_key.max(key);
        self.at = at;
        if let Err(detail) = self.take_in(key, record) {
            self.lose(key, detail);
        }
    }

    /// The record at this place is damaged, and this name stands in for it. Of what was told of the session later it changes
    /// nothing.
    pub(super) fn stand_in(&mut self, at: u64, key: u64, name: &[u8]) {
        // Key 0 has the ends of many sessions.
        if key != 0 && self.is_told_since(key, at) {
            return;
        }
        self.record(at, key, name);
        if let Some(tombstone) = self
            .tombstones
            .pop_if(|tombstone| tombstone.end == End::Lost)
        {
            self.only_names.insert(key, tombstone);
        }
    }

    /// Whether a session has been told of as a whole, or its end, at this place or behind it.
    pub(super) fn is_told_since(&self, key: u64, at: u64) -> bool {
        self.told_at.get(&key).is_some_and(|told_at| *told_at >= at)
    }

    /// The id of a session, as far as that is known.
    pub(super) fn id(&self, key: u64) -> Option<&str> {
        let whole = self.sessions.get(&key).map(|whole| &whole.birth.id[..]);
        whole.or_else(|| self.by_name(key))
    }

    /// The id of a session of which no more than that is left.
    pub(super) fn by_name(&self, key: u64) -> Option<&str> {
        let tombstone = self.only_names.get(&key);
        tombstone.map(|tombstone| &tombstone.id[..])
    }

    /// A record of this session is damaged.
    pub(super) fn lose(&mut self, key: u64, detail: String) {
        self.last_key = self.last_key.max(key);
        self.lost.entry(key).or_insert(detail);
    }

    /// Sessions that a record speaks of and that were never told of as a whole.
    pub(super) fn strays(&self) -> impl Iterator<Item = u64> {
        self.strays.keys().copied()
    }

    fn told(&mut self, key: u64) {
        let told_at = self.told_at.entry(key).or_default();
        *told_at = self.at.max(*told_at);
    }

    fn take_in(&mut self, key: u64, record: &[u8]) -> Result<(), String> {
        let (&tag, mut content) = record.split_first().ok_or("an empty record")?;
        match tag {
            WHOLE => {
                let (birth, history): (Birth, History) = read(content)?;
                if !history.is_sound() {
                    return Err("its history has gaps".to_owned());
                }
                // Whatever was damaged before no longer matters.
                self.lost.remove(&key);
                self.strays.remove(&key);
                self.told(key);
                self.sessions.insert(key, Whole { birth, history });
            }
            END => {
                let tombstone: Tombstone = read(content)?;
                self.told(key);
                self.sessions.remove(&key);
                self.lost.remove(&key);
                self.strays.remove(&key);
                self.tombstones.push(tombstone);
            }
            OPERATION | CHUNK | LEASE => {
                let Some(session) = self.sessions.get_mut(&key) else {
                    *self.strays.entry(key).or_default() += 1;
                    return Ok(());
                };
                let number = read_number(&mut content).ok_or("a record without a number")?;
                if tag == LEASE {
                    session.birth.ttl_s = number;
                    return Ok(());
                }
                let expected = session.history.end_seq();
                if number != expected {
                    return Err(format!("operation {number} follows where {expected} must"));
                }
                match tag {
                    OPERATION => session.history.push(content),
                    _ => session
                        .history
                        .begin_chunk(content.to_vec(), self.keep_bytes),
                }
            }
            other => return Err(format!("there is no record {other}")),
        }
        Ok(())
    }
}

fn read<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    rmp_serde::from_slice(bytes).map_err(|e| e.to_string())
}
