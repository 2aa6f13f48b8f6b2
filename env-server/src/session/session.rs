//! One session: its environments, the number of the next operation, and the last reply.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

use env_protocol::{
    Encoding, EnvDescription, ErrorCode, LeaseReply, LeaseRequest, Problem, Seed, Snapshot,
    VectorEnvDescription,
};
use environments::pieces::Pieces;
use environments::render::{MAX_PICTURES, Picture};
use service::StepBudget;
use service::observe::Work;
use service::observe::metrics::Counter;

use super::blueprint::{Blueprint, FIXED_BYTES};
use super::catalogue::AnySpec;
use super::context::SessionContext;
use super::creation::{Creation, Description, Kind, check_seed};
use super::history::History;
use super::lanes::Lanes;
use super::limits::PAGE_BYTES;
use super::operation::{Answer, Operation, Reply};
use super::position::JournalPosition;
use super::records::{self, Created, End, Ended, SessionSnapshot};
use super::rerun::Rerun;
use crate::journal::Record;
use hosts::{Digest, Fault};
use service::leases::{Lease, Turn, turn};

/// Size in numbers, with eight added per lane, above which an operation on a session may take a
/// millisecond.
const LARGE: usize = 65_536;

/// Bytes of operations that are kept of a host's environment without saved states.
const REPLAY_BYTES: usize = 64 << 20;

/// A single or vector environment with an id.
pub struct Session {
    /// Its key in the journal.
    key: u64,
    id: String,
    blueprint: Blueprint,
    /// Whether it was branched off another session.
    is_fork: bool,
    /// The principal that created it; others do not see it.
    owner: Option<Arc<str>>,
    lease: Lease,
    /// Position of its creation in the journal.
    pub(super) born: JournalPosition,
    /// Number of the next operation, readable without waiting for the state.
    seq: AtomicU64,
    /// How many numbers a step reads and writes.
    numbers: usize,
    /// Bytes at the last count.
    counted_bytes: AtomicUsize,
    /// Least bytes to count: the expected size once it is played.
    expected_bytes: usize,
    context: Arc<SessionContext>,
    /// Counter of its steps.
    steps: Arc<Counter>,
    /// Whether it continues when the program that plays it fails.
    is_durable: bool,
    /// Whether its host has ended it.
    is_broken: AtomicBool,
    state: Mutex<State>,
}

/// The state that operations change.
pub(super) struct State {
    pub(super) vector: Lanes,
    /// Number of the next operation.
    pub(super) seq: u64,
    /// The reply to the last operation, for repetitions, and the operation's position in the journal.
    /// The operation itself is the last of the history.
    last: Option<(Arc<Reply>, JournalPosition)>,
    pub(super) history: History,
    /// Environments that replay the past, between requests for it.
    pub(super) rerun: Option<Rerun>,
    /// Bytes of the newest chunk when the lanes could not be saved, 0 since they were.
    unsaved_bytes: usize,
    /// The end of the session, after which no operation is applied, and its position in the journal.
    pub(super) end: Option<(End, JournalPosition)>,
}

/// Context of a session's creation.
pub(super) struct Parents {
    pub(super) context: Arc<SessionContext>,
    pub(super) owner: Option<Arc<str>>,
    pub(super) ttl_s: u64,
    pub(super) is_fork: bool,
}

impl Session {
    /// Makes the environments. `drawn_seed` seeds them if the creation has no seed.
    ///
    /// # Errors
    /// `unknown-spec`, `invalid-kwargs` or `invalid-seed`.
    pub(super) fn new(
        id: String,
        creation: Creation,
        drawn_seed: u64,
        parents: Parents,
    ) -> Result<Self, Problem> {
        let seed = match &creation {
            Creation::Single(body) => body.seed.map(Seed::First),
            Creation::Vector(body) => body.seed.clone(),
        };
        if let Some(seed) = &seed {
            check_seed(seed, creation.num_envs() as usize)?;
        }
        let seed = seed.unwrap_or(Seed::First(drawn_seed));
        let key = parents.context.draw_key();
        Session::build(key, id, creation, seed, parents)
    }

    fn build(
        key: u64,
        id: String,
        creation: Creation,
        seed: Seed,
        parents: Parents,
    ) -> Result<Self, Problem> {
        let (blueprint, vector) = Blueprint::new(parents.context.catalogue(), creation, seed)?;
        let Parents {
            context,
            owner,
            ttl_s,
            is_fork,
        } = parents;
        let session = Session {
            key,
            id,
            is_fork,
            owner,
            lease: Lease::new(ttl_s, &context.clock),
            born: JournalPosition::default(),
            seq: AtomicU64::new(0),
            numbers: vector.numbers(),
            counted_bytes: AtomicUsize::new(0),
            expected_bytes: 0,
            steps: context.metrics.steps(&blueprint.spec.id),
            blueprint,
            context,
            is_durable: vector.are_durable(),
            is_broken: AtomicBool::new(false),
            state: Mutex::new(State {
                vector,
                seq: 0,
                last: None,
                history: History::new(None),
                rerun: None,
                unsaved_bytes: 0,
                end: None,
            }),
        };
        session.count_bytes(&*session.lock()?);
        Ok(session)
    }

    /// Recovers a session from its records, in the state after its last operation.
    ///
    /// # Errors
    /// Describes what does not fit in its records.
    pub(super) fn recover(
        key: u64,
        whole: SessionSnapshot,
        context: Arc<SessionContext>,
    ) -> Result<Self, String> {
        let SessionSnapshot { created, history } = whole;
        let parents = Parents {
            context,
            owner: created.owner.map(Arc::from),
            ttl_s: created.ttl_s,
            is_fork: created.is_fork,
        };
        let session = Session::build(key, created.id, created.creation, created.seed, parents)
            .map_err(|problem| problem.to_string())?;
        {
            let mut guard = session.lock().map_err(|problem| problem.to_string())?;
            let state = &mut *guard;
            let end_seq = history.end_seq();
            let last = session.replay(&mut state.vector, &history)?;
            state.last = last.map(|reply| (Arc::new(reply), JournalPosition::default()));
            state.seq = end_seq;
            session.seq.store(end_seq, Ordering::Release);
            state.history = history;
            session.count_bytes(state);
        }
        Ok(session)
    }

    /// Brings new lanes to the state after the last operation of a history. Returns the reply to
    /// that operation, if there is one in the newest chunk.
    ///
    /// # Errors
    /// Describes what does not fit.
    fn replay(&self, vector: &mut Lanes, history: &History) -> Result<Option<Reply>, String> {
        let newest = history.newest();
        if let Some(base) = &newest.base {
            if vector.is_hosted() && base.is_empty() {
                return Err("the server no longer has its first operations".to_owned());
            }
            vector.restore_base(base)?;
        }
        let mut last = None;
        for (seq, bytes) in newest.operations() {
            let (_, reply) = self.blueprint.perform_again(vector, newest, seq, bytes)?;
            last = Some(reply);
        }
        Ok(last)
    }

    /// Makes the lanes again after a fault of their host, in the state after the last operation of
    /// the history, and returns its reply.
    ///
    /// # Errors
    /// `env-lost`: the session has ended.
    fn repair(&self, state: &mut State, fault: &Fault) -> Result<Reply, Problem> {
        const TRIES: usize = 2;
        tracing::warn!(id = self.id, %fault, "a host has failed");
        let mut reason = fault.to_string();
        if state.vector.are_durable() {
            for _ in 0..TRIES {
                let made = self.blueprint.environments();
                let replayed = made
                    .map_err(|problem| problem.detail)
                    .and_then(|mut vector| {
                        let reply = self.replay(&mut vector, &state.history)?;
                        let reply = reply.ok_or("there is no operation to repeat")?;
                        Ok((vector, reply))
                    });
                match replayed {
                    Ok((vector, reply)) => {
                        state.vector = vector;
                        return Ok(reply);
                    }
                    Err(why) => reason = why,
                }
            }
        }
        let end = End::Broken(reason.into());
        let tombstone = self.tombstone(end.clone());
        // It has ended even if that cannot be written; the next start then tries to repair it again.
        let written = self.write_end(&tombstone).unwrap_or_else(|problem| {
            tracing::error!(id = self.id, %problem, "the end of an environment cannot be written");
            JournalPosition::default()
        });
        state.end = Some((end.clone(), written));
        self.is_broken.store(true, Ordering::Release);
        Err(ended(&self.id, &end))
    }

    /// Returns the tombstone of a session that its host has ended, and its position in the journal.
    pub(super) fn broken(&self) -> Option<(Ended, JournalPosition)> {
        if !self.is_broken.load(Ordering::Acquire) {
            return None;
        }
        let state = self.state.lock().ok()?;
        let (end, written) = state.end.clone()?;
        Some((self.tombstone(end), written))
    }

    fn tombstone(&self, end: End) -> Ended {
        Ended {
            id: self.id.clone(),
            is_vector: self.creation().kind() == Kind::Vector,
            end,
            ttl_s: self.lease.ttl_s(),
            owner: self.owner.as_deref().map(str::to_owned),
        }
    }

    /// Writes the record of its end.
    ///
    /// # Errors
    /// `storage-failed`.
    fn write_end(&self, tombstone: &Ended) -> Result<JournalPosition, Problem> {
        let record = records::end(tombstone);
        self.context.write_down(&[Record {
            name: &record,
            ..Record::new(self.key, &record)
        }])
    }

    /// Returns its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns its spec, arguments and seeds.
    pub fn blueprint(&self) -> &Blueprint {
        &self.blueprint
    }

    /// Returns the body that created it, or its parent if it is a fork.
    pub fn creation(&self) -> &Creation {
        &self.blueprint.creation
    }

    /// Returns its spec.
    pub fn spec(&self) -> &AnySpec {
        &self.blueprint.spec
    }

    /// Returns the name of the principal that created it, if any.
    pub(super) fn owner(&self) -> Option<&Arc<str>> {
        self.owner.as_ref()
    }

    /// Whether it was branched off another session.
    pub(super) fn is_fork(&self) -> bool {
        self.is_fork
    }

    /// Returns its key in the journal.
    pub(super) fn key(&self) -> u64 {
        self.key
    }

    /// Returns its estimated size in memory, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.counted_bytes.load(Ordering::Relaxed)
    }

    /// Whether an operation on it takes only a moment: it is not large, and not in use.
    pub(crate) fn is_quick(&self) -> bool {
        !self.blueprint.is_hosted()
            && self.numbers + 8 * self.creation().num_envs() as usize <= LARGE
            && !matches!(self.state.try_lock(), Err(TryLockError::WouldBlock))
    }

    /// Whether `seq` is the number of an operation before the last one.
    pub(crate) fn is_old(&self, seq: u64) -> bool {
        seq.saturating_add(1) < self.seq.load(Ordering::Acquire)
    }

    /// Whether an operation has failed midway, so that no other can be applied.
    pub(super) fn has_failed(&self) -> bool {
        self.state.is_poisoned()
    }

    /// Returns the estimated bytes of the reply to a step. In JSON a byte takes up to four
    /// characters.
    pub(crate) fn reply_bytes(&self, encoding: Encoding) -> usize {
        let bytes = 4 * self.numbers + 10 * self.creation().num_envs() as usize;
        match encoding {
            Encoding::Json => 4 * bytes,
            Encoding::MessagePack => bytes,
        }
    }

    /// Returns the estimated bytes of its state as a document.
    pub(crate) fn snapshot_bytes(&self) -> usize {
        2 * self.bytes() + 256 * self.creation().num_envs() as usize
    }

    /// Returns the estimated bytes needed for a page of `limit` operations: environments that
    /// replay them, the state before them, their requests and their replies.
    pub(crate) fn page_bytes(&self, limit: usize) -> usize {
        let entry = 512 + 2 * self.reply_bytes(Encoding::Json);
        let entries = limit.saturating_mul(entry).min(PAGE_BYTES.max(entry));
        self.bytes() + self.snapshot_bytes() + entries
    }

    /// Counts at least this many bytes from now on.
    pub(super) fn expect_bytes(&mut self, bytes: usize) {
        self.expected_bytes = bytes;
        if let Ok(state) = self.lock() {
            self.count_bytes(&state);
        }
    }

    /// Returns the description of the environment as it is now. Never blocks.
    ///
    /// # Errors
    /// `internal`, when an operation has failed midway.
    pub fn describe(&self) -> Result<Description, Problem> {
        if self.state.is_poisoned() {
            return Err(failed());
        }
        if let Some((Ended { end, .. }, _)) = self.broken() {
            return Err(ended(&self.id, &end));
        }
        let seq = self.seq.load(Ordering::Acquire);
        let env_id = self.id.clone();
        let spec_id = self.blueprint.spec.id.clone();
        let kwargs = self.blueprint.arguments.to_kwargs();
        let observation_space = self.blueprint.spaces.observation.clone();
        let action_space = self.blueprint.spaces.action.clone();
        let ttl_s = self.lease.ttl_s();
        let expires_in_s = self.lease.expires_in_s(&self.context.clock);
        Ok(match self.creation() {
            Creation::Single(_) => Description::Single(EnvDescription {
                env_id,
                spec_id,
                kwargs,
                seed: Some(self.blueprint.seed.lane(0).unwrap_or_default()),
                observation_space,
                action_space,
                ttl_s,
                expires_in_s,
                seq,
                durable: self.is_durable,
            }),
            Creation::Vector(body) => Description::Vector(VectorEnvDescription {
                env_id,
                spec_id,
                num_envs: body.num_envs,
                kwargs,
                seed: Some(self.blueprint.seed.clone()),
                autoreset_mode: body.autoreset_mode,
                single_observation_space: observation_space,
                single_action_space: action_space,
                ttl_s,
                expires_in_s,
                seq,
                durable: self.is_durable,
            }),
        })
    }

    /// Applies an operation exactly once. `seq` must be the number of the next operation, or of an
    /// equal earlier operation that is still kept.
    ///
    /// # Errors
    /// `seq-conflict`, `seq-reused`, `env-closed`, `lease-expired`, `storage-failed`, or the
    /// problem of the operation itself. An error changes nothing.
    pub fn apply(&self, seq: Option<u64>, operation: Operation) -> Result<Answer, Problem> {
        self.apply_within(None, seq, operation)
    }

    /// As [`Session::apply`], with a limit on the steps, if there is one.
    ///
    /// # Errors
    /// As there, and `budget-exceeded`, or `forbidden` when the budget is closed.
    pub fn apply_within(
        &self,
        budget: Option<&StepBudget>,
        seq: Option<u64>,
        operation: Operation,
    ) -> Result<Answer, Problem> {
        self.once(seq, operation, |state, operation, bytes, next_seq| {
            self.blueprint.check(&state.vector, &operation)?;
            let steps = self.blueprint.num_steps(&state.vector, &operation);
            let budget = budget.filter(|_| matches!(operation, Operation::Step(_)));
            if let Some(budget) = budget {
                budget.take(steps)?;
            }
            let written = self.write_down(state, bytes, None).inspect_err(|_| {
                if let Some(budget) = budget {
                    budget.give_back(steps);
                }
            })?;
            let performed = self
                .blueprint
                .perform(&mut state.vector, operation.clone(), next_seq);
            let reply = performed.or_else(|fault| self.repair(state, &fault))?;
            self.steps.add(steps);
            let digested = self.note_digest(state, &operation);
            Ok((reply, digested.unwrap_or(written)))
        })
    }

    /// Keeps the digest of the answer to an operation just applied, if it has one.
    fn note_digest(&self, state: &mut State, operation: &Operation) -> Option<JournalPosition> {
        let Digest(digest) = state.vector.digest(operation)?;
        state.history.note(digest);
        let record = records::digest(state.seq, digest);
        // Without it the answer is not compared, should it be computed again.
        self.context
            .write_down(&[Record::new(self.key, &record)])
            .ok()
    }

    /// Answers a repetition with its stored reply, and calls `run` for a new operation, with the
    /// state, the operation, its bytes for the history, and the number after it.
    pub(super) fn once(
        &self,
        seq: Option<u64>,
        operation: Operation,
        run: impl FnOnce(&mut State, Operation, &[u8], u64) -> Result<(Reply, JournalPosition), Problem>,
    ) -> Result<Answer, Problem> {
        let mut guard = self.lock()?;
        let state = &mut *guard;
        if let Some((end, _)) = &state.end {
            return Err(ended(&self.id, end));
        }
        let mut bytes = Vec::with_capacity(32);
        operation.encode(&mut bytes);
        let history = &state.history;
        let is_same = |seq| {
            let (_, kept) = history.find(seq)?;
            let is_same = kept == bytes
                || Operation::decode(kept).is_ok_and(|kept| kept.is_same_request(&operation));
            Some(is_same)
        };
        if let Turn::Again(seq) = turn(seq, state.seq, || history.first_seq(), is_same)? {
            let answer = self.answer_again(state, seq)?;
            self.context.metrics.replayed();
            self.lease.renew(&self.context.clock);
            return Ok(answer);
        }
        let work = operation.kind().into();
        let next_seq = state.seq + 1;
        let (reply, written) = run(state, operation, &bytes, next_seq)?;
        let reply = Arc::new(reply);
        state.seq = next_seq;
        self.seq.store(next_seq, Ordering::Release);
        state.last = Some((Arc::clone(&reply), written));
        state.rerun = None;
        self.lease.renew(&self.context.clock);
        self.count_bytes(state);
        self.context.metrics.done(work);
        Ok(Answer {
            reply,
            is_replay: false,
            written,
        })
    }

    /// Returns the label for the gauge of sessions: new, idle, busy, expired or failed. Never blocks.
    pub(super) fn condition(&self) -> &'static str {
        if self.has_expired() {
            return "expired";
        }
        match self.state.try_lock() {
            Ok(state) if state.seq == 0 => "new",
            Ok(_) => "idle",
            Err(TryLockError::WouldBlock) => "busy",
            Err(TryLockError::Poisoned(_)) => "failed",
        }
    }

    /// Writes an operation to the journal and the history before it is applied, so that every
    /// applied operation is in the journal. `extra` is written together with it, or neither
    /// is.
    pub(super) fn write_down(
        &self,
        state: &mut State,
        operation: &[u8],
        other: Option<Record<'_>>,
    ) -> Result<JournalPosition, Problem> {
        let base = match state.history.is_due() {
            true => self.saved(state).or_else(|| self.beyond_limit(state)),
            false => None,
        };
        let mut written = JournalPosition::default();
        if self.context.journal().is_some() {
            let head = records::chunk_head(state.seq);
            let operation = records::operation(state.seq, operation);
            let mut records = Vec::with_capacity(3);
            records.extend(base.as_ref().map(|base| Record {
                head: &head,
                ..Record::new(self.key, base)
            }));
            records.extend(other);
            records.push(Record::new(self.key, &operation));
            written = self.context.write_down(&records)?;
        }
        if let Some(base) = base {
            let keep_bytes = self.context.trajectory_bytes();
            state.history.begin_chunk(base, keep_bytes);
        }
        state.history.push(operation);
        Ok(written)
    }

    /// Saves the lanes, if they can be saved. A failure costs a process of the host, so the next try
    /// comes only after as many operations again.
    fn saved(&self, state: &mut State) -> Option<Vec<u8>> {
        let size = state.history.newest().bytes();
        if size < 2 * state.unsaved_bytes {
            return None;
        }
        match state.vector.base() {
            Ok(base) => {
                state.unsaved_bytes = 0;
                base
            }
            Err(fault) => {
                tracing::warn!(id = self.id, %fault, "a host cannot save an environment");
                state.unsaved_bytes = size;
                None
            }
        }
    }

    /// Returns the empty state that stands for an unknown one, if a host has not saved, and has more
    /// operations than are kept: from then on, the session ends with its process.
    fn beyond_limit(&self, state: &State) -> Option<Vec<u8>> {
        let newest = state.history.newest();
        let was_known = newest.base.as_ref().is_none_or(|base| !base.is_empty());
        if !state.vector.is_hosted() || (was_known && newest.bytes() <= REPLAY_BYTES) {
            return None;
        }
        if was_known {
            let id = &self.id;
            tracing::warn!(
                id,
                "too many operations to repeat after a failure of the host"
            );
        }
        Some(Vec::new())
    }

    /// Answers the repetition of an operation that is kept.
    ///
    /// # Errors
    /// `internal`, when it cannot be replayed.
    fn answer_again(&self, state: &mut State, seq: u64) -> Result<Answer, Problem> {
        let is_last = seq.checked_add(1) == Some(state.seq);
        // Once the last operation is durable, so are those before it.
        let (last, written) = match &state.last {
            Some((reply, written)) => (Some(reply), *written),
            None => (None, Default::default()),
        };
        let reply = match last {
            Some(last) if is_last => Arc::clone(last),
            _ => {
                let State { history, rerun, .. } = &mut *state;
                let reply = Rerun::reply(rerun, &self.blueprint, history, seq).map_err(|detail| {
                    let detail = format!("operation {seq} cannot be replayed: {detail}");
                    Problem::new(ErrorCode::Internal, detail)
                });
                self.count_bytes(state);
                Arc::new(reply?)
            }
        };
        Ok(Answer {
            reply,
            is_replay: true,
            written,
        })
    }

    /// Returns the length of its lease, in seconds.
    pub(super) fn ttl_s(&self) -> u64 {
        self.lease.ttl_s()
    }

    /// Renews the lease, and changes its length if the request has one.
    ///
    /// # Errors
    /// `env-closed`, `lease-expired` or `storage-failed`.
    pub(super) fn renew(
        &self,
        request: LeaseRequest,
    ) -> Result<(LeaseReply, JournalPosition), Problem> {
        let state = self.lock()?;
        if let Some((end, _)) = &state.end {
            return Err(ended(&self.id, end));
        }
        let mut written = JournalPosition::default();
        if let Some(ttl_s) = request.ttl_s {
            let record = records::lease(ttl_s);
            written = self.context.write_down(&[Record::new(self.key, &record)])?;
            self.lease.set_ttl_s(ttl_s);
        }
        self.lease.renew(&self.context.clock);
        self.context.metrics.done(Work::Lease);
        let reply = LeaseReply {
            ttl_s: self.lease.ttl_s(),
            expires_in_s: self.lease.expires_in_s(&self.context.clock),
        };
        Ok((reply, written))
    }

    /// Whether it has not been used for longer than its lease.
    pub(super) fn has_expired(&self) -> bool {
        self.lease.has_expired(&self.context.clock)
    }

    /// Ends the session once; later operations are refused. Returns `None` if it had already ended,
    /// or if it should expire but was played meanwhile.
    ///
    /// # Errors
    /// `storage-failed`; the session has not ended then.
    pub(super) fn finish(&self, end: End) -> Result<Option<(Ended, JournalPosition)>, Problem> {
        // A session with a failed operation can still be closed.
        let mut state = match (&end, self.state.try_lock()) {
            (_, Ok(state)) => state,
            (_, Err(TryLockError::Poisoned(failed))) => failed.into_inner(),
            // An operation is in progress, which renews its lease.
            (End::Expired, Err(TryLockError::WouldBlock)) => return Ok(None),
            (_, Err(TryLockError::WouldBlock)) => {
                self.state.lock().unwrap_or_else(|e| e.into_inner())
            }
        };
        if state.end.is_some() || (end == End::Expired && !self.has_expired()) {
            return Ok(None);
        }
        let tombstone = self.tombstone(end.clone());
        let written = self.write_end(&tombstone)?;
        state.end = Some((end, written));
        Ok(Some((tombstone, written)))
    }

    /// Returns the position of its end in the journal, once it has ended.
    pub(super) fn ended_at(&self) -> Option<JournalPosition> {
        let state = self.state.lock().unwrap_or_else(|e| e.into_inner());
        state.end.as_ref().map(|(_, written)| *written)
    }

    /// Creates a branch that continues from the state; its own operations are numbered from 0.
    pub(super) fn branch(
        &self,
        state: &State,
        id: String,
        parents: Parents,
    ) -> Result<Session, Problem> {
        let key = parents.context.draw_key();
        let (creation, seed) = (self.blueprint.creation.clone(), self.blueprint.seed.clone());
        let child = Session::build(key, id, creation, seed, parents)?;
        let base = state.vector.base();
        let base = base.map_err(|fault| Problem::new(ErrorCode::HostFailed, fault.to_string()))?;
        let base = base.ok_or_else(|| {
            let detail = "its host cannot save the state, so there is nothing to branch from";
            Problem::new(ErrorCode::NotSupported, detail)
        })?;
        {
            let mut of_child = child.lock()?;
            let restored = of_child.vector.restore_base(&base);
            restored.map_err(|detail| Problem::new(ErrorCode::Internal, detail))?;
            of_child.history = History::new(Some(base));
            child.count_bytes(&of_child);
        }
        Ok(child)
    }

    /// Returns the record of its creation.
    fn created(&self) -> Created {
        Created {
            id: self.id.clone(),
            creation: self.blueprint.creation.clone(),
            seed: self.blueprint.seed.clone(),
            ttl_s: self.lease.ttl_s(),
            owner: self.owner.as_deref().map(str::to_owned),
            is_fork: self.is_fork,
        }
    }

    /// Calls `write` with the record of the whole session, which no operation changes meanwhile.
    /// Returns `None` if the session has ended or failed.
    pub(super) fn with_snapshot<T>(&self, write: impl FnOnce(Record<'_>) -> T) -> Option<T> {
        let state = self.state.lock().ok()?;
        if state.end.is_some() {
            return None;
        }
        let created = self.created();
        let whole = records::snapshot(&created, &state.history);
        let name = records::name(&created);
        Some(write(Record {
            name: &name,
            ..Record::new(self.key, &whole)
        }))
    }

    /// Refuses environments whose state is larger than `max` bytes, if there is a journal.
    ///
    /// # Errors
    /// `invalid-num-envs`, or `invalid-kwargs` of a single environment.
    pub(super) fn check_can_be_kept(&self, max: usize) -> Result<(), Problem> {
        let state = self.lock()?;
        // A state is never this many times larger when written than in memory.
        if self.context.journal().is_none() || state.vector.bytes() < max / 1_024 {
            return Ok(());
        }
        let bytes = state
            .vector
            .base()
            .ok()
            .flatten()
            .map_or(0, |base| base.len());
        if bytes <= max {
            return Ok(());
        }
        let detail = format!(
            "its state takes {bytes} bytes, and a server with a data directory keeps at most {max} per environment"
        );
        Err(match self.creation().kind() {
            Kind::Single => Problem::new(ErrorCode::InvalidKwargs, detail).at("/kwargs"),
            Kind::Vector => Problem::new(ErrorCode::InvalidNumEnvs, detail).at("/num_envs"),
        })
    }

    /// Updates the server's count of memory.
    fn count_bytes(&self, state: &State) {
        let reply = state.last.as_ref().map_or(0, |(reply, _)| reply.bytes());
        let rerun = state.rerun.as_ref().map_or(0, Rerun::bytes);
        let played = (state.vector.bytes() + reply).max(self.expected_bytes);
        let now =
            FIXED_BYTES + self.blueprint.seed_bytes() + played + state.history.bytes() + rerun;
        let before = self.counted_bytes.swap(now, Ordering::Relaxed);
        self.context.resized(before, now);
    }

    /// Returns the whole state, as a document.
    ///
    /// # Errors
    /// `internal`, when an operation has failed midway.
    pub fn snapshot(&self) -> Result<Snapshot, Problem> {
        let saved = self.lock()?.vector.native("snapshots")?.save();
        Ok(self.blueprint.snapshot_of(saved))
    }

    /// Returns the whole state, as a body.
    ///
    /// # Errors
    /// As [`Session::snapshot`].
    pub fn snapshot_body(&self, encoding: Encoding) -> Result<Pieces, Problem> {
        let state = self.lock()?;
        self.blueprint.written_snapshot(&state.vector, encoding)
    }

    /// Returns pictures of the first lanes, or of one lane.
    ///
    /// # Errors
    /// `invalid-query` if there is no such lane; `internal` if an operation has failed midway.
    pub fn pictures(&self, lane: Option<usize>) -> Result<Vec<Picture>, Problem> {
        let num_lanes = self.creation().num_envs() as usize;
        let lanes = match lane {
            None => 0..num_lanes.min(MAX_PICTURES),
            Some(lane) if lane < num_lanes => lane..lane + 1,
            Some(lane) => {
                let detail = format!("lane is {lane}, but there are {num_lanes}, counted from 0");
                return Err(Problem::new(ErrorCode::InvalidQuery, detail));
            }
        };
        let state = self.lock()?;
        let vector = state.vector.native("drawn pictures")?;
        Ok(lanes.filter_map(|lane| vector.picture(lane)).collect())
    }

    /// Locks the state.
    ///
    /// # Errors
    /// `internal`, when an operation has failed midway.
    pub(super) fn lock(&self) -> Result<MutexGuard<'_, State>, Problem> {
        self.state.lock().map_err(|_| failed())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.context.resized(self.bytes(), 0);
    }
}

/// Returns the problem of a session with an operation that panicked.
fn failed() -> Problem {
    let detail = "an earlier operation failed midway; close this environment";
    Problem::new(ErrorCode::Internal, detail)
}

/// Returns the problem of a session that has ended.
pub(super) fn ended(id: &str, end: &End) -> Problem {
    let (code, what) = match end {
        End::Closed => (ErrorCode::EnvClosed, "has been closed"),
        End::Expired => (
            ErrorCode::LeaseExpired,
            "has not been used for longer than its lease",
        ),
        End::Lost => (
            ErrorCode::EnvLost,
            "could not be recovered: its records were damaged",
        ),
        End::Broken(reason) => {
            let detail = format!("environment {id:?} is lost: {reason}");
            return Problem::new(ErrorCode::EnvLost, detail);
        }
    };
    Problem::new(code, format!("environment {id:?} {what}"))
}
