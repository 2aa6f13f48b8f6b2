//! Any contender: an agent of this project or an external program.

use std::sync::atomic::AtomicBool;

use crate::contenders::external::ExternalContender;
use crate::plan::{AgentRow, Experiment, Job};
use crate::records::outcome::Outcome;
use crate::run::contender::{Contender, JobError};
use crate::run::progress::JobProgress;

/// Gives each job to the contender that its row names.
pub struct AnyContender<'a> {
    /// Trains and judges the agents of this project.
    pub ours: &'a dyn Contender,
    /// Trains and judges external programs.
    pub external: ExternalContender,
}

impl Contender for AnyContender<'_> {
    fn refusal(&self, experiment: &Experiment, agent: &AgentRow) -> Option<String> {
        match &agent.external {
            None => self.ours.refusal(experiment, agent),
            Some(_) => None,
        }
    }

    fn lost(&self) -> Option<&str> {
        self.ours.lost()
    }

    fn run(
        &self,
        job: &Job,
        progress: &JobProgress,
        stop: &AtomicBool,
    ) -> Result<Outcome, JobError> {
        match &job.agent.external {
            None => self.ours.run(job, progress, stop),
            Some(external) => self.external.run(external, job, progress, stop),
        }
    }
}
