//! The interface between the benchmark and the agents: a job goes in, its outcome comes out.

use std::sync::atomic::AtomicBool;

use crate::plan::{AgentRow, Experiment, Job};
use crate::records::outcome::Outcome;
use crate::run::progress::JobProgress;

/// Trains agents and judges them.
pub trait Contender: Sync {
    /// Returns the reason why an agent cannot play a task, if it cannot. Asked before anything runs.
    fn refusal(&self, _experiment: &Experiment, _agent: &AgentRow) -> Option<String> {
        None
    }

    /// Returns why no more jobs can be run, if so. It has then set `stop`.
    fn lost(&self) -> Option<&str> {
        None
    }

    /// Trains the job's agent, then evaluates it in each [`Mode`](agent::evaluate::Mode) that its
    /// task allows.
    ///
    /// Called from several threads at once. Polls `stop`: once it is set, saves a checkpoint in the
    /// job's directory and returns [`JobError::Stopped`]. A directory with such a checkpoint is
    /// resumed.
    ///
    /// # Errors
    /// [`JobError::Stopped`] when `stop` was set, or is set here because this contender is
    /// [`lost`](Contender::lost); [`JobError::Failed`] with the reason when the agent fails.
    fn run(
        &self,
        job: &Job,
        progress: &JobProgress,
        stop: &AtomicBool,
    ) -> Result<Outcome, JobError>;
}

/// The reason why a job has no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// The run was stopped; the job can be resumed.
    #[error("stopped before the end")]
    Stopped,
    /// The agent failed, for this reason.
    #[error("{0}")]
    Failed(String),
}
