//! The sender of a request and the permissions of its token.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use env_protocol::Problem;

use crate::session::Description;
use service::StepBudget;
use service::access::Owner;
use service::access::{Principal, Role};
use service::aside::Note;
use service::problem::Failure;

/// The sender of a request, if the server has tokens. Handlers that take a `Caller` are open to
/// evaluation tokens, too.
#[derive(Clone)]
pub(crate) struct Caller(Option<Arc<Principal>>, Note);

/// A caller with full access to its own environments. Handlers take this unless evaluation tokens
/// may use them.
#[derive(Clone)]
pub(crate) struct FullCaller(Caller);

impl Caller {
    /// Returns an anonymous caller, as on a server without tokens.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn nobody() -> Self {
        Caller(None, None)
    }

    /// Returns the same caller, with a flag to set when a job runs aside.
    pub(crate) fn noting(mut self, note: Arc<AtomicBool>) -> Self {
        self.1 = Some(note);
        self
    }

    /// Returns the flag to set when a job runs aside, if any.
    pub(crate) fn note(&self) -> &Note {
        &self.1
    }

    pub(crate) fn owner(&self) -> Option<&Owner> {
        self.0.as_ref().map(|principal| &**principal.owner())
    }

    /// Returns its budget of steps, if there is a limit.
    pub(crate) fn budget(&self) -> Option<&StepBudget> {
        self.0.as_ref()?.budget()
    }

    /// Returns the caller if it has full access; `asked` describes the request.
    ///
    /// # Errors
    /// `forbidden`.
    pub(crate) fn full(self, asked: impl FnOnce() -> String) -> Result<FullCaller, Problem> {
        match self.evaluator() {
            Some(principal) => Err(principal.forbid(asked())),
            None => Ok(FullCaller(self)),
        }
    }

    /// Checks that it may reset like this: an evaluation token may not choose the random draws.
    ///
    /// # Errors
    /// `forbidden`.
    pub(crate) fn check_reset(&self, is_plain: bool) -> Result<(), Problem> {
        match self.evaluator() {
            Some(principal) if !is_plain => {
                Err(principal.forbid("a reset with a seed or options".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Returns the description as far as the caller may know it: a seed reveals future draws.
    pub(crate) fn shown(&self, description: Description) -> Description {
        match self.evaluator() {
            Some(_) => description.without_seed(),
            None => description,
        }
    }

    fn evaluator(&self) -> Option<&Arc<Principal>> {
        let principal = self.0.as_ref();
        principal.filter(|principal| principal.role() == Role::Evaluation)
    }
}

impl Deref for FullCaller {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.0
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let principal = parts.extensions.get::<Arc<Principal>>();
        Ok(Caller(principal.cloned(), None))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for FullCaller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let asked = || format!("{} {}", parts.method, parts.uri.path());
        Ok(caller.full(asked)?)
    }
}
