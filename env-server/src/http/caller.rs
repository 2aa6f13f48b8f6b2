//! Who sends a request, and what the token allows.

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

/// Who sends a request, where the server asks for tokens. Whatever handler takes one is open to
/// evaluation tokens, too.
#[derive(Clone)]
pub(crate) struct Caller(Option<Arc<Principal>>, Note);

/// A caller that may do everything with what is its own. What handlers take unless an evaluation
/// token may ask for it.
#[derive(Clone)]
pub(crate) struct FullCaller(Caller);

impl Caller {
    /// Nobody in particular, as where the server asks for no tokens.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn nobody() -> Self {
        Caller(None, None)
    }

    /// The same, noting what is done aside for it.
    pub(crate) fn noting(mut self, note: Arc<AtomicBool>) -> Self {
        self.1 = Some(note);
        self
    }

    /// Where to note what is done aside, if anywhere.
    pub(crate) fn note(&self) -> &Note {
        &self.1
    }

    pub(crate) fn owner(&self) -> Option<&Owner> {
        self.0.as_ref().map(|principal| &**principal.owner())
    }

    /// How many steps it may take, if there is a limit.
    pub(crate) fn budget(&self) -> Option<&StepBudget> {
        self.0.as_ref()?.budget()
    }

    /// The same, when it may do everything; `asked` says what it wants to do.
    ///
    /// # Errors
    /// `forbidden`.
    pub(crate) fn full(self, asked: impl FnOnce() -> String) -> Result<FullCaller, Problem> {
        match self.evaluator() {
            Some(principal) => Err(principal.forbid(asked())),
            None => Ok(FullCaller(self)),
        }
    }

    /// Checks that it may reset so: an evaluation token may not choose what is drawn.
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

    /// A description, as far as it may be known to the caller: a seed tells what will be drawn.
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
