//! The state of lanes between two rollouts.

use serde::{Deserialize, Serialize};

use crate::experience::guest::GuestState;
use crate::memory::State;
use crate::policy::inputs::LaneHistory;
use crate::policy::lanes::Lanes;
use crate::seeds::LaneGenerators;

/// Everything that lasts from one rollout to the next, and goes into a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Saved", into = "Saved")]
pub struct CollectorState {
    /// Current observations, `[batch, flat_size]`.
    pub(super) observations: Vec<f32>,
    /// Whether they are the first of an episode, `[batch]`.
    pub(super) starts: Vec<bool>,
    /// The agent's own state.
    pub lanes: Lanes,
    /// What each lane draws from.
    pub generators: LaneGenerators,
    /// The state of the agent that plays in its place, if one does.
    pub guest: Option<GuestState>,
    /// Undiscounted returns of the episodes so far, `[batch]`.
    pub(super) returns: Vec<f64>,
}

/// A [`CollectorState`] as it stands in checkpoints.
#[derive(Serialize, Deserialize)]
struct Saved {
    observations: Vec<f32>,
    starts: Vec<bool>,
    history: LaneHistory,
    memory: State,
    /// Checkpoints of earlier versions have none.
    #[serde(default)]
    generators: LaneGenerators,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    guest: Option<GuestState>,
    returns: Vec<f64>,
}

impl From<Saved> for CollectorState {
    fn from(saved: Saved) -> Self {
        Self {
            observations: saved.observations,
            starts: saved.starts,
            lanes: Lanes {
                memory: saved.memory,
                history: saved.history,
            },
            generators: saved.generators,
            guest: saved.guest,
            returns: saved.returns,
        }
    }
}

impl From<CollectorState> for Saved {
    fn from(state: CollectorState) -> Self {
        Self {
            observations: state.observations,
            starts: state.starts,
            history: state.lanes.history,
            memory: state.lanes.memory,
            generators: state.generators,
            guest: state.guest,
            returns: state.returns,
        }
    }
}
