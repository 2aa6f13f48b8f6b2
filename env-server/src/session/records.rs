//! Records of sessions in the journal, and how sessions are recovered from them.
//!
//! The first byte of a record is its kind. Operations are frequent, so they are encoded by hand;
//! other records are MessagePack with named fields, so that later versions can add fields.
//!
//! A record that begins or ends a session has a name that the journal stores a second time: a
//! record of the session's end, which stands in for it if it is damaged.

use std::collections::HashMap;
use std::sync::Arc;

use env_protocol::Seed;
use serde::{Deserialize, Serialize};

use super::creation::Creation;
use super::history::History;
use super::wire_bytes::{read_number, write_number};

/// The largest state of an environment that is written. A session takes a few times as much: it
/// keeps earlier states, and between two of them as many bytes of operations as a state has.
pub(super) const MAX_STATE_BYTES: usize = 256 << 20;

const OPERATION: u8 = 1;
const CHUNK: u8 = 2;
const WHOLE: u8 = 3;
const LEASE: u8 = 4;
const END: u8 = 5;
const DIGEST: u8 = 6;

/// A session, except for its operations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Created {
    pub(super) id: String,
    pub(super) creation: Creation,
    pub(super) seed: Seed,
    pub(super) ttl_s: u64,
    #[serde(default)]
    pub(super) owner: Option<String>,
    #[serde(default)]
    pub(super) is_fork: bool,
}

impl Created {
    /// Returns the tombstone of a session that could not be recovered.
    pub(super) fn ended(&self, end: End) -> Ended {
        Ended {
            id: self.id.clone(),
            is_vector: matches!(self.creation, Creation::Vector(_)),
            end,
            ttl_s: self.ttl_s,
            owner: self.owner.clone(),
        }
    }
}

/// The current state of a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SessionSnapshot {
    pub(super) created: Created,
    pub(super) history: History,
}

/// The reason why a session has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum End {
    /// Its client closed it.
    Closed,
    /// Its lease expired.
    Expired,
    /// Its records were damaged.
    Lost,
    /// Its host failed, for this reason.
    Broken(Arc<str>),
}

/// Memory of an ended session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Ended {
    pub(super) id: String,
    pub(super) is_vector: bool,
    pub(super) end: End,
    /// Seconds to remember it.
    pub(super) ttl_s: u64,
    /// Its owner.
    #[serde(default)]
    pub(super) owner: Option<String>,
}

/// Encodes an operation, applied as number `seq`.
pub(super) fn operation(seq: u64, operation: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(12 + operation.len());
    record.push(OPERATION);
    write_number(&mut record, seq);
    record.extend_from_slice(operation);
    record
}

/// Encodes the bytes before the state that a chunk begins with, which is the state before operation
/// `seq`.
pub(super) fn chunk_head(seq: u64) -> Vec<u8> {
    let mut record = Vec::with_capacity(12);
    record.push(CHUNK);
    write_number(&mut record, seq);
    record
}

/// Encodes a session at its creation, or as it is now: earlier records of it are replaced.
pub(super) fn snapshot(created: &Created, history: &History) -> Vec<u8> {
    named(WHOLE, &(created, history))
}

/// Encodes the name that stands in for the record of a whole session if that is damaged.
pub(super) fn name(created: &Created) -> Vec<u8> {
    end(&created.ended(End::Lost))
}

/// Encodes the digest of the answer to operation `seq`.
pub(super) fn digest(seq: u64, digest: u64) -> Vec<u8> {
    let mut record = vec![DIGEST];
    write_number(&mut record, seq);
    record.extend_from_slice(&digest.to_le_bytes());
    record
}

/// Encodes a new time to live.
pub(super) fn lease(ttl_s: u64) -> Vec<u8> {
    let mut record = vec![LEASE];
    write_number(&mut record, ttl_s);
    record
}

/// Encodes the end of a session.
pub(super) fn end(tombstone: &Ended) -> Vec<u8> {
    named(END, tombstone)
}

fn named(tag: u8, content: &impl Serialize) -> Vec<u8> {
    let mut record = vec![tag];
    rmp_serde::encode::write_named(&mut record, content).expect("plain data into memory");
    record
}

/// The sessions found in a journal, built record by record.
#[derive(Debug, Default)]
pub(super) struct ReplayedSessions {
    /// Sessions that have not ended.
    pub(super) sessions: HashMap<u64, SessionSnapshot>,
    /// Ends, the oldest first.
    pub(super) tombstones: Vec<Ended>,
    /// Sessions whose records do not fit together, and why.
    pub(super) lost: HashMap<u64, String>,
    /// Sessions known only by a name.
    pub(super) only_names: HashMap<u64, Ended>,
    /// Position of each session's last record of a whole or an end.
    told_at: HashMap<u64, u64>,
    /// Position of the current record.
    at: u64,
    /// Number of records of sessions whose beginning has not been seen (yet).
    strays: HashMap<u64, u64>,
    /// The greatest key seen.
    pub(super) last_key: u64,
    /// Least bytes of operations that a session keeps for its trajectory.
    keep_bytes: usize,
}

impl ReplayedSessions {
    pub(super) fn new(keep_bytes: usize) -> Self {
        ReplayedSessions {
            keep_bytes,
            ..ReplayedSessions::default()
        }
    }

    /// Processes the next record of a session; `at` is its position in the journal.
    pub(super) fn record(&mut self, at: u64, key: u64, record: &[u8]) {
        self.last_key = self.last_key.max(key);
        self.at = at;
        if let Err(detail) = self.observe(key, record) {
            self.lose(key, detail);
        }
    }

    /// Uses the name of a damaged record in its place. This has no effect on a session with later
    /// records of a whole or an end.
    pub(super) fn stand_in(&mut self, at: u64, key: u64, name: &[u8]) {
        // Key 0 is used for the ends of many sessions.
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

    /// Whether there is a record of the whole session or of its end at this position or later.
    pub(super) fn is_told_since(&self, key: u64, at: u64) -> bool {
        self.told_at.get(&key).is_some_and(|told_at| *told_at >= at)
    }

    /// Returns the id of a session, if it is known.
    pub(super) fn id(&self, key: u64) -> Option<&str> {
        let whole = self.sessions.get(&key).map(|whole| &whole.created.id[..]);
        whole.or_else(|| self.by_name(key))
    }

    /// Returns the id of a session known only by a name.
    pub(super) fn by_name(&self, key: u64) -> Option<&str> {
        let tombstone = self.only_names.get(&key);
        tombstone.map(|tombstone| &tombstone.id[..])
    }

    /// Marks a session as lost, because a record of it is damaged.
    pub(super) fn lose(&mut self, key: u64, detail: String) {
        self.last_key = self.last_key.max(key);
        self.lost.entry(key).or_insert(detail);
    }

    /// Returns sessions with records but no record of their beginning.
    pub(super) fn strays(&self) -> impl Iterator<Item = u64> {
        self.strays.keys().copied()
    }

    fn told(&mut self, key: u64) {
        let told_at = self.told_at.entry(key).or_default();
        *told_at = self.at.max(*told_at);
    }

    fn observe(&mut self, key: u64, record: &[u8]) -> Result<(), String> {
        let (&tag, mut content) = record.split_first().ok_or("an empty record")?;
        match tag {
            WHOLE => {
                let (created, history): (Created, History) = read(content)?;
                if !history.is_sound() {
                    return Err("its history has gaps".to_owned());
                }
                // Earlier damage no longer matters.
                self.lost.remove(&key);
                self.strays.remove(&key);
                self.told(key);
                self.sessions
                    .insert(key, SessionSnapshot { created, history });
            }
            END => {
                let tombstone: Ended = read(content)?;
                self.told(key);
                self.sessions.remove(&key);
                self.lost.remove(&key);
                self.strays.remove(&key);
                self.tombstones.push(tombstone);
            }
            OPERATION | CHUNK | LEASE | DIGEST => {
                let Some(session) = self.sessions.get_mut(&key) else {
                    *self.strays.entry(key).or_default() += 1;
                    return Ok(());
                };
                let number = read_number(&mut content).ok_or("a record without a number")?;
                if tag == LEASE {
                    session.created.ttl_s = number;
                    return Ok(());
                }
                if tag == DIGEST {
                    let digest = content
                        .try_into()
                        .map_err(|_| "a digest of a wrong length")?;
                    if number.checked_add(1) != Some(session.history.end_seq()) {
                        return Err(format!("the digest of operation {number} is out of place"));
                    }
                    session.history.note(u64::from_le_bytes(digest));
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
