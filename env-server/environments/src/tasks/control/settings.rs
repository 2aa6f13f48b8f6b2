//! Settings of poles and pendulums, read from their arguments.

use env_protocol::{Bound, Dtype, Parameter, Space};

use crate::kit::arguments::required;
use crate::{Arguments, KwargsError};

/// Longest episode.
pub(crate) const MAX_LENGTH: u32 = 10_000_000;

/// Settings that arguments decide.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Steps after which an episode is truncated.
    pub max_episode_length: u32,
    /// Standard deviation of the noise, where there is any.
    pub noise_sigma: Option<f64>,
}

impl Settings {
    /// Reads the parameter of [`time_limit`].
    ///
    /// # Errors
    /// When it is missing or out of range.
    pub(crate) fn with_time_limit(arguments: &Arguments) -> Result<Self, KwargsError> {
        let name = "max_episode_steps";
        Ok(Settings {
            max_episode_length: required(name, arguments.natural(name)?)?,
            noise_sigma: None,
        })
    }
}

/// Returns the space of observations whose numbers are at most so great, on either side of 0.
pub(crate) fn symmetric_box(most: Vec<f64>) -> Space {
    Space::Box {
        shape: vec![most.len()],
        dtype: Dtype::Float32,
        low: Bound::Each(most.iter().map(|x| -x).collect()),
        high: Bound::Each(most),
    }
}

/// Returns the parameter `max_episode_steps` of a task that Gymnasium wraps with a `TimeLimit`.
pub(crate) fn time_limit(usual: u32) -> Parameter {
    Parameter::integer(
        "max_episode_steps",
        "Steps after which an episode is truncated.",
        1,
        i64::from(MAX_LENGTH),
        Some(i64::from(usual)),
    )
}

/// Returns the parameter `max_episode_length`, whose values at POPGym's levels are named.
pub(crate) fn length_parameter(at_levels: &str) -> Parameter {
    Parameter::integer(
        "max_episode_length",
        &format!("Steps after which an episode is truncated; {at_levels}."),
        1,
        i64::from(MAX_LENGTH),
        None,
    )
}
