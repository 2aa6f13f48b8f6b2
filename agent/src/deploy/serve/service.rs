//! The service: an agent, its sessions, and the rules of both.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use env_protocol::{ErrorCode, Problem};
use service::Owner;
use service::leases::{Clock, drawn_seed};

use super::lanes::{ServedLanes, Step};
use super::limits::Limits;
use super::request::Spaces;
use super::sessions::{Answer, Sessions};
use super::token::Seal;
use super::wire::{ActReply, ActRequest, CreateSession, SessionDescription};
use crate::deploy::describe::AgentDescription;
use crate::policy::actor::Actor;
use crate::run::checkpoint::Checkpoint;
use crate::run::load::{self, ActorError};

/// A trained agent that answers requests. Nothing in it waits for anything but the processor.
pub struct Service {
    actor: Actor,
    spaces: Spaces,
    description: AgentDescription,
    limits: Limits,
    pub(super) sessions: Sessions,
    seal: Seal,
    /// Bytes of one lane in a session.
    pub(super) bytes_per_lane: usize,
    /// Bytes of one lane in a state that travels with its caller.
    pub(super) state_bytes_per_lane: usize,
    is_draining: AtomicBool,
}

impl Service {
    /// A service of the agent of a checkpoint, given as its file's content.
    ///
    /// # Errors
    /// When the bytes are not a checkpoint, or the checkpoint has no agent.
    pub fn new(checkpoint: &[u8], limits: Limits) -> Result<Self, ServiceError> {
        let read = Checkpoint::from_bytes(checkpoint).map_err(ServiceError::Malformed)?;
        let actor = load::trained(&read)?;
        let state_bytes_per_lane = actor.lanes(1).bytes();
        let components = actor.encoder().heads().components();
        // The last step is kept as well: four bytes for a number, eight for an action or a reward,
        // and its reply.
        let step_bytes = 4 * actor.encoder().flat_size() + 24 * components + 16;
        Ok(Self {
            spaces: Spaces {
                observation: read.spaces.observation.clone(),
                action: read.spaces.action.clone(),
            },
            description: AgentDescription::of(&actor, &read, checkpoint),
            limits,
            sessions: Sessions::new(limits, Clock::default()),
            seal: Seal::new(checkpoint),
            bytes_per_lane: state_bytes_per_lane + step_bytes,
            state_bytes_per_lane: state_bytes_per_lane + 8 * components,
            is_draining: AtomicBool::new(false),
            actor,
        })
    }

    /// Returns the agent's description.
    pub fn describe(&self) -> &AgentDescription {
        &self.description
    }

    /// Begins a session, or finds the one begun so before; says whether it is new.
    ///
    /// # Errors
    /// `draining`, and those of [`Sessions::begin`].
    pub fn begin(
        &self,
        id: &str,
        creation: CreateSession,
        owner: Option<&Owner>,
    ) -> Result<(SessionDescription, bool), Problem> {
        self.check_ready()?;
        let bytes = self.bytes_per_lane;
        let (session, is_new) = self
            .sessions
            .begin(id, creation, owner, bytes, drawn_seed())?;
        Ok((session.describe()?, is_new))
    }

    /// Closes a session. Closing it again is no error while it is remembered.
    ///
    /// # Errors
    /// `unknown-session`.
    pub fn close(&self, id: &str, owner: Option<&Owner>) -> Result<(), Problem> {
        self.sessions.close(id, owner)
    }

    /// Answers with an action for each lane.
    ///
    /// # Errors
    /// What is wrong with the request; nothing has changed then.
    pub fn act(&self, request: ActRequest, owner: Option<&Owner>) -> Result<Answer, Problem> {
        match &request.session_id {
            Some(id) => {
                let session = self.sessions.get(id, owner)?;
                let misplaced = [
                    ("state", request.state.is_some()),
                    ("num_envs", request.num_envs.is_some()),
                    ("seed", request.seed.is_some()),
                ];
                refuse_fields(misplaced, "a session has its own, which it began with")?;
                let seq = request.seq;
                let step = self.spaces.step(request, session.lanes())?;
                session.once(seq, step, |lanes, step, next_seq| {
                    self.check_rewards(lanes.as_ref(), step)?;
                    let lanes = lanes.get_or_insert_with(|| {
                        ServedLanes::new(&self.actor, session.lanes(), session.seed)
                    });
                    Ok(ActReply {
                        actions: self.actions(lanes, step),
                        seq: Some(next_seq),
                        state: None,
                    })
                })
            }
            None => self.act_with_state(request).map(|reply| Answer {
                reply: Arc::new(reply),
                is_replay: false,
            }),
        }
    }

    /// Acts with the memory that the caller has sent, and gives it back.
    fn act_with_state(&self, request: ActRequest) -> Result<ActReply, Problem> {
        let why = "without a session_id nothing is numbered: a state may be sent again at will";
        refuse_fields([("seq", request.seq.is_some())], why)?;
        let said = request.is_first.shape().first().copied().unwrap_or(0);
        let batch = self.limits.lanes(request.num_envs.unwrap_or(said as u64))?;
        let text_bytes = Seal::max_text_bytes(batch * self.state_bytes_per_lane);
        if text_bytes > self.limits.max_state_bytes {
            let detail = format!(
                "the state of {batch} lanes has up to {text_bytes} bytes, over {}: begin a session, or ask \
                 for fewer at once",
                self.limits.max_state_bytes
            );
            return Err(Problem::new(ErrorCode::InvalidNumEnvs, detail).at("/num_envs"));
        }
        let mut lanes = match &request.state {
            None => ServedLanes::new(&self.actor, batch, request.seed.unwrap_or_else(drawn_seed)),
            Some(text) => {
                let why = "the state has its own, which it began with";
                refuse_fields([("seed", request.seed.is_some())], why)?;
                let lanes = self.seal.open(text)?;
                if lanes.batch() != batch {
                    let found = lanes.batch();
                    let detail = format!("it is of {found} lanes, and {batch} are asked for");
                    return Err(Problem::new(ErrorCode::InvalidState, detail).at("/state"));
                }
                lanes
            }
        };
        let step = self.spaces.step(request, batch)?;
        self.check_rewards(Some(&lanes), &step)?;
        Ok(ActReply {
            actions: self.actions(&mut lanes, &step),
            seq: None,
            state: Some(self.seal.seal(&lanes)),
        })
    }

    fn actions(&self, lanes: &mut ServedLanes, step: &Step) -> env_protocol::Value {
        let actions = lanes.act(&self.actor, step);
        self.spaces.actions(&actions, lanes.batch())
    }

    /// An agent that is shown rewards acts otherwise without them.
    fn check_rewards(&self, lanes: Option<&ServedLanes>, step: &Step) -> Result<(), Problem> {
        let are_due = lanes.is_some_and(ServedLanes::have_acted);
        if are_due && self.description.inputs.previous_reward && step.previous_rewards.is_none() {
            let detail = "this agent is shown its previous reward: it must be sent";
            return Err(Problem::new(ErrorCode::InvalidBody, detail).at("/previous_rewards"));
        }
        Ok(())
    }

    /// Ends every session whose lease has run out.
    pub fn reap(&self) {
        self.sessions.reap();
    }

    /// From now on nothing is begun.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// Whether sessions can be begun.
    ///
    /// # Errors
    /// `draining`.
    pub fn check_ready(&self) -> Result<(), Problem> {
        if self.is_draining.load(Ordering::Relaxed) {
            let detail = "the service answers what is under way and then ends";
            return Err(Problem::new(ErrorCode::Draining, detail));
        }
        Ok(())
    }
}

/// Refuses fields that have no meaning with the others.
fn refuse_fields<const N: usize>(fields: [(&str, bool); N], why: &str) -> Result<(), Problem> {
    match fields.into_iter().find(|(_, is_there)| *is_there) {
        None => Ok(()),
        Some((name, _)) => {
            let problem = Problem::new(ErrorCode::InvalidBody, format!("{name}: {why}"));
            Err(problem.at(format!("/{name}")))
        }
    }
}

/// Why there is no service.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The bytes.
    #[error("it is not a checkpoint of this program: {0}")]
    Malformed(String),
    /// The content.
    #[error(transparent)]
    Agent(#[from] ActorError),
}
