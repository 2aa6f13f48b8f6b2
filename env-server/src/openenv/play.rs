//! One OpenEnv session: an environment of the store that exists as long as its socket.

use std::sync::Arc;

use env_protocol::{Array, ErrorCode, LeaseRequest, Problem, ResetRequest};

use super::messages::{Observation, Outcome, ResetArguments, State};
use super::offer::Offer;
use crate::http::{FullCaller, SharedApp};
use crate::session::{Blueprint, Creation, Kind, Operation, Reply, Session};
use service::problem::Failure;

/// A session. Dropping it closes its environment.
pub(super) struct Play {
    app: SharedApp,
    caller: FullCaller,
    offer: Arc<Offer>,
    session: Arc<Session>,
    episode_id: String,
    step_count: u64,
}

impl Play {
    /// Creates the environment.
    ///
    /// # Errors
    /// Those of `POST /v1/envs`.
    pub(super) async fn begin(
        app: &SharedApp,
        caller: FullCaller,
        offer: &Arc<Offer>,
    ) -> Result<Self, Problem> {
        app.check_ready().map_err(Failure::into_problem)?;
        let creation = Creation::Single(offer.creation.clone());
        let created = app.store.create(creation, caller.owner())?;
        let play = Play {
            app: app.clone(),
            caller,
            offer: Arc::clone(offer),
            session: created.session,
            episode_id: draw_episode_id(),
            step_count: 0,
        };
        app.store.context().safe(created.written).await?;
        Ok(play)
    }

    /// Begins an episode. Arguments that are not parameters of the environment are ignored:
    /// upstream, too, only passes on the arguments of a reset.
    ///
    /// # Errors
    /// Those of `POST …/reset`.
    pub(super) async fn reset(&mut self, arguments: ResetArguments) -> Result<Outcome, Problem> {
        let ResetArguments {
            seed,
            episode_id,
            others,
        } = arguments;
        let options = others.into_iter();
        let options = options.filter(|(name, _)| self.offer.has_parameter(name));
        let request = ResetRequest {
            seq: None,
            seed,
            options: options.collect(),
        };
        let reply = self.apply(Blueprint::reset_operation(request)).await?;
        self.episode_id = episode_id.unwrap_or_else(draw_episode_id);
        self.step_count = 0;
        match &*reply {
            Reply::Reset(reply) => Ok(Outcome {
                observation: Observation {
                    observation: reply.observation.clone(),
                    terminated: false,
                    truncated: false,
                    info: reply.info.clone(),
                },
                reward: None,
                done: false,
            }),
            other => Err(unexpected(other)),
        }
    }

    /// Takes an action.
    ///
    /// # Errors
    /// Those of `POST …/step`.
    pub(super) async fn step(&mut self, action: Array) -> Result<Outcome, Problem> {
        let operation = self.session.blueprint().step_operation(action)?;
        let reply = self.apply(operation).await?;
        self.step_count += 1;
        match &*reply {
            Reply::Step(reply) => Ok(Outcome {
                observation: Observation {
                    observation: reply.observation.clone(),
                    terminated: reply.terminated,
                    truncated: reply.truncated,
                    info: reply.info.clone(),
                },
                reward: Some(reply.reward),
                done: reply.terminated || reply.truncated,
            }),
            other => Err(unexpected(other)),
        }
    }

    async fn apply(&self, operation: Operation) -> Result<Arc<Reply>, Problem> {
        let answer = self
            .session
            .apply_within(self.caller.budget(), None, operation)?;
        self.app.hold_back(&self.session, &answer).await;
        self.app.store.context().safe(answer.written).await?;
        Ok(answer.reply)
    }

    /// Returns the state of the session.
    pub(super) fn state(&self) -> State {
        State {
            episode_id: self.episode_id.clone(),
            step_count: self.step_count,
            spec_id: self.offer.spec.id.clone(),
            env_id: Some(self.session.id().to_owned()),
        }
    }

    /// Renews the lease, because the client is alive.
    pub(super) fn renew(&self) {
        let renewed = self.app.store.renew(&self.session, LeaseRequest::default());
        if let Err(problem) = renewed {
            tracing::debug!(%problem, "the environment of a session has ended");
        }
    }
}

impl Drop for Play {
    fn drop(&mut self) {
        let (store, id) = (&self.app.store, self.session.id());
        // If closing fails, the lease ends the environment.
        if let Err(problem) = store.close(Kind::Single, id, self.caller.owner()) {
            tracing::warn!(%problem, id, "the environment of a session could not be closed");
        }
    }
}

/// Returns the state of a new session that will take no steps.
pub(super) fn fresh_state(offer: &Offer) -> State {
    State {
        episode_id: draw_episode_id(),
        step_count: 0,
        spec_id: offer.spec.id.clone(),
        env_id: None,
    }
}

fn draw_episode_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

fn unexpected(reply: &Reply) -> Problem {
    Problem::new(ErrorCode::Internal, format!("answered as {reply:?}"))
}
