//! What stands behind an id: environments, the number of the next operation, the last reply.

mod again;
pub(crate) mod budget;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod graves;
mod history;
pub mod keeper;
mod lease;
pub mod operation;
mod oracle;
mod records;
pub mod recovery;
pub mod room;
#[cfg(test)]
mod sizes;
pub mod store;
mod trajectory;
mod transcode;
mod wire_bytes;

use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

use env_protocol::{
    Array, AutoresetMode, CreateEnv, CreateVectorEnv, Encoding, EnvDescription, ErrorCode,
    ForkReply, Info, LeaseReply, LeaseRequest, Problem, ResetReply, RestoreReply, SNAPSHOT_FORMAT,
    SNAPSHOT_VERSION, Seed, Snapshot, Space, Spec, StepReply, Value, VectorEnvDescription,
    VectorResetReply, VectorStepReply,
};
use serde::{Deserialize, Serialize};

use crate::journal::Record;
use crate::observe::Work;
use crate::observe::metrics::Counter;
use again::Rerun;
use environments::pieces::Pieces;
use environments::render::{MAX_PICTURES, Picture};
use environments::vector::{Head, Reset, Saved, StepBatch, VectorEnvironment};
use environments::{Arguments, KwargsError, registry};
use history::History;
use keeper::{Keeper, Written};
use lease::Lease;
use operation::{check_seed, escape};
use records::{Birth, End, Tombstone, Whole};

pub use budget::StepBudget;
pub use lease::Clock;
pub use operation::{Answer, Operation, Reply};
pub use trajectory::{PAGE_BYTES, Replayed, replay};

/// Numbers, with eight for each lane, above which what is done to a session may take a millisecond.
const LARGE: usize = 65_536;

/// What an environment is created with. It tells the two kinds of session apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Creation {
    /// One environment, whose replies are those of one lane.
    Single(CreateEnv),
    /// `num_envs` lanes.
    Vector(CreateVectorEnv),
}

/// The two kinds of session, which have paths of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Under `/v1/envs`.
    Single,
    /// Under `/v1/vector-envs`.
    Vector,
}

impl Kind {
    /// Its name to people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Single => "single",
            Kind::Vector => "vector",
        }
    }
}

impl Creation {
    /// Which kind it makes.
    pub fn kind(&self) -> Kind {
        match self {
            Creation::Single(_) => Kind::Single,
            Creation::Vector(_) => Kind::Vector,
        }
    }

    /// How many lanes it makes.
    pub fn num_envs(&self) -> u64 {
        match self {
            Creation::Single(_) => 1,
            Creation::Vector(body) => body.num_envs,
        }
    }

    /// The lease that it asks for.
    fn ttl_s(&self) -> Option<u64> {
        match self {
            Creation::Single(body) => body.ttl_s,
            Creation::Vector(body) => body.ttl_s,
        }
    }

    fn autoreset_mode(&self) -> Option<AutoresetMode> {
        match self {
            Creation::Single(_) => None,
            Creation::Vector(body) => Some(body.autoreset_mode),
        }
    }
}

/// A description, of either kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[expect(missing_docs, reason = "one variant a body")]
pub enum Description {
    Single(EnvDescription),
    Vector(VectorEnvDescription),
}

impl Description {
    /// Bytes that it takes as JSON.
    fn json_bytes(&self) -> usize {
        struct Count(usize);
        impl io::Write for Count {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0 += bytes.len();
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut count = Count(0);
        serde_json::to_writer(&mut count, self).expect("plain data");
        count.0
    }

    /// The same without what would tell beforehand what the environment draws.
    #[must_use]
    pub fn without_seed(mut self) -> Self {
        match &mut self {
            Description::Single(description) => description.seed = None,
            Description::Vector(description) => description.seed = None,
        }
        self
    }
}

/// One environment or vector of them behind an id.
pub struct Session {
    /// Its identity in the journal.
    key: u64,
    id: String,
    creation: Creation,
    /// Whether it was branched off another one.
    is_fork: bool,
    /// Who created it; nobody else sees it.
    owner: Option<Arc<str>>,
    spec: &'static Spec,
    spaces: Spaces,
    arguments: Arguments,
    seed: Seed,
    lease: Lease,
    /// Where the journal has its creation.
    born: Written,
    /// Number of the next operation, for who does not want to wait for the state.
    seq: AtomicU64,
    /// Numbers that a step reads and writes.
    numbers: usize,
    /// Bytes it was last counted with.
    counted_bytes: AtomicUsize,
    /// Bytes it is counted with at least: what it is expected to take once it is played.
    expected_bytes: usize,
    keeper: Arc<Keeper>,
    /// Where its steps are counted.
    steps: Arc<Counter>,
    state: Mutex<State>,
}

/// What one lane shows and takes with its arguments; the spec's spaces are those of the defaults.
struct Spaces {
    observation: Space,
    action: Space,
}

/// What operations change.
struct State {
    vector: Box<dyn VectorEnvironment>,
    /// Number of the next operation.
    seq: u64,
    /// The reply to the last operation, to answer when it comes again, and where the journal has
    /// the operation. The operation itself is the last of the history.
    last: Option<(Arc<Reply>, Written)>,
    history: History,
    /// Where the past is played again, while somebody asks for it.
    rerun: Option<Rerun>,
    /// Why nothing more is done, once that is so, and where the journal has it.
    end: Option<(End, Written)>,
}

/// What a session is made with, beside its id.
struct Parents {
    keeper: Arc<Keeper>,
    owner: Option<Arc<str>>,
    ttl_s: u64,
    is_fork: bool,
}

impl Session {
    /// Makes the environments. `drawn_seed` seeds them where the creation does not.
    ///
    /// # Errors
    /// `unknown-spec`, `invalid-kwargs` or `invalid-seed`.
    fn new(
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
        let key = parents.keeper.draw_key();
        Session::build(key, id, creation, seed, parents)
    }

    fn build(
        key: u64,
        id: String,
        creation: Creation,
        seed: Seed,
        parents: Parents,
    ) -> Result<Self, Problem> {
        let (spec, arguments) = resolve(&creation)?;
        let vector = make_vector(spec, &arguments, &creation, &seed)?;
        let spaces = Spaces {
            observation: vector.observation_space().clone(),
            action: vector.action_space().clone(),
        };
        let Parents {
            keeper,
            owner,
            ttl_s,
            is_fork,
        } = parents;
        let session = Session {
            key,
            id,
            creation,
            is_fork,
            owner,
            spec,
            spaces,
            arguments,
            seed,
            lease: Lease::new(ttl_s, &keeper.clock),
            born: Written::default(),
            seq: AtomicU64::new(0),
            numbers: vector.numbers(),
            counted_bytes: AtomicUsize::new(0),
            expected_bytes: 0,
            steps: keeper.metrics.steps(&spec.id),
            keeper,
            state: Mutex::new(State {
                vector,
                seq: 0,
                last: None,
                history: History::new(None),
                rerun: None,
                end: None,
            }),
        };
        session.count_bytes(&*session.lock()?);
        Ok(session)
    }

    /// A session from the journal, at the state after its last operation.
    ///
    /// # Errors
    /// Says what does not fit in its records.
    fn recover(key: u64, whole: Whole, keeper: Arc<Keeper>) -> Result<Self, String> {
        let Whole { birth, history } = whole;
        let parents = Parents {
            keeper,
            owner: birth.owner.map(Arc::from),
            ttl_s: birth.ttl_s,
            is_fork: birth.is_fork,
        };
        let session = Session::build(key, birth.id, birth.creation, birth.seed, parents)
            .map_err(|problem| problem.to_string())?;
        {
            let mut guard = session.lock().map_err(|problem| problem.to_string())?;
            let state = &mut *guard;
            let newest = history.newest();
            if let Some(base) = &newest.base {
                restore_base(state.vector.as_mut(), base)?;
            }
            let end_seq = newest.end_seq();
            for (seq, bytes) in newest.operations() {
                let operation = session
                    .recorded(state.vector.as_ref(), bytes)
                    .map_err(|detail| format!("operation {seq}: {detail}"))?;
                let reply = session.perform(state.vector.as_mut(), operation, seq + 1);
                if seq + 1 == end_seq {
                    state.last = Some((Arc::new(reply), Written::default()));
                }
            }
            state.seq = end_seq;
            session.seq.store(end_seq, Ordering::Release);
            state.history = history;
            session.count_bytes(state);
        }
        Ok(session)
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it was created with, or its parent if it is a fork.
    pub fn creation(&self) -> &Creation {
        &self.creation
    }

    /// Its spec.
    pub fn spec(&self) -> &'static Spec {
        self.spec
    }

    /// Who created it.
    fn owner(&self) -> Option<&Arc<str>> {
        self.owner.as_ref()
    }

    /// Whether it was branched off another one.
    fn is_fork(&self) -> bool {
        self.is_fork
    }

    fn key(&self) -> u64 {
        self.key
    }

    /// Bytes it takes, by estimate.
    pub(crate) fn bytes(&self) -> usize {
        self.counted_bytes.load(Ordering::Relaxed)
    }

    /// Whether something is done to it in a moment: it is not large, and nobody is at it.
    pub(crate) fn is_quick(&self) -> bool {
        self.numbers + 8 * self.creation.num_envs() as usize <= LARGE
            && !matches!(self.state.try_lock(), Err(TryLockError::WouldBlock))
    }

    /// Whether this is the number of an operation before the last one.
    pub(crate) fn is_old(&self, seq: u64) -> bool {
        seq.saturating_add(1) < self.seq.load(Ordering::Acquire)
    }

    /// Whether an operation has failed in the middle, so that nothing more can be done.
    fn has_failed(&self) -> bool {
        self.state.is_poisoned()
    }

    /// Bytes of the body that answers a step, about: in JSON, up to four characters for a byte.
    pub(crate) fn reply_bytes(&self, encoding: Encoding) -> usize {
        let bytes = 4 * self.numbers + 10 * self.creation.num_envs() as usize;
        match encoding {
            Encoding::Json => 4 * bytes,
            Encoding::MessagePack => bytes,
        }
    }

    /// Bytes of its state as a document, about.
    pub(crate) fn snapshot_bytes(&self) -> usize {
        2 * self.bytes() + 256 * self.creation.num_envs() as usize
    }

    /// Bytes that it takes to tell so many operations, about: environments that play them again, the
    /// state before them, and what they were asked and answered.
    pub(crate) fn page_bytes(&self, limit: usize) -> usize {
        let entry = 512 + 2 * self.reply_bytes(Encoding::Json);
        let entries = limit.saturating_mul(entry).min(PAGE_BYTES.max(entry));
        self.bytes() + self.snapshot_bytes() + entries
    }

    /// Bytes that environments take once they are played, by what one of them takes. Of a few
    /// nothing is expected: they are counted as they are.
    ///
    /// # Errors
    /// `unknown-spec` or `invalid-kwargs`.
    fn expected_bytes(creation: &Creation) -> Result<usize, Problem> {
        const FEW: u64 = 16;
        let num_envs = creation.num_envs();
        if num_envs <= FEW {
            return Ok(0);
        }
        let (spec, arguments) = resolve(creation)?;
        let one = match creation {
            Creation::Single(_) => creation.clone(),
            Creation::Vector(body) => Creation::Vector(CreateVectorEnv {
                num_envs: 1,
                seed: None,
                ..body.clone()
            }),
        };
        let mut one = make_vector(spec, &arguments, &one, &Seed::First(0))?;
        // What a reset takes is the state's, and what it refuses nobody has asked for yet.
        let _ = one.reset(&Reset::default());
        let reply = 4 * one.numbers() + 10;
        let bytes = (one.bytes() + reply).saturating_mul(num_envs as usize);
        Ok(bytes.saturating_add(FIXED_BYTES))
    }

    /// Counts it with so many bytes at least.
    fn expect_bytes(&mut self, bytes: usize) {
        self.expected_bytes = bytes;
        if let Ok(state) = self.lock() {
            self.count_bytes(&state);
        }
    }

    /// The environment as it is now. Waits for nothing.
    ///
    /// # Errors
    /// `internal`, when an operation has failed in the middle.
    pub fn describe(&self) -> Result<Description, Problem> {
        if self.state.is_poisoned() {
            return Err(failed());
        }
        let seq = self.seq.load(Ordering::Acquire);
        let env_id = self.id.clone();
        let spec_id = self.spec.id.clone();
        let kwargs = self.arguments.to_kwargs();
        let observation_space = self.spaces.observation.clone();
        let action_space = self.spaces.action.clone();
        let ttl_s = self.lease.ttl_s();
        let expires_in_s = self.lease.expires_in_s(&self.keeper.clock);
        Ok(match &self.creation {
            Creation::Single(_) => Description::Single(EnvDescription {
                env_id,
                spec_id,
                kwargs,
                seed: Some(self.seed.lane(0).unwrap_or_default()),
                observation_space,
                action_space,
                ttl_s,
                expires_in_s,
                seq,
            }),
            Creation::Vector(body) => Description::Vector(VectorEnvDescription {
                env_id,
                spec_id,
                num_envs: body.num_envs,
                kwargs,
                seed: Some(self.seed.clone()),
                autoreset_mode: body.autoreset_mode,
                single_observation_space: observation_space,
                single_action_space: action_space,
                ttl_s,
                expires_in_s,
                seq,
            }),
        })
    }

    /// Applies an operation exactly once: `seq` must be the number of the next operation, or that
    /// of one before it that is kept, if the operation is the same.
    ///
    /// # Errors
    /// `seq-conflict`, `seq-reused`, `env-closed`, `lease-expired`, `storage-failed`, or why the
    /// operation itself was refused. Nothing has changed.
    pub fn apply(&self, seq: Option<u64>, operation: Operation) -> Result<Answer, Problem> {
        self.apply_within(None, seq, operation)
    }

    /// As [`Session::apply`], for somebody who may take so many steps, if there is a limit.
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
            self.check(state.vector.as_ref(), &operation)?;
            let steps = self.num_steps(state.vector.as_ref(), &operation);
            let budget = budget.filter(|_| matches!(operation, Operation::Step(_)));
            if let Some(budget) = budget {
                budget.take(steps)?;
            }
            let written = self.write_down(state, bytes, None).inspect_err(|_| {
                if let Some(budget) = budget {
                    budget.give_back(steps);
                }
            })?;
            let reply = self.perform(state.vector.as_mut(), operation, next_seq);
            self.steps.add(steps);
            Ok((reply, written))
        })
    }

    /// Answers a repetition from store, and lets `run` do what has not been done. It is given the
    /// state, the operation, its bytes for the history, and the number after it.
    fn once(
        &self,
        seq: Option<u64>,
        operation: Operation,
        run: impl FnOnce(&mut State, Operation, &[u8], u64) -> Result<(Reply, Written), Problem>,
    ) -> Result<Answer, Problem> {
        let mut guard = self.lock()?;
        let state = &mut *guard;
        if let Some((end, _)) = state.end {
            return Err(ended(&self.id, end));
        }
        let mut bytes = Vec::with_capacity(32);
        operation.encode(&mut bytes);
        if let Some(seq) = seq
            && seq != state.seq
        {
            let answer = self.answer_again(state, seq, &operation, &bytes)?;
            self.keeper.metrics.replayed();
            self.lease.renew(&self.keeper.clock);
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
        self.lease.renew(&self.keeper.clock);
        self.count_bytes(state);
        self.keeper.metrics.done(work);
        Ok(Answer {
            reply,
            is_replay: false,
            written,
        })
    }

    /// How many actions an operation applies: a lane that only starts over applies none.
    fn num_steps(&self, vector: &dyn VectorEnvironment, operation: &Operation) -> u64 {
        match (operation, self.creation.autoreset_mode()) {
            (Operation::Step(_), Some(AutoresetMode::NextStep)) => vector.num_running() as u64,
            (Operation::Step(_), _) => self.creation.num_envs(),
            _ => 0,
        }
    }

    /// What it is to those who count, beside its spec and kind. Waits for nothing.
    fn condition(&self) -> &'static str {
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

    /// Whether an operation would be taken.
    fn check(&self, vector: &dyn VectorEnvironment, operation: &Operation) -> Result<(), Problem> {
        match operation {
            Operation::Step(actions) => vector.check_step(actions),
            Operation::Reset(reset) => vector.check_reset(reset),
            Operation::Restore(snapshot) => {
                self.check_snapshot(snapshot)?;
                vector.check_restore(&snapshot.observations, &snapshot.lanes)
            }
            Operation::Fork { .. } => Ok(()),
        }
        .map_err(|refusal| self.problem(refusal))
    }

    /// An operation that a history holds, if it would be taken.
    fn recorded(&self, vector: &dyn VectorEnvironment, bytes: &[u8]) -> Result<Operation, String> {
        let operation = Operation::decode(bytes)?;
        let fits = self.check_lengths(&operation);
        fits.and_then(|()| self.check(vector, &operation))
            .map_err(|problem| problem.to_string())?;
        Ok(operation)
    }

    /// Writes an operation into journal and history, before it is done: what has been done has
    /// been written. `beside` is written with it, or neither is.
    fn write_down(
        &self,
        state: &mut State,
        operation: &[u8],
        beside: Option<Record<'_>>,
    ) -> Result<Written, Problem> {
        let base = state.history.is_due().then(|| state.vector.base());
        let mut written = Written::default();
        if self.keeper.journal().is_some() {
            let head = records::chunk_head(state.seq);
            let operation = records::operation(state.seq, operation);
            let mut records = Vec::with_capacity(3);
            records.extend(base.as_ref().map(|base| Record {
                head: &head,
                ..Record::new(self.key, base)
            }));
            records.extend(beside);
            records.push(Record::new(self.key, &operation));
            written = self.keeper.write_down(&records)?;
        }
        if let Some(base) = base {
            let keep_bytes = self.keeper.trajectory_bytes();
            state.history.begin_chunk(base, keep_bytes);
        }
        state.history.push(operation);
        Ok(written)
    }

    /// Renews the lease, and changes its length if asked to.
    ///
    /// # Errors
    /// `env-closed`, `lease-expired` or `storage-failed`.
    fn renew(&self, request: LeaseRequest) -> Result<(LeaseReply, Written), Problem> {
        let state = self.lock()?;
        if let Some((end, _)) = state.end {
            return Err(ended(&self.id, end));
        }
        let mut written = Written::default();
        if let Some(ttl_s) = request.ttl_s {
            let record = records::lease(ttl_s);
            written = self.keeper.write_down(&[Record::new(self.key, &record)])?;
            self.lease.set_ttl_s(ttl_s);
        }
        self.lease.renew(&self.keeper.clock);
        self.keeper.metrics.done(Work::Lease);
        let reply = LeaseReply {
            ttl_s: self.lease.ttl_s(),
            expires_in_s: self.lease.expires_in_s(&self.keeper.clock),
        };
        Ok((reply, written))
    }

    /// Whether nobody has played it for longer than its lease.
    fn has_expired(&self) -> bool {
        self.lease.has_expired(&self.keeper.clock)
    }

    /// Ends the session, once; after that nothing is done any more. `None` when it had ended, or,
    /// for one that is to expire, when it has been played meanwhile.
    ///
    /// # Errors
    /// `storage-failed`; it has not ended then.
    fn finish(&self, end: End) -> Result<Option<(Tombstone, Written)>, Problem> {
        // One that failed in the middle can still be closed.
        let mut state = match (end, self.state.try_lock()) {
            (_, Ok(state)) => state,
            (_, Err(TryLockError::Poisoned(failed))) => failed.into_inner(),
            // It is played at this moment, which renews its lease.
            (End::Expired, Err(TryLockError::WouldBlock)) => return Ok(None),
            (_, Err(TryLockError::WouldBlock)) => {
                self.state.lock().unwrap_or_else(|e| e.into_inner())
            }
        };
        if state.end.is_some() || (end == End::Expired && !self.has_expired()) {
            return Ok(None);
        }
        let tombstone = Tombstone {
            id: self.id.clone(),
            is_vector: self.creation.kind() == Kind::Vector,
            end,
            ttl_s: self.lease.ttl_s(),
            owner: self.owner.as_deref().map(str::to_owned),
        };
        let record = records::end(&tombstone);
        let record = Record {
            name: &record,
            ..Record::new(self.key, &record)
        };
        let written = self.keeper.write_down(&[record])?;
        state.end = Some((end, written));
        Ok(Some((tombstone, written)))
    }

    /// Where the journal has its end, once it has ended.
    fn ended_at(&self) -> Option<Written> {
        let state = self.state.lock().unwrap_or_else(|e| e.into_inner());
        state.end.map(|(_, written)| written)
    }

    /// Branches off a session that goes on from the state, whose own operations count from 0.
    fn branch(&self, state: &State, id: String, parents: Parents) -> Result<Session, Problem> {
        let key = parents.keeper.draw_key();
        let (creation, seed) = (self.creation.clone(), self.seed.clone());
        let child = Session::build(key, id, creation, seed, parents)?;
        let base = state.vector.base();
        {
            let mut of_child = child.lock()?;
            let restored = restore_base(of_child.vector.as_mut(), &base);
            restored.map_err(|detail| Problem::new(ErrorCode::Internal, detail))?;
            of_child.history = History::new(Some(base));
            child.count_bytes(&of_child);
        }
        Ok(child)
    }

    /// The session as the journal keeps it, but for its operations.
    fn birth(&self) -> Birth {
        Birth {
            id: self.id.clone(),
            creation: self.creation.clone(),
            seed: self.seed.clone(),
            ttl_s: self.lease.ttl_s(),
            owner: self.owner.as_deref().map(str::to_owned),
            is_fork: self.is_fork,
        }
    }

    /// Lets `write` see the session as the journal keeps it; nothing is done to it meanwhile.
    /// Nothing happens when it has ended or failed.
    fn with_whole<T>(&self, write: impl FnOnce(Record<'_>) -> T) -> Option<T> {
        let state = self.state.lock().ok()?;
        if state.end.is_some() {
            return None;
        }
        let birth = self.birth();
        let whole = records::whole(&birth, &state.history);
        let name = records::name(&birth);
        Some(write(Record {
            name: &name,
            ..Record::new(self.key, &whole)
        }))
    }

    /// Refuses environments whose state is more than `max` bytes, if there is a journal to write it to.
    ///
    /// # Errors
    /// `invalid-num-envs`, or `invalid-kwargs` where there is one lane only.
    fn check_can_be_kept(&self, max: usize) -> Result<(), Problem> {
        let state = self.lock()?;
        // What is small in memory is not that much larger when it is written.
        if self.keeper.journal().is_none() || state.vector.bytes() < max / 1_024 {
            return Ok(());
        }
        let bytes = state.vector.base().len();
        if bytes <= max {
            return Ok(());
        }
        let detail = format!(
            "its state takes {bytes} bytes, and a server with a data directory keeps up to {max} of one environment"
        );
        Err(match self.creation.kind() {
            Kind::Single => Problem::new(ErrorCode::InvalidKwargs, detail).at("/kwargs"),
            Kind::Vector => Problem::new(ErrorCode::InvalidNumEnvs, detail).at("/num_envs"),
        })
    }

    /// Tells the server how much room the session takes.
    fn count_bytes(&self, state: &State) {
        let reply = state.last.as_ref().map_or(0, |(reply, _)| reply.bytes());
        let rerun = state.rerun.as_ref().map_or(0, Rerun::bytes);
        let played = (state.vector.bytes() + reply).max(self.expected_bytes);
        let now = FIXED_BYTES + self.seed_bytes() + played + state.history.bytes() + rerun;
        let before = self.counted_bytes.swap(now, Ordering::Relaxed);
        self.keeper.resized(before, now);
    }

    /// Bytes of the seeds of its lanes, where there is one for each.
    fn seed_bytes(&self) -> usize {
        let bytes = |seed: &Seed| match seed {
            Seed::First(_) => 0,
            Seed::Each(seeds) => seeds.capacity() * size_of::<u64>(),
        };
        let asked = match &self.creation {
            Creation::Single(_) => None,
            Creation::Vector(body) => body.seed.as_ref(),
        };
        bytes(&self.seed) + asked.map_or(0, bytes)
    }

    /// The whole state, as a document.
    ///
    /// # Errors
    /// `internal`, when an operation has failed in the middle.
    pub fn snapshot(&self) -> Result<Snapshot, Problem> {
        let saved = self.lock()?.vector.save();
        Ok(self.snapshot_of(saved))
    }

    /// The whole state, written down.
    ///
    /// # Errors
    /// As [`Session::snapshot`].
    pub fn snapshot_body(&self, encoding: Encoding) -> Result<Pieces, Problem> {
        let state = self.lock()?;
        self.written_snapshot(state.vector.as_ref(), encoding)
    }

    fn written_snapshot(
        &self,
        vector: &dyn VectorEnvironment,
        encoding: Encoding,
    ) -> Result<Pieces, Problem> {
        let head = Head {
            spec_id: &self.spec.id,
            kwargs: &self.arguments.to_kwargs(),
            autoreset_mode: self.creation.autoreset_mode(),
        };
        let mut body = Pieces::default();
        let written = vector.write_snapshot(&head, encoding, &mut body);
        written.map_err(|error| Problem::new(ErrorCode::Internal, error.to_string()))?;
        Ok(body)
    }

    /// Pictures of the first lanes, or of one.
    ///
    /// # Errors
    /// `invalid-query` when there is no such lane; `internal`, when an operation has failed in
    /// the middle.
    pub fn pictures(&self, lane: Option<usize>) -> Result<Vec<Picture>, Problem> {
        let num_lanes = self.creation.num_envs() as usize;
        let lanes = match lane {
            None => 0..num_lanes.min(MAX_PICTURES),
            Some(lane) if lane < num_lanes => lane..lane + 1,
            Some(lane) => {
                let detail = format!("lane is {lane}, and there are {num_lanes}, from 0");
                return Err(Problem::new(ErrorCode::InvalidQuery, detail));
            }
        };
        let state = self.lock()?;
        Ok(lanes
            .filter_map(|lane| state.vector.picture(lane))
            .collect())
    }

    fn snapshot_of(&self, saved: Saved) -> Snapshot {
        Snapshot {
            format: SNAPSHOT_FORMAT.to_owned(),
            version: SNAPSHOT_VERSION,
            spec_id: self.spec.id.clone(),
            kwargs: self.arguments.to_kwargs(),
            autoreset_mode: self.creation.autoreset_mode(),
            observations: saved.observations,
            lanes: saved.lanes,
        }
    }

    /// Does what [`Self::check`] has found good.
    fn perform(&self, vector: &mut dyn VectorEnvironment, operation: Operation, seq: u64) -> Reply {
        let is_single = self.creation.kind() == Kind::Single;
        match operation {
            Operation::Reset(reset) => {
                let observations = vector.reset(&reset).expect("checked");
                let info = Info::new();
                match is_single {
                    true => Reply::Reset(ResetReply {
                        observation: only_row(observations),
                        info,
                        seq,
                    }),
                    false => Reply::VectorReset(VectorResetReply {
                        observations,
                        infos: info,
                        seq,
                    }),
                }
            }
            Operation::Step(actions) => {
                let batch = vector.step_checked(&actions);
                match is_single {
                    true => Reply::Step(only_step(batch, seq)),
                    false => Reply::VectorStep(vector_step(batch, seq)),
                }
            }
            Operation::Restore(snapshot) => {
                let restored = vector.restore(&snapshot.observations, &snapshot.lanes);
                restored.expect("checked");
                Reply::Restore(RestoreReply { seq })
            }
            Operation::Fork { env_id, .. } => Reply::Fork(ForkReply { env_id, seq }),
        }
    }

    fn lock(&self) -> Result<MutexGuard<'_, State>, Problem> {
        self.state.lock().map_err(|_| failed())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.keeper.resized(self.bytes(), 0);
    }
}

/// Bytes a session takes beside its environments, its history and its last reply, about: itself,
/// its names and its spaces.
const FIXED_BYTES: usize = 2_048;

/// The spec of a creation, and its arguments.
fn resolve(creation: &Creation) -> Result<(&'static Spec, Arguments), Problem> {
    let (spec_id, kwargs) = match creation {
        Creation::Single(body) => (&body.spec_id, &body.kwargs),
        Creation::Vector(body) => (&body.spec_id, &body.kwargs),
    };
    let (_, spec) = registry::find(spec_id).ok_or_else(|| unknown_spec(spec_id).at("/spec_id"))?;
    let arguments = Arguments::resolve(&spec.parameters, kwargs).map_err(refused_kwargs)?;
    Ok((spec, arguments))
}

/// The environments of a creation whose arguments have been checked one by one.
fn make_vector(
    spec: &Spec,
    arguments: &Arguments,
    creation: &Creation,
    seed: &Seed,
) -> Result<Box<dyn VectorEnvironment>, Problem> {
    let (entry, _) = registry::find(&spec.id).ok_or_else(|| unknown_spec(&spec.id))?;
    // A single environment never starts over by itself.
    let mode = creation.autoreset_mode().unwrap_or(AutoresetMode::Disabled);
    let num_envs = creation.num_envs() as usize;
    if num_envs == 0 {
        // The store has checked what clients ask for; records and files have been checked by nobody.
        let detail = "there must be at least one lane";
        return Err(Problem::new(ErrorCode::InvalidNumEnvs, detail).at("/num_envs"));
    }
    (entry.vector)(arguments, num_envs, mode, seed).map_err(refused_kwargs)
}

pub(crate) fn refused_kwargs(error: KwargsError) -> Problem {
    let pointer = format!("/kwargs/{}", escape(&error.name));
    Problem::new(ErrorCode::InvalidKwargs, error.to_string()).at(pointer)
}

fn restore_base(vector: &mut dyn VectorEnvironment, base: &[u8]) -> Result<(), String> {
    vector.restore_base(base)
}

/// The one lane's row, without the dimension of lanes.
fn only_row(observations: Value) -> Value {
    match observations {
        Value::Array(array) => {
            let shape = array.shape()[1..].to_vec();
            let row = Array::new(shape, array.into_data());
            row.expect("one lane is one row").into()
        }
        Value::Tuple(values) => Value::Tuple(values.into_iter().map(only_row).collect()),
        Value::Dict(values) => {
            let rows = values.into_iter();
            Value::Dict(rows.map(|(name, value)| (name, only_row(value))).collect())
        }
    }
}

fn only_step(batch: StepBatch, seq: u64) -> StepReply {
    StepReply {
        observation: only_row(batch.observations),
        reward: batch.rewards[0],
        terminated: batch.terminations[0],
        truncated: batch.truncations[0],
        info: Info::new(),
        seq,
    }
}

fn vector_step(batch: StepBatch, seq: u64) -> VectorStepReply {
    VectorStepReply {
        observations: batch.observations,
        rewards: Array::vector(batch.rewards),
        terminations: Array::mask(batch.terminations),
        truncations: Array::mask(batch.truncations),
        infos: batch.infos,
        seq,
    }
}

/// There is no such spec.
pub(crate) fn unknown_spec(spec_id: &str) -> Problem {
    let known: Vec<_> = registry::specs().iter().map(|s| s.id.as_str()).collect();
    let meant = env_protocol::hint(spec_id, known.iter().copied());
    let detail = format!(
        "there is no {spec_id:?}{meant}; there are {}",
        known.join(", ")
    );
    Problem::new(ErrorCode::UnknownSpec, detail)
}

/// An operation has panicked.
fn failed() -> Problem {
    let detail = "an earlier operation failed in the middle; close this environment";
    Problem::new(ErrorCode::Internal, detail)
}

/// It is no more.
fn ended(id: &str, end: End) -> Problem {
    let (code, what) = match end {
        End::Closed => (ErrorCode::EnvClosed, "has been closed"),
        End::Expired => (
            ErrorCode::LeaseExpired,
            "has not been played for longer than its lease",
        ),
        End::Lost => (
            ErrorCode::EnvLost,
            "could not be recovered: its records were damaged",
        ),
    };
    Problem::new(code, format!("environment {id:?} {what}"))
}
