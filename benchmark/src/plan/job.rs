//! Jobs: the units of work of a run.

use std::path::PathBuf;

use super::agents::AgentRow;
use super::experiment::Experiment;

/// A job as the plan lists it, before it has a server and a directory.
#[derive(Debug, Clone, Copy)]
pub struct PlannedJob<'a> {
    /// Index of the experiment in the plan.
    pub experiment_index: usize,
    /// The task and its budget.
    pub experiment: &'a Experiment,
    /// The algorithm and its settings.
    pub agent: &'a AgentRow,
    /// The job's seed.
    pub seed: u64,
}

/// Names a job to people.
pub fn job_title(agent: &AgentRow, experiment: &Experiment, seed: u64) -> String {
    format!("{} {} seed {seed}", agent.name, experiment.name)
}

/// One agent on one experiment with one seed.
#[derive(Debug, Clone)]
pub struct Job {
    /// The task and its budget.
    pub experiment: Experiment,
    /// The algorithm and its settings.
    pub agent: AgentRow,
    /// Seed of training and, with a stream of its own, of evaluation.
    pub seed: u64,
    /// Base URL of the environment server to play on.
    pub server: String,
    /// Existing directory for the job's checkpoints, shared with no other job.
    pub directory: PathBuf,
}
