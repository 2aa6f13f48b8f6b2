//! Agents that learn what to remember, over HTTP.
//!
//! Start reading at [`train`]: it is the main path.

pub use agent_nn as nn;

pub mod actions;
pub mod actor;
pub mod advantage;
pub mod algorithms;
pub mod arguments;
mod autosave;
pub mod auxiliary;
pub mod checkpoint;
pub mod config;
pub mod describe;
pub mod encoder;
pub mod env;
pub mod evaluate;
pub mod exploration;
pub mod files;
pub mod heatmap;
pub mod inputs;
pub mod inspect;
pub mod learner;
pub mod lock;
pub mod memory;
pub mod monitor;
pub mod onnx;
pub mod play;
pub mod policy;
pub mod rollout;
pub mod seeds;
pub mod serve;
pub mod session;
pub mod settings;
pub mod shell;
pub mod signals;
pub mod text;
pub mod train;
