//! From a plan to records: the runner, the seam to contenders, and what is shown meanwhile.

pub mod contender;
pub mod embedded;
mod precautions;
pub mod progress;
pub mod runner;
mod turn;
