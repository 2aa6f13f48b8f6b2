//! Programs from outside as contenders (docs/bring-your-own-agent.md).
//!
//! A job has two phases, and the same command runs in both. It *trains* on a server of the job's own, which counts its
//! steps and refuses those beyond the budget. Then it is *judged*, on another server: either it plays environments whose
//! seeds only the benchmark knows, with a token that allows nothing but playing, and is scored from the server's record; or
//! it says where it listens, and the benchmark plays and asks it for its actions.

mod api;
mod arena;
mod drive;
#[cfg(target_os = "linux")]
mod linux;
mod output;
mod plain;
mod processes;
mod program;
mod record;
mod signals;
mod trained;
mod trial;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::plan::{External, Job};
use crate::records::outcome::Outcome;
use crate::run::contender::JobError;
use crate::run::progress::JobProgress;
use trained::Ledger;
use trial::{Trial, failed};

pub use arena::guard;
pub use processes::{Groups, hide_memory};

/// Trains and judges programs.
#[derive(Debug)]
pub struct ExternalContender {
    /// How long each of the two phases may take.
    timeout: Duration,
    /// Where programs under way are noted, so that they can be ended with the benchmark.
    groups: Groups,
    /// Trainings that have come to their end.
    ledger: Ledger,
}

impl ExternalContender {
    /// With so much time for each phase. `folders` are those of the run's jobs: trainings that came to their end in an
    /// earlier run are believed if they are there now, before any program runs.
    pub fn new(
        timeout: Duration,
        groups: Groups,
        folders: impl IntoIterator<Item = PathBuf>,
    ) -> Self {
        Self {
            timeout,
            groups,
            ledger: Ledger::read(folders),
        }
    }

    /// Trains a job's program, then judges it. A job that was stopped while it was judged is judged again; one that was
    /// stopped in training, or failed, begins anew.
    ///
    /// # Errors
    /// As [`crate::run::contender::Contender::run`].
    pub fn run(
        &self,
        external: &External,
        job: &Job,
        progress: &JobProgress,
        stop: &AtomicBool,
    ) -> Result<Outcome, JobError> {
        let trial = Trial {
            words: external.words().map_err(failed)?,
            // Of 53 bits, so that every reader of the records can repeat it.
            secret_seed: rand::random::<u64>() >> 11,
            timeout: self.timeout,
            groups: &self.groups,
            ledger: &self.ledger,
            job,
            progress,
            stop,
        };
        let trained = match self.ledger.get(&job.directory) {
            Some(trained) => trained,
            // The program may have written such a record itself.
            None => trial
                .train()
                .inspect_err(|_| self.ledger.forget(&job.directory))?,
        };
        let judged = trial.judge();
        if let Err(JobError::Failed(_)) = &judged {
            self.ledger.forget(&job.directory);
        }
        let (evaluations, notes) = judged?;
        Ok(trial.outcome(external, &trained, evaluations, notes))
    }
}
