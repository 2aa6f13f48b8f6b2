//! Handlers of the routes, by resource.

pub(super) mod envs;
pub(super) mod metrics;
pub(super) mod operations;
mod resource;
pub(super) mod specs;
pub(super) mod vector_envs;
