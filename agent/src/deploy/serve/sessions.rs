//! Sessions: lanes whose memory the service holds, behind an id that the caller has chosen. A session lives while its
//! lease does, and applies each operation once.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use env_protocol::{ErrorCode, Problem};
use tokio::time::Instant;

use super::lanes::{Lanes, Step};
use super::limits::Limits;
use super::wire::{ActReply, CreateSession, SessionDescription};

/// How many sessions that are no more are remembered, so that closing again is no error. Beyond that, whoever has most of
/// them forgets its oldest: nobody forgets because of what others do.
pub(super) const MAX_GRAVES: usize = 65_536;

/// How many operations of a session are kept with their replies, so that each can be answered again, and the most
/// bytes that they may take. The last one is kept whatever it takes.
const WINDOW: usize = 64;
const WINDOW_BYTES: usize = 64 << 10;

/// Who asks, where the service knows callers by their tokens: a session belongs to who began it, and nobody else sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The name.
    pub name: Arc<str>,
    /// Most sessions, if there is a limit.
    pub max_sessions: Option<usize>,
    /// Most lanes of all of them, if there is a limit.
    pub max_lanes: Option<usize>,
}

/// All sessions of a service.
pub struct Sessions {
    limits: Limits,
    /// Taken for finding, beginning and ending; actions are worked out without it.
    ledger: Mutex<Ledger>,
}

#[derive(Default)]
struct Ledger {
    /// By owner. Each has ids of its own, so that nobody finds out, or takes, the ids of others.
    shares: HashMap<Option<Arc<str>>, Share>,
    /// How many sessions have ended.
    ended: u64,
}

/// The sessions of one owner.
#[derive(Default)]
struct Share {
    held: HashMap<String, Arc<Session>>,
    graves: HashMap<String, (u64, Grave)>,
    /// In the order in which they came, those that have been replaced included.
    order: VecDeque<(String, u64)>,
}

/// How a session ended.
struct Grave {
    end: End,
    until: Instant,
}

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
    /// Of sampled actions.
    pub seed: u64,
    lanes: usize,
    bytes: usize,
    ttl: Duration,
    /// What its window takes.
    window_bytes: AtomicUsize,
    expires_at: Mutex<Instant>,
    state: Mutex<State>,
}

/// What operations change.
struct State {
    /// Made by the first operation.
    lanes: Option<Lanes>,
    seq: u64,
    /// The last operations and their replies, to answer when they come again.
    window: VecDeque<(Step, Arc<ActReply>)>,
    window_bytes: usize,
}

/// A reply, and whether it had been given before.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The body.
    pub reply: Arc<ActReply>,
    /// Whether this is the stored reply to an operation applied before.
    pub is_replay: bool,
}

impl Sessions {
    /// None yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            ledger: Mutex::default(),
        }
    }

    /// Begins a session, or finds the one begun so before; says whether it is new. `bytes_per_lane` is what a lane
    /// takes, about, and `drawn_seed` its seed where the body has none.
    ///
    /// # Errors
    /// `invalid-session-id`, `invalid-num-envs`, `invalid-ttl`, `session-exists`, `session-closed`, `session-expired`,
    /// `quota-exceeded` or `server-full`.
    pub fn begin(
        &self,
        id: &str,
        creation: CreateSession,
        owner: Option<&Owner>,
        bytes_per_lane: usize,
        drawn_seed: u64,
    ) -> Result<(Arc<Session>, bool), Problem> {
        check_id(id)?;
        let mut ledger = self.lock();
        if let Some(session) = ledger.living(id, owner) {
            let is_same = session.creation == creation;
            return match is_same {
                true => Ok((session, false)),
                false => {
                    let detail = format!("{id} has been begun with another body");
                    Err(Problem::new(ErrorCode::SessionExists, detail))
                }
            };
        }
        if let Some(grave) = ledger.grave(id, owner) {
            return Err(grave.problem(id));
        }
        let lanes = self.limits.lanes(creation.num_envs)?;
        let ttl = Duration::from_secs(self.limits.ttl_s(creation.ttl_s)?);
        let bytes = lanes * bytes_per_lane;
        self.admit(&ledger, lanes, bytes, owner)?;
        let session = Arc::new(Session {
            id: id.to_owned(),
            owner: owner.map(|owner| Arc::clone(&owner.name)),
            seed: creation.seed.unwrap_or(drawn_seed),
            creation,
            lanes,
            bytes,
            ttl,
            window_bytes: AtomicUsize::new(0),
            expires_at: Mutex::new(Instant::now() + ttl),
            state: Mutex::new(State {
                lanes: None,
                seq: 0,
                window: VecDeque::new(),
                window_bytes: 0,
            }),
        });
        let share = ledger.shares.entry(session.owner.clone()).or_default();
        share.held.insert(id.to_owned(), Arc::clone(&session));
        Ok((session, true))
    }

    /// Checks that there is room for one more.
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
        let all = || ledger.held();
        within("the service", all(), lanes, max_sessions, max_lanes)?;
        if let Some(owner) = owner {
            let own = ledger.share(Some(owner));
            let own = own.into_iter().flat_map(|share| share.held.values());
            let max_sessions = owner.max_sessions.unwrap_or(usize::MAX);
            let max_lanes = owner.max_lanes.unwrap_or(usize::MAX);
            within(&owner.name, own, lanes, max_sessions, max_lanes)?;
        }
        let held: usize = all().map(|session| session.bytes()).sum();
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
        ledger
            .living(id, owner)
            .ok_or_else(|| match ledger.grave(id, owner) {
                Some(grave) => grave.problem(id),
                None => unknown(id),
            })
    }

    /// Closes a session. Closing it again is no error while it is remembered.
    ///
    /// # Errors
    /// `unknown-session`.
    pub fn close(&self, id: &str, owner: Option<&Owner>) -> Result<(), Problem> {
        let mut ledger = self.lock();
        match ledger.living(id, owner) {
            Some(session) => {
                ledger.bury(&session, End::Closed);
                Ok(())
            }
            None => match ledger.grave(id, owner) {
                Some(_) => Ok(()),
                None => Err(unknown(id)),
            },
        }
    }

    /// Ends every session whose lease has run out, and forgets those that ended long ago.
    pub fn reap(&self) {
        let mut ledger = self.lock();
        let expired = ledger.held().filter(|s| s.has_expired());
        let expired: Vec<_> = expired.map(Arc::clone).collect();
        for session in expired {
            ledger.bury(&session, End::Expired);
        }
        ledger.forget();
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.lock().held().count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        // Every change under it is complete or has not begun.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    fn share(&self, owner: Option<&Owner>) -> Option<&Share> {
        self.shares.get(&owner.map(|owner| Arc::clone(&owner.name)))
    }

    /// Every session.
    fn held(&self) -> impl Iterator<Item = &Arc<Session>> {
        self.shares.values().flat_map(|share| share.held.values())
    }

    /// The owner's session of an id, if its lease has not run out.
    fn living(&mut self, id: &str, owner: Option<&Owner>) -> Option<Arc<Session>> {
        let session = Arc::clone(self.share(owner)?.held.get(id)?);
        if session.has_expired() {
            self.bury(&session, End::Expired);
            return None;
        }
        Some(session)
    }

    fn grave(&self, id: &str, owner: Option<&Owner>) -> Option<&Grave> {
        let (_, grave) = self.share(owner)?.graves.get(id)?;
        Some(grave).filter(|grave| !grave.is_over())
    }

    fn bury(&mut self, session: &Session, end: End) {
        let grave = Grave {
            end,
            until: Instant::now() + session.ttl,
        };
        let (id, number) = (session.id.clone(), self.ended);
        self.ended += 1;
        let share = self.shares.entry(session.owner.clone()).or_default();
        share.held.remove(&id);
        share.graves.insert(id.clone(), (number, grave));
        share.order.push_back((id, number));
        let remembered: usize = self.shares.values().map(|share| share.order.len()).sum();
        if remembered > MAX_GRAVES {
            let shares = self.shares.values_mut();
            if let Some(largest) = shares.max_by_key(|share| share.order.len()) {
                largest.forget_one();
            }
        }
    }

    fn forget(&mut self) {
        for share in self.shares.values_mut() {
            while share.is_oldest_over() {
                share.forget_one();
            }
        }
        self.shares
            .retain(|_, share| !share.held.is_empty() || !share.order.is_empty());
    }
}

impl Share {
    /// Forgets the oldest of those that have ended.
    fn forget_one(&mut self) {
        if let Some((id, number)) = self.order.pop_front()
            && self.graves.get(&id).is_some_and(|(n, _)| *n == number)
        {
            self.graves.remove(&id);
        }
    }

    /// Whether the oldest means nothing any more.
    fn is_oldest_over(&self) -> bool {
        self.order.front().is_some_and(|(id, number)| {
            let grave = self.graves.get(id).filter(|(n, _)| n == number);
            grave.is_none_or(|(_, grave)| grave.is_over())
        })
    }
}

impl Grave {
    fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    fn problem(&self, id: &str) -> Problem {
        let (code, what) = match self.end {
            End::Closed => (ErrorCode::SessionClosed, "has been closed"),
            End::Expired => (ErrorCode::SessionExpired, "has not been used for its ttl_s"),
        };
        Problem::new(code, format!("{id} {what}"))
    }
}

impl Session {
    /// Bytes it takes, about.
    fn bytes(&self) -> usize {
        self.bytes + self.window_bytes.load(Ordering::Relaxed)
    }

    /// Number of its lanes.
    pub fn lanes(&self) -> usize {
        self.lanes
    }

    /// The session as it is now.
    ///
    /// # Errors
    /// `internal`, when an operation has failed in the middle.
    pub fn describe(&self) -> Result<SessionDescription, Problem> {
        let seq = self.lock()?.seq;
        let left = self.expires_at().saturating_duration_since(Instant::now());
        Ok(SessionDescription {
            session_id: self.id.clone(),
            num_envs: self.lanes as u64,
            seed: self.seed,
            ttl_s: self.ttl.as_secs(),
            expires_in_s: left.as_millis().div_ceil(1_000) as u64,
            seq,
        })
    }

    /// Applies a step exactly once: `seq` must be the number of the next operation, or that of one before it that is
    /// kept, if the step is the same. `run` takes the lanes, or nothing where they have still to be made, and gives them back with the
    /// reply to the operation before `next_seq`.
    ///
    /// # Errors
    /// `seq-conflict`, `seq-reused`, `internal`, or those of `run`; nothing has changed then.
    pub fn once(
        &self,
        seq: Option<u64>,
        step: Step,
        run: impl FnOnce(&mut Option<Lanes>, &Step, u64) -> Result<ActReply, Problem>,
    ) -> Result<Answer, Problem> {
        let mut state = self.lock()?;
        if let Some(seq) = seq
            && seq != state.seq
        {
            let reply = state.replay(seq, &step)?;
            self.renew();
            return Ok(Answer {
                reply,
                is_replay: true,
            });
        }
        let next_seq = state.seq + 1;
        let reply = Arc::new(run(&mut state.lanes, &step, next_seq)?);
        state.seq = next_seq;
        state.keep(step, Arc::clone(&reply));
        self.window_bytes
            .store(state.window_bytes, Ordering::Relaxed);
        self.renew();
        Ok(Answer {
            reply,
            is_replay: false,
        })
    }

    fn renew(&self) {
        *self.lock_expiry() = Instant::now() + self.ttl;
    }

    fn expires_at(&self) -> Instant {
        *self.lock_expiry()
    }

    fn has_expired(&self) -> bool {
        Instant::now() >= self.expires_at()
    }

    fn lock_expiry(&self) -> MutexGuard<'_, Instant> {
        self.expires_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> Result<MutexGuard<'_, State>, Problem> {
        self.state.lock().map_err(|_| {
            let detail = "an operation on this session has failed in the middle: begin another one";
            Problem::new(ErrorCode::Internal, detail)
        })
    }
}

impl State {
    /// Keeps the last operation, and those before it that there is room for.
    fn keep(&mut self, step: Step, reply: Arc<ActReply>) {
        self.window_bytes += kept_bytes(&step, &reply);
        self.window.push_back((step, reply));
        while self.window.len() > WINDOW
            || (self.window.len() > 1 && self.window_bytes > WINDOW_BYTES)
        {
            if let Some((step, reply)) = self.window.pop_front() {
                self.window_bytes -= kept_bytes(&step, &reply);
            }
        }
    }

    /// The stored reply to an operation that is kept, if this is it again.
    fn replay(&self, seq: u64, step: &Step) -> Result<Arc<ActReply>, Problem> {
        let first = self.seq - self.window.len() as u64;
        let place = seq.checked_sub(first);
        match place.and_then(|place| self.window.get(place as usize)) {
            Some((kept, reply)) if kept == step => Ok(Arc::clone(reply)),
            Some(_) if seq + 1 == self.seq => {
                let detail = format!("operation {seq} came before with another body");
                Err(Problem::new(ErrorCode::SeqReused, detail).at("/seq"))
            }
            _ => {
                let mut detail = format!("the next operation has seq {}, not {seq}", self.seq);
                if seq < first {
                    detail.push_str(&format!(
                        ", and no operation before {first} can be answered again"
                    ));
                }
                let mut problem = Problem::new(ErrorCode::SeqConflict, detail).at("/seq");
                problem.expected_seq = Some(self.seq);
                Err(problem)
            }
        }
    }
}

/// Bytes that an operation takes with its reply, about.
fn kept_bytes(step: &Step, reply: &ActReply) -> usize {
    let actions = step.previous_actions.as_ref().map_or(0, Vec::len);
    let rewards = step.previous_rewards.as_ref().map_or(0, Vec::len);
    size_of::<(Step, ActReply)>()
        + size_of_val(&step.observations[..])
        + step.is_first.len()
        + size_of::<i64>() * (actions + rewards + reply.actions.data().len())
}

/// Checks that one more session with so many lanes is within limits.
fn within<'a>(
    who: &str,
    held: impl Iterator<Item = &'a Arc<Session>>,
    lanes: usize,
    max_sessions: usize,
    max_lanes: usize,
) -> Result<(), Problem> {
    let (mut sessions, mut held_lanes) = (0, 0);
    for session in held {
        sessions += 1;
        held_lanes += session.lanes;
    }
    let refused = |detail| Err(Problem::new(ErrorCode::QuotaExceeded, detail));
    if sessions >= max_sessions {
        return refused(format!("{who} holds {sessions} sessions, the limit"));
    }
    if lanes > max_lanes.saturating_sub(held_lanes) {
        return refused(format!(
            "{lanes} lanes beside {held_lanes} of {who} are over the limit, {max_lanes}"
        ));
    }
    Ok(())
}

fn unknown(id: &str) -> Problem {
    let detail = format!("there is no session {id:?} here");
    Problem::new(ErrorCode::UnknownSession, detail)
}

fn check_id(id: &str) -> Result<(), Problem> {
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let is_good = id.len() <= 64
        && id.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && id.bytes().all(is_allowed);
    match is_good {
        true => Ok(()),
        false => {
            let detail = format!("{id:?} cannot be an id");
            Err(Problem::new(ErrorCode::InvalidSessionId, detail))
        }
    }
}
