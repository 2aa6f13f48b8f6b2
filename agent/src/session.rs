//! A run in a folder of its own: trained from the beginning or from where an earlier session left it, watched, and
//! kept. The command line and the benchmark both train through [`Session::run`].
//!
//! | file | holds |
//! |---|---|
//! | `config.toml` | the resolved configuration, as [`Settings`] |
//! | `checkpoint.safetensors`, `best.safetensors` | the latest state, and the one with the best running return |
//! | `metrics.jsonl`, `events.out.tfevents.*` | what was measured in each update |
//! | `run.json` | time spent over all sessions, and how the run ended: what two equal runs may differ in |
//! | `run.lock` | nothing; it is locked while a process is at work in the folder |

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::config::TrainConfig;
use crate::env::EnvError;
use crate::env::remote::{RemoteEnvConfig, RemoteVectorEnv, RetryPolicy};
use crate::lock::{FolderLock, LockError};
use crate::monitor::{
    EventsFile, LogRecord, MetricsFile, Monitor, MonitorError, Monitors, Progress,
};
use crate::settings::{Settings, SettingsError, written};
use crate::train::{self, Ending, LATEST, TrainError, TrainOptions};

/// The configuration in a run's folder.
pub const CONFIG: &str = "config.toml";
/// The measurements in a run's folder.
pub const METRICS: &str = "metrics.jsonl";
/// The clock and the ending in a run's folder.
const RUN: &str = "run.json";
/// How the names of event files begin.
const EVENTS: &str = "events.out.tfevents";
/// How often the clock is written down while training.
const CLOCK_INTERVAL: Duration = Duration::from_secs(5);

/// What is to be run where.
#[derive(Clone, Debug)]
pub struct Session {
    /// What the run computes.
    pub config: TrainConfig,
    /// Base URLs of the servers that its environments are dealt over.
    pub servers: Vec<String>,
    /// How long trouble with them is borne.
    pub retry: RetryPolicy,
    /// The run's folder; it is made.
    pub directory: PathBuf,
    /// Steps between two checkpoints on the way.
    pub checkpoint_interval: Option<u64>,
    /// What to do about a run that the folder already holds.
    pub earlier: Earlier,
}

/// What to do about a run that a folder already holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Earlier {
    /// A folder with a run, or anything else, in it is refused.
    Refuse,
    /// Its latest checkpoint is gone on from; without one the run begins anew.
    ResumeIfAny,
    /// This checkpoint of the folder is gone on from.
    Resume(PathBuf),
}

/// What there is when a session has ended.
#[derive(Clone, Debug)]
pub struct SessionEnd {
    /// Why it ended.
    pub ending: Ending,
    /// The run's last state.
    pub checkpoint: Checkpoint,
    /// Time spent training, over all sessions of the run, work lost in a crash included.
    pub elapsed: Duration,
    /// Environment steps a second in that time.
    pub steps_per_s: f64,
    /// Scalars that are learned.
    pub parameters: usize,
    /// Whether an earlier session had ended the run, so that this one had nothing to do.
    pub was_finished: bool,
}

impl Session {
    /// Trains until the run ends or `stop` is set. A run that has ended before is returned as it is, so that whoever
    /// was interrupted after training can go on. `watcher` sees what the run's files see.
    ///
    /// # Errors
    /// A folder in use, another process at work in it, a checkpoint of another configuration, and everything that
    /// [`train::train`] may meet.
    pub fn run(
        &self,
        watcher: &mut dyn Monitor,
        stop: &AtomicBool,
    ) -> Result<SessionEnd, SessionError> {
        self.check_free()?;
        // A folder is not made before it is known that the run can begin.
        let early_lock = self.directory.is_dir().then(|| self.lock()).transpose()?;
        let resume = self.earlier_checkpoint()?;
        let record = match &resume {
            Some(_) => RunRecord::load(&self.directory)?,
            None => RunRecord::default(),
        };
        if let Some(checkpoint) = &resume
            && let Some(ending) = record.finished(checkpoint, &self.config)
        {
            return Ok(SessionEnd::new(
                ending,
                checkpoint.clone(),
                record.elapsed_s,
                true,
            ));
        }
        let mut env = RemoteVectorEnv::connect(&RemoteEnvConfig {
            servers: self.servers.clone(),
            spec_id: self.config.env.spec_id.clone(),
            kwargs: self.config.env.kwargs.clone(),
            num_envs: self.config.hyper.num_envs,
            retry: self.retry,
        })?;
        let _lock = match early_lock {
            Some(lock) => lock,
            None => {
                let lock = self.lock()?;
                self.check_free()?;
                lock
            }
        };
        self.prepare_directory()?;

        let resume_at = resume
            .as_ref()
            .map(|checkpoint| checkpoint.run.statistics.timesteps);
        let mut clock = Clock::start(&self.directory, record.elapsed_s);
        clock.write(None)?;
        let mut monitors = Monitors::default();
        monitors.push(MetricsFile::open(self.directory.join(METRICS), resume_at)?);
        monitors.push(EventsFile::open(&self.directory, resume_at)?);
        monitors.push(&mut clock);
        monitors.push(watcher);
        let options = TrainOptions {
            out: Some(&self.directory),
            checkpoint_interval: self.checkpoint_interval,
            resume,
            stop,
        };
        let trained = train::train(&self.config, &mut env, options, &mut monitors);
        drop(monitors);
        clock.write(trained.as_ref().ok().map(|trained| trained.ending))?;
        let trained = trained?;
        Ok(SessionEnd::new(
            trained.ending,
            trained.checkpoint,
            clock.elapsed_s(),
            false,
        ))
    }

    /// Has the folder for this process alone.
    fn lock(&self) -> Result<FolderLock, SessionError> {
        Ok(FolderLock::take(&self.directory)?)
    }

    /// Refuses a folder that is used, if it is to be refused.
    fn check_free(&self) -> Result<(), SessionError> {
        if self.earlier != Earlier::Refuse || is_free(&self.directory) {
            return Ok(());
        }
        Err(SessionError::InUse {
            directory: self.directory.clone(),
        })
    }

    /// The checkpoint to go on from, if any, checked against the configuration.
    fn earlier_checkpoint(&self) -> Result<Option<Checkpoint>, SessionError> {
        let latest = self.directory.join(LATEST);
        let path = match &self.earlier {
            Earlier::Refuse => return Ok(None),
            Earlier::ResumeIfAny if !latest.exists() => return Ok(None),
            Earlier::ResumeIfAny => &latest,
            Earlier::Resume(path) => path,
        };
        let checkpoint = Checkpoint::load(path)?;
        check_same_run(path, &checkpoint.config, &self.config)?;
        Ok(Some(checkpoint))
    }

    fn prepare_directory(&self) -> Result<(), SessionError> {
        let text = Settings::of(&self.config).to_toml()?;
        let io = |source| SessionError::Io {
            path: self.directory.clone(),
            source,
        };
        fs::create_dir_all(&self.directory).map_err(io)?;
        fs::write(self.directory.join(CONFIG), text).map_err(io)
    }
}

impl SessionEnd {
    fn new(ending: Ending, checkpoint: Checkpoint, elapsed_s: f64, was_finished: bool) -> Self {
        let timesteps = checkpoint.run.statistics.timesteps;
        Self {
            ending,
            elapsed: Duration::from_secs_f64(elapsed_s),
            steps_per_s: timesteps as f64 / elapsed_s.max(f64::MIN_POSITIVE),
            parameters: checkpoint.params.iter().map(|array| array.data.len()).sum(),
            checkpoint,
            was_finished,
        }
    }
}

/// Whether a folder is not there, empty, or holds no more than what a run leaves that failed before its first update.
fn is_free(directory: &Path) -> bool {
    let Ok(entries) = fs::read_dir(directory) else {
        return true;
    };
    let is_leftover = |name: &str| {
        let is_ours =
            [CONFIG, RUN, METRICS, FolderLock::FILE].contains(&name) || name.starts_with(EVENTS);
        let is_unused = name != METRICS
            || fs::metadata(directory.join(name)).is_ok_and(|metrics| metrics.len() == 0);
        is_ours && is_unused
    };
    entries
        .flatten()
        .all(|entry| entry.file_name().to_str().is_some_and(is_leftover))
}

/// A resumed run computes what it would have computed: only its budget may grow.
fn check_same_run(
    path: &Path,
    earlier: &TrainConfig,
    now: &TrainConfig,
) -> Result<(), SessionError> {
    let differences: Vec<String> = Settings::of(earlier)
        .differences(&Settings::of(now))
        .into_iter()
        .filter(|(name, ..)| {
            name != "total_timesteps" || now.total_timesteps < earlier.total_timesteps
        })
        .map(|(name, earlier, now)| {
            let text = |value: Option<Value>| {
                value.map_or_else(|| "not set".into(), |value| written(&value))
            };
            format!("{name} is {} there, {} here", text(earlier), text(now))
        })
        .collect();
    if differences.is_empty() {
        Ok(())
    } else {
        Err(SessionError::OtherRun {
            path: path.to_owned(),
            differences: differences.join("; "),
        })
    }
}

/// What `run.json` holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct RunRecord {
    /// Seconds over all sessions.
    elapsed_s: f64,
    /// How the last session ended; `None` while it goes on, or if it failed.
    ending: Option<Ending>,
}

impl RunRecord {
    /// The record of a folder; an empty one if it has none.
    fn load(directory: &Path) -> Result<Self, SessionError> {
        let path = directory.join(RUN);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(source) => return Err(SessionError::Io { path, source }),
        };
        serde_json::from_str(&text).map_err(|source| SessionError::BadRecord { path, source })
    }

    /// How the run of this checkpoint ended, if it did for this budget.
    fn finished(&self, checkpoint: &Checkpoint, config: &TrainConfig) -> Option<Ending> {
        self.ending.filter(|ending| match ending {
            Ending::EarlyStop => true,
            Ending::Budget => config.total_timesteps == checkpoint.config.total_timesteps,
            Ending::Interrupted => false,
        })
    }
}

/// Keeps the time of a run over its sessions.
struct Clock {
    path: PathBuf,
    before_s: f64,
    began: Instant,
    written: Instant,
}

impl Clock {
    fn start(directory: &Path, before_s: f64) -> Self {
        let now = Instant::now();
        Self {
            path: directory.join(RUN),
            before_s,
            began: now,
            written: now,
        }
    }

    fn elapsed_s(&self) -> f64 {
        self.before_s + self.began.elapsed().as_secs_f64()
    }

    fn write(&mut self, ending: Option<Ending>) -> Result<(), MonitorError> {
        self.written = Instant::now();
        let record = RunRecord {
            elapsed_s: self.elapsed_s(),
            ending,
        };
        let text = serde_json::to_string(&record).expect("a record is plain data");
        let temporary = self.path.with_extension("tmp");
        fs::write(&temporary, text + "\n")
            .and_then(|()| fs::rename(&temporary, &self.path))
            .map_err(|source| MonitorError::io("write", &self.path, source))
    }
}

impl Monitor for Clock {
    fn update(&mut self, _progress: &Progress, _record: &LogRecord) -> Result<(), MonitorError> {
        if self.written.elapsed() >= CLOCK_INTERVAL {
            self.write(None)?;
        }
        Ok(())
    }

    fn finish(&mut self, _progress: &Progress) -> Result<(), MonitorError> {
        Ok(())
    }
}

/// Why a session failed.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// A new run in a used folder.
    #[error(
        "{} is not empty: --resume goes on with the run in it, another --out begins a new one",
        directory.display()
    )]
    InUse {
        /// The folder.
        directory: PathBuf,
    },
    /// Another process is at work in the folder, or it cannot be written.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A checkpoint of another run.
    #[error(
        "{} is of another run: {differences}. Leave out what differs, or begin a new run with another --out",
        path.display()
    )]
    OtherRun {
        /// The checkpoint.
        path: PathBuf,
        /// What differs.
        differences: String,
    },
    /// The file system.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The run's clock.
    #[error(
        "{} is not one that a run wrote ({source}); delete it to go on with the clock at zero",
        path.display()
    )]
    BadRecord {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The checkpoint to go on from.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The configuration as a file.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The environment.
    #[error(transparent)]
    Env(#[from] EnvError),
    /// The files of measurements.
    #[error(transparent)]
    Monitor(#[from] MonitorError),
    /// Training.
    #[error(transparent)]
    Train(#[from] TrainError),
}
