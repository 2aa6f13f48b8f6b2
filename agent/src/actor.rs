//! A trained agent that acts when it is asked to, in any number of lanes side by side. Who asks plays the environments:
//! evaluation here, a caller over HTTP for [`crate::serve`].

use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use crate::algorithms::{self, Decider};
use crate::checkpoint::Checkpoint;
use crate::config::ConfigError;
use crate::env::EnvError;
use crate::inputs::{InputEncoder, LaneHistory};
use crate::memory::State;
use crate::nn::{self, NnError};
use crate::policy::{Acted, Policy};
use crate::seeds::{self, Role};

/// The policy of a checkpoint.
pub struct Actor {
    policy: Policy,
    encoder: InputEncoder,
    trained: State,
}

/// What an agent carries from step to step in its lanes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActingLanes {
    /// The memory of every lane.
    pub memory: State,
    history: LaneHistory,
}

impl Actor {
    /// The agent of a checkpoint.
    ///
    /// # Errors
    /// A checkpoint whose weights do not fit its configuration.
    pub fn new(checkpoint: &Checkpoint) -> Result<Self, ActorError> {
        let config = &checkpoint.config;
        let spaces = &checkpoint.spaces;
        let encoder = InputEncoder::new(&spaces.observation, &spaces.action, &config.hyper)?;
        let mut rng = seeds::generator(config.seed, Role::Agent);
        let row = algorithms::find(&config.algorithm)?;
        let mut policy = Policy::new(row, &config.hyper, &encoder, &mut rng);
        policy.params.import(&checkpoint.params)?;
        Ok(Self {
            policy,
            encoder,
            trained: checkpoint.run.lanes.memory.clone(),
        })
    }

    /// The agent of a checkpoint, if its network chooses its actions.
    ///
    /// # Errors
    /// As [`Actor::new`]; a player that does not learn.
    pub fn trained(checkpoint: &Checkpoint) -> Result<Self, ActorError> {
        let actor = Self::new(checkpoint)?;
        if actor.policy.decider() == Decider::Network {
            return Ok(actor);
        }
        Err(ActorError::NotTrained {
            algorithm: checkpoint.config.algorithm.clone(),
        })
    }

    /// The network.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// How observations become inputs, and what actions are made of.
    pub fn encoder(&self) -> &InputEncoder {
        &self.encoder
    }

    /// Lanes that begin: they hold what an evaluation begins with.
    pub fn lanes(&self, batch: usize) -> ActingLanes {
        let core = &self.policy.core;
        let mut memory = core.evaluation_state(&self.trained, batch);
        core.refresh(&self.policy.params, &mut memory);
        ActingLanes {
            memory,
            history: LaneHistory::new(batch, self.encoder.heads().components()),
        }
    }

    /// Takes in one flat observation of every lane (`[batch, flat_size]`) and moves the memory on. `starts`: lanes in
    /// which it is the first of an episode.
    pub fn act(&self, lanes: &mut ActingLanes, observations: &[f32], starts: &[bool]) -> Acted {
        let mut inputs = Vec::with_capacity(starts.len() * self.encoder.input_size());
        self.encoder
            .encode(observations, &lanes.history, &mut inputs);
        self.policy.act(&inputs, starts, &mut lanes.memory, None)
    }

    /// The likeliest action of each lane: `[batch, components]`, counted from 0.
    pub fn likeliest(&self, acted: &Acted) -> Vec<i64> {
        self.choose(acted, |logits, actions| {
            self.encoder.heads().likeliest(logits, actions);
        })
    }

    /// An action of each lane, drawn from the policy: `[batch, components]`, counted from 0.
    pub fn sample(&self, acted: &Acted, rng: &mut Xoshiro256PlusPlus) -> Vec<i64> {
        self.choose(acted, |logits, actions| {
            self.encoder.heads().sample(logits, rng, actions);
        })
    }

    /// Any action, all of them as likely: `[batch, components]`, counted from 0.
    pub fn random(&self, batch: usize, rng: &mut Xoshiro256PlusPlus) -> Vec<i64> {
        let heads = self.encoder.heads();
        let mut actions = Vec::with_capacity(batch * heads.components());
        (0..batch).for_each(|_| heads.random(rng, &mut actions));
        actions
    }

    fn choose(&self, acted: &Acted, mut of_lane: impl FnMut(&[f32], &mut Vec<i64>)) -> Vec<i64> {
        let logits = nn::values(&acted.logits).chunks_exact(self.encoder.heads().num_logits());
        let mut actions = Vec::with_capacity(logits.len() * self.encoder.heads().components());
        logits.for_each(|logits| of_lane(logits, &mut actions));
        actions
    }

    /// Tells every lane what was done and what came of it: `actions` as [`Actor::likeliest`] has them, `ends` of episodes.
    pub fn outcome(
        &self,
        lanes: &mut ActingLanes,
        actions: &[i64],
        rewards: &[f64],
        ends: &[bool],
    ) {
        let Policy { core, params, .. } = &self.policy;
        core.outcome(params, &mut lanes.memory, actions, rewards, ends);
        lanes.history.push(actions, rewards, ends.iter().copied());
    }
}

impl ActingLanes {
    /// How many.
    pub fn batch(&self) -> usize {
        self.memory.rows()
    }

    /// Bytes they take, about.
    pub fn bytes(&self) -> usize {
        let memory = self.memory.arrays.iter().map(|array| array.data.len());
        let LaneHistory {
            ages,
            actions,
            rewards,
        } = &self.history;
        // All are four bytes wide.
        4 * (memory.sum::<usize>() + ages.len() + actions.len() + rewards.len())
    }
}

/// Why a checkpoint gives no agent.
#[derive(Debug, thiserror::Error)]
pub enum ActorError {
    /// Its configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Its spaces.
    #[error(transparent)]
    Env(#[from] EnvError),
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
