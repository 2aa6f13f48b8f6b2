//! All sessions of a server, and the limits on them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use env_protocol::{ErrorCode, ForkRequest, LeaseReply, LeaseRequest, Problem};

use crate::journal::Journal;
use service::access::Owner;
use service::leases::{
    Clock, Quotas, Tombstone, Tombstones, Usage, check_id, check_lanes, check_ttl_s, drawn_seed, ms,
};
use service::observe::{Census, Population, Work};

use super::blueprint::Blueprint;
use super::catalogue::Catalogue;
use super::context::SessionContext;
use super::creation::{Creation, Description, Kind};
use super::limits::{Limits, PAGE_BYTES};
use super::operation::{Answer, Operation};
use super::position::JournalPosition;
use super::records::{End, Ended, MAX_STATE_BYTES};
use super::session::{Parents, Session, ended};
use service::room::{Room, Rooms};

/// Largest reply, in bytes, that is not counted while it is sent: `--max-requests-in-flight` bounds
/// the number of such replies.
const SMALL_REPLY: usize = 64 << 10;

/// All sessions of a server.
///
/// Each principal has its own ids: the same id of two principals names two sessions, and a principal
/// can neither discover nor take the ids of others. Sessions without an owner, created while the
/// server required no tokens, remain open to every client. While the server requires no tokens, so
/// are the sessions of principals, if their id is unambiguous.
pub struct Store {
    /// By [`Key`].
    sessions: DashMap<String, Arc<Session>>,
    /// Locked only to create and end sessions; operations never wait for it. A session's state is
    /// locked before it.
    ledger: Mutex<Ledger>,
    limits: Limits,
    context: Arc<SessionContext>,
    /// Memory reserved for a time, in addition to that of sessions.
    rooms: Arc<Rooms>,
    leases_expired: AtomicU64,
}

/// Most ended sessions remembered per principal: as many as there may be environments by default.
/// Each takes about 200 bytes.
const MAX_ENDED_OF_ONE: usize = 16_384;

/// Most ended sessions remembered in all. Beyond that, the principal with the most forgets its
/// oldest.
const MAX_ENDED_OF_ALL: usize = 16 * MAX_ENDED_OF_ONE;

/// Counts and tombstones, which creating and ending change together.
struct Ledger {
    quotas: Quotas,
    tombstones: Tombstones<(Kind, String), (End, JournalPosition)>,
}

/// The state of an id.
enum Found {
    Living(Arc<Session>),
    Ended(End, JournalPosition),
    Nothing,
}

impl Ledger {
    fn new() -> Self {
        Ledger {
            quotas: Quotas::new("the server", "environments"),
            tombstones: Tombstones::new(MAX_ENDED_OF_ONE, MAX_ENDED_OF_ALL),
        }
    }

    /// Returns the principals that hold sessions or have ended ones.
    fn owners(&self) -> Vec<Arc<str>> {
        let held = self.quotas.by_owner().map(|(name, _)| name);
        let mut owners: Vec<_> = held
            .chain(self.tombstones.owners())
            .map(Arc::clone)
            .collect();
        owners.sort_unstable();
        owners.dedup();
        owners
    }
}

/// The key of a session: its id, preceded by its owner's name and a slash if it has an owner. Names
/// contain no slash.
struct Key {
    bytes: [u8; Key::MAX_BYTES],
    len: usize,
}

impl Key {
    /// Longest name, a slash, longest id.
    const MAX_BYTES: usize = 129;

    /// Creates a key without allocating. Returns `None` if the id is too long to be valid.
    fn new(owner: &str, id: &str) -> Option<Self> {
        let len = owner.len() + 1 + id.len();
        let mut bytes = [0; Key::MAX_BYTES];
        let (name, rest) = bytes.get_mut(..len)?.split_at_mut(owner.len());
        name.copy_from_slice(owner.as_bytes());
        rest[0] = b'/';
        rest[1..].copy_from_slice(id.as_bytes());
        Some(Key { bytes, len })
    }

    fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }

    fn from_session(session: &Session) -> String {
        match session.owner() {
            None => session.id().to_owned(),
            Some(owner) => format!("{owner}/{}", session.id()),
        }
    }
}

impl Store {
    /// Creates an empty store, whose sessions end with the process.
    pub fn new(limits: Limits, clock: Clock) -> Self {
        Store::with_catalogue(limits, clock, Catalogue::default())
    }

    /// Creates an empty store that also creates environments of hosts.
    pub fn with_catalogue(limits: Limits, clock: Clock, catalogue: Catalogue) -> Self {
        let context = SessionContext::new(limits.trajectory_bytes, clock, None, 0, catalogue);
        Store::with_context(limits, context)
    }

    pub(super) fn with_context(limits: Limits, context: SessionContext) -> Self {
        Store {
            sessions: DashMap::new(),
            ledger: Mutex::new(Ledger::new()),
            rooms: Rooms::new(limits.max_memory_bytes),
            limits,
            context: Arc::new(context),
            leases_expired: AtomicU64::new(0),
        }
    }

    pub(super) fn context_handle(&self) -> &Arc<SessionContext> {
        &self.context
    }

    /// Returns the context that all sessions share.
    pub fn context(&self) -> &SessionContext {
        &self.context
    }

    /// Creates a session under an id drawn by the server.
    ///
    /// # Errors
    /// `unknown-spec`, `invalid-kwargs`, `invalid-seed`, `invalid-num-envs`, `invalid-ttl`,
    /// `quota-exceeded`, `server-full` or `storage-failed`.
    pub fn create(
        &self,
        creation: Creation,
        owner: Option<&Owner>,
    ) -> Result<CreatedSession, Problem> {
        let built = self.build(drawn_id(), creation, owner)?;
        self.insert(built, owner, &mut self.lock_ledger())
    }

    /// Creates a session under the client's id, or finds the one created before by the same request.
    ///
    /// # Errors
    /// As [`Store::create`], and `invalid-env-id`, `env-exists`, `env-closed` or `lease-expired`.
    pub fn create_as(
        &self,
        id: &str,
        creation: Creation,
        owner: Option<&Owner>,
    ) -> Result<CreatedSession, Problem> {
        check_id(id, ErrorCode::InvalidEnvId)?;
        let name = owner.map(|owner| &owner.name);
        self.expire_if_due(name, id);
        if let Some(found) = self.created_before(id, &creation, name, &self.lock_ledger())? {
            return Ok(found);
        }
        let built = self.build(id.to_owned(), creation, owner)?;
        let mut ledger = self.lock_ledger();
        // Another request may have created it meanwhile.
        match self.created_before(id, built.creation(), name, &ledger)? {
            Some(found) => Ok(found),
            None => self.insert(built, owner, &mut ledger),
        }
    }

    /// Returns the session created before under this id with this body, if there is one.
    ///
    /// # Errors
    /// `env-exists`, if it was created with another body; `env-closed`, `lease-expired` or
    /// `env-lost`, if it has ended.
    fn created_before(
        &self,
        id: &str,
        creation: &Creation,
        name: Option<&Arc<str>>,
        ledger: &Ledger,
    ) -> Result<Option<CreatedSession>, Problem> {
        let existing = |session: Arc<Session>| CreatedSession {
            written: session.born,
            session,
            is_new: false,
        };
        let is_same = |session: &Session| session.creation() == creation && !session.is_fork();
        if let Some(session) = self.living(name, id) {
            return match is_same(&session) {
                true => Ok(Some(existing(session))),
                false => Err(taken(id)),
            };
        }
        match self.ended_or_beyond(creation.kind(), id, name, ledger) {
            Found::Ended(end, _) => Err(ended(id, &end)),
            // Its client continues with it, although the server now requires tokens, or no longer.
            Found::Living(session) if is_same(&session) && !session.has_expired() => {
                Ok(Some(existing(session)))
            }
            Found::Living(_) | Found::Nothing => Ok(None),
        }
    }

    /// Builds a session without inserting it. A large one takes long, so the ledger is not locked
    /// meanwhile.
    fn build(
        &self,
        id: String,
        creation: Creation,
        owner: Option<&Owner>,
    ) -> Result<Session, Problem> {
        self.admit(&creation, owner, &self.lock_ledger())?;
        let ttl_s = self.ttl_s(creation.ttl_s())?;
        let parents = self.parents(owner.map(|owner| Arc::clone(&owner.name)), ttl_s, false);
        let expected = Blueprint::expected_bytes(self.context.catalogue(), &creation)?;
        let room = self.room_to_build(expected)?;
        let mut session = Session::new(id, creation, drawn_seed(), parents)?;
        drop(room);
        session.expect_bytes(expected);
        session.check_can_be_kept(MAX_STATE_BYTES)?;
        Ok(session)
    }

    fn insert(
        &self,
        mut session: Session,
        owner: Option<&Owner>,
        ledger: &mut Ledger,
    ) -> Result<CreatedSession, Problem> {
        self.admit(session.creation(), owner, ledger)?;
        self.check_memory()?;
        let written = session.with_snapshot(|whole| self.context.write_down(&[whole]));
        session.born = written.expect("it has just begun")?;
        self.context.metrics.done(Work::Create);
        Ok(CreatedSession {
            written: session.born,
            session: self.hold(session, ledger),
            is_new: true,
        })
    }

    fn parents(&self, owner: Option<Arc<str>>, ttl_s: u64, is_fork: bool) -> Parents {
        Parents {
            context: Arc::clone(&self.context),
            owner,
            ttl_s,
            is_fork,
        }
    }

    fn hold(&self, session: Session, ledger: &mut Ledger) -> Arc<Session> {
        let session = Arc::new(session);
        let lanes = session.creation().num_envs() as usize;
        ledger.quotas.add(session.owner(), lanes);
        self.sessions
            .insert(Key::from_session(&session), Arc::clone(&session));
        session
    }

    /// Returns the session with this owner, or without an owner, under an id.
    fn living(&self, owner: Option<&Arc<str>>, id: &str) -> Option<Arc<Session>> {
        let found = match owner {
            None => self.sessions.get(id),
            Some(owner) => self.sessions.get(Key::new(owner, id)?.as_str()),
        };
        // An id from a client may look like a key.
        let session = found.filter(|session| session.owner() == owner)?;
        Some(Arc::clone(&session))
    }

    /// Resolves an id for the client.
    fn find(&self, kind: Kind, id: &str, asks: Option<&Owner>) -> Found {
        let name = asks.map(|owner| &owner.name);
        match self.living(name, id) {
            Some(session) if session.creation().kind() == kind => Found::Living(session),
            _ => self.ended_or_beyond(kind, id, name, &self.lock_ledger()),
        }
    }

    /// Resolves an id under which the client has no session of its own: it may name one that has
    /// ended, or one open to every client.
    fn ended_or_beyond(
        &self,
        kind: Kind,
        id: &str,
        asks: Option<&Arc<str>>,
        ledger: &Ledger,
    ) -> Found {
        let (now_ms, key) = (self.context.clock.now_ms(), (kind, id.to_owned()));
        let ended = |owner: Option<&Arc<str>>| {
            let found = ledger.tombstones.find(owner, &key, now_ms);
            found.map(|(end, written)| Found::Ended(end.clone(), *written))
        };
        let of = |owner: Option<&Arc<str>>| {
            let living = self.living(owner, id);
            let living = living.filter(|session| session.creation().kind() == kind);
            living.map(Found::Living).or_else(|| ended(owner))
        };
        let found = ended(asks).or_else(|| match asks {
            Some(_) => of(None),
            None => {
                let owners = ledger.owners();
                let mut found = owners.iter().filter_map(|owner| of(Some(owner)));
                // An id of several principals names none of their sessions.
                found.next().filter(|_| found.next().is_none())
            }
        });
        found.unwrap_or(Found::Nothing)
    }

    fn ttl_s(&self, asked: Option<u64>) -> Result<u64, Problem> {
        check_ttl_s(asked, self.limits.default_ttl_s, self.limits.max_ttl_s)
    }

    /// Checks that one more session is within the limits and quotas.
    fn admit(
        &self,
        creation: &Creation,
        owner: Option<&Owner>,
        ledger: &Ledger,
    ) -> Result<(), Problem> {
        let lanes = check_lanes(creation.num_envs(), self.limits.max_lanes_per_env)?;
        let max = Usage {
            sessions: self.limits.max_envs,
            lanes: self.limits.max_lanes,
        };
        ledger.quotas.admit(lanes, max, owner)
    }

    /// Checks the limit on memory, including a session just built.
    fn check_memory(&self) -> Result<(), Problem> {
        self.check_memory_with(0)
    }

    fn check_memory_with(&self, expected: usize) -> Result<(), Problem> {
        let (held, max) = (
            self.memory_bytes().saturating_add(expected),
            self.limits.max_memory_bytes,
        );
        if held > max {
            let detail =
                format!("with it the server would hold {held} bytes, more than its limit of {max}");
            return Err(Problem::new(ErrorCode::ServerFull, detail));
        }
        Ok(())
    }

    /// Reserves memory for environments before they are built.
    fn room_to_build(&self, bytes: usize) -> Result<Room, Problem> {
        self.check_memory_with(bytes)?;
        self.rooms
            .take(bytes, self.context.memory_bytes())
            .ok_or_else(|| {
                let detail = format!(
                    "{bytes} bytes for it, in addition to those being built, exceed the server's limit"
                );
                Problem::new(ErrorCode::ServerFull, detail)
            })
    }

    /// Reserves memory for a reply of about this size until it has been sent; a small reply needs none.
    ///
    /// # Errors
    /// `overloaded`, if other replies leave too little.
    pub(crate) fn room(&self, bytes: usize) -> Result<Room, Problem> {
        let held = self.context.memory_bytes();
        let bytes = if bytes <= SMALL_REPLY { 0 } else { bytes };
        self.rooms.take(bytes, held).ok_or_else(|| {
            let (taken, max) = (self.rooms.taken(), self.limits.max_memory_bytes);
            let detail = format!(
                "{bytes} bytes for the reply, in addition to {taken} of others and {held} of environments, exceed the \
                 server's limit of {max}"
            );
            Problem::new(ErrorCode::Overloaded, detail)
        })
    }

    /// Returns the bytes reserved for a time.
    #[cfg(test)]
    pub(crate) fn rooms_taken(&self) -> usize {
        self.rooms.taken()
    }

    /// Returns the bytes of all environments and of all reservations.
    fn memory_bytes(&self) -> usize {
        self.context
            .memory_bytes()
            .saturating_add(self.rooms.taken())
    }

    /// Whether an operation on the session under an id takes only a moment; true if there is none.
    pub(crate) fn is_quick(&self, kind: Kind, id: &str, owner: Option<&Owner>) -> bool {
        match self.find(kind, id, owner) {
            Found::Living(session) => session.is_quick(),
            Found::Ended(..) | Found::Nothing => true,
        }
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
        let mut found = self.find(kind, id, owner);
        if let Found::Living(session) = found {
            if !session.has_expired() {
                return Ok(session);
            }
            self.expire(&session);
            found = self.find(kind, id, owner);
        }
        match found {
            // A session with an operation in progress does not end: the operation renews its lease.
            Found::Living(session) => Ok(session),
            Found::Ended(end, _) => Err(ended(id, &end)),
            Found::Nothing => Err(unknown(id)),
        }
    }

    /// Creates a branch of a session, as an operation on that session.
    ///
    /// # Errors
    /// As [`Session::apply`] and [`Store::create_as`]. An error changes nothing.
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
        let name = owner.map(|owner| &owner.name);
        self.expire_if_due(name, &env_id);
        let operation = Operation::Fork {
            request,
            env_id: env_id.clone(),
        };
        session.once(seq, operation, |state, operation, bytes, next_seq| {
            check_id(&env_id, ErrorCode::InvalidEnvId).map_err(|problem| problem.at("/env_id"))?;
            let ttl_s = match ttl_s {
                Some(ttl_s) => self.ttl_s(Some(ttl_s))?,
                None => session.ttl_s(),
            };
            let kind = session.creation().kind();
            let may_be = |ledger: &Ledger| {
                if self.living(name, &env_id).is_some() {
                    return Err(taken(&env_id).at("/env_id"));
                }
                if let Found::Ended(end, _) = self.ended_or_beyond(kind, &env_id, name, ledger) {
                    return Err(ended(&env_id, &end));
                }
                self.admit(session.creation(), owner, ledger)
            };
            may_be(&self.lock_ledger())?;
            // Other sessions can be created and closed while it is built.
            let parents = self.parents(name.cloned(), ttl_s, true);
            let room = self.room_to_build(session.bytes())?;
            let mut child = session.branch(state, env_id.clone(), parents)?;
            drop(room);
            let mut ledger = self.lock_ledger();
            may_be(&ledger)?;
            self.check_memory()?;
            let result = child.with_snapshot(|whole| session.write_down(state, bytes, Some(whole)));
            let written = result.expect("it has just begun")?;
            child.born = written;
            self.hold(child, &mut ledger);
            let reply = session
                .blueprint()
                .perform(&mut state.vector, operation, next_seq)
                .map_err(|fault| Problem::new(ErrorCode::Internal, fault.to_string()))?;
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
    ) -> Result<(LeaseReply, JournalPosition), Problem> {
        if request.ttl_s.is_some() {
            self.ttl_s(request.ttl_s)?;
        }
        session.renew(request)
    }

    /// Closes a session, after the operation in progress. Closing it again is not an error.
    ///
    /// # Errors
    /// `unknown-env`, if there never was one, or `storage-failed`.
    pub fn close(
        &self,
        kind: Kind,
        id: &str,
        owner: Option<&Owner>,
    ) -> Result<JournalPosition, Problem> {
        match self.find(kind, id, owner) {
            Found::Living(session) => {
                if let Some((tombstone, written)) = session.finish(End::Closed)? {
                    self.let_go(&session, &tombstone, written);
                    self.context.metrics.done(Work::Close);
                    return Ok(written);
                }
                // Another request is ending it.
                Ok(session.ended_at().unwrap_or_default())
            }
            Found::Ended(_, written) => Ok(written),
            Found::Nothing => Err(unknown(id)),
        }
    }

    /// Ends the session under an id if its lease has run out.
    fn expire_if_due(&self, owner: Option<&Arc<str>>, id: &str) {
        let found = self.living(owner, id);
        if let Some(session) = found.filter(|session| session.has_expired()) {
            self.expire(&session);
        }
    }

    /// Ends a session with an expired lease.
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

    /// Removes a session that has ended.
    pub(super) fn let_go(&self, session: &Session, tombstone: &Ended, written: JournalPosition) {
        let mut ledger = self.lock_ledger();
        let removed = self
            .sessions
            .remove_if(&Key::from_session(session), |_, held| {
                held.key() == session.key()
            });
        if removed.is_some() {
            let lanes = session.creation().num_envs() as usize;
            ledger.quotas.remove(session.owner(), lanes);
        }
        self.remember(tombstone, written, &mut ledger);
    }

    fn remember(&self, ended: &Ended, written: JournalPosition, ledger: &mut Ledger) {
        let until_ms = self.context.clock.now_ms().saturating_add(ms(ended.ttl_s));
        let kind = match ended.is_vector {
            true => Kind::Vector,
            false => Kind::Single,
        };
        let owner = ended.owner.as_deref().map(Arc::from);
        let tombstone = Tombstone {
            end: (ended.end.clone(), written),
            until_ms,
        };
        ledger
            .tombstones
            .add(owner, (kind, ended.id.clone()), tombstone);
    }

    /// Remembers a session that ended before the server began.
    pub(super) fn remember_recovered(&self, ended: &Ended) {
        self.remember(ended, JournalPosition::default(), &mut self.lock_ledger());
    }

    /// Holds a session recovered from the journal.
    pub(super) fn hold_recovered(&self, session: Session) {
        self.hold(session, &mut self.lock_ledger());
    }

    /// Returns every session whose creation is in the journal.
    pub(super) fn all(&self) -> Vec<Arc<Session>> {
        // Creating a session locks the ledger from writing the record until it is held.
        let _ledger = self.lock_ledger();
        self.sessions.iter().map(|s| Arc::clone(&s)).collect()
    }

    /// Returns the ended sessions that are remembered, as records for the journal.
    pub(super) fn tombstones(&self) -> Vec<Ended> {
        let now_ms = self.context.clock.now_ms();
        let ledger = self.lock_ledger();
        let all = ledger.tombstones.iter();
        let remembered = all.filter(|(_, _, tombstone)| tombstone.until_ms > now_ms);
        remembered
            .map(|(owner, (kind, id), tombstone)| Ended {
                id: id.clone(),
                is_vector: *kind == Kind::Vector,
                end: tombstone.end.0.clone(),
                ttl_s: (tombstone.until_ms - now_ms).div_ceil(1_000),
                owner: owner.as_deref().map(str::to_owned),
            })
            .collect()
    }

    /// Ends every session with an expired lease, and forgets old ends.
    pub fn reap(&self) {
        let sessions = self.sessions.iter();
        let expired = sessions.filter(|session| session.has_expired());
        let expired: Vec<_> = expired.map(|session| Arc::clone(&session)).collect();
        for session in expired {
            self.expire(&session);
        }
        let broken = self.sessions.iter();
        let broken = broken.filter_map(|session| Some((Arc::clone(&session), session.broken()?)));
        for (session, (tombstone, written)) in broken.collect::<Vec<_>>() {
            self.let_go(&session, &tombstone, written);
        }
        let now_ms = self.context.clock.now_ms();
        self.lock_ledger().tombstones.forget(now_ms);
    }

    /// Returns the number of sessions of each principal, after those without an owner.
    pub fn held_by(&self) -> Vec<(Option<Arc<str>>, usize)> {
        let ledger = self.lock_ledger();
        let owned = ledger.quotas.by_owner();
        let mut held: Vec<_> = owned
            .map(|(name, usage)| (Some(Arc::clone(name)), usage.sessions))
            .collect();
        held.sort_unstable();
        let of_principals: usize = held.iter().map(|(_, envs)| envs).sum();
        held.insert(0, (None, ledger.quotas.held().sessions - of_principals));
        held
    }

    /// Returns the number of leases that have run out since the server began.
    pub fn leases_expired(&self) -> u64 {
        self.leases_expired.load(Ordering::Relaxed)
    }

    /// Returns counts of all sessions, for metrics.
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
            memory_bytes: self.memory_bytes() as u64,
            leases_expired: self.leases_expired(),
            journal: self.context.journal().map(Journal::stats),
        }
    }

    /// Returns a page of sessions ordered by id, those after `after`, and the start of the next page.
    /// A page ends after `limit` sessions or about [`PAGE_BYTES`].
    ///
    /// # Errors
    /// Those of [`Session::describe`].
    pub fn list(
        &self,
        kind: Kind,
        after: &str,
        limit: usize,
        owner: Option<&Owner>,
    ) -> Result<(Vec<Description>, Option<String>), Problem> {
        let mut sessions: Vec<_> = self
            .sessions
            .iter()
            .filter(|s| s.creation().kind() == kind && s.id() > after)
            .filter(|s| is_open_to(s.owner(), owner) && !s.has_expired())
            .map(|s| Arc::clone(&s))
            .collect();
        // The client's own session precedes others with the same id.
        let name = owner.map(|owner| &owner.name);
        sessions.sort_unstable_by(|a, b| {
            let is_other = |session: &Session| session.owner() != name;
            a.id().cmp(b.id()).then(is_other(a).cmp(&is_other(b)))
        });
        let sessions = only_found(sessions, name);
        let mut page = Vec::new();
        let mut bytes = 0;
        for session in sessions.iter().take(limit) {
            let description = session.describe()?;
            bytes += description.json_bytes();
            if bytes > PAGE_BYTES && !page.is_empty() {
                break;
            }
            page.push(description);
        }
        let last = sessions[..page.len()].last();
        let next = last.filter(|_| page.len() < sessions.len());
        Ok((page, next.map(|session| session.id().to_owned())))
    }

    fn lock_ledger(&self) -> MutexGuard<'_, Ledger> {
        // After a panic while it is locked, counts are at worst off by one session.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The result of creating a session.
pub struct CreatedSession {
    /// The session.
    pub session: Arc<Session>,
    /// Whether it is new, rather than created before by the same request.
    pub is_new: bool,
    /// The position up to which the journal must be durable before the client is answered.
    pub written: JournalPosition,
}

/// Whether a client may see a session: sessions without an owner are open to all, and a client of a
/// server without tokens sees all.
fn is_open_to(owner: Option<&Arc<str>>, asks: Option<&Owner>) -> bool {
    match (owner, asks) {
        (Some(owner), Some(asks)) => *owner == asks.name,
        _ => true,
    }
}

/// Removes sessions that their id does not name: of several with one id, only the client's own
/// remains, and none if none is its own.
fn only_found(sessions: Vec<Arc<Session>>, name: Option<&Arc<str>>) -> Vec<Arc<Session>> {
    let runs = sessions.chunk_by(|a, b| a.id() == b.id());
    let found = runs.filter_map(|run| match run {
        [only] => Some(only),
        [first, ..] if first.owner() == name => Some(first),
        _ => None,
    });
    found.map(Arc::clone).collect()
}

fn drawn_id() -> String {
    uuid::Uuid::new_v4().to_string()
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

#[cfg(test)]
mod tests;
