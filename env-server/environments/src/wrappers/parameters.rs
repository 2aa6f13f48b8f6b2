//! Wrappers as arguments, which every spec accepts.
//!
//! They mean the same as in Gymnasium: `TimeLimit`, observations with the previous action and
//! reward and a flag on the first of an episode, noise on observations, repeated actions. Each is
//! off unless its argument is given, so the arguments of a run name its wrappers.

use env_protocol::Parameter;
use serde::{Deserialize, Serialize};

use crate::{Arguments, KwargsError};

/// Greatest time limit, in the client's steps.
const MAX_EPISODE_STEPS: u32 = 1_000_000_000;
/// Greatest number of frames in one step of the client.
const MAX_FRAME_SKIP: u32 = 100;
/// Greatest standard deviation of the noise.
const MAX_NOISE: f64 = 1e6;

/// The wrappers that are on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wrappers {
    /// Number of the client's steps after which an episode is truncated.
    pub max_episode_steps: Option<u32>,
    /// Number of frames in one step of the client, all with the same action; 1 by default.
    pub frame_skip: u32,
    /// Standard deviation of the noise on every number of an observation.
    pub observation_noise: f64,
    /// Whether the action that led to an observation is in it.
    pub previous_action: bool,
    /// Whether the reward that came with an observation is in it.
    pub previous_reward: bool,
    /// Whether an observation says if it is the first of its episode.
    pub is_first: bool,
}

impl Wrappers {
    /// Returns the parameters that switch wrappers on.
    pub fn parameters() -> [Parameter; 6] {
        [
            Parameter::integer(
                "max_episode_steps",
                "Wrapper: truncates an episode after so many steps of the client.",
                1,
                i64::from(MAX_EPISODE_STEPS),
                None,
            ),
            Parameter::integer(
                "frame_skip",
                "Wrapper: takes each action so often and sums the rewards; stops at the end.",
                1,
                i64::from(MAX_FRAME_SKIP),
                None,
            ),
            Parameter::number(
                "observation_noise",
                "Wrapper: adds Gaussian noise of this standard deviation to each number of a Box of \
                 floats.",
                0.0,
                MAX_NOISE,
                None,
            ),
            Parameter::boolean(
                "previous_action",
                "Wrapper: observations are Dicts, with the action that led to them (the least at a \
                 reset, or 0 of a Box).",
            ),
            Parameter::boolean(
                "previous_reward",
                "Wrapper: observations are Dicts, with the reward that came with them (0 at a \
                 reset).",
            ),
            Parameter::boolean(
                "is_first",
                "Wrapper: observations are Dicts that tell whether they are the first of an episode.",
            ),
        ]
    }

    /// Returns the wrappers that these arguments switch on. An argument that is one of the `own`
    /// parameters of the environment belongs to the environment and switches on no wrapper.
    ///
    /// # Errors
    /// When a value is out of range.
    pub fn from_arguments(arguments: &Arguments, own: &[Parameter]) -> Result<Self, KwargsError> {
        let is_own = |name: &str| own.iter().any(|parameter| parameter.name == name);
        let natural = |name: &str| match is_own(name) {
            true => Ok(None),
            false => arguments.natural(name),
        };
        let flag = |name: &str| !is_own(name) && arguments.flag(name) == Some(true);
        let noise = arguments.number("observation_noise");
        Ok(Wrappers {
            max_episode_steps: natural("max_episode_steps")?,
            frame_skip: natural("frame_skip")?.unwrap_or(1),
            observation_noise: noise
                .filter(|_| !is_own("observation_noise"))
                .unwrap_or(0.0),
            previous_action: flag("previous_action"),
            previous_reward: flag("previous_reward"),
            is_first: flag("is_first"),
        })
    }

    /// Whether any wrapper is on.
    pub fn any(&self) -> bool {
        self.has_extras()
            || self.max_episode_steps.is_some()
            || self.frame_skip > 1
            || self.observation_noise > 0.0
    }

    /// Whether observations have extras in addition to the environment's own numbers.
    pub fn has_extras(&self) -> bool {
        self.previous_action || self.previous_reward || self.is_first
    }

    /// Whether wrappers change the length of an episode or the effect of a step.
    pub fn changes_episodes(&self) -> bool {
        self.max_episode_steps.is_some() || self.frame_skip > 1
    }

    /// Checks wrappers that came from outside.
    ///
    /// # Errors
    /// Says what is out of range.
    pub fn validate(&self) -> Result<(), String> {
        let limit = self.max_episode_steps.unwrap_or(1);
        if !(1..=MAX_EPISODE_STEPS).contains(&limit)
            || !(1..=MAX_FRAME_SKIP).contains(&self.frame_skip)
            || !(0.0..=MAX_NOISE).contains(&self.observation_noise)
        {
            return Err(format!("a wrapper is out of range: {self:?}"));
        }
        Ok(())
    }
}
