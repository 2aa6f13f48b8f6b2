//! Agents that learn what to remember, over HTTP.
//!
//! Start reading at `train`: it is the main path.

pub mod heatmap;
pub mod monitor;
pub mod nn;
