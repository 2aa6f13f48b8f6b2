//! From a checkpoint to the agent that acts.

use crate::algorithms::{self, Algorithm};
use crate::env::Space;
use crate::hyper::ConfigError;
use crate::nn::NnError;
use crate::policy::actor::Actor;
use crate::policy::decider::Decider;
use crate::policy::inputs::InputEncoder;
use crate::run::checkpoint::Checkpoint;
use crate::seeds::{self, Role};
use crate::spaces::{Spaces, UnsupportedSpace};

/// Builds the agent of a checkpoint. The parameters that a learner has added for itself are left out.
///
/// # Errors
/// An algorithm that is not in the table, or weights that do not fit the configuration.
pub fn actor(checkpoint: &Checkpoint) -> Result<Actor, ActorError> {
    actor_in(checkpoint, &checkpoint.spaces)
}

/// Builds the agent of a checkpoint for these spaces: training's, unless its memory
/// [plays rasters of any size](crate::memory::MemoryCore::plays_any_size) and they differ in that.
///
/// # Errors
/// Those of [`actor`], and spaces that it cannot play.
pub fn actor_for(checkpoint: &Checkpoint, spaces: &Spaces) -> Result<Actor, ActorError> {
    let trained = actor(checkpoint)?;
    let is_same = trained
        .encoder()
        .accepts(&spaces.observation, &spaces.action);
    if is_same {
        return Ok(trained);
    }
    let fitted = match trained.policy().core.plays_any_size() {
        true => actor_in(checkpoint, spaces).ok(),
        false => None,
    };
    fitted.ok_or_else(|| ActorError::Spaces {
        spaces: format!("{:?}, {:?}", spaces.observation, spaces.action),
    })
}

fn actor_in(checkpoint: &Checkpoint, spaces: &Spaces) -> Result<Actor, ActorError> {
    let config = &checkpoint.config;
    let hyper = &config.hyper;
    let encoder = InputEncoder::new(&spaces.observation, &spaces.action, hyper, false)?;
    let mut rng = seeds::generator(config.seed, Role::Agent);
    let row = algorithms::find(&config.algorithm)?;
    row.check_plays(&encoder)?;
    let mut policy = row.policy(hyper, &encoder, &mut rng);
    policy.params.import_own(&checkpoint.params)?;
    let trained = checkpoint.run.collector.lanes.memory.clone();
    Ok(Actor::new(policy, encoder, trained))
}

/// Builds a player with the weights that a row begins with, seed 0: one that does not learn has none.
///
/// # Errors
/// Spaces that it cannot play.
pub fn untrained(
    row: &Algorithm,
    observation: &Space,
    action: &Space,
) -> Result<Actor, ActorError> {
    let hyper = (row.defaults)();
    let encoder = InputEncoder::new(observation, action, &hyper, false)?;
    row.check_plays(&encoder)?;
    let policy = row.policy(&hyper, &encoder, &mut seeds::generator(0, Role::Agent));
    let state = policy.core.initial_state(1);
    Ok(Actor::new(policy, encoder, state))
}

/// Builds the agent of a checkpoint, if its network chooses its actions.
///
/// # Errors
/// Those of [`actor`], and a player that does not learn.
pub fn trained(checkpoint: &Checkpoint) -> Result<Actor, ActorError> {
    let actor = actor(checkpoint)?;
    if actor.policy().decider() == Decider::Network {
        return Ok(actor);
    }
    Err(ActorError::NotTrained {
        algorithm: checkpoint.config.algorithm.clone(),
    })
}

/// Reasons why a checkpoint gives no agent.
#[derive(Debug, thiserror::Error)]
pub enum ActorError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The spaces.
    #[error(transparent)]
    Space(#[from] UnsupportedSpace),
    /// Spaces that its weights do not fit.
    #[error("the agent was trained on other spaces than this environment's ({spaces})")]
    Spaces {
        /// The environment's.
        spaces: String,
    },
    /// A player that does not learn.
    #[error(
        "{algorithm} does not learn, so its checkpoint holds no agent to ask; `agent evaluate` plays it"
    )]
    NotTrained {
        /// The algorithm's id.
        algorithm: String,
    },
    /// The weights.
    #[error("the checkpoint's weights do not fit its configuration: {0}")]
    Weights(#[from] NnError),
}
