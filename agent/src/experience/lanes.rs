//! The state of lanes between two rollouts.

use serde::{Deserialize, Serialize};

use crate::memory::State;
use crate::policy::inputs::LaneHistory;

/// Everything that continues from one rollout to the next, and into a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lanes {
    /// Current observations, `[batch, flat_size]`.
    pub(super) observations: Vec<f32>,
    /// Whether they are the first of an episode.
    pub(super) starts: Vec<bool>,
    pub(super) history: LaneHistory,
    /// The memory of every lane.
    pub memory: State,
    pub(super) returns: Vec<f64>,
}
