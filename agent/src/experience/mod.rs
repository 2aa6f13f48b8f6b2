//! Experience: the steps that learners learn from.
//!
//! A [`Source`] brings rollouts: a [`Collector`] plays environments, a [`Recording`] plays back a [`Dataset`]. A
//! learner that learns from old steps stores them in a [`Replay`]. [`minari`] writes datasets to files and reads them.

mod behaviour;
mod collector;
mod dataset;
pub(crate) mod floats;
mod guest;
mod hindsight;
pub mod minari;
mod playback;
mod recorder;
mod replay;
mod rollout;
mod source;
mod state;

pub use self::behaviour::Behaviour;
pub use self::collector::{Collection, CollectionOverrides, Collector, Limits, drawn};
pub use self::dataset::{Dataset, RecordedEpisode};
pub use self::guest::{Guest, GuestState};
pub use self::hindsight::Goals;
pub use self::playback::{Playback, Recording};
pub use self::recorder::{OpenEpisodes, Recorder};
pub use self::replay::{EpisodeBatch, Replay, Sequence, StoredStates};
pub use self::rollout::{CutOff, Episode, Rollout};
pub use self::source::{Source, Spent};
pub use self::state::CollectorState;
