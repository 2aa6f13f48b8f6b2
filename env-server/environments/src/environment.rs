//! The trait of tasks that can be played.

use env_protocol::Space;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::element::Element;
use crate::kit::arguments::{Arguments, KwargsError};
use crate::kit::draws::Draws;

/// A task that can be played: a state, a reset and steps.
///
/// Its serde form is its whole state, and what a snapshot holds. An entry of the table also
/// implements [`Catalogued`](crate::Catalogued) and [`Pictured`](crate::Pictured), and
/// [`Recorded`](crate::Recorded) where an original exists whose episodes it must repeat.
pub trait Environment: Clone + Serialize + DeserializeOwned + Send + 'static {
    /// Type of the numbers in an observation.
    type Element: Element;
    /// Type of the numbers in an action: i64 for integers, f32 for a `Box`.
    type Action: Element;

    /// Makes an environment with these arguments, before its first reset.
    ///
    /// # Errors
    /// When arguments that are each in range do not fit together.
    fn new(arguments: &Arguments) -> Result<Self, KwargsError>;

    /// Space of an observation. A row of numbers holds the numbers of its arrays one after the
    /// other, a `Dict`'s in the order of its names.
    fn observation_space(&self) -> Space;

    /// Space of an action: a single array, of integers or of float32.
    fn action_space(&self) -> Space;

    /// Begins an episode and writes its first observation.
    fn reset(&mut self, draws: &mut impl Draws, observation: &mut [Self::Element]);

    /// Takes an action (a row of the action space, in range) and writes the next observation.
    ///
    /// Only called between a reset and the end of the episode.
    fn step(
        &mut self,
        action: &[Self::Action],
        draws: &mut impl Draws,
        observation: &mut [Self::Element],
    ) -> Transition;

    /// Whether a step may come next: an episode has begun and not ended.
    fn is_running(&self) -> bool;

    /// Returns the action of a player that knows every hidden draw. Only called while an episode
    /// runs.
    fn oracle(&self) -> Vec<Self::Action>;

    /// Checks a state that came from outside.
    ///
    /// # Errors
    /// Says what is wrong with a state that no episode leads to.
    fn validate(&self) -> Result<(), String>;

    /// Copies the state that outlives episodes from the environment that this one replaces at a
    /// reset without a seed. By default there is none.
    fn inherit(&mut self, _previous: &Self) {}

    /// Bytes on the heap: those of its vectors. A server adds them to the size of the type.
    fn heap_bytes(&self) -> usize {
        0
    }
}

/// Result of a step, apart from the observation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transition {
    /// The reward.
    pub reward: f64,
    /// Whether the task has ended.
    pub terminated: bool,
    /// Whether the episode was cut short.
    pub truncated: bool,
}

impl Transition {
    /// Makes the result of a step in the middle of an episode.
    pub const fn running(reward: f64) -> Self {
        Transition {
            reward,
            terminated: false,
            truncated: false,
        }
    }

    /// Makes the result of a step that may end the task or the time.
    pub const fn new(reward: f64, terminated: bool, truncated: bool) -> Self {
        Transition {
            reward,
            terminated,
            truncated,
        }
    }

    /// Makes the result of the last step of the task.
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
