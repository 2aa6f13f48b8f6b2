//! A job of a plan.

use std::path::PathBuf;

use super::agents::AgentRow;
use super::experiment::Experiment;

/// One agent on one experiment with one seed.
#[derive(Debug, Clone)]
pub struct Job {
    /// The task and its budget.
    pub experiment: Experiment,
    /// The algorithm and its settings.
    pub agent: AgentRow,
    /// Seeds training and, independently, evaluation.
    pub seed: u64,
    /// Base URL of the environment server to play on.
    pub server: String,
    /// The job's own directory for checkpoints; it exists.
    pub directory: PathBuf,
}
