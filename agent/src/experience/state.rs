//! The state of lanes between two rollouts.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::experience::guest::GuestState;
use crate::memory::State;
use crate::policy::inputs::LaneHistory;
use crate::policy::lanes::Lanes;
use crate::seeds::LaneGenerators;

/// Everything that lasts from one rollout to the next, and goes into a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Saved", into = "Saved")]
pub struct CollectorState {
    /// Current observations, `[batch, flat_size]`.
    pub(super) observations: Vec<f32>,
    /// Whether they are the first of an episode, `[batch]`.
    pub(super) starts: Vec<bool>,
    /// The agent's own state.
    pub lanes: Lanes,
    /// The generator of each lane.
    pub generators: LaneGenerators,
    /// The state of the agent that plays in its place, if one does.
    pub guest: Option<GuestState>,
    /// Undiscounted returns of the episodes so far, `[batch]`.
    pub(super) returns: Vec<f64>,
}

impl CollectorState {
    /// Number of lanes.
    pub fn batch(&self) -> usize {
        self.lanes.batch()
    }

    /// Puts lanes side by side. Guests are left out.
    pub fn join(parts: &[Self]) -> Self {
        fn all<T: Clone>(parts: &[CollectorState], of: impl Fn(&CollectorState) -> &[T]) -> Vec<T> {
            parts.iter().flat_map(|part| of(part).to_vec()).collect()
        }
        let memories: Vec<&State> = parts.iter().map(|part| &part.lanes.memory).collect();
        Self {
            observations: all(parts, |part| &part.observations),
            starts: all(parts, |part| &part.starts),
            lanes: Lanes {
                memory: State::join(&memories),
                history: LaneHistory {
                    ages: all(parts, |part| &part.lanes.history.ages),
                    actions: all(parts, |part| &part.lanes.history.actions),
                    rewards: all(parts, |part| &part.lanes.history.rewards),
                },
            },
            generators: LaneGenerators::join(parts.iter().map(|part| &part.generators)),
            guest: None,
            returns: all(parts, |part| &part.returns),
        }
    }

    /// Returns some lanes next to each other, without a guest.
    pub fn part(&self, lanes: Range<usize>) -> Self {
        fn some<T: Clone>(all: &[T], batch: usize, lanes: &Range<usize>) -> Vec<T> {
            let width = all.len() / batch.max(1);
            all[lanes.start * width..lanes.end * width].to_vec()
        }
        let batch = self.batch();
        let history = &self.lanes.history;
        let numbers: Vec<usize> = lanes.clone().collect();
        Self {
            observations: some(&self.observations, batch, &lanes),
            starts: some(&self.starts, batch, &lanes),
            lanes: Lanes {
                memory: self.lanes.memory.gather(&numbers),
                history: LaneHistory {
                    ages: some(&history.ages, batch, &lanes),
                    actions: some(&history.actions, batch, &lanes),
                    rewards: some(&history.rewards, batch, &lanes),
                },
            },
            generators: self.generators.part(lanes.clone()),
            guest: None,
            returns: some(&self.returns, batch, &lanes),
        }
    }
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
