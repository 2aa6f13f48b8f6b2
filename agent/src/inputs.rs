//! What an agent sees of each step: the observation and, where asked for, its previous action, its previous reward and
//! a step counter. Every agent has the same choice, all off by default, and results record it: an agent that is shown
//! its previous action can carry a cue through its own actions instead of remembering it.

use std::ops::RangeInclusive;

use env_protocol::{Bound, Space};
use serde::{Deserialize, Serialize};

use crate::config::{AuxModule, Hyperparameters};
use crate::env::EnvError;

/// Turns observations into input rows.
#[derive(Clone, Debug)]
pub struct InputEncoder {
    observation_size: usize,
    num_actions: usize,
    previous_action: bool,
    previous_reward: bool,
    step_counter: bool,
    cue_classes: RangeInclusive<i64>,
}

/// Most classes that a cue may have.
const MAX_CUE_CLASSES: i64 = 256;

/// What the options need to know of each lane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LaneHistory {
    /// Steps taken in the episode.
    pub ages: Vec<u32>,
    /// Action of the previous step; meaningless at age 0.
    pub actions: Vec<u32>,
    /// Reward of the previous step; 0 at age 0.
    pub rewards: Vec<f32>,
}

impl LaneHistory {
    /// Lanes that have taken no step.
    pub fn new(lanes: usize) -> Self {
        Self {
            ages: vec![0; lanes],
            actions: vec![0; lanes],
            rewards: vec![0.0; lanes],
        }
    }

    /// Takes in one step of every lane.
    pub fn push(&mut self, actions: &[i64], rewards: &[f64], ends: impl Iterator<Item = bool>) {
        for (lane, end) in ends.enumerate() {
            if end {
                (self.ages[lane], self.rewards[lane]) = (0, 0.0);
            } else {
                self.ages[lane] += 1;
                self.actions[lane] = actions[lane] as u32;
                self.rewards[lane] = rewards[lane] as f32;
            }
        }
    }
}

impl InputEncoder {
    /// An encoder for these spaces.
    ///
    /// # Errors
    /// A space that the agents cannot play.
    pub fn new(
        observation: &Space,
        action: &Space,
        hyper: &Hyperparameters,
    ) -> Result<Self, EnvError> {
        Ok(Self {
            observation_size: observation_size(observation)?,
            num_actions: num_actions(action)?,
            previous_action: hyper.previous_action,
            previous_reward: hyper.previous_reward,
            step_counter: hyper.step_counter,
            cue_classes: if hyper.aux_modules.contains(&AuxModule::Cue) {
                cue_classes(observation)?
            } else {
                0..=0
            },
        })
    }

    /// Whether it fits an environment with these spaces.
    pub fn accepts(&self, observation: &Space, action: &Space) -> bool {
        observation_size(observation).is_ok_and(|size| size == self.observation_size)
            && num_actions(action).is_ok_and(|n| n == self.num_actions)
    }

    /// Numbers in an observation.
    pub fn observation_size(&self) -> usize {
        self.observation_size
    }

    /// Number of actions.
    pub fn num_actions(&self) -> usize {
        self.num_actions
    }

    /// The whole numbers that the first number of an observation rounds to; 0 alone unless the cue is asked for.
    pub fn cue_classes(&self) -> RangeInclusive<i64> {
        self.cue_classes.clone()
    }

    /// Numbers in an input row.
    pub fn input_size(&self) -> usize {
        let previous_action = if self.previous_action {
            self.num_actions
        } else {
            0
        };
        self.observation_size
            + previous_action
            + usize::from(self.previous_reward)
            + usize::from(self.step_counter)
    }

    /// Appends the input rows of `observations` (`[lanes, observation_size]`) to `inputs`.
    pub fn encode(&self, observations: &[f32], history: &LaneHistory, inputs: &mut Vec<f32>) {
        for (lane, observation) in observations.chunks_exact(self.observation_size).enumerate() {
            inputs.extend_from_slice(observation);
            let age = history.ages[lane];
            if self.previous_action {
                let action = (age > 0).then_some(history.actions[lane] as usize);
                inputs
                    .extend((0..self.num_actions).map(|a| f32::from(u8::from(action == Some(a)))));
            }
            if self.previous_reward {
                inputs.push(history.rewards[lane]);
            }
            if self.step_counter {
                inputs.push(age as f32 / (age as f32 + 100.0));
            }
        }
    }
}

/// Numbers in a flattened observation.
fn observation_size(space: &Space) -> Result<usize, EnvError> {
    match space {
        Space::Box { shape, .. } => Ok(shape.iter().product()),
        other => Err(EnvError::UnsupportedSpace {
            what: "observation",
            detail: format!("{other:?}; the agents take Box observations"),
        }),
    }
}

/// The classes of the first number of an observation.
fn cue_classes(space: &Space) -> Result<RangeInclusive<i64>, EnvError> {
    let first = |bound: &Bound| match bound {
        Bound::All(bound) => Some(*bound),
        Bound::Each(bounds) => bounds.first().copied(),
    };
    let bounds = match space {
        Space::Box { low, high, .. } => first(low).zip(first(high)),
        _ => None,
    };
    bounds
        .filter(|(low, high)| low.is_finite() && high - low < MAX_CUE_CLASSES as f64)
        .map(|(low, high)| low.round() as i64..=high.round() as i64)
        .ok_or_else(|| EnvError::UnsupportedSpace {
            what: "observation",
            detail: format!(
                "aux_modules: the cue is the first number of an observation, rounded; its bounds must leave it at \
                 most {MAX_CUE_CLASSES} classes, and this space is {space:?}. Leave `cue` out"
            ),
        })
}

fn num_actions(space: &Space) -> Result<usize, EnvError> {
    match space {
        Space::Discrete { n, start: 0 } => Ok(*n as usize),
        other => Err(EnvError::UnsupportedSpace {
            what: "action",
            detail: format!("{other:?}; the agents take Discrete actions that start at 0"),
        }),
    }
}
