//! Precautions that keep external programs from disturbing each other and the run's files.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::error::Error;
use crate::files;
use crate::plan::Job;
use crate::records::config::RunConfig;
use crate::records::directory::RunDirectory;
use crate::records::sealed::SealedFile;
use crate::run::contender::JobError;
use crate::run::progress::JobProgress;
use crate::run::turn::{Turn, Turns};

/// The precautions of a run; none without external programs.
#[derive(Debug, Default)]
pub(crate) struct Precautions {
    turns: Turns,
    /// The run's own files and their names.
    files: Vec<(&'static str, Arc<SealedFile>)>,
    /// Job folders that existed when the run began; `None` without external programs.
    earlier: Option<HashSet<PathBuf>>,
}

impl Precautions {
    /// Records the state of the run's files before any program starts.
    ///
    /// # Errors
    /// When the run's files cannot be read.
    pub(crate) fn take<'a>(
        config: &RunConfig,
        directory: &RunDirectory,
        records: Arc<SealedFile>,
        jobs: impl Iterator<Item = &'a Job>,
    ) -> Result<Self, Error> {
        let mut agents = config.plan.agents.iter();
        if !agents.any(|agent| agent.external.is_some()) {
            return Ok(Self::default());
        }
        let mut files = vec![("records.jsonl", records)];
        if directory.config().exists() {
            let config = SealedFile::open(&directory.config(), |bytes| bytes.len())?;
            files.push(("config.toml", Arc::new(config)));
        }
        let folders = jobs.map(|job| job.directory.clone());
        let earlier = folders.filter(|folder| folder.symlink_metadata().is_ok());
        Ok(Self {
            turns: Turns::default(),
            files,
            earlier: Some(earlier.collect()),
        })
    }

    /// Prepares a job: waits for a program's turn, and removes a job folder that did not exist when
    /// the run began.
    ///
    /// # Errors
    /// When the run was stopped, or the folder cannot be removed.
    pub(crate) fn begin(
        &self,
        job: &Job,
        progress: &JobProgress,
        stop: &AtomicBool,
    ) -> Result<Option<Turn<'_>>, JobError> {
        let turn = match job.agent.external {
            Some(_) => {
                progress.phase("waiting for another program to end");
                let turn = self.turns.wait(&job.agent.name, stop);
                Some(turn.ok_or(JobError::Stopped)?)
            }
            None => None,
        };
        let is_new = |earlier: &HashSet<PathBuf>| !earlier.contains(&job.directory);
        if self.earlier.as_ref().is_some_and(is_new) {
            files::remove(&job.directory).map_err(|error| {
                let folder = job.directory.display();
                JobError::Failed(format!(
                    "cannot remove {folder}, which an earlier program has put there: {error}"
                ))
            })?;
        }
        Ok(turn)
    }

    /// Checks the run's files after a program's job, and restores changed ones.
    ///
    /// # Errors
    /// With the names of the changed files.
    pub(crate) fn check(&self, job: &Job) -> Result<(), JobError> {
        if job.agent.external.is_none() {
            return Ok(());
        }
        let changed = self
            .restore()
            .map_err(|error| JobError::Failed(error.to_string()))?;
        match changed.as_slice() {
            [] => Ok(()),
            changed => Err(JobError::Failed(format!(
                "the run's own {} changed while it ran",
                changed.join(" and ")
            ))),
        }
    }

    /// Restores the files that another process has changed, and returns their names.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(crate) fn restore(&self) -> Result<Vec<&'static str>, Error> {
        let mut changed = Vec::new();
        for (name, file) in &self.files {
            if !file.check()? {
                changed.push(*name);
            }
        }
        Ok(changed)
    }
}
