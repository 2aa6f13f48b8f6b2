//! This project's agents in other processes: a pool's workers run the jobs, this one keeps their
//! folders and writes all results.

mod bodies;
pub mod worker;

use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use workers::{CallError, Part, Pool, Request};

use crate::contenders::ours::OurContender;
use crate::plan::{AgentRow, Experiment, Job, job_title};
use crate::records::outcome::Outcome;
use crate::run::contender::{Contender, JobError};
use crate::run::progress::{JobProgress, Report};
use bodies::{Folder, JobCall, JobDone};

/// Trains and judges the agents of this project in the workers of a pool.
pub struct RemoteContender<P> {
    /// The pool; each of its workers is [`worker::answer`].
    pool: P,
    /// Why the pool is lost.
    lost: OnceLock<String>,
}

impl<P> RemoteContender<P> {
    /// Makes a contender of a pool whose workers are [`worker::answer`].
    pub fn new(pool: P) -> Self {
        Self {
            pool,
            lost: OnceLock::new(),
        }
    }
}

impl<P: Pool> Contender for RemoteContender<P> {
    fn refusal(&self, experiment: &Experiment, agent: &AgentRow) -> Option<String> {
        OurContender::default().refusal(experiment, agent)
    }

    fn lost(&self) -> Option<&str> {
        self.lost.get().map(String::as_str)
    }

    fn run(
        &self,
        job: &Job,
        progress: &JobProgress,
        stop: &AtomicBool,
    ) -> Result<Outcome, JobError> {
        let earlier = Folder::read(&job.directory).map_err(failed(&job.directory))?;
        let request = Request {
            name: JobCall::NAME.to_owned(),
            body: JobCall::of(job).encode(),
            checkpoint: (!earlier.is_empty()).then(|| earlier.encode()),
            shared: None,
        };
        let mut kept = Ok(());
        let mut on_part = |part: Part<'_>| match part {
            // Progress that is not understood is not worth a job.
            Part::Sent(body) => {
                if let Ok(report) = rmp_serde::from_slice::<Report>(body) {
                    progress.report(report);
                }
            }
            Part::Checkpoint(body) => {
                let written = keep(body, &job.directory);
                if let (Ok(()), Err(error)) = (&kept, &written) {
                    progress.tell(&format!("cannot keep a checkpoint: {error}"));
                    kept = written;
                }
            }
            Part::Lost(reason) => progress.tell(&format!(
                "{}: lost its worker ({reason}); it resumes in another",
                job_title(&job.agent, &job.experiment, job.seed)
            )),
        };
        let answer = self.pool.call(&request, &mut on_part, stop);
        kept?;
        let done = match answer {
            Ok(body) => JobDone::decode(&body).map_err(JobError::Failed)?,
            Err(CallError::Stopped) => return Err(JobError::Stopped),
            Err(error @ CallError::Relay(_)) => {
                // Says nothing about the job, and no other one can be run.
                let _ = self.lost.set(error.to_string());
                stop.store(true, Ordering::Relaxed);
                return Err(JobError::Stopped);
            }
            Err(error) => return Err(JobError::Failed(error.to_string())),
        };
        done.folder
            .write(&job.directory)
            .map_err(failed(&job.directory))?;
        done.outcome().map_err(JobError::Failed)
    }
}

/// Writes a checkpoint into the job's folder.
fn keep(checkpoint: &[u8], directory: &Path) -> Result<(), JobError> {
    let folder = Folder::decode(checkpoint).map_err(JobError::Failed)?;
    folder.write(directory).map_err(failed(directory))
}

fn failed(directory: &Path) -> impl Fn(std::io::Error) -> JobError {
    move |error| JobError::Failed(format!("the folder {}: {error}", directory.display()))
}
