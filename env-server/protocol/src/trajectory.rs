//! Trajectories: what was played, as a document that can be played again.

use serde::{Deserialize, Serialize};

use crate::snapshot::Snapshot;

/// The value of [`Trajectory::format`].
pub const TRAJECTORY_FORMAT: &str = "environment-trajectory";
/// The value of [`Trajectory::version`] that this crate writes and reads.
pub const TRAJECTORY_VERSION: u32 = 1;

/// A page of what an environment was asked and what it answered, in order, with the state before
/// it: enough to play the page again, here or elsewhere, and compare every reply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Trajectory {
    /// Always `environment-trajectory`.
    pub format: String,
    /// Version of this layout.
    pub version: u32,
    /// The earliest `seq` that the server still has. Old operations are dropped when they take
    /// more room than an environment has for them.
    pub first_seq: u64,
    /// The state before the first entry.
    pub start: Snapshot,
    /// Operations in order, none left out.
    pub entries: Vec<TrajectoryEntry>,
    /// What to give as `from` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// An operation and its reply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TrajectoryEntry {
    /// Number of the operation.
    pub seq: u64,
    /// What was done.
    pub operation: OperationKind,
    /// Body of the request, without `seq`.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub body: serde_json::Value,
    /// Body of the reply.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub reply: serde_json::Value,
}

/// The numbered operations on an environment, under the names of their paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum OperationKind {
    /// Begins episodes.
    Reset,
    /// Takes actions.
    Step,
    /// Puts a state back.
    Restore,
    /// Branches off another environment with the same state.
    Fork,
}
