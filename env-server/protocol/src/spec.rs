//! Specs: the catalogue of environments.

use serde::{Deserialize, Serialize};

use crate::space::Space;

/// One kind of environment that can be created.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Spec {
    /// Name with version, as in `MemoryTask-v0`.
    pub id: String,
    /// What the task is and what it asks of a memory.
    pub description: String,
    /// Arguments it takes.
    pub parameters: Vec<Parameter>,
    /// What an observation looks like.
    pub observation_space: Space,
    /// What an action looks like.
    pub action_space: Space,
    /// Least and greatest reward of one step.
    pub reward_range: [f64; 2],
    /// Mean return from which the task counts as solved.
    pub solved_threshold: f64,
    /// Where the task comes from.
    pub source: String,
}

/// An integer argument of a spec.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Parameter {
    /// Name in `kwargs`.
    pub name: String,
    /// What it does.
    pub description: String,
    /// Least value.
    pub minimum: i64,
    /// Greatest value.
    pub maximum: i64,
    /// Value when left out; absent where the description says how it follows from the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<i64>,
    /// Whether `options` of a reset may override it.
    pub resettable: bool,
}
