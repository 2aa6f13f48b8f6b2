//! `benchmark worker`: answers jobs, each on an environment server of its own.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use agent::run::collect::program;
use agent::run::train::LATEST;
use env_server::ServerConfig;
use workers::{Ended, Hello, LocalPool, Parts, Request};

use super::bodies::{Folder, JobCall, JobDone};
use crate::contenders::ours::{OurContender, asks_the_oracle};
use crate::plan::Job;
use crate::run::contender::{Contender as _, JobError};
use crate::run::embedded::EmbeddedServer;
use crate::run::progress::{JobProgress, Report};

/// Least time between two reports of progress. On a cluster a report costs milliseconds of processor time, some of them on the
/// caller's machine, which has the reports of all workers to carry.
const INTERVAL: Duration = Duration::from_secs(1);

/// Returns what this program says about itself as a worker.
///
/// # Errors
/// When the program's file cannot be read.
pub fn hello() -> io::Result<Hello> {
    Ok(program(Vec::new())?.hello)
}

/// Returns a pool of processes of this program.
///
/// # Errors
/// When the program's file cannot be read.
pub fn pool() -> io::Result<LocalPool> {
    Ok(LocalPool::new(program(vec!["worker".into()])?))
}

/// Runs the job of a call in a temporary folder. Sends its progress, and the folder with each new
/// checkpoint.
///
/// # Errors
/// [`Ended::Stopped`] once `stop` is set, otherwise the reason why the job has no outcome. The
/// folder is sent before.
pub fn answer(request: &Request, parts: &Parts, stop: &AtomicBool) -> Result<Vec<u8>, Ended> {
    if request.name != JobCall::NAME {
        let name = &request.name;
        return Err(Ended::Failed(format!("there is no call {name:?}")));
    }
    let call = JobCall::decode(&request.body).map_err(Ended::Failed)?;
    let scratch = tempfile::tempdir().map_err(failed("cannot make a temporary folder"))?;
    let folder = scratch.path();
    if let Some(checkpoint) = &request.checkpoint {
        let earlier = Folder::decode(checkpoint).map_err(Ended::Failed)?;
        let written = earlier.write(folder);
        written.map_err(failed("cannot write the checkpoint"))?;
    }
    let server = serve(&call).map_err(failed("cannot start an environment server"))?;
    let job = Job {
        experiment: call.experiment,
        agent: call.agent,
        seed: call.seed,
        server: server.url().to_owned(),
        directory: folder.to_owned(),
    };
    let relay = Mutex::new(Relay::new(folder, parts));
    let progress = JobProgress::relayed(move |report| {
        let mut relay = relay.lock().unwrap_or_else(PoisonError::into_inner);
        relay.report(report);
    });
    let outcome = OurContender::default().run(&job, &progress, stop);
    let last = Folder::read(folder).map_err(failed("cannot read the checkpoint"))?;
    match outcome {
        Ok(outcome) => Ok(JobDone::new(&outcome, last).encode()),
        Err(error) => {
            // Also of a job that failed: its folder says whether training diverged.
            parts.send_checkpoint(last.encode());
            Err(match error {
                JobError::Stopped => Ended::Stopped,
                JobError::Failed(reason) => Ended::Failed(reason),
            })
        }
    }
}

/// Starts a server for a job. It has one thread: the other cores have workers of their own.
fn serve(call: &JobCall) -> io::Result<EmbeddedServer> {
    let config = ServerConfig {
        allow_oracle: asks_the_oracle(&call.agent),
        ..ServerConfig::default()
    };
    EmbeddedServer::start_with(config, 1)
}

fn failed(doing: &str) -> impl Fn(io::Error) -> Ended {
    move |error| Ended::Failed(format!("{doing}: {error}"))
}

/// Sends a job's progress now and then, and its folder after each checkpoint.
struct Relay {
    folder: PathBuf,
    parts: Parts,
    /// When a report was sent last.
    sent: Option<Instant>,
    /// Steps that have not been sent yet.
    advanced: u64,
    /// Length and time of the checkpoint that was sent last.
    checkpoint: Option<(u64, SystemTime)>,
}

impl Relay {
    fn new(folder: &Path, parts: &Parts) -> Self {
        Self {
            folder: folder.to_owned(),
            parts: parts.clone(),
            sent: None,
            advanced: 0,
            checkpoint: latest(folder),
        }
    }

    /// Called by the thread that writes checkpoints, so that none is being written.
    fn report(&mut self, mut report: Report) {
        match &mut report {
            Report::Advanced(steps) => {
                self.advanced += *steps;
                *steps = self.advanced;
            }
            Report::Training { .. } | Report::Phase { .. } => self.send_new_checkpoint(),
        }
        let is_due = self.sent.is_none_or(|sent| sent.elapsed() >= INTERVAL);
        if !is_due && !matches!(report, Report::Phase { .. }) {
            return;
        }
        self.advanced = 0;
        self.sent = Some(Instant::now());
        let body = rmp_serde::to_vec_named(&report);
        self.parts
            .send(body.expect("numbers and text always have an encoding"));
    }

    /// Sends the folder if its checkpoint is another than before. A folder that cannot be read now
    /// is sent with the next one.
    fn send_new_checkpoint(&mut self) {
        let now = latest(&self.folder);
        if now.is_none() || now == self.checkpoint {
            return;
        }
        if let Ok(folder) = Folder::read(&self.folder) {
            self.parts.send_checkpoint(folder.encode());
            self.checkpoint = now;
        }
    }
}

/// Returns length and time of a folder's latest checkpoint.
fn latest(folder: &Path) -> Option<(u64, SystemTime)> {
    let found = std::fs::metadata(folder.join(LATEST)).ok()?;
    Some((found.len(), found.modified().ok()?))
}
