//! What an agent is, for programs that ask it for actions or run it elsewhere.

use env_protocol::{Kwargs, Space};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::policy::actor::Actor;
use crate::policy::inputs::Inputs;
use crate::run::checkpoint::Checkpoint;

/// What others need to know of an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentDescription {
    /// Id of its algorithm.
    pub algorithm: String,
    /// What it was trained on.
    pub spec_id: String,
    /// What it takes from one lane; a batch has one dimension more, in front.
    pub observation_space: Space,
    /// What it answers for one lane.
    pub action_space: Space,
    /// Whether it carries anything from step to step.
    pub has_memory: bool,
    /// What it is shown beside observations.
    pub inputs: AgentInputs,
    /// Where its weights are from.
    pub checkpoint: CheckpointDescription,
}

/// What an agent is shown beside observations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentInputs {
    /// Its previous action.
    pub previous_action: bool,
    /// Its previous reward, or its memory keeps rewards: it must be told them.
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
