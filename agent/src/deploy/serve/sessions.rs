//! Sessions: lanes whose memory the service holds, behind an id chosen by the client. A session lives
//! by its lease and applies each operation once; [`service::leases`] has the parts of both.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use env_protocol::{ErrorCode, Problem};
use service::Owner;
use service::leases::{
    Clock, Lease, Quotas, Tombstone, Tombstones, Turn, Usage, Window, check_id, ms,
};

use super::lanes::{ServedLanes, Step};
use super::limits::Limits;
use super::wire::{ActReply, CreateSession, SessionDescription};

/// Most ended sessions remembered, so that closing one again is no error. Beyond that, the principal
/// with the most forgets its oldest.
pub(super) const MAX_ENDED: usize = 65_536;

/// Most operations of a session that are kept with their replies to answer repetitions, and most
/// bytes of them. The last one is always kept.
const WINDOW: usize = 64;
const WINDOW_BYTES: usize = 64 << 10;

/// All sessions of a service.
pub struct Sessions {
    limits: Limits,
    clock: Clock,
    /// Held for finding, beginning and ending sessions; actions are computed without it.
    ledger: Mutex<Ledger>,
}

struct Ledger {
    /// By owner. Each owner has its own ids and can neither find nor take those of others.
    held: HashMap<Option<Arc<str>>, HashMap<String, Arc<Session>>>,
    quotas: Quotas,
    tombstones: Tombstones<String, End>,
}

/// Why a session has ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Closed,
    Expired,
}

/// One session.
pub struct Session {
    id: String,
    owner: Option<Arc<str>>,
    creation: CreateSession,
    /// Seed of sampled actions.
    pub seed: u64,
    lanes: usize,
    bytes: usize,
    clock: Clock,
    lease: Lease,
    /// Bytes of its window.
    window_bytes: AtomicUsize,
    state: Mutex<State>,
}

/// The state that operations change.
struct State {
    /// Made by the first operation.
    lanes: Option<ServedLanes>,
    seq: u64,
    /// The last operations and their replies, for repetitions.
    window: Window<Step, Arc<ActReply>>,
}

/// A reply, and whether it is a repetition.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The body.
    pub reply: Arc<ActReply>,
    /// Whether the operation was applied before, and this is its stored reply.
    pub is_replay: bool,
}

impl Sessions {
    /// Creates an empty set of sessions, whose leases go by `clock`.
    pub fn new(limits: Limits, clock: Clock) -> Self {
        Self {
            limits,
            clock,
            ledger: Mutex::new(Ledger {
                held: HashMap::new(),
                quotas: Quotas::new("the service", "sessions"),
                tombstones: Tombstones::new(MAX_ENDED, MAX_ENDED),
            }),
        }
    }

    /// Begins a session, or finds the one begun before with the same body; the flag tells whether it
    /// is new. `bytes_per_lane` estimates the memory of a lane, and `drawn_seed` is used if the body
    /// has no seed.
    ///
    /// # Errors
    /// `invalid-session-id`, `invalid-num-envs`, `invalid-ttl`, `session-exists`, `session-closed`,
    /// `session-expired`, `quota-exceeded` or `server-full`.
    pub fn begin(
        &self,
        id: &str,
        creation: CreateSession,
        owner: Option<&Owner>,
        bytes_per_lane: usize,
        drawn_seed: u64,
    ) -> Result<(Arc<Session>, bool), Problem> {
        check_id(id, ErrorCode::InvalidSessionId)?;
        let mut ledger = self.lock();
        if let Some(session) = self.living(&mut ledger, id, owner) {
            let is_same = session.creation == creation;
            return match is_same {
                true => Ok((session, false)),
                false => {
                    let detail = format!("{id} has been begun with another body");
                    Err(Problem::new(ErrorCode::SessionExists, detail))
                }
            };
        }
        if let Some(end) = self.end(&ledger, id, owner) {
            return Err(end.problem(id));
        }
        let lanes = self.limits.lanes(creation.num_envs)?;
        let ttl_s = self.limits.ttl_s(creation.ttl_s)?;
        let bytes = lanes * bytes_per_lane;
        self.admit(&ledger, lanes, bytes, owner)?;
        let session = Arc::new(Session {
            id: id.to_owned(),
            owner: owner.map(|owner| Arc::clone(&owner.name)),
            seed: creation.seed.unwrap_or(drawn_seed),
            creation,
            lanes,
            bytes,
            lease: Lease::new(ttl_s, &self.clock),
            clock: self.clock.clone(),
            window_bytes: AtomicUsize::new(0),
            state: Mutex::new(State {
                lanes: None,
                seq: 0,
                window: Window::new(WINDOW, WINDOW_BYTES),
            }),
        });
        ledger.quotas.add(session.owner.as_ref(), lanes);
        let held = ledger.held.entry(session.owner.clone()).or_default();
        held.insert(id.to_owned(), Arc::clone(&session));
        Ok((session, true))
    }

    /// Checks that one more session is within the limits.
    fn admit(
        &self,
        ledger: &Ledger,
        lanes: usize,
        bytes: usize,
        owner: Option<&Owner>,
    ) -> Result<(), Problem> {
        let Limits {
            max_sessions,
            max_lanes,
            max_memory_bytes,
            ..
        } = self.limits;
        let max = Usage {
            sessions: max_sessions,
            lanes: max_lanes,
        };
        ledger.quotas.admit(lanes, max, owner)?;
        let held: usize = ledger.all().map(|session| session.bytes()).sum();
        if held + bytes > max_memory_bytes {
            let detail = format!(
                "with it the service would hold {} bytes, over {max_memory_bytes}",
                held + bytes
            );
            return Err(Problem::new(ErrorCode::ServerFull, detail));
        }
        Ok(())
    }

    /// Finds a session.
    ///
    /// # Errors
    /// `unknown-session`, `session-closed` or `session-expired`.
    pub fn get(&self, id: &str, owner: Option<&Owner>) -> Result<Arc<Session>, Problem> {
        let mut ledger = self.lock();
        self.living(&mut ledger, id, owner)
            .ok_or_else(|| match self.end(&ledger, id, owner) {
                Some(end) => end.problem(id),
                None => unknown(id),
            })
    }

    /// Closes a session. Closing it again is no error while it is remembered.
    ///
    /// # Errors
    /// `unknown-session`.
    pub fn close(&self, id: &str, owner: Option<&Owner>) -> Result<(), Problem> {
        let mut ledger = self.lock();
        match self.living(&mut ledger, id, owner) {
            Some(session) => {
                ledger.finish(&session, End::Closed);
                Ok(())
            }
            None => match self.end(&ledger, id, owner) {
                Some(_) => Ok(()),
                None => Err(unknown(id)),
            },
        }
    }

    /// Ends every session whose lease has run out, and forgets old tombstones.
    pub fn reap(&self) {
        let mut ledger = self.lock();
        let expired = ledger.all().filter(|session| session.has_expired());
        let expired: Vec<_> = expired.map(Arc::clone).collect();
        for session in expired {
            ledger.finish(&session, End::Expired);
        }
        ledger.tombstones.forget(self.clock.now_ms());
    }

    /// Returns the number of sessions.
    pub fn len(&self) -> usize {
        self.lock().quotas.held().sessions
    }

    /// Whether there is no session.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the clock of the leases.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Returns the owner's session of an id, if its lease has not run out.
    fn living(&self, ledger: &mut Ledger, id: &str, owner: Option<&Owner>) -> Option<Arc<Session>> {
        let held = ledger.held.get(&name(owner))?;
        let session = Arc::clone(held.get(id)?);
        if session.has_expired() {
            ledger.finish(&session, End::Expired);
            return None;
        }
        Some(session)
    }

    /// Returns how the owner's session of an id ended, if it is remembered.
    fn end(&self, ledger: &Ledger, id: &str, owner: Option<&Owner>) -> Option<End> {
        let owner = owner.map(|owner| &owner.name);
        let found = ledger
            .tombstones
            .find(owner, &id.to_owned(), self.clock.now_ms());
        found.copied()
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        // Every change under it is complete or has not begun.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    /// Returns every session.
    fn all(&self) -> impl Iterator<Item = &Arc<Session>> {
        self.held.values().flat_map(HashMap::values)
    }

    /// Removes a session, and remembers how it ended for as long as it could have lived.
    fn finish(&mut self, session: &Session, end: End) {
        self.quotas.remove(session.owner.as_ref(), session.lanes);
        if let Some(held) = self.held.get_mut(&session.owner) {
            held.remove(&session.id);
            if held.is_empty() {
                self.held.remove(&session.owner);
            }
        }
        let ttl_ms = ms(session.lease.ttl_s());
        let until_ms = session.clock.now_ms().saturating_add(ttl_ms);
        let tombstone = Tombstone { end, until_ms };
        self.tombstones
            .add(session.owner.clone(), session.id.clone(), tombstone);
    }
}

impl End {
    fn problem(self, id: &str) -> Problem {
        let (code, what) = match self {
            End::Closed => (ErrorCode::SessionClosed, "has been closed"),
            End::Expired => (ErrorCode::SessionExpired, "has not been used for its ttl_s"),
        };
        Problem::new(code, format!("{id} {what}"))
    }
}

impl Session {
    /// Returns its size in memory, in bytes, by estimate.
    fn bytes(&self) -> usize {
        self.bytes + self.window_bytes.load(Ordering::Relaxed)
    }

    /// Returns its number of lanes.
    pub fn lanes(&self) -> usize {
        self.lanes
    }

    /// Returns the description of the session as it is now.
    ///
    /// # Errors
    /// `internal`, when an operation has failed in the middle.
    pub fn describe(&self) -> Result<SessionDescription, Problem> {
        let seq = self.lock()?.seq;
        Ok(SessionDescription {
            session_id: self.id.clone(),
            num_envs: self.lanes as u64,
            seed: self.seed,
            ttl_s: self.lease.ttl_s(),
            expires_in_s: self.lease.expires_in_s(&self.clock),
            seq,
        })
    }

    /// Applies a step exactly once: `seq` must be the number of the next operation, or of a kept
    /// earlier operation that is equal. `run` takes the lanes, which it makes for the first
    /// operation, the step, and the number after it, and returns the reply.
    ///
    /// # Errors
    /// `seq-conflict`, `seq-reused`, `internal`, or the problem of `run`. An error changes nothing.
    pub fn once(
        &self,
        seq: Option<u64>,
        step: Step,
        run: impl FnOnce(&mut Option<ServedLanes>, &Step, u64) -> Result<ActReply, Problem>,
    ) -> Result<Answer, Problem> {
        let mut state = self.lock()?;
        if let Turn::Again(seq) = state.window.turn(seq, state.seq, &step)?
            && let Some((_, reply)) = state.window.get(seq, state.seq)
        {
            let reply = Arc::clone(reply);
            self.lease.renew(&self.clock);
            return Ok(Answer {
                reply,
                is_replay: true,
            });
        }
        let next_seq = state.seq + 1;
        let reply = Arc::new(run(&mut state.lanes, &step, next_seq)?);
        state.seq = next_seq;
        let bytes = kept_bytes(&step, &reply);
        state.window.push(step, Arc::clone(&reply), bytes);
        self.window_bytes
            .store(state.window.bytes(), Ordering::Relaxed);
        self.lease.renew(&self.clock);
        Ok(Answer {
            reply,
            is_replay: false,
        })
    }

    fn has_expired(&self) -> bool {
        self.lease.has_expired(&self.clock)
    }

    fn lock(&self) -> Result<MutexGuard<'_, State>, Problem> {
        self.state.lock().map_err(|_| {
            let detail = "an operation on this session has failed in the middle: begin another one";
            Problem::new(ErrorCode::Internal, detail)
        })
    }
}

fn name(owner: Option<&Owner>) -> Option<Arc<str>> {
    owner.map(|owner| Arc::clone(&owner.name))
}

/// Returns the bytes of an operation with its reply, by estimate.
fn kept_bytes(step: &Step, reply: &ActReply) -> usize {
    let actions = step.previous_actions.as_ref().map_or(0, Vec::len);
    let rewards = step.previous_rewards.as_ref().map_or(0, Vec::len);
    size_of::<(Step, ActReply)>()
        + size_of_val(&step.observations[..])
        + step.is_first.len()
        + size_of::<i64>() * (actions + rewards)
        + reply.actions.bytes()
}

fn unknown(id: &str) -> Problem {
    let detail = format!("there is no session {id:?} here");
    Problem::new(ErrorCode::UnknownSession, detail)
}
