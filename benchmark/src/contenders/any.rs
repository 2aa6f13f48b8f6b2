//! Everybody who competes: the agents of this project and programs from outside.

use std::sync::atomic::AtomicBool;

use crate::contenders::external::ExternalContender;
use crate::contenders::ours::AgentContender;
use crate::run::contender::{Contender, Job, JobError, Outcome};
use crate::run::progress::JobProgress;

/// Lets each job be run by whom its row names.
pub struct Contenders {
    /// Trains and judges the agents of this project.
    pub agents: AgentContender,
    /// Runs the programs.
    pub external: ExternalContender,
}

impl Contender for Contenders {
    fn run(
        &self,
        job: &Job,
        progress: &JobProgress,
        stop: &AtomicBool,
    ) -> Result<Outcome, JobError> {
        match &job.agent.external {
            None => self.agents.run(job, progress, stop),
            Some(external) => self.external.run(external, job, progress, stop),
        }
    }
}
