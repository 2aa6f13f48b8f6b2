//! The seam between the benchmark and the agents: a job goes in, what the agent learned comes out.

use std::sync::atomic::AtomicBool;

use crate::plan::job::Job;
use crate::records::outcome::Outcome;
use crate::run::progress::JobProgress;

/// Whoever can train an agent and judge it.
pub trait Contender: Sync {
    /// Trains the job's agent, then evaluates it in every [`Mode`].
    ///
    /// Called from several threads at once. Polls `stop`; once it is set, the job saves what it needs to go on
    /// from in its directory and returns [`JobError::Stopped`]. A directory with such a checkpoint is continued.
    ///
    /// # Errors
    /// [`JobError::Stopped`] when told to stop, [`JobError::Failed`] with a reason when the agent cannot go on.
    fn run(
        &self,
        job: &Job,
        progress: &JobProgress,
        stop: &AtomicBool,
    ) -> Result<Outcome, JobError>;
}

/// Why a job has no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// It was told to stop; it can be continued.
    #[error("stopped before the end")]
    Stopped,
    /// It failed, for this reason.
    #[error("{0}")]
    Failed(String),
}
