//! Description of an agent, for programs that ask it for actions or run it elsewhere.

use env_protocol::{Kwargs, Space};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::policy::actor::Actor;
use crate::policy::inputs::Inputs;
use crate::run::checkpoint::Checkpoint;

/// Description of an agent for other programs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentDescription {
    /// Id of its algorithm.
    pub algorithm: String,
    /// Spec that it was trained on.
    pub spec_id: String,
    /// Space of one lane's observation; a batch has one more dimension in front.
    pub observation_space: Space,
    /// Space of one lane's action.
    pub action_space: Space,
    /// Whether it carries anything from step to step.
    pub has_memory: bool,
    /// Inputs in addition to observations.
    pub inputs: AgentInputs,
    /// Where its weights are from.
    pub checkpoint: CheckpointDescription,
}

/// Inputs of an agent in addition to observations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentInputs {
    /// Its previous action.
    pub previous_action: bool,
    /// Whether it needs the previous reward: as an input, or for its memory.
    pub previous_reward: bool,
    /// How far the episode has come, which it counts itself.
    pub step_counter: bool,
}

/// A checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckpointDescription {
    /// Of its file, in hexadecimal digits.
    pub sha256: String,
    /// Seed of its run.
    pub seed: u64,
    /// Steps it was trained for.
    pub timesteps: u64,
    /// Arguments of the environment it was trained on.
    pub kwargs: Kwargs,
}

impl AgentDescription {
    /// The agent of a checkpoint, which is `bytes` as a file.
    pub fn of(actor: &Actor, checkpoint: &Checkpoint, bytes: &[u8]) -> Self {
        let config = &checkpoint.config;
        let shown: Inputs = config.hyper.get();
        let core = &actor.policy().core;
        Self {
            algorithm: config.algorithm.clone(),
            spec_id: config.env.spec_id.clone(),
            observation_space: checkpoint.spaces.observation.clone(),
            action_space: checkpoint.spaces.action.clone(),
            has_memory: !core.initial_state(1).arrays.is_empty(),
            inputs: AgentInputs {
                previous_action: shown.previous_action,
                previous_reward: shown.previous_reward || core.needs_outcomes(),
                step_counter: shown.step_counter,
            },
            checkpoint: CheckpointDescription {
                sha256: hex(&Sha256::digest(bytes)),
                seed: config.seed,
                timesteps: checkpoint.run.statistics.timesteps,
                kwargs: config.env.kwargs.clone().into_iter().collect(),
            },
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
