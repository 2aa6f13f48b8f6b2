//! All sessions of a server, and the limits on them.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use env_protocol::{ErrorCode, ForkRequest, LeaseReply, LeaseRequest, Problem};

use crate::journal::Journal;
use crate::observe::{Census, Population, Work};

use super::keeper::{Keeper, Written};
use super::lease::{Clock, ms};
use super::records::{End, MAX_STATE_BYTES, Tombstone};
use super::{Answer, Creation, Kind, Operation, Parents, Session, ended};

/// How many sessions that are no more are remembered, so that closing again is no error: as many as there may be by
/// default. Each takes some 200 bytes, which clients that come and go would pile up to megabytes.
const MAX_TOMBSTONES: usize = 16_384;

/// What a server holds at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Environments, counting a vector environment as one.
    pub max_envs: usize,
    /// Lanes of one vector environment.
    pub max_lanes_per_env: usize,
    /// Lanes of all environments together.
    pub max_lanes: usize,
    /// Bytes of all environments together, by estimate.
    pub max_memory_bytes: usize,
    /// Bytes of operations that each environment keeps for its trajectory, at least.
    pub trajectory_bytes: usize,
    /// Seconds an environment lives after its last operation when its creation does not say.
    pub default_ttl_s: u64,
    /// Most that a creation may say.
    pub max_ttl_s: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_envs: 16_384,
            max_lanes_per_env: 16_384,
            max_lanes: 262_144,
            max_memory_bytes: 1 << 30,
            trajectory_bytes: 32 << 10,
            default_ttl_s: 3_600,
            max_ttl_s: 7 * 24 * 3_600,
        }
    }
}

/// Who asks, where the server knows them by a token: environments belong to who created them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The name, under which quotas count.
    pub name: Arc<str>,
    /// Most environments, if there is a limit.
    pub max_envs: Option<usize>,
    /// Most lanes, if there is a limit.
    pub max_lanes: Option<usize>,
}

/// All sessions of a server.
pub struct Store {
    sessions: DashMap<String, Arc<Session>>,
    /// Taken for creating and ending only; operations never wait for it. Where a session's state
    /// is locked as well, that comes first.
    ledger: Mutex<Ledger>,
    limits: Limits,
    keeper: Arc<Keeper>,
    leases_expired: AtomicU64,
}

/// What must stay true over creating and ending.
#[derive(Default)]
struct Ledger {
    held: Usage,
    by_owner: HashMap<Arc<str>, Usage>,
    tombstones: HashMap<(Kind, String), Grave>,
    /// Tombstones in the order in which they came, those that have been replaced included.
    order: VecDeque<(Kind, String)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    envs: usize,
    lanes: usize,
}

struct Grave {
    end: End,
    owner: Option<Arc<str>>,
    until_ms: u64,
    /// Where the journal has its end.
    written: Written,
}

impl Ledger {
    fn add(&mut self, session: &Session) {
        let lanes = session.creation().num_envs() as usize;
        let usages = self.usages(session.owner());
        for usage in usages {
            usage.envs += 1;
            usage.lanes += lanes;
        }
    }

    fn remove(&mut self, session: &Session) {
        let lanes = session.creation().num_envs() as usize;
        for usage in self.usages(session.owner()) {
            usage.envs -= 1;
            usage.lanes -= lanes;
        }
        if let Some(owner) = session.owner()
            && self
                .by_owner
                .get(owner)
                .is_some_and(|usage| usage.envs == 0)
        {
            self.by_owner.remove(owner);
        }
    }

    fn usages(&mut self, owner: Option<&Arc<str>>) -> impl Iterator<Item = &mut Usage> {
        let of_owner = owner.map(|name| self.by_owner.entry(Arc::clone(name)).or_default());
        [Some(&mut self.held), of_owner].into_iter().flatten()
    }

    fn bury(&mut self, kind: Kind, id: &str, grave: Grave) {
        let key = (kind, id.to_owned());
        self.tombstones.insert(key.clone(), grave);
        self.order.push_back(key);
        if self.order.len() > MAX_TOMBSTONES
            && let Some(oldest) = self.order.pop_front()
        {
            self.tombstones.remove(&oldest);
        }
    }

    /// How a session came to its end, if it is remembered.
    fn grave(&self, kind: Kind, id: &str, now_ms: u64) -> Option<&Grave> {
        let grave = self.tombstones.get(&(kind, id.to_owned()))?;
        (grave.until_ms > now_ms).then_some(grave)
    }

    fn forget(&mut self, now_ms: u64) {
        while let Some(oldest) = self.order.front() {
            let is_over = self
                .tombstones
                .get(oldest)
                .is_none_or(|g| g.until_ms <= now_ms);
            if !is_over {
                break;
            }
            if let Some(oldest) = self.order.pop_front() {
                self.tombstones.remove(&oldest);
            }
        }
    }
}

impl Store {
    /// An empty store, whose sessions end with their process.
    pub fn new(limits: Limits, clock: Clock) -> Self {
        let keeper = Keeper::new(limits.trajectory_bytes, clock, None, 0);
        Store::with_keeper(limits, keeper)
    }

    pub(super) fn with_keeper(limits: Limits, keeper: Keeper) -> Self {
        Store {
            sessions: DashMap::new(),
            ledger: Mutex::default(),
            limits,
            keeper: Arc::new(keeper),
            leases_expired: AtomicU64::new(0),
        }
    }

    pub(super) fn keeper_handle(&self) -> &Arc<Keeper> {
        &self.keeper
    }

    /// What all sessions share.
    pub fn keeper(&self) -> &Keeper {
        &self.keeper
    }

    /// Creates a session under an id of its own.
    ///
    /// # Errors
    /// `unknown-spec`, `invalid-kwargs`, `invalid-seed`, `invalid-num-envs`, `invalid-ttl`,
    /// `quota-exceeded`, `server-full` or `storage-failed`.
    pub fn create(&self, creation: Creation, owner: Option<&Owner>) -> Result<Created, Problem> {
        let mut ledger = self.lock_ledger();
        self.insert(drawn_id(), creation, owner, &mut ledger)
    }

    /// Creates a session under the client's id, or finds the one created so before.
    ///
    /// # Errors
    /// As [`Store::create`], and `invalid-env-id`, `env-exists`, `env-closed` or `lease-expired`.
    pub fn create_as(
        &self,
        id: &str,
        creation: Creation,
        owner: Option<&Owner>,
    ) -> Result<Created, Problem> {
        check_id(id)?;
        self.expire_if_due(id);
        let mut ledger = self.lock_ledger();
        if let Some(session) = self.sessions.get(id).map(|session| Arc::clone(&session)) {
            let is_same = session.creation() == &creation && !session.is_fork();
            if is_same && session.owner() == owner.map(|owner| &owner.name) {
                return Ok(Created {
                    written: session.born,
                    session,
                    is_new: false,
                });
            }
            return Err(taken(id));
        }
        if let Some(grave) = ledger.grave(creation.kind(), id, self.keeper.clock.now_ms()) {
            return Err(ended(id, grave.end));
        }
        self.insert(id.to_owned(), creation, owner, &mut ledger)
    }

    fn insert(
        &self,
        id: String,
        creation: Creation,
        owner: Option<&Owner>,
        ledger: &mut Ledger,
    ) -> Result<Created, Problem> {
        self.admit(&creation, owner, ledger)?;
        let ttl_s = self.ttl_s(creation.ttl_s())?;
        let parents = self.parents(owner.map(|owner| Arc::clone(&owner.name)), ttl_s, false);
        let mut session = Session::new(id, creation, drawn_seed(), parents)?;
        self.check_memory()?;
        session.check_can_be_kept(MAX_STATE_BYTES)?;
        let written = session.with_whole(|whole| self.keeper.write_down(&[whole]));
        session.born = written.expect("it has just begun")?;
        self.keeper.metrics.done(Work::Create);
        Ok(Created {
            written: session.born,
            session: self.hold(session, ledger),
            is_new: true,
        })
    }

    fn parents(&self, owner: Option<Arc<str>>, ttl_s: u64, is_fork: bool) -> Parents {
        Parents {
            keeper: Arc::clone(&self.keeper),
            owner,
            ttl_s,
            is_fork,
        }
    }

    fn hold(&self, session: Session, ledger: &mut Ledger) -> Arc<Session> {
        let session = Arc::new(session);
        ledger.add(&session);
        let id = session.id().to_owned();
        self.sessions.insert(id, Arc::clone(&session));
        session
    }

    fn ttl_s(&self, asked: Option<u64>) -> Result<u64, Problem> {
        let max = self.limits.max_ttl_s;
        match asked {
            None => Ok(self.limits.default_ttl_s.min(max)),
            Some(ttl_s) if (1..=max).contains(&ttl_s) => Ok(ttl_s),
            Some(ttl_s) => {
                let detail = format!("ttl_s must be from 1 to {max} seconds, not {ttl_s}");
                Err(Problem::new(ErrorCode::InvalidTtl, detail).at("/ttl_s"))
            }
        }
    }

    /// Checks the limits.
    fn admit(
        &self,
        creation: &Creation,
        owner: Option<&Owner>,
        ledger: &Ledger,
    ) -> Result<(), Problem> {
        let Limits {
            max_envs,
            max_lanes_per_env,
            max_lanes,
            ..
        } = self.limits;
        let asked = creation.num_envs();
        let lanes = usize::try_from(asked)
            .ok()
            .filter(|n| (1..=max_lanes_per_env).contains(n))
            .ok_or_else(|| {
                let detail = format!("num_envs must be from 1 to {max_lanes_per_env}, not {asked}");
                Problem::new(ErrorCode::InvalidNumEnvs, detail).at("/num_envs")
            })?;
        within("the server", ledger.held, lanes, max_envs, max_lanes)?;
        if let Some(owner) = owner {
            let held = ledger.by_owner.get(&owner.name).copied();
            let max_envs = owner.max_envs.unwrap_or(usize::MAX);
            let max_lanes = owner.max_lanes.unwrap_or(usize::MAX);
            within(
                &owner.name,
                held.unwrap_or_default(),
                lanes,
                max_envs,
                max_lanes,
            )?;
        }
        Ok(())
    }

    /// Whether what is held, a session just built included, is within the memory there is for it.
    fn check_memory(&self) -> Result<(), Problem> {
        let (held, max) = (self.keeper.memory_bytes(), self.limits.max_memory_bytes);
        if held > max {
            let detail = format!("with it the server would hold {held} bytes, over {max}");
            return Err(Problem::new(ErrorCode::ServerFull, detail));
        }
        Ok(())
    }

    /// Finds a session.
    ///
    /// # Errors
    /// `unknown-env`, `env-closed`, `lease-expired` or `env-lost`.
    pub fn get(
        &self,
        kind: Kind,
        id: &str,
        owner: Option<&Owner>,
    ) -> Result<Arc<Session>, Problem> {
        let found = self.sessions.get(id).map(|session| Arc::clone(&session));
        if let Some(session) = found
            && session.creation().kind() == kind
            && is_of(session.owner(), owner)
        {
            if !session.has_expired() {
                return Ok(session);
            }
            self.expire(&session);
        }
        let ledger = self.lock_ledger();
        match ledger.grave(kind, id, self.keeper.clock.now_ms()) {
            Some(grave) if is_of(grave.owner.as_ref(), owner) => Err(ended(id, grave.end)),
            _ => Err(unknown(id)),
        }
    }

    /// Branches off a session, as an operation on the one it is branched from.
    ///
    /// # Errors
    /// As [`Session::apply`], and those of [`Store::create_as`]. Nothing has changed then.
    pub fn fork(
        &self,
        session: &Session,
        request: ForkRequest,
        owner: Option<&Owner>,
    ) -> Result<Answer, Problem> {
        let (seq, request) = (
            request.seq,
            ForkRequest {
                seq: None,
                ..request
            },
        );
        let env_id = request.env_id.clone().unwrap_or_else(drawn_id);
        let ttl_s = request.ttl_s;
        self.expire_if_due(&env_id);
        let operation = Operation::Fork {
            request,
            env_id: env_id.clone(),
        };
        session.once(seq, operation, |state, operation, bytes, next_seq| {
            check_id(&env_id).map_err(|problem| problem.at("/env_id"))?;
            let ttl_s = match ttl_s {
                Some(ttl_s) => self.ttl_s(Some(ttl_s))?,
                None => session.lease.ttl_s(),
            };
            let mut ledger = self.lock_ledger();
            let now_ms = self.keeper.clock.now_ms();
            if self.sessions.contains_key(&env_id) {
                return Err(taken(&env_id).at("/env_id"));
            }
            if let Some(grave) = ledger.grave(session.creation().kind(), &env_id, now_ms) {
                return Err(ended(&env_id, grave.end));
            }
            self.admit(session.creation(), owner, &ledger)?;
            let parents = self.parents(session.owner().cloned(), ttl_s, true);
            let mut child = session.branch(state, env_id, parents)?;
            self.check_memory()?;
            let beside = child.with_whole(|whole| session.write_down(state, bytes, Some(whole)));
            let written = beside.expect("it has just begun")?;
            child.born = written;
            self.hold(child, &mut ledger);
            let reply = session.perform(state.vector.as_mut(), operation, next_seq);
            Ok((reply, written))
        })
    }

    /// Renews a lease.
    ///
    /// # Errors
    /// `invalid-ttl`, `env-closed`, `lease-expired` or `storage-failed`.
    pub fn renew(
        &self,
        session: &Session,
        request: LeaseRequest,
    ) -> Result<(LeaseReply, Written), Problem> {
        if request.ttl_s.is_some() {
            self.ttl_s(request.ttl_s)?;
        }
        session.renew(request)
    }

    /// Closes a session, after the operation under way on it. Closing it again is no error.
    ///
    /// # Errors
    /// `unknown-env`, when there never was one, or `storage-failed`.
    pub fn close(&self, kind: Kind, id: &str, owner: Option<&Owner>) -> Result<Written, Problem> {
        let found = self.sessions.get(id).map(|session| Arc::clone(&session));
        let found = found
            .filter(|session| session.creation().kind() == kind && is_of(session.owner(), owner));
        if let Some(session) = found {
            if let Some((tombstone, written)) = session.finish(End::Closed)? {
                self.let_go(&session, &tombstone, written);
                self.keeper.metrics.done(Work::Close);
                return Ok(written);
            }
            // Somebody else is ending it this moment.
            return Ok(session.ended_at().unwrap_or_default());
        }
        let ledger = self.lock_ledger();
        match ledger.grave(kind, id, self.keeper.clock.now_ms()) {
            Some(grave) if is_of(grave.owner.as_ref(), owner) => Ok(grave.written),
            _ => Err(unknown(id)),
        }
    }

    /// Ends the session of an id that is asked for, if its lease has run out and nobody has noticed.
    fn expire_if_due(&self, id: &str) {
        let found = self.sessions.get(id).map(|session| Arc::clone(&session));
        if let Some(session) = found.filter(|session| session.has_expired()) {
            self.expire(&session);
        }
    }

    /// Ends a session whose lease has run out.
    fn expire(&self, session: &Arc<Session>) {
        match session.finish(End::Expired) {
            Ok(Some((tombstone, written))) => {
                self.let_go(session, &tombstone, written);
                self.leases_expired.fetch_add(1, Ordering::Relaxed);
            }
            Ok(None) => {}
            Err(problem) => tracing::error!(%problem, id = session.id(), "a lease cannot be ended"),
        }
    }

    /// Takes an ended session out.
    pub(super) fn let_go(&self, session: &Session, tombstone: &Tombstone, written: Written) {
        let mut ledger = self.lock_ledger();
        let removed = self
            .sessions
            .remove_if(session.id(), |_, held| held.key() == session.key());
        if removed.is_some() {
            ledger.remove(session);
        }
        self.bury(tombstone, written, &mut ledger);
    }

    fn bury(&self, tombstone: &Tombstone, written: Written, ledger: &mut Ledger) {
        let grave = Grave {
            end: tombstone.end,
            owner: tombstone.owner.as_deref().map(Arc::from),
            until_ms: self
                .keeper
                .clock
                .now_ms()
                .saturating_add(ms(tombstone.ttl_s)),
            written,
        };
        let kind = match tombstone.is_vector {
            true => Kind::Vector,
            false => Kind::Single,
        };
        ledger.bury(kind, &tombstone.id, grave);
    }

    /// Remembers a session that had ended when the server began.
    pub(super) fn bury_recovered(&self, tombstone: &Tombstone) {
        self.bury(tombstone, Written::default(), &mut self.lock_ledger());
    }

    /// Takes in a session that the journal has brought back.
    pub(super) fn hold_recovered(&self, session: Session) {
        self.hold(session, &mut self.lock_ledger());
    }

    /// Every session. Those whose creation has been written down are among them.
    pub(super) fn all(&self) -> Vec<Arc<Session>> {
        // Who creates one holds the ledger from writing to holding.
        let _ledger = self.lock_ledger();
        self.sessions.iter().map(|s| Arc::clone(&s)).collect()
    }

    /// The sessions that are remembered as ended, as a journal keeps them.
    pub(super) fn tombstones(&self) -> Vec<Tombstone> {
        let now_ms = self.keeper.clock.now_ms();
        let ledger = self.lock_ledger();
        let graves = ledger.tombstones.iter();
        let remembered = graves.filter(|(_, grave)| grave.until_ms > now_ms);
        remembered
            .map(|((kind, id), grave)| Tombstone {
                id: id.clone(),
                is_vector: *kind == Kind::Vector,
                end: grave.end,
                ttl_s: (grave.until_ms - now_ms).div_ceil(1_000),
                owner: grave.owner.as_deref().map(str::to_owned),
            })
            .collect()
    }

    /// Ends every session whose lease has run out, and forgets those that ended long ago.
    pub fn reap(&self) {
        let sessions = self.sessions.iter();
        let expired = sessions.filter(|session| session.has_expired());
        let expired: Vec<_> = expired.map(|session| Arc::clone(&session)).collect();
        for session in expired {
            self.expire(&session);
        }
        self.lock_ledger().forget(self.keeper.clock.now_ms());
    }

    /// How many leases have run out since the server began.
    pub fn leases_expired(&self) -> u64 {
        self.leases_expired.load(Ordering::Relaxed)
    }

    /// Who is there, for metrics.
    pub fn census(&self) -> Census {
        let mut populations: Vec<Population> = Vec::new();
        for session in &self.sessions {
            let (spec_id, kind) = (&session.spec().id, session.creation().kind().as_str());
            let state = session.condition();
            let found = populations
                .iter_mut()
                .find(|p| p.spec_id == *spec_id && p.kind == kind && p.state == state);
            let lanes = session.creation().num_envs();
            match found {
                Some(population) => {
                    population.environments += 1;
                    population.lanes += lanes;
                }
                None => populations.push(Population {
                    spec_id: spec_id.clone(),
                    kind,
                    state,
                    environments: 1,
                    lanes,
                }),
            }
        }
        Census {
            populations,
            memory_bytes: self.keeper.memory_bytes() as u64,
            leases_expired: self.leases_expired(),
            journal: self.keeper.journal().map(Journal::stats),
        }
    }

    /// A page of sessions in the order of their ids, those after `after`, and whether more follow.
    pub fn list(
        &self,
        kind: Kind,
        after: &str,
        limit: usize,
        owner: Option<&Owner>,
    ) -> (Vec<Arc<Session>>, bool) {
        let mut sessions: Vec<_> = self
            .sessions
            .iter()
            .filter(|s| s.creation().kind() == kind && s.id() > after)
            .filter(|s| is_of(s.owner(), owner) && !s.has_expired())
            .map(|s| Arc::clone(&s))
            .collect();
        sessions.sort_unstable_by(|a, b| a.id().cmp(b.id()));
        let has_more = sessions.len() > limit;
        sessions.truncate(limit);
        (sessions, has_more)
    }

    fn lock_ledger(&self) -> MutexGuard<'_, Ledger> {
        // A panic while it is held leaves at worst counts that are off by one session.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session that has been created, now or before.
pub struct Created {
    /// The session.
    pub session: Arc<Session>,
    /// Whether it is new.
    pub is_new: bool,
    /// How far the journal must be safe before the client may be told.
    pub written: Written,
}

/// Whether who asks may see what belongs to `owner`. A server without tokens has no owners.
fn is_of(owner: Option<&Arc<str>>, asks: Option<&Owner>) -> bool {
    owner == asks.map(|owner| &owner.name)
}

/// Checks that one more environment with so many lanes is within limits.
fn within(
    who: &str,
    held: Usage,
    lanes: usize,
    max_envs: usize,
    max_lanes: usize,
) -> Result<(), Problem> {
    if held.envs >= max_envs {
        let detail = format!("{who} holds {} environments, the limit", held.envs);
        return Err(Problem::new(ErrorCode::QuotaExceeded, detail));
    }
    if lanes > max_lanes.saturating_sub(held.lanes) {
        let beside = held.lanes;
        let detail =
            format!("{lanes} lanes beside {beside} of {who} are over the limit, {max_lanes}");
        return Err(Problem::new(ErrorCode::QuotaExceeded, detail));
    }
    Ok(())
}

fn drawn_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// 53 bits, so that every JSON library can repeat it.
fn drawn_seed() -> u64 {
    rand::random::<u64>() >> 11
}

fn taken(id: &str) -> Problem {
    let detail = format!("{id} has been created with another body");
    Problem::new(ErrorCode::EnvExists, detail)
}

fn unknown(id: &str) -> Problem {
    Problem::new(
        ErrorCode::UnknownEnv,
        format!("there is no environment {id:?} here"),
    )
}

/// What an id looks like, as a regular expression; [`check_id`] says the same.
pub(crate) const ID_PATTERN: &str = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$";

fn check_id(id: &str) -> Result<(), Problem> {
    let is_letter_or_digit = |b: u8| b.is_ascii_alphanumeric();
    let is_allowed = |b: u8| is_letter_or_digit(b) || b"._-".contains(&b);
    let is_good = id.len() <= 64
        && id.bytes().next().is_some_and(is_letter_or_digit)
        && id.bytes().all(is_allowed);
    match is_good {
        true => Ok(()),
        false => {
            let detail = format!("{id:?} cannot be an id");
            Err(Problem::new(ErrorCode::InvalidEnvId, detail))
        }
    }
}
