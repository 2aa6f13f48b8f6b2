//! Experience: the steps that learners learn from.
//!
//! A [`Source`] brings rollouts: a [`Collector`] plays environments, a [`Recording`] plays back a [`Dataset`]. A
//! learner that learns from old steps stores them in a [`Replay`].

mod behaviour;
mod collector;
mod dataset;
mod floats;
mod lanes;
mod playback;
mod recorder;
mod replay;
mod rollout;
mod source;

pub use self::behaviour::Behaviour;
pub use self::collector::{Collection, Collector};
pub use self::dataset::{Dataset, RecordedEpisode};
pub use self::lanes::Lanes;
pub use self::playback::{Playback, Recording};
pub use self::recorder::Recorder;
pub use self::replay::{EpisodeBatch, Replay};
pub use self::rollout::{CutOff, Episode, Rollout};
pub use self::source::Source;
