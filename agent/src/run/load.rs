//! The agent of a checkpoint.

use crate::algorithms;
use crate::hyper::ConfigError;
use crate::learner::auxiliary::wants_cue;
use crate::nn::NnError;
use crate::policy::Policy;
use crate::policy::actor::Actor;
use crate::policy::decider::Decider;
use crate::policy::inputs::InputEncoder;
use crate::run::checkpoint::Checkpoint;
use crate::seeds::{self, Role};
use crate::spaces::UnsupportedSpace;

/// The agent of a checkpoint.
///
/// # Errors
/// A checkpoint whose weights do not fit its configuration.
pub fn actor(checkpoint: &Checkpoint) -> Result<Actor, ActorError> {
    let config = &checkpoint.config;
    let spaces = &checkpoint.spaces;
    let encoder = InputEncoder::new(
        &spaces.observation,
        &spaces.action,
        &config.hyper,
        wants_cue(&config.hyper),
    )?;
    let mut rng = seeds::generator(config.seed, Role::Agent);
    let row = algorithms::find(&config.algorithm)?;
    let mut policy = Policy::new(row, &config.hyper, &encoder, &mut rng);
    policy.params.import(&checkpoint.params)?;
    Ok(Actor::new(
        policy,
        encoder,
        checkpoint.run.lanes.memory.clone(),
    ))
}

/// The agent of a checkpoint, if its network chooses its actions.
///
/// # Errors
/// As [`actor`]; a player that does not learn.
pub fn trained(checkpoint: &Checkpoint) -> Result<Actor, ActorError> {
    let actor = actor(checkpoint)?;
    if actor.policy().decider() == Decider::Network {
        return Ok(actor);
    }
    Err(ActorError::NotTrained {
        algorithm: checkpoint.config.algorithm.clone(),
    })
}

/// Why a checkpoint gives no agent.
#[derive(Debug, thiserror::Error)]
pub enum ActorError {
    /// Its configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Its spaces.
    #[error(transparent)]
    Space(#[from] UnsupportedSpace),
    /// It has none.
    #[error(
        "{algorithm} does not learn, so its checkpoint holds no agent to ask; `agent evaluate` plays it"
    )]
    NotTrained {
        /// The algorithm's id.
        algorithm: String,
    },
    /// Its weights.
    #[error("the checkpoint's weights do not fit its configuration: {0}")]
    Weights(#[from] NnError),
}
