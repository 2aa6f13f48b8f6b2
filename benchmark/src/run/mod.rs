//! Running a plan: the runner, the interface to the contenders, progress, and an environment server.

pub mod contender;
pub mod embedded;
mod precautions;
pub mod progress;
pub mod runner;
mod turn;
