//! All sessions of a server, and the limits on them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use env_protocol::{ErrorCode, ForkRequest, LeaseReply, LeaseRequest, Problem};

use crate::journal::Journal;
use service::access::Owner;
use service::observe::{Census, Population, Work};

use super::blueprint::Blueprint;
use super::creation::{Creation, Description, Kind};
use super::graves::{Grave, Graves};
use super::keeper::{Keeper, Written};
use super::lease::{Clock, ms};
use super::limits::{Limits, PAGE_BYTES};
use super::operation::{Answer, Operation};
use super::records::{End, MAX_STATE_BYTES, Tombstone};
use super::session::{Parents, Session, ended};
use service::room::{Room, Rooms};

/// Bytes of a reply that is not counted while it is under way: `--max-requests-in-flight` bounds how many there are.
const SMALL_REPLY: usize = 64 << 10;

/// All sessions of a server.
///
/// Each principal has ids of its own: the same id of two is two sessions, and nobody can find out
/// which ids others have, or take them. Sessions without an owner, which were made while the server
/// asked for no tokens, are everybody's, as they have always been. Where it asks for none, those of
/// the principals that it had before are everybody's, too, as long as an id says which is meant.
pub struct Store {
    /// By [`Key`].
    sessions: DashMap<String, Arc<Session>>,
    /// Taken for creating and ending only; operations never wait for it. Where a session's state
    /// is locked as well, that comes first.
    ledger: Mutex<Ledger>,
    limits: Limits,
    keeper: Arc<Keeper>,
    /// Memory that is taken for a while, beside what sessions hold.
    rooms: Arc<Rooms>,
    leases_expired: AtomicU64,
}

/// What must stay true over creating and ending.
#[derive(Default)]
struct Ledger {
    held: Usage,
    by_owner: HashMap<Arc<str>, Usage>,
    graves: Graves,
}

#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    envs: usize,
    lanes: usize,
}

/// What is known of an id.
enum Found {
    Living(Arc<Session>),
    Ended(End, Written),
    Nothing,
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

    /// The principals of whom there is anything.
    fn owners(&self) -> Vec<Arc<str>> {
        let held = self.by_owner.keys();
        let mut owners: Vec<_> = held.chain(self.graves.owners()).map(Arc::clone).collect();
        owners.sort_unstable();
        owners.dedup();
        owners
    }
}

/// Under what a session is found: its id, behind its owner's name if it has one. Names have no
/// slash in them.
struct Key {
    bytes: [u8; Key::MAX_BYTES],
    len: usize,
}

impl Key {
    /// A name, a slash and an id.
    const MAX_BYTES: usize = 129;

    /// Without allocating; nothing, where the id is too long to be one.
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

    fn of(session: &Session) -> String {
        match session.owner() {
            None => session.id().to_owned(),
            Some(owner) => format!("{owner}/{}", session.id()),
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
            rooms: Rooms::new(limits.max_memory_bytes),
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
        let built = self.build(drawn_id(), creation, owner)?;
        self.insert(built, owner, &mut self.lock_ledger())
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
        let name = owner.map(|owner| &owner.name);
        self.expire_if_due(name, id);
        if let Some(found) = self.created_before(id, &creation, name, &self.lock_ledger())? {
            return Ok(found);
        }
        let built = self.build(id.to_owned(), creation, owner)?;
        let mut ledger = self.lock_ledger();
        // Somebody else may have created it meanwhile.
        match self.created_before(id, built.creation(), name, &ledger)? {
            Some(found) => Ok(found),
            None => self.insert(built, owner, &mut ledger),
        }
    }

    /// The session that was created under this id with this body, if it was.
    fn created_before(
        &self,
        id: &str,
        creation: &Creation,
        name: Option<&Arc<str>>,
        ledger: &Ledger,
    ) -> Result<Option<Created>, Problem> {
        let existing = |session: Arc<Session>| Created {
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
            Found::Ended(end, _) => Err(ended(id, end)),
            // Its client goes on with it, although the server asks otherwise now who it is.
            Found::Living(session) if is_same(&session) && !session.has_expired() => {
                Ok(Some(existing(session)))
            }
            Found::Living(_) | Found::Nothing => Ok(None),
        }
    }

    /// Builds a session that nobody sees yet. This takes long where it is large: others are created
    /// and closed meanwhile.
    fn build(
        &self,
        id: String,
        creation: Creation,
        owner: Option<&Owner>,
    ) -> Result<Session, Problem> {
        self.admit(&creation, owner, &self.lock_ledger())?;
        let ttl_s = self.ttl_s(creation.ttl_s())?;
        let parents = self.parents(owner.map(|owner| Arc::clone(&owner.name)), ttl_s, false);
        let expected = Blueprint::expected_bytes(&creation)?;
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
    ) -> Result<Created, Problem> {
        self.admit(session.creation(), owner, ledger)?;
        self.check_memory()?;
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
        self.sessions
            .insert(Key::of(&session), Arc::clone(&session));
        session
    }

    /// The session of an owner, or of nobody, under an id.
    fn living(&self, owner: Option<&Arc<str>>, id: &str) -> Option<Arc<Session>> {
        let found = match owner {
            None => self.sessions.get(id),
            Some(owner) => self.sessions.get(Key::new(owner, id)?.as_str()),
        };
        // An id that comes from outside may look like a key.
        let session = found.filter(|session| session.owner() == owner)?;
        Some(Arc::clone(&session))
    }

    /// What an id means to who asks.
    fn find(&self, kind: Kind, id: &str, asks: Option<&Owner>) -> Found {
        let name = asks.map(|owner| &owner.name);
        match self.living(name, id) {
            Some(session) if session.creation().kind() == kind => Found::Living(session),
            _ => self.ended_or_beyond(kind, id, name, &self.lock_ledger()),
        }
    }

    /// What an id means to who asks and has no session under it: one of its own that has ended, or
    /// one of those that are everybody's.
    fn ended_or_beyond(
        &self,
        kind: Kind,
        id: &str,
        asks: Option<&Arc<str>>,
        ledger: &Ledger,
    ) -> Found {
        let now_ms = self.keeper.clock.now_ms();
        let ended = |owner: Option<&Arc<str>>| {
            let grave = ledger.graves.find(owner, kind, id, now_ms);
            grave.map(|grave| Found::Ended(grave.end, grave.written))
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
                // Of several that are meant equally none is.
                found.next().filter(|_| found.next().is_none())
            }
        });
        found.unwrap_or(Found::Nothing)
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
        self.check_memory_with(0)
    }

    fn check_memory_with(&self, expected: usize) -> Result<(), Problem> {
        let (held, max) = (
            self.memory_bytes().saturating_add(expected),
            self.limits.max_memory_bytes,
        );
        if held > max {
            let detail = format!("with it the server would hold {held} bytes, over {max}");
            return Err(Problem::new(ErrorCode::ServerFull, detail));
        }
        Ok(())
    }

    /// Takes room for environments of so many bytes, before they are built.
    fn room_to_build(&self, bytes: usize) -> Result<Room, Problem> {
        self.check_memory_with(bytes)?;
        self.rooms
            .take(bytes, self.keeper.memory_bytes())
            .ok_or_else(|| {
                let detail = format!(
                    "{bytes} bytes for it, beside what is built now, are over the server's limit"
                );
                Problem::new(ErrorCode::ServerFull, detail)
            })
    }

    /// Takes room for a reply of about so many bytes, until it has been sent. A small one needs none.
    ///
    /// # Errors
    /// `overloaded`, when other replies take it.
    pub(crate) fn room(&self, bytes: usize) -> Result<Room, Problem> {
        let held = self.keeper.memory_bytes();
        let bytes = if bytes <= SMALL_REPLY { 0 } else { bytes };
        self.rooms.take(bytes, held).ok_or_else(|| {
            let (taken, max) = (self.rooms.taken(), self.limits.max_memory_bytes);
            let detail = format!(
                "{bytes} bytes for the reply, beside {taken} of others and {held} of environments, are over the \
                 server's {max}"
            );
            Problem::new(ErrorCode::Overloaded, detail)
        })
    }

    /// Bytes that are taken for a while.
    #[cfg(test)]
    pub(crate) fn rooms_taken(&self) -> usize {
        self.rooms.taken()
    }

    /// Bytes of all environments, and of what is taken for a while.
    fn memory_bytes(&self) -> usize {
        self.keeper
            .memory_bytes()
            .saturating_add(self.rooms.taken())
    }

    /// Whether something is done to the session that an id means to who asks in a moment, if there is one.
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
            // One that is played at this moment does not end: its lease is renewed by that.
            Found::Living(session) => Ok(session),
            Found::Ended(end, _) => Err(ended(id, end)),
            Found::Nothing => Err(unknown(id)),
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
        let name = owner.map(|owner| &owner.name);
        self.expire_if_due(name, &env_id);
        let operation = Operation::Fork {
            request,
            env_id: env_id.clone(),
        };
        session.once(seq, operation, |state, operation, bytes, next_seq| {
            check_id(&env_id).map_err(|problem| problem.at("/env_id"))?;
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
                    return Err(ended(&env_id, end));
                }
                self.admit(session.creation(), owner, ledger)
            };
            may_be(&self.lock_ledger())?;
            // Others are created and closed while it is built.
            let parents = self.parents(name.cloned(), ttl_s, true);
            let room = self.room_to_build(session.bytes())?;
            let mut child = session.branch(state, env_id.clone(), parents)?;
            drop(room);
            let mut ledger = self.lock_ledger();
            may_be(&ledger)?;
            self.check_memory()?;
            let beside = child.with_whole(|whole| session.write_down(state, bytes, Some(whole)));
            let written = beside.expect("it has just begun")?;
            child.born = written;
            self.hold(child, &mut ledger);
            let reply = session
                .blueprint()
                .perform(state.vector.as_mut(), operation, next_seq);
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
        match self.find(kind, id, owner) {
            Found::Living(session) => {
                if let Some((tombstone, written)) = session.finish(End::Closed)? {
                    self.let_go(&session, &tombstone, written);
                    self.keeper.metrics.done(Work::Close);
                    return Ok(written);
                }
                // Somebody else is ending it this moment.
                Ok(session.ended_at().unwrap_or_default())
            }
            Found::Ended(_, written) => Ok(written),
            Found::Nothing => Err(unknown(id)),
        }
    }

    /// Ends the session of an id that is asked for, if its lease has run out and nobody has noticed.
    fn expire_if_due(&self, owner: Option<&Arc<str>>, id: &str) {
        let found = self.living(owner, id);
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
            .remove_if(&Key::of(session), |_, held| held.key() == session.key());
        if removed.is_some() {
            ledger.remove(session);
        }
        self.bury(tombstone, written, &mut ledger);
    }

    fn bury(&self, tombstone: &Tombstone, written: Written, ledger: &mut Ledger) {
        let grave = Grave {
            end: tombstone.end,
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
        let owner = tombstone.owner.as_deref().map(Arc::from);
        ledger.graves.bury(owner, kind, &tombstone.id, grave);
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
        let graves = ledger.graves.iter();
        let remembered = graves.filter(|(_, _, _, grave)| grave.until_ms > now_ms);
        remembered
            .map(|(owner, kind, id, grave)| Tombstone {
                id: id.to_owned(),
                is_vector: kind == Kind::Vector,
                end: grave.end,
                ttl_s: (grave.until_ms - now_ms).div_ceil(1_000),
                owner: owner.as_deref().map(str::to_owned),
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
        self.lock_ledger().graves.forget(self.keeper.clock.now_ms());
    }

    /// How many sessions each principal holds, and nobody.
    pub fn held_by(&self) -> Vec<(Option<Arc<str>>, usize)> {
        let ledger = self.lock_ledger();
        let owned = ledger.by_owner.iter();
        let mut held: Vec<_> = owned
            .map(|(name, usage)| (Some(Arc::clone(name)), usage.envs))
            .collect();
        held.sort_unstable();
        let of_principals: usize = held.iter().map(|(_, envs)| envs).sum();
        held.insert(0, (None, ledger.held.envs - of_principals));
        held
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
            memory_bytes: self.memory_bytes() as u64,
            leases_expired: self.leases_expired(),
            journal: self.keeper.journal().map(Journal::stats),
        }
    }

    /// A page of sessions in the order of their ids, those after `after`, and where the next page
    /// begins. It ends when it is large.
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
        // Of one id first what is the caller's own.
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

/// Whether who asks may see what belongs to `owner`: what is nobody's is everybody's, and who asks
/// without tokens is everybody.
fn is_open_to(owner: Option<&Arc<str>>, asks: Option<&Owner>) -> bool {
    match (owner, asks) {
        (Some(owner), Some(asks)) => *owner == asks.name,
        _ => true,
    }
}

/// Sessions by id, without those that their id does not find: where one of several is the caller's
/// own, the others, and where none is, all of them.
fn only_found(sessions: Vec<Arc<Session>>, name: Option<&Arc<str>>) -> Vec<Arc<Session>> {
    let runs = sessions.chunk_by(|a, b| a.id() == b.id());
    let found = runs.filter_map(|run| match run {
        [only] => Some(only),
        [first, ..] if first.owner() == name => Some(first),
        _ => None,
    });
    found.map(Arc::clone).collect()
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

#[cfg(test)]
mod tests;
