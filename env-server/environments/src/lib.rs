//! Environments: pure state machines, one file a task.
//!
//! An environment does no I/O, reads no clock and owns no randomness: what it draws comes through
//! [`Draws`], so that a spec, its arguments, a seed and the actions decide everything, and a
//! recorded episode can be replayed by scripting its draws.

#[cfg(test)]
mod best;
pub mod check;
#[cfg(test)]
mod gallery;
pub mod kit;
pub mod pieces;
#[cfg(test)]
mod players;
pub mod recorded;
pub mod registry;
pub mod render;
pub mod tasks;
pub mod vector;
pub mod verify;
pub mod wrappers;

use env_protocol::{Data, Dtype, Kwargs, Parameter, Returns, Space, Spec};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::render::{Picture, Seen};

pub(crate) use kit::batch::Layout;

pub use kit::arguments::{Arguments, KwargsError};
pub use kit::draws::{Draws, Rng};
pub use kit::script::{Draw, Script};
pub use wrappers::Wrapped;
pub use wrappers::parameters::Wrappers;

/// What an environment is, whatever its arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Name with version, as in `MemoryTask-v0`.
    pub id: &'static str,
    /// What the task is and what it asks of a memory.
    pub description: &'static str,
    /// Arguments it takes, less those of wrappers.
    pub parameters: Vec<Parameter>,
    /// What must be remembered, and for how long.
    pub remember: &'static str,
    /// Where the task comes from.
    pub source: &'static str,
}

/// A task: what it shows, what it pays, when it ends.
///
/// Its serde form is its whole state, and what a snapshot holds.
pub trait Environment: Clone + Serialize + DeserializeOwned + Send + 'static {
    /// Type of the numbers in an observation.
    type Element: Element;

    /// Name in files of recorded episodes.
    const REFERENCE_NAME: &'static str;

    /// Distance at which an observed float32 still counts as equal to a recorded one, in units in
    /// the last place.
    const TOLERANCE_ULPS: u32 = 0;

    /// What the environment is, whatever its arguments.
    fn profile() -> Profile;

    /// Arguments that it is created with: its own, and those of the wrappers that it has not got
    /// itself.
    fn parameters() -> Vec<Parameter> {
        let mut parameters = Self::profile().parameters;
        for wrapper in Wrappers::parameters() {
            if parameters.iter().all(|own| own.name != wrapper.name) {
                parameters.push(wrapper);
            }
        }
        parameters
    }

    /// The entry in the catalogue: the profile, with all that follows from the default arguments.
    fn spec() -> Spec {
        let profile = Self::profile();
        let parameters = Self::parameters();
        let environment = Arguments::resolve(&parameters, &Kwargs::new())
            .and_then(|arguments| Self::new(&arguments))
            .expect("the default arguments are good");
        Spec {
            id: profile.id.to_owned(),
            description: profile.description.to_owned(),
            parameters,
            observation_space: environment.observation_space(),
            action_space: environment.action_space(),
            reward_range: environment.reward_range(),
            solved_threshold: environment.solved_threshold(),
            remember: profile.remember.to_owned(),
            needs_memory: environment.needs_memory(),
            returns: environment.returns(),
            source: profile.source.to_owned(),
        }
    }

    /// An environment with these arguments, before its first reset.
    ///
    /// # Errors
    /// When arguments that are each in range do not fit together.
    fn new(arguments: &Arguments) -> Result<Self, KwargsError>;

    /// What an observation looks like. A row of numbers holds the numbers of its arrays one after
    /// the other, a `Dict`'s in the order of its names.
    fn observation_space(&self) -> Space;

    /// What an action looks like: a single array of integers.
    fn action_space(&self) -> Space;

    /// Least and greatest reward of one step.
    fn reward_range(&self) -> [f64; 2];

    /// What players score.
    fn returns(&self) -> Returns;

    /// Mean return from which the task counts as solved: by default, 95 % of the way from random
    /// to the best known, or to the oracle's where no best is known. `None` where that is not known.
    fn solved_threshold(&self) -> Option<f64> {
        self.returns().solved_threshold()
    }

    /// Whether remembering earns anything with these arguments: by default, unless the best player is
    /// known to be no better than one that sees the last observation only.
    fn needs_memory(&self) -> bool {
        let returns = self.returns();
        let without = returns.memoryless.or(returns.random);
        let with = returns.best.or(returns.oracle);
        without
            .zip(with)
            .is_none_or(|(without, with)| without < with)
    }

    /// Takes over what outlives episodes, from the environment that this one replaces at a reset
    /// without a seed. By default nothing does.
    fn inherit(&mut self, _previous: &Self) {}

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

    /// The action of a player that knows every hidden draw. Only called while an episode runs.
    fn oracle(&self) -> Vec<i64>;

    /// Checks a state that came from outside.
    ///
    /// # Errors
    /// Says what no episode could have led to.
    fn validate(&self) -> Result<(), String>;

    /// Bytes that it has on the heap, those of its vectors: what a server counts beside its size.
    fn heap_bytes(&self) -> usize {
        0
    }

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

    /// The states at each observation of a recorded episode, where it is to be compared step by
    /// step: the environment is put into each, because small differences would grow.
    ///
    /// # Errors
    /// When the recording lacks something.
    fn recorded_states(&self, _latent: &serde_json::Value) -> Result<Option<Vec<Self>>, String> {
        Ok(None)
    }

    /// Whether a step has led to the recorded state, where states are recorded.
    ///
    /// # Errors
    /// Says what differs.
    fn agrees_with(&self, _recorded: &Self) -> Result<(), String> {
        Ok(())
    }
}

/// Bytes that a vector has on the heap.
pub(crate) fn vec_bytes<T>(vector: &Vec<T>) -> usize {
    vector.capacity() * size_of::<T>()
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

    /// A step after which the task goes on, unless the time is up.
    pub const fn until(reward: f64, terminated: bool, truncated: bool) -> Self {
        Transition {
            reward,
            terminated,
            truncated,
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
    /// Their type on the wire.
    const DTYPE: Dtype;

    /// Wraps numbers for the wire.
    fn into_data(numbers: Vec<Self>) -> Data;

    /// As f64, exactly.
    fn to_f64(self) -> f64;

    /// From f64, if it is exactly one of this type.
    fn from_f64(number: f64) -> Option<Self>;
}

impl Element for f32 {
    const DTYPE: Dtype = Dtype::Float32;

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

impl Element for f64 {
    const DTYPE: Dtype = Dtype::Float64;

    fn into_data(numbers: Vec<Self>) -> Data {
        Data::Float64(numbers)
    }

    fn to_f64(self) -> f64 {
        self
    }

    fn from_f64(number: f64) -> Option<Self> {
        number.is_finite().then_some(number)
    }
}

impl Element for i64 {
    const DTYPE: Dtype = Dtype::Int64;

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
