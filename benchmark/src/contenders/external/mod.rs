//! External programs as contenders (docs/bring-your-own-agent.md).
//!
//! A job has two phases, and the same command runs in both. First the program *trains*, on a server
//! of the job's own that counts its steps and refuses those beyond the budget. Then it is *judged*,
//! on another server, in one of two ways. Either it plays environments whose seeds only the
//! benchmark knows, with a token that allows nothing but playing, and its score is read from the
//! server's record. Or it prints the address at which it listens, and the benchmark plays and asks
//! it for its actions.

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

/// Trains and judges external programs.
#[derive(Debug)]
pub struct ExternalContender {
    /// Time limit of each of the two phases.
    timeout: Duration,
    /// The running programs, so that they end with the benchmark.
    groups: Groups,
    /// Finished trainings.
    ledger: Ledger,
}

impl ExternalContender {
    /// Makes a contender with a time limit for each phase. `folders` are those of the run's jobs:
    /// finished trainings of an earlier run are read from them now, before any program starts.
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

    /// Trains a job's program, then judges it. A job that was stopped during its evaluation is judged
    /// again; any other unfinished job starts over.
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
            // 53 bits, so that every reader of the records can repeat it without rounding.
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
            // The program may have written a record of its training itself.
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
