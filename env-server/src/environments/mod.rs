//! Environments: pure state machines, one file a task.
//!
//! An environment does no I/O, reads no clock and owns no randomness: what it draws comes through
//! [`Draws`], so that a spec, its arguments, a seed and the actions decide everything, and a
//! recorded episode can be replayed by scripting its draws.

pub mod arguments;
#[cfg(test)]
pub(crate) mod check;
pub mod draws;
pub mod memory_task;
pub mod registry;

use env_protocol::{Array, Data, Spec};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::render::{Picture, Seen};

pub use arguments::{Arguments, KwargsError};
pub use draws::{Draw, Draws, Rng, Script};

/// A task: what it shows, what it pays, when it ends.
///
/// Its serde form is its whole state, and what a snapshot holds.
pub trait Environment: Clone + Serialize + DeserializeOwned + Send + 'static {
    /// Type of the numbers in an observation.
    type Element: Element;

    /// Name in files of recorded episodes.
    const REFERENCE_NAME: &'static str;

    /// The entry in the catalogue. Observation space and action space must be single arrays, and
    /// the action space one of integers.
    fn spec() -> Spec;

    /// An environment with these arguments, before its first reset.
    ///
    /// # Errors
    /// When arguments that are each in range do not fit together.
    fn new(arguments: &Arguments) -> Result<Self, KwargsError>;

    /// Begins an episode and writes its first observation.
    fn reset(&mut self, draws: &mut impl Draws, observation: &mut [Self::Element]);

    /// Takes an action (a row of the action space, in range) and writes the next observation.
    ///
    /// Only called between a reset and the end of the episode.
    fn step(
        &mut self,
        action: &[i64],
        draws: &mut impl Draws,
        observation: &mut [Self::Element],
    ) -> Transition;

    /// Checks a state that came from outside.
    ///
    /// # Errors
    /// Says what no episode could have led to.
    fn validate(&self) -> Result<(), String>;

    /// Whether a step may come next: an episode has begun and not ended.
    fn is_running(&self) -> bool;

    /// The present state for a spectator, who may see what the agent does not. Title, step count and
    /// rewards are added by the caller.
    ///
    /// Only called after a reset. It must cost little and build a bounded number of cells, whatever
    /// the arguments: [`window`](crate::render::window) finds what to show of something long.
    fn picture(&self, seen: &Seen<'_, Self::Element>) -> Picture;

    /// The draws that lead to a recorded episode, in the order in which the environment asks.
    ///
    /// # Errors
    /// When the recording lacks something.
    fn script(&self, latent: &serde_json::Value) -> Result<Vec<Draw>, String>;
}

/// What a step led to, beside the observation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transition {
    /// The reward.
    pub reward: f64,
    /// Whether the task has come to its end.
    pub terminated: bool,
    /// Whether the episode was cut short.
    pub truncated: bool,
}

impl Transition {
    /// A step in the middle of an episode.
    pub const fn going_on(reward: f64) -> Self {
        Transition {
            reward,
            terminated: false,
            truncated: false,
        }
    }

    /// The last step of the task.
    pub const fn terminal(reward: f64) -> Self {
        Transition {
            reward,
            terminated: true,
            truncated: false,
        }
    }

    /// Whether the episode is over.
    pub const fn is_end(self) -> bool {
        self.terminated || self.truncated
    }
}

/// A type of numbers that observations are made of.
pub trait Element: Copy + Default + PartialEq + Send + 'static {
    /// Wraps numbers for the wire.
    fn into_data(numbers: Vec<Self>) -> Data;

    /// As f64, exactly.
    fn to_f64(self) -> f64;

    /// From f64, if it is exactly one of this type.
    fn from_f64(number: f64) -> Option<Self>;
}

impl Element for f32 {
    fn into_data(numbers: Vec<Self>) -> Data {
        Data::Float32(numbers)
    }

    fn to_f64(self) -> f64 {
        f64::from(self)
    }

    fn from_f64(number: f64) -> Option<Self> {
        let narrow = number as f32;
        (f64::from(narrow) == number).then_some(narrow)
    }
}

impl Element for i64 {
    fn into_data(numbers: Vec<Self>) -> Data {
        Data::Int64(numbers)
    }

    fn to_f64(self) -> f64 {
        self as f64
    }

    fn from_f64(number: f64) -> Option<Self> {
        let narrow = number as i64;
        (narrow as f64 == number).then_some(narrow)
    }
}

/// An array for the wire from rows of observations: `[leading…, row…]`.
pub(crate) fn observations_array<T: Element>(shape: Vec<usize>, numbers: Vec<T>) -> Array {
    Array::new(shape, T::into_data(numbers)).expect("rows fill their shape")
}
