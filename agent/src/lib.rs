//! Agents that learn what to remember, over HTTP.
//!
//! Start reading at [`run::train`]: it is the main path.
//!
//! Modules stand on floors, from the ground up, and import only their own floor and those below it
//! (`scripts/check-imports` tests it).

pub use agent_nn as nn;

// The ground: no module here knows of agents.
pub mod arguments;
pub mod files;
pub mod seeds;
pub mod shell;
pub mod signals;
pub mod text;
pub mod views;

// Spaces, graphs and environments.
pub mod env;
pub mod onnx;
pub mod spaces;

// Parts of an agent.
pub mod hyper;
pub mod memory;
pub mod policy;

// How it learns.
pub mod algorithms;
pub mod experience;
pub mod learner;
pub mod run;

// Uses of a trained agent.
pub mod deploy;
pub mod evaluate;
