//! Trajectories: the recorded operations of an environment, as a document that can be replayed.

use serde::{Deserialize, Serialize};

use crate::snapshot::Snapshot;

/// The value of [`Trajectory::format`].
pub const TRAJECTORY_FORMAT: &str = "environment-trajectory";
/// The value of [`Trajectory::version`] that this crate writes and reads.
pub const TRAJECTORY_VERSION: u32 = 1;

/// A page of an environment's operations and replies, in order, with the state before the first
/// one: enough to replay the page, on this server or elsewhere, and to compare every reply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Trajectory {
    /// Always `environment-trajectory`.
    pub format: String,
    /// Version of this layout.
    pub version: u32,
    /// The earliest `seq` that the server still has. The oldest operations are dropped when the
    /// history of an environment exceeds its limit.
    pub first_seq: u64,
    /// The state before the first entry.
    pub start: Snapshot,
    /// Operations in order, without gaps.
    pub entries: Vec<TrajectoryEntry>,
    /// Value of `from` for the next page; absent on the last.
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
    /// Kind of the operation.
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
    /// Restores a saved state.
    Restore,
    /// Creates another environment with the same state.
    Fork,
}
