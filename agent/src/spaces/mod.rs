//! From the values of a space to the numbers that a network takes and gives.

pub mod actions;
pub mod batches;
pub mod components;
pub mod encoder;

use env_protocol::Space;
use serde::{Deserialize, Serialize};

/// The spaces of one environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spaces {
    /// Of observations.
    pub observation: Space,
    /// Of actions.
    pub action: Space,
}

/// A space that the agents cannot play.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the agents cannot play this {what} space: {detail}")]
pub struct UnsupportedSpace {
    /// `observation` or `action`.
    pub what: &'static str,
    /// Why.
    pub detail: String,
}
