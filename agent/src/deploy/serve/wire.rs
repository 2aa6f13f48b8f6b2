//! Bodies of the service.

use env_protocol::{Array, Value};
use serde::{Deserialize, Serialize};

/// How actions are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActMode {
    /// The likeliest action.
    #[default]
    Greedy,
    /// An action drawn from the policy.
    Sampled,
}

/// Begins a session: lanes whose memory the service holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateSession {
    /// Number of lanes.
    pub num_envs: u64,
    /// Seed of sampled actions. Drawn by the service when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Seconds the session lives after its last operation. The service's default when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_s: Option<u64>,
}

/// A session as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionDescription {
    /// Its id.
    pub session_id: String,
    /// Number of lanes.
    pub num_envs: u64,
    /// The seed given when it was begun, or the one drawn then.
    pub seed: u64,
    /// Seconds it lives after its last operation.
    pub ttl_s: u64,
    /// Seconds it lives from now if nothing is done, rounded up.
    pub expires_in_s: u64,
    /// Number that the next operation takes.
    pub seq: u64,
}

/// Asks for one action in each lane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActRequest {
    /// Whose memory is meant. Without one, the memory is in `state`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// Number of the operation on the session. Without it there is no safe retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// The memory, as the last reply gave it; without one and without a session, an empty one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Without a session: number of lanes, which is the number of observations anyway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_envs: Option<u64>,
    /// Without a session and a state: seed of sampled actions. Drawn when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// `[num_envs, …]` of the observation space.
    pub observations: Value,
    /// `[num_envs]` of bool: whether the lane begins an episode. Its memory is reset before the
    /// agent reads the observation. A memory that has seen nothing begins an episode whatever is
    /// said.
    pub is_first: Array,
    /// `[num_envs, …]` of the action space: what was really done in the step before. Left out, what the last reply
    /// said. It means nothing where the memory has seen nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_actions: Option<Value>,
    /// `[num_envs]`: what it was rewarded with, also where it ended its episode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_rewards: Option<Array>,
    /// How actions are chosen.
    #[serde(default)]
    pub mode: ActMode,
}

/// One action for each lane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActReply {
    /// `[num_envs, …]` of the action space.
    pub actions: Value,
    /// Of a session: number that the next operation takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Without a session: the memory, to be sent with the next request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}
