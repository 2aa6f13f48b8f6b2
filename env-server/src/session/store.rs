//! All sessions of a server, and the limits on them.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use dashmap::DashMap;
use env_protocol::{ErrorCode, Problem};

use super::{Creation, Kind, Session};

/// How many ids of closed sessions are remembered, so that closing again is no error.
const CLOSED_IDS: usize = 16_384;

/// What a server holds at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Environments, counting a vector environment as one.
    pub max_envs: usize,
    /// Lanes of one vector environment.
    pub max_lanes_per_env: usize,
    /// Lanes of all environments together.
    pub max_lanes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_envs: 4_096,
            max_lanes_per_env: 16_384,
            max_lanes: 262_144,
        }
    }
}

/// All sessions of a server.
pub struct Store {
    sessions: DashMap<String, Arc<Session>>,
    /// Taken for creating and closing only; operations never wait for it.
    ledger: Mutex<Ledger>,
    limits: Limits,
}

/// What must stay true over creating and closing.
#[derive(Default)]
struct Ledger {
    num_lanes: usize,
    /// Ids closed last, the oldest first.
    closed: VecDeque<(Kind, String)>,
    is_closed: HashSet<(Kind, String)>,
}

impl Ledger {
    fn remember_closed(&mut self, kind: Kind, id: &str) {
        let key = (kind, id.to_owned());
        self.is_closed.insert(key.clone());
        self.closed.push_back(key);
        if self.closed.len() > CLOSED_IDS
            && let Some(oldest) = self.closed.pop_front()
        {
            self.is_closed.remove(&oldest);
        }
    }

    fn has_closed(&self, kind: Kind, id: &str) -> bool {
        self.is_closed.contains(&(kind, id.to_owned()))
    }
}

impl Store {
    /// An empty store.
    pub fn new(limits: Limits) -> Self {
        Store {
            sessions: DashMap::new(),
            ledger: Mutex::default(),
            limits,
        }
    }

    /// Creates a session under an id of its own.
    ///
    /// # Errors
    /// As [`Session::new`], and `invalid-num-envs` or `quota-exceeded`.
    pub fn create(&self, creation: Creation) -> Result<Arc<Session>, Problem> {
        let id = uuid::Uuid::new_v4().to_string();
        self.insert(id, creation, &mut self.lock_ledger())
    }

    /// Creates a session under the client's id, or finds the one created so before; the flag says
    /// whether it is new.
    ///
    /// # Errors
    /// As [`Store::create`], and `invalid-env-id`, `env-exists` or `env-closed`.
    pub fn create_as(&self, id: &str, creation: Creation) -> Result<(Arc<Session>, bool), Problem> {
        check_id(id)?;
        let mut ledger = self.lock_ledger();
        if let Some(session) = self.sessions.get(id) {
            if session.creation() == &creation {
                return Ok((Arc::clone(&session), false));
            }
            let detail = format!("{id} has been created with another body");
            return Err(Problem::new(ErrorCode::EnvExists, detail));
        }
        if ledger.has_closed(creation.kind(), id) {
            return Err(closed(id));
        }
        let session = self.insert(id.to_owned(), creation, &mut ledger)?;
        Ok((session, true))
    }

    fn insert(
        &self,
        id: String,
        creation: Creation,
        ledger: &mut Ledger,
    ) -> Result<Arc<Session>, Problem> {
        let num_lanes = self.admit(&creation, ledger)?;
        let session = Arc::new(Session::new(id.clone(), creation, drawn_seed())?);
        ledger.num_lanes += num_lanes;
        self.sessions.insert(id, Arc::clone(&session));
        Ok(session)
    }

    /// Checks the limits and gives the number of lanes to come.
    fn admit(&self, creation: &Creation, ledger: &Ledger) -> Result<usize, Problem> {
        let Limits {
            max_envs,
            max_lanes_per_env,
            max_lanes,
        } = self.limits;
        let num_lanes = usize::try_from(creation.num_envs())
            .ok()
            .filter(|n| (1..=max_lanes_per_env).contains(n))
            .ok_or_else(|| {
                let asked = creation.num_envs();
                let detail = format!("num_envs must be from 1 to {max_lanes_per_env}, not {asked}");
                Problem::new(ErrorCode::InvalidNumEnvs, detail).at("/num_envs")
            })?;
        if self.sessions.len() >= max_envs {
            let detail = format!("the server holds {max_envs} environments, its limit");
            return Err(Problem::new(ErrorCode::QuotaExceeded, detail));
        }
        let held = ledger.num_lanes;
        if held + num_lanes > max_lanes {
            let detail = format!("{num_lanes} lanes beside {held} are over the limit, {max_lanes}");
            return Err(Problem::new(ErrorCode::QuotaExceeded, detail));
        }
        Ok(num_lanes)
    }

    /// Finds a session.
    ///
    /// # Errors
    /// `unknown-env` or `env-closed`.
    pub fn get(&self, kind: Kind, id: &str) -> Result<Arc<Session>, Problem> {
        if let Some(session) = self.sessions.get(id)
            && session.creation().kind() == kind
        {
            return Ok(Arc::clone(&session));
        }
        match self.lock_ledger().has_closed(kind, id) {
            true => Err(closed(id)),
            false => Err(unknown(id)),
        }
    }

    /// Closes a session. Closing it again is no error.
    ///
    /// # Errors
    /// `unknown-env`, when there never was one.
    pub fn close(&self, kind: Kind, id: &str) -> Result<(), Problem> {
        let mut ledger = self.lock_ledger();
        let removed = self
            .sessions
            .remove_if(id, |_, session| session.creation().kind() == kind);
        if let Some((_, session)) = removed {
            ledger.num_lanes -= session.creation().num_envs() as usize;
            ledger.remember_closed(kind, id);
            return Ok(());
        }
        match ledger.has_closed(kind, id) {
            true => Ok(()),
            false => Err(unknown(id)),
        }
    }

    /// A page of sessions in the order of their ids, those after `after`, and whether more follow.
    pub fn list(&self, kind: Kind, after: &str, limit: usize) -> (Vec<Arc<Session>>, bool) {
        let mut sessions: Vec<_> = self
            .sessions
            .iter()
            .filter(|s| s.creation().kind() == kind && s.id() > after)
            .map(|s| Arc::clone(&s))
            .collect();
        sessions.sort_unstable_by(|a, b| a.id().cmp(b.id()));
        let has_more = sessions.len() > limit;
        sessions.truncate(limit);
        (sessions, has_more)
    }

    fn lock_ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        // A panic while it is held leaves at worst a count of lanes that is too low by one session.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 53 bits, so that every JSON library can repeat it.
fn drawn_seed() -> u64 {
    rand::random::<u64>() >> 11
}

fn unknown(id: &str) -> Problem {
    Problem::new(
        ErrorCode::UnknownEnv,
        format!("there is no environment {id:?} here"),
    )
}

fn closed(id: &str) -> Problem {
    Problem::new(
        ErrorCode::EnvClosed,
        format!("environment {id:?} has been closed"),
    )
}

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
