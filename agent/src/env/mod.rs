//! Batches of environments that learners play, behind one trait. Learners never see HTTP.

use serde_json::{Map, Value};

use crate::spaces::actions::Choice;
use crate::spaces::{Spaces, UnsupportedSpace};

pub mod remote;
pub mod selection;
#[cfg(test)]
pub mod test_task;
mod watched;

pub use env_protocol::Space;

pub use watched::Watched;

/// The reply of a vector environment to a reset.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResetReply {
    /// Flat observations (see [`crate::spaces::encoder`]), `[num_envs, flat_size]`.
    pub observations: Vec<f32>,
}

/// The reply of a vector environment to a step. Autoreset is `SameStep`: an environment that ended
/// has already begun its next episode, whose first observation stands in `observations`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepReply {
    /// Flat observations, `[num_envs, flat_size]`.
    pub observations: Vec<f32>,
    /// `[num_envs]`.
    pub rewards: Vec<f64>,
    /// Ended by the task, `[num_envs]`.
    pub terminations: Vec<bool>,
    /// Ended by a time limit, `[num_envs]`.
    pub truncations: Vec<bool>,
    /// Last observations of the episodes that ended in this step: `[num_envs, flat_size]`, rows of the others
    /// are meaningless; empty where none ended.
    pub final_observations: Vec<f32>,
}

/// How a reset is wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResetRequest {
    /// One seed for each environment. `None` keeps the current generators.
    pub seeds: Option<Vec<u64>>,
    /// Reset options of the spec.
    pub options: Map<String, Value>,
}

/// `num_envs` environments of one spec, stepped together.
pub trait VectorEnv {
    /// Number of environments.
    fn num_envs(&self) -> usize;
    /// Space of one environment's observation.
    fn observation_space(&self) -> &Space;
    /// Space of one environment's action.
    fn action_space(&self) -> &Space;
    /// Both spaces.
    fn spaces(&self) -> Spaces {
        Spaces {
            observation: self.observation_space().clone(),
            action: self.action_space().clone(),
        }
    }
    /// Mean return from which the task counts as solved, with these environments' arguments; `None` where nothing is known
    /// to compare with.
    ///
    /// # Errors
    /// When the server could not be reached within the retry limit.
    fn solved_threshold(&mut self) -> Result<Option<f64>, EnvError> {
        Ok(None)
    }
    /// Begins a new episode in every environment.
    ///
    /// # Errors
    /// What the server refused, or that it could not be reached within the retry limit.
    fn reset(&mut self, request: &ResetRequest) -> Result<ResetReply, EnvError>;
    /// Applies one action to each environment, exactly once: `[num_envs, components]`, as [`ActionHeads`] has them.
    /// A choice counts from 0, wherever a `Discrete` starts; a number is its bits, and clipped to the bounds of its space.
    ///
    /// [`ActionHeads`]: crate::spaces::actions::ActionHeads
    ///
    /// # Errors
    /// As [`VectorEnv::reset`].
    fn step(&mut self, actions: &[Choice]) -> Result<StepReply, EnvError>;
    /// Returns the actions of a player that knows every hidden draw, in the form that
    /// [`VectorEnv::step`] takes. For baselines only.
    ///
    /// # Errors
    /// Those of [`VectorEnv::reset`]; and when there is no such player, or the server does not
    /// allow it.
    fn oracle(&mut self) -> Result<Vec<Choice>, EnvError> {
        Err(EnvError::NoOracle)
    }
    /// The present state as text for a person who plays in the agent's place: what the agent sees and no more. `None`
    /// where nothing draws it.
    ///
    /// # Errors
    /// As [`VectorEnv::reset`].
    fn picture(&mut self, _has_colour: bool) -> Result<Option<String>, EnvError> {
        Ok(None)
    }
    /// The whole state, to be put back by [`VectorEnv::restore`] bit for bit.
    ///
    /// # Errors
    /// As [`VectorEnv::reset`].
    fn snapshot(&mut self) -> Result<Vec<u8>, EnvError>;
    /// Puts a snapshot back.
    ///
    /// # Errors
    /// As [`VectorEnv::reset`]; a document that is not such a snapshot changes nothing.
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), EnvError>;
}

/// Why an environment could not be played.
#[derive(Debug, thiserror::Error)]
pub enum EnvError {
    /// The server answered with a problem that a retry would not fix.
    #[error("the server refused ({status} {code}): {detail}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Code of the problem document.
        code: String,
        /// The problem and its place.
        detail: String,
    },
    /// No answer within the retry limit.
    #[error(
        "no answer from {url} after {attempts} attempts in {elapsed_s:.1} s (last: {last}). Is the server running?"
    )]
    Unreachable {
        /// URL of the request.
        url: String,
        /// How often.
        attempts: u32,
        /// For how long.
        elapsed_s: f64,
        /// The last error.
        last: String,
    },
    /// An answer that does not keep the protocol.
    #[error("unexpected answer from {url}: {detail}")]
    Protocol {
        /// URL of the request.
        url: String,
        /// The fault in the answer.
        detail: String,
    },
    /// The environment has no player that knows its hidden draws.
    #[error("this environment has no oracle")]
    NoOracle,
    /// A recording that cannot be played back as asked.
    #[error("the recording cannot be played: {detail}")]
    Recording {
        /// The reason.
        detail: String,
    },
    /// Workers that did not play as they were asked.
    #[error("the workers: {detail}")]
    Worker {
        /// The reason.
        detail: String,
    },
    /// The player was asked to stop.
    #[error("stopped")]
    Stopped,
    /// A space that the agents cannot play.
    #[error(transparent)]
    Space(#[from] UnsupportedSpace),
}
