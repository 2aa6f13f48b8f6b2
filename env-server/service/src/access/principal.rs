//! The holder of a token: its permissions and its counts.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use env_protocol::{ErrorCode, Problem};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use super::budget::{StepBudget, StepCount};
use super::grant::Grant;
use super::owner::Owner;

/// Permissions of a token on the environments of its principal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Full,
    /// Describe, step and plainly reset existing environments.
    Evaluation,
}

/// The holder of a token with its quotas; where a quota is not set, the server's limit applies.
/// Handlers find it in the request's extensions.
pub struct Principal {
    role: Role,
    owner: Arc<Owner>,
    max_in_flight: usize,
    /// Shared by all tokens of one name, as is the count.
    rate: Option<Arc<DefaultDirectRateLimiter>>,
    budget: Option<StepBudget>,
    count: Arc<Count>,
}

/// Counts under one name, kept over reloads.
#[derive(Default)]
pub(super) struct Count {
    in_flight: AtomicUsize,
    steps: Arc<StepCount>,
    refusals: AtomicU64,
    first_refusal: OnceLock<String>,
}

/// Requests by evaluation tokens that were not permitted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    /// Number of refusals.
    pub count: u64,
    /// The first of them, such as `GET /v1/vector-envs/x/snapshot`.
    pub first: Option<String>,
}

impl Principal {
    /// Creates the principals of a grant, each with its tokens.
    pub(super) fn from_grant<'a>(
        name: &str,
        grant: &'a Grant,
        count: Arc<Count>,
    ) -> impl Iterator<Item = (&'a String, Arc<Self>)> {
        let rate = grant.max_requests_per_s.map(Quota::per_second);
        let rate = rate.map(|quota| Arc::new(RateLimiter::direct(quota)));
        let owner = Arc::new(grant.owner(name));
        let budget = grant
            .max_steps
            .map(|max| StepBudget::new(max, Arc::clone(&count.steps)));
        let in_role = |role| {
            Arc::new(Principal {
                role,
                owner: Arc::clone(&owner),
                max_in_flight: grant.max_requests_in_flight.unwrap_or(usize::MAX),
                rate: rate.clone(),
                budget: budget.clone(),
                count: Arc::clone(&count),
            })
        };
        let (full, evaluation) = (in_role(Role::Full), in_role(Role::Evaluation));
        let tokens = std::iter::once(&grant.token).chain(&grant.previous_token);
        tokens
            .map(move |token| (token, Arc::clone(&full)))
            .chain(grant.evaluation_token.as_ref().map(|t| (t, evaluation)))
    }

    /// Returns its name: 1 to 64 of the characters `A-Z a-z 0-9 . _ -`.
    pub fn name(&self) -> &str {
        &self.owner.name
    }

    /// Returns the permissions of its token.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Returns its budget of steps, if there is a limit.
    pub fn budget(&self) -> Option<&StepBudget> {
        self.budget.as_ref()
    }

    /// Returns the requests that its evaluation token was refused.
    pub fn refusals(&self) -> Refusals {
        Refusals {
            count: self.count.refusals.load(Ordering::Relaxed),
            first: self.count.first_refusal.get().cloned(),
        }
    }

    /// Returns it as the owner of environments.
    pub fn owner(&self) -> &Arc<Owner> {
        &self.owner
    }

    /// Refuses and counts a request that an evaluation token may not make; `asked` describes the
    /// request.
    pub fn forbid(&self, asked: String) -> Problem {
        self.count.refusals.fetch_add(1, Ordering::Relaxed);
        let detail = format!(
            "an evaluation token may only describe, step and plainly reset (without seed or options) \
             existing environments, not {asked}"
        );
        // Only the first is kept.
        let _ = self.count.first_refusal.set(asked);
        Problem::new(ErrorCode::Forbidden, detail)
    }

    /// Counts a request as in flight until the result is dropped.
    ///
    /// # Errors
    /// `rate-limited`.
    pub(crate) fn begin_request(&self) -> Result<InFlight<'_>, Problem> {
        let max = self.max_in_flight;
        let in_flight = InFlight::begin(&self.count.in_flight, max).ok_or_else(|| {
            let name = self.name();
            let detail = format!("{name} has {max} requests in flight, its limit");
            Problem::new(ErrorCode::RateLimited, detail)
        })?;
        if let Some(rate) = &self.rate
            && rate.check().is_err()
        {
            let detail = format!("{} exceeds its limit of requests per second", self.name());
            return Err(Problem::new(ErrorCode::RateLimited, detail));
        }
        Ok(in_flight)
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Principal");
        debug.field("owner", &self.owner);
        debug.field("role", &self.role).finish_non_exhaustive()
    }
}

/// One of a limited number of items in flight, until it is dropped.
#[derive(Debug)]
pub(crate) struct InFlight<'a>(&'a AtomicUsize);

impl<'a> InFlight<'a> {
    /// Returns `None` when `max` are already in flight.
    pub(crate) fn begin(count: &'a AtomicUsize, max: usize) -> Option<Self> {
        // Create the guard before the check: if it fails, dropping the guard restores the count.
        let held = count.fetch_add(1, Ordering::Relaxed);
        let this = InFlight(count);
        (held < max).then_some(this)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
