//! Snapshots: the whole state of an environment as a document.

use serde::{Deserialize, Serialize};

use crate::finite;
use crate::read;
use crate::terms::{AutoresetMode, Kwargs};

/// The value of [`Snapshot::format`].
pub const SNAPSHOT_FORMAT: &str = "environment-snapshot";
/// The value of [`Snapshot::version`] that this crate writes and reads.
pub const SNAPSHOT_VERSION: u32 = 1;

/// Everything that determines how an environment continues: state, random stream and phase of each
/// lane. Restoring a snapshot and playing the same actions gives the same results, bit for bit.
///
/// A snapshot has no `seq`, which belongs to the resource and not to its state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// Always `environment-snapshot`.
    #[cfg_attr(feature = "openapi", schema(pattern = "^environment-snapshot$"))]
    pub format: String,
    /// Version of this layout.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 1))]
    #[serde(deserialize_with = "read::whole")]
    pub version: u32,
    /// Spec of the environment.
    pub spec_id: String,
    /// Arguments the environment was created with.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    #[serde(deserialize_with = "finite::map")]
    pub kwargs: Kwargs,
    /// Behaviour when a lane's episode ends; absent for a single environment.
    #[serde(
        default,
        deserialize_with = "read::name_if_any",
        skip_serializing_if = "Option::is_none"
    )]
    pub autoreset_mode: Option<AutoresetMode>,
    /// Last observation of every lane, flat in C order.
    #[serde(deserialize_with = "finite::numbers")]
    pub observations: Vec<f64>,
    /// The lanes; a single environment has one.
    pub lanes: Vec<LaneSnapshot>,
}

/// State of one lane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LaneSnapshot {
    /// The lane's place in its episode.
    #[serde(deserialize_with = "read::name")]
    pub phase: LanePhase,
    /// State of the random stream: 64 hexadecimal digits, four words, the first word first.
    /// A string, because not every JSON library keeps 64-bit integers.
    #[cfg_attr(feature = "openapi", schema(pattern = "^[0-9a-f]{64}$"))]
    pub rng: String,
    /// The environment's own state.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    #[serde(deserialize_with = "finite::value")]
    pub state: serde_json::Value,
}

/// The place of a lane in its episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum LanePhase {
    /// Never reset yet: the first operation must be a reset.
    New,
    /// In an episode.
    Running,
    /// The episode has ended; in the mode `NextStep` the next step resets the lane.
    Ended,
}
