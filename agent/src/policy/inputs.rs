//! Input rows of an agent: the observation and, on request, its previous action, its previous
//! reward and a step counter. Every agent has the same choice, all off by default, and results
//! record it: an agent that is shown its previous action can carry a cue through its own actions
//! instead of remembering it.

use env_protocol::Space;
use serde::{Deserialize, Serialize};

use crate::hyper::Hyperparameters;
use crate::hyper::section::section;
use crate::memory::Previous;
use crate::spaces::UnsupportedSpace;
use crate::spaces::actions::{ActionHeads, Choice};
use crate::spaces::encoder::{FirstNumber, InputColumn, SpaceEncoder, input_columns};

section! {
    /// Inputs of an agent in addition to the observation.
    pub struct Inputs, overridden by InputsOverrides {
        /// Show the agent its previous action (choices one-hot, numbers clipped; zeros at the first step).
        #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
        previous_action: bool = false, |_| true, "true or false";
        /// Show the agent its previous reward.
        #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
        previous_reward: bool = false, |_| true, "true or false";
        /// Show the agent the number of steps so far in the episode, as t/(t+100).
        #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
        step_counter: bool = false, |_| true, "true or false";
    }
}

/// Turns observations into input rows.
#[derive(Clone, Debug)]
pub struct InputEncoder {
    observation: SpaceEncoder,
    columns: Vec<InputColumn>,
    heads: ActionHeads,
    previous_action: bool,
    previous_reward: bool,
    step_counter: bool,
    cue: Option<FirstNumber>,
}

/// Most classes that a cue may have.
const MAX_CUE_CLASSES: usize = 256;

/// State of each lane that the optional inputs read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LaneHistory {
    /// Steps so far in the episode, `[lanes]`.
    pub ages: Vec<u32>,
    /// Action of the previous step, `[lanes, components]`; meaningless at age 0.
    pub actions: Vec<Choice>,
    /// Reward of the previous step, `[lanes]`; 0 at age 0.
    pub rewards: Vec<f32>,
}

impl LaneHistory {
    /// Lanes that have taken no step, with actions of so many components.
    pub fn new(lanes: usize, components: usize) -> Self {
        Self {
            ages: vec![0; lanes],
            actions: vec![0; lanes * components],
            rewards: vec![0.0; lanes],
        }
    }

    /// Records one step of every lane.
    pub fn push(&mut self, actions: &[Choice], rewards: &[f64], ends: impl Iterator<Item = bool>) {
        let components = self.actions.len() / self.ages.len().max(1);
        for (lane, end) in ends.enumerate() {
            if end {
                (self.ages[lane], self.rewards[lane]) = (0, 0.0);
            } else {
                self.ages[lane] += 1;
                let of_lane = lane * components..(lane + 1) * components;
                let kept = &mut self.actions[of_lane.clone()];
                kept.copy_from_slice(&actions[of_lane]);
                self.rewards[lane] = rewards[lane] as f32;
            }
        }
    }

    fn action(&self, lane: usize) -> &[Choice] {
        let components = self.actions.len() / self.ages.len();
        &self.actions[lane * components..][..components]
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
        wants_cue: bool,
    ) -> Result<Self, UnsupportedSpace> {
        let inputs = hyper.get::<Inputs>();
        Ok(Self {
            observation: SpaceEncoder::new(observation)?,
            columns: input_columns(observation),
            heads: ActionHeads::new(action)?,
            previous_action: inputs.previous_action,
            previous_reward: inputs.previous_reward,
            step_counter: inputs.step_counter,
            cue: wants_cue.then(|| cue(observation)).transpose()?,
        })
    }

    /// Whether it fits an environment with these spaces.
    pub fn accepts(&self, observation: &Space, action: &Space) -> bool {
        SpaceEncoder::new(observation).is_ok_and(|encoder| encoder == self.observation)
            && ActionHeads::new(action).is_ok_and(|heads| heads == self.heads)
    }

    /// Numbers in a flat observation, as environments answer it.
    pub fn flat_size(&self) -> usize {
        self.observation.flat_size()
    }

    /// Numbers in an encoded observation, which an input row begins with.
    pub fn observation_size(&self) -> usize {
        self.observation.size()
    }

    /// Returns the meaning of each number of an encoded observation.
    pub fn columns(&self) -> &[InputColumn] {
        &self.columns
    }

    /// Returns the components of actions.
    pub fn heads(&self) -> &ActionHeads {
        &self.heads
    }

    /// The cue: the first number of an observation. `None` unless an auxiliary loss asks for it.
    pub fn cue(&self) -> Option<&FirstNumber> {
        self.cue.as_ref()
    }

    /// Numbers in an input row.
    pub fn input_size(&self) -> usize {
        self.previous().reward.end + usize::from(self.step_counter)
    }

    /// Returns the columns of an input row that show the step before.
    pub fn previous(&self) -> Previous {
        let action = self.observation_size();
        let reward = action + usize::from(self.previous_action) * self.heads.num_outputs();
        Previous {
            action: action..reward,
            reward: reward..reward + usize::from(self.previous_reward),
        }
    }

    /// Appends the encoding of one flat observation, without the options.
    pub fn encode_observation(&self, observation: &[f32], inputs: &mut Vec<f32>) {
        self.observation.encode(observation, inputs);
    }

    /// Appends the encodings of `observations` (`[lanes, flat_size]`), without the options.
    pub fn encode_observations(&self, observations: &[f32], encoded: &mut Vec<f32>) {
        for observation in observations.chunks_exact(self.flat_size()) {
            self.observation.encode(observation, encoded);
        }
    }

    /// Appends the input rows of encoded observations (`[lanes, observation_size]`) to `inputs`.
    pub fn append_rows(&self, encoded: &[f32], history: &LaneHistory, inputs: &mut Vec<f32>) {
        inputs.reserve(history.ages.len() * self.input_size());
        for (lane, observation) in encoded.chunks_exact(self.observation_size()).enumerate() {
            inputs.extend_from_slice(observation);
            let age = history.ages[lane];
            if self.previous_action {
                let first = inputs.len();
                inputs.resize(first + self.heads.num_outputs(), 0.0);
                if age > 0 {
                    self.heads.mark(history.action(lane), &mut inputs[first..]);
                }
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

fn cue(space: &Space) -> Result<FirstNumber, UnsupportedSpace> {
    FirstNumber::new(space, MAX_CUE_CLASSES).ok_or_else(|| UnsupportedSpace {
        what: "observation",
        detail: format!(
            "aux_modules: the cue is the first number of an observation, rounded; its bounds must leave it at \
             most {MAX_CUE_CLASSES} classes, and this space is {space:?}. Leave `cue` out"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An observation of one choice of three, actions of two components, and every optional input.
    #[test]
    fn a_row_is_the_observation_and_what_was_asked_for() {
        let space = |json: &str| serde_json::from_str(json).unwrap();
        let hyper = Hyperparameters::new().with(Inputs {
            previous_action: true,
            previous_reward: true,
            step_counter: true,
        });
        let encoder = InputEncoder::new(
            &space(r#"{"type":"Discrete","n":3,"start":0}"#),
            &space(r#"{"type":"MultiDiscrete","nvec":[2,3]}"#),
            &hyper,
            false,
        )
        .unwrap();
        assert_eq!((encoder.flat_size(), encoder.observation_size()), (1, 3));
        assert_eq!(encoder.input_size(), 3 + 5 + 2);
        let mut history = LaneHistory::new(2, 2);
        history.push(&[1, 2, 0, 1], &[0.5, 7.0], [false, true].into_iter());
        let mut inputs = Vec::new();
        let mut encoded = Vec::new();
        encoder.encode_observations(&[2.0, 0.0], &mut encoded);
        encoder.append_rows(&encoded, &history, &mut inputs);
        assert_eq!(
            inputs,
            [
                0.0,
                0.0,
                1.0,
                0.0,
                1.0,
                0.0,
                0.0,
                1.0,
                0.5,
                1.0 / 101.0, // lane 0
                1.0,
                0.0,
                0.0,
                0.0,
                0.0,
                0.0,
                0.0,
                0.0,
                0.0,
                0.0, // lane 1: a new episode
            ]
        );
    }
}
