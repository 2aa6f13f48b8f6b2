//! A run in a folder of its own: trained from the beginning or resumed from an earlier session. The command line and the
//! benchmark both train through [`Session::run`].
//!
//! | file | holds |
//! |---|---|
//! | `config.toml` | the resolved configuration, as [`Settings`] |
//! | `checkpoint.safetensors`, `best.safetensors` | the latest state, and the one with the best running return |
//! | `metrics.jsonl`, `events.out.tfevents.*` | the measurements of each update |
//! | `run.json` | the time that each checkpoint's steps took, and how the run ended: two equal runs may differ in these |
//! | `run.lock` | nothing; it is locked while a process uses the folder |
//! | `run.owner` | the process that uses the folder, on a drive without locks |
//!
//! The clock is not in the checkpoint, since checkpoints of equal runs are equal. So `run.json` has a time for each
//! checkpoint, and the next checkpoint's time is written before that checkpoint: after a crash at any moment, the
//! checkpoint in the folder has its own time, not the time of later steps that are lost.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::env::remote::{RemoteEnvConfig, RemoteVectorEnv, RetryPolicy, Token, split_snapshot};
use crate::env::{EnvError, VectorEnv};
use crate::experience::{Collection, Playback};
use crate::files;
use crate::learner::sequence::Imitation;
use crate::run::checkpoint::{Checkpoint, CheckpointError};
use crate::run::collect::{self, Workers};
use crate::run::config::TrainConfig;
use crate::run::lock::{FolderLock, LockError};
use crate::run::settings::{Settings, SettingsError, written};
use crate::run::train::{self, BEST, Ending, LATEST, Origin, TrainError, TrainOptions};
use crate::views::monitor::{
    EventsFile, LogRecord, MetricsFile, Monitor, MonitorError, Monitors, Progress,
};

/// The configuration in a run's folder.
pub const CONFIG: &str = "config.toml";
/// The measurements in a run's folder.
pub const METRICS: &str = "metrics.jsonl";
/// The clock and the ending in a run's folder.
const RUN: &str = "run.json";
/// How the names of event files begin.
const EVENTS: &str = "events.out.tfevents";

/// A run to be trained, and its folder.
#[derive(Clone, Debug)]
pub struct Session {
    /// The configuration of the run.
    pub config: TrainConfig,
    /// Base URLs of the servers; environments are spread evenly across them.
    pub servers: Vec<String>,
    /// The bearer token for these servers.
    pub token: Option<Token>,
    /// How long to retry an unresponsive server.
    pub retry: RetryPolicy,
    /// The run's folder, which is created.
    pub directory: PathBuf,
    /// Steps between two checkpoints that may become the best; the latest is written now and then in any case.
    pub checkpoint_interval: Option<u64>,
    /// Treatment of a run that the folder already holds.
    pub earlier: Earlier,
    /// Workers that play the environments; `None`: this process plays them.
    pub workers: Option<Workers>,
}

/// Treatment of a run that a folder already holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Earlier {
    /// Refuse a folder with a run, or anything else, in it.
    Refuse,
    /// Leave an existing folder alone, and name the run's `NAME-2`, `NAME-3` and so on.
    NextName,
    /// Resume from the latest checkpoint, or start over if there is none.
    ResumeIfAny,
    /// Resume from this checkpoint of the folder.
    Resume(PathBuf),
}

/// The outcome of a session.
#[derive(Clone, Debug)]
pub struct SessionEnd {
    /// The reason why it ended.
    pub ending: Ending,
    /// The folder of the run.
    pub directory: PathBuf,
    /// The run's last state.
    pub checkpoint: Checkpoint,
    /// Time spent training, over all sessions of the run. Steps that were lost in a crash do not count.
    pub elapsed: Duration,
    /// Environment steps in that time: all of the run's, unless their clock was lost.
    pub timed_steps: u64,
    /// Environment steps a second in that time; `None` where no time is known.
    pub steps_per_s: Option<f64>,
    /// Scalars that are learned.
    pub parameters: usize,
    /// Whether an earlier session had ended the run, so that this one had nothing to do.
    pub was_finished: bool,
}

impl Session {
    /// Trains until the run ends or `stop` is set. A run that ended in an earlier session is returned as it is, so that a
    /// caller that was interrupted after training can continue. `watcher` receives the same updates as the run's files.
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
        let is_there = self.earlier != Earlier::NextName && self.directory.is_dir();
        let early_lock = is_there.then(|| self.lock()).transpose()?;
        let record = match self.earlier {
            Earlier::Refuse | Earlier::NextName => RunRecord::default(),
            Earlier::ResumeIfAny | Earlier::Resume(_) => RunRecord::load(&self.directory)?,
        };
        let resume = self.earlier_checkpoint(&record)?;
        let resume_at = resume
            .as_ref()
            .map(|checkpoint| checkpoint.run.statistics.timesteps);
        if let Some(checkpoint) = &resume
            && let Some(ending) = record.finished(checkpoint, &self.config)
        {
            let mark = record.mark(resume_at);
            let directory = self.directory.clone();
            return Ok(SessionEnd::new(
                ending,
                directory,
                checkpoint.clone(),
                mark,
                true,
            ));
        }
        if self.workers.is_some() {
            train::check_workers(&self.config)?;
        }
        let snapshot = resume
            .as_ref()
            .and_then(|resume| resume.run.environment.as_deref());
        let mut env = self.connect(snapshot)?;
        if self.workers.is_some() {
            collect::saved(&mut env).map_err(TrainError::from)?;
        }
        let spaces = env.spaces();
        train::input_encoder(&self.config, &spaces)?;
        let num_envs = self.config.hyper.get::<Collection>().num_envs;
        let dataset = train::dataset(&self.config.hyper, &spaces)?;
        let playback = dataset
            .as_ref()
            .map(|dataset| Playback::new(dataset, num_envs));
        let mut playback = playback.transpose()?;
        let origin = match (&mut playback, &self.workers) {
            (Some(playback), _) => Origin::Recording(playback),
            (None, None) => Origin::Environments(&mut env),
            (None, Some(workers)) => Origin::Workers {
                workers,
                groups: match snapshot {
                    Some(snapshot) => split_snapshot(snapshot).map_err(TrainError::from)?.len(),
                    None => collect::groups(num_envs),
                },
                like: &mut env,
            },
        };
        let (directory, lock) = self.occupy(early_lock)?;
        if let Some(warning) = lock.warning() {
            watcher.message(&warning);
        }
        self.prepare(&directory, resume.is_none())?;
        let clock = Clock::start(&directory, record, resume_at);
        self.train(directory, origin, resume, clock, watcher, stop)
    }

    /// Connects the environments, held together as those of a snapshot are. Where workers play, one to ask what they are like.
    fn connect(&self, snapshot: Option<&[u8]>) -> Result<RemoteVectorEnv, TrainError> {
        let mut config = RemoteEnvConfig {
            servers: self.servers.clone(),
            token: self.token.clone(),
            spec_id: self.config.env.spec_id.clone(),
            kwargs: self.config.env.kwargs.clone(),
            num_envs: self.config.hyper.get::<Collection>().num_envs,
            retry: self.retry,
        };
        let is_recorded = !self.config.hyper.get::<Imitation>().dataset.is_empty();
        Ok(match snapshot {
            _ if self.workers.is_some() => {
                config.num_envs = 1;
                RemoteVectorEnv::connect(&config)?
            }
            Some(snapshot) if !is_recorded => RemoteVectorEnv::connect_for(&config, snapshot)?,
            _ => RemoteVectorEnv::connect(&config)?,
        })
    }

    /// Returns the locked folder of the run, which is created if it does not exist.
    fn occupy(
        &self,
        early_lock: Option<FolderLock>,
    ) -> Result<(PathBuf, FolderLock), SessionError> {
        if let Some(lock) = early_lock {
            return Ok((self.directory.clone(), lock));
        }
        if self.earlier == Earlier::NextName {
            let directory = make_next(&self.directory)?;
            let lock = FolderLock::take(&directory)?;
            return Ok((directory, lock));
        }
        let lock = self.lock()?;
        self.check_free()?;
        Ok((self.directory.clone(), lock))
    }

    /// Trains in a folder that is locked and prepared, with all that watches the run.
    fn train(
        &self,
        directory: PathBuf,
        origin: Origin<'_>,
        resume: Option<Checkpoint>,
        mut clock: Clock,
        watcher: &mut dyn Monitor,
        stop: &AtomicBool,
    ) -> Result<SessionEnd, SessionError> {
        if clock.since() > 0 {
            watcher.message(&format!(
                "the clock of this run's first {} steps is lost: durations and speeds are of the steps after them",
                clock.since()
            ));
        }
        clock.write(None)?;
        let resume_at = resume
            .as_ref()
            .map(|checkpoint| checkpoint.run.statistics.timesteps);
        let mut monitors = Monitors::default();
        monitors.push(MetricsFile::open(directory.join(METRICS), resume_at)?);
        monitors.push(EventsFile::open(&directory, resume_at)?);
        monitors.push(&mut clock);
        monitors.push(watcher);
        let options = TrainOptions {
            out: Some(&directory),
            checkpoint_interval: self.checkpoint_interval,
            resume,
            stop,
        };
        let trained = train::train_from(&self.config, origin, options, &mut monitors);
        drop(monitors);
        clock.has_diverged |= matches!(trained, Err(TrainError::Diverged(_)));
        let written = clock.write(trained.as_ref().ok().map(|trained| trained.ending));
        // Of two errors the first is the cause.
        let trained = trained?;
        written?;
        Ok(SessionEnd::new(
            trained.ending,
            directory,
            trained.checkpoint,
            clock.latest,
            false,
        ))
    }

    /// Locks the folder for this process.
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

    /// Returns the checkpoint to resume from, if any, checked against the configuration.
    fn earlier_checkpoint(&self, record: &RunRecord) -> Result<Option<Checkpoint>, SessionError> {
        let latest = self.directory.join(LATEST);
        let path = match &self.earlier {
            Earlier::Refuse | Earlier::NextName => return Ok(None),
            // A run that is tried again must end as its seed decides, so it does not resume from just before it diverged.
            Earlier::ResumeIfAny if !latest.exists() || record.has_diverged => return Ok(None),
            Earlier::ResumeIfAny => &latest,
            Earlier::Resume(path) => path,
        };
        let checkpoint = Checkpoint::load(path)?;
        check_same_run(path, &checkpoint.config, &self.config)?;
        Ok(Some(checkpoint))
    }

    /// Makes the folder and writes the configuration. Where a run begins anew, checkpoints of an earlier one are no longer
    /// its own.
    fn prepare(&self, directory: &Path, is_new: bool) -> Result<(), SessionError> {
        let text = Settings::of(&self.config).to_toml()?;
        let io = |source| SessionError::Io {
            path: directory.to_owned(),
            source,
        };
        fs::create_dir_all(directory).map_err(io)?;
        for file in [LATEST, BEST].into_iter().filter(|_| is_new) {
            match fs::remove_file(directory.join(file)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(io(error)),
                _ => {}
            }
        }
        files::replace(&directory.join(CONFIG), text.as_bytes()).map_err(io)
    }
}

/// Creates a folder of that name or, if it exists, the first free one of `NAME-2`, `NAME-3` and so on. Two processes never
/// create the same.
fn make_next(wanted: &Path) -> Result<PathBuf, SessionError> {
    let io = |path: &Path, source| SessionError::Io {
        path: path.to_owned(),
        source,
    };
    if let Some(parent) = wanted.parent() {
        fs::create_dir_all(parent).map_err(|error| io(parent, error))?;
    }
    files::create_next(wanted).map_err(|(directory, error)| io(&directory, error))
}

impl SessionEnd {
    fn new(
        ending: Ending,
        directory: PathBuf,
        checkpoint: Checkpoint,
        mark: Mark,
        was_finished: bool,
    ) -> Self {
        let timed_steps = mark.timesteps - mark.since;
        Self {
            ending,
            directory,
            elapsed: Duration::from_secs_f64(mark.elapsed_s),
            timed_steps,
            steps_per_s: (mark.elapsed_s > 0.0).then(|| timed_steps as f64 / mark.elapsed_s),
            parameters: checkpoint.params.iter().map(|array| array.data.len()).sum(),
            checkpoint,
            was_finished,
        }
    }
}

/// Returns whether a folder does not exist, is empty, or holds only the files of a run that failed before its first
/// update.
fn is_free(directory: &Path) -> bool {
    let Ok(entries) = fs::read_dir(directory) else {
        return true;
    };
    let is_leftover = |name: &str| {
        let path = directory.join(name);
        match name {
            METRICS => fs::metadata(path).is_ok_and(|metrics| metrics.len() == 0),
            LATEST => Checkpoint::load(&path)
                .is_ok_and(|checkpoint| checkpoint.run.statistics.timesteps == 0),
            CONFIG | RUN | FolderLock::FILE | FolderLock::OWNER_FILE => true,
            _ => {
                let is_unfinished = |file: &str| Path::new(file).with_extension(files::UNFINISHED);
                name.starts_with(EVENTS)
                    || [CONFIG, RUN, LATEST]
                        .map(is_unfinished)
                        .contains(&name.into())
            }
        }
    };
    entries
        .flatten()
        .all(|entry| entry.file_name().to_str().is_some_and(is_leftover))
}

/// Checks that a resumed run computes what it would have computed: only its budget may grow.
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

/// The content of `run.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct RunRecord {
    /// The time that each checkpoint's steps took, and that of one which was about to be written.
    #[serde(default)]
    clock: Vec<Mark>,
    /// Ending of the last session; `None` while it is under way, or if it failed.
    ending: Option<Ending>,
    /// Whether learning diverged, so that the latest checkpoint is of just before that.
    #[serde(default)]
    has_diverged: bool,
}

/// The clock at a checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Mark {
    /// The checkpoint's environment steps.
    timesteps: u64,
    /// Seconds that they took, over all sessions; of those after `since`.
    elapsed_s: f64,
    /// The clock of so many first steps is lost.
    #[serde(default)]
    since: u64,
}

impl RunRecord {
    /// Reads the record of a folder; without a file it is empty.
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

    /// Returns the clock of a checkpoint; a clock that is lost begins there.
    fn mark(&self, timesteps: Option<u64>) -> Mark {
        let timesteps = timesteps.unwrap_or(0);
        let unknown = Mark {
            timesteps,
            elapsed_s: 0.0,
            since: timesteps,
        };
        let marks = self.clock.iter().copied();
        let mut known = marks.filter(|mark| mark.timesteps == timesteps && mark.since <= timesteps);
        known.next_back().unwrap_or(unknown)
    }

    /// Returns how the run of this checkpoint ended, if it has ended for this budget.
    fn finished(&self, checkpoint: &Checkpoint, config: &TrainConfig) -> Option<Ending> {
        self.ending.filter(|ending| match ending {
            Ending::EarlyStop => true,
            Ending::Budget => config.total_timesteps == checkpoint.config.total_timesteps,
            Ending::Interrupted => false,
        })
    }
}

/// The time of a run over its sessions.
struct Clock {
    path: PathBuf,
    began: Instant,
    /// The clock when the session began.
    first: Mark,
    /// Of the latest checkpoint.
    latest: Mark,
    /// Of the best checkpoint; of others, too, while it is not known which that is.
    best: Vec<Mark>,
    has_diverged: bool,
}

impl Clock {
    fn start(directory: &Path, record: RunRecord, resume_at: Option<u64>) -> Self {
        let first = record.mark(resume_at);
        Self {
            path: directory.join(RUN),
            began: Instant::now(),
            first,
            latest: first,
            best: resume_at.map_or_else(Vec::new, |_| record.clock),
            has_diverged: record.has_diverged && resume_at.is_some(),
        }
    }

    /// Returns how many first steps of the run have no clock.
    fn since(&self) -> u64 {
        self.first.since
    }

    fn write(&self, ending: Option<Ending>) -> Result<(), MonitorError> {
        self.write_with(&[], ending)
    }

    fn write_with(&self, next: &[Mark], ending: Option<Ending>) -> Result<(), MonitorError> {
        let mut clock: Vec<Mark> = [&self.best[..], &[self.latest], next].concat();
        clock.dedup();
        let record = RunRecord {
            clock,
            ending,
            has_diverged: self.has_diverged,
        };
        let text = serde_json::to_string(&record).expect("a record is plain data") + "\n";
        files::replace(&self.path, text.as_bytes())
            .map_err(|source| MonitorError::io("write", &self.path, source))
    }
}

impl Monitor for Clock {
    fn update(&mut self, _progress: &Progress, _record: &LogRecord) -> Result<(), MonitorError> {
        Ok(())
    }

    fn before_checkpoint(&mut self, timesteps: u64, is_best: bool) -> Result<(), MonitorError> {
        let next = Mark {
            timesteps,
            elapsed_s: self.first.elapsed_s + self.began.elapsed().as_secs_f64(),
            since: self.first.since,
        };
        // Times of checkpoints that are about to be replaced stay until the next call: after a crash the old files may
        // still be there.
        self.write_with(&[next], None)?;
        self.latest = next;
        if is_best {
            self.best = vec![next];
        }
        Ok(())
    }

    fn finish(&mut self, _progress: &Progress) -> Result<(), MonitorError> {
        Ok(())
    }
}

/// Reasons why a session failed.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// A new run in a used folder.
    #[error(
        "{} is not empty: --resume continues the run in it, another --out begins a new one",
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
        /// The settings that differ.
        differences: String,
    },
    /// The file system.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The run's clock.
    #[error(
        "{} was not written by a run ({source}); delete it to continue with the clock at zero",
        path.display()
    )]
    BadRecord {
        /// The file.
        path: PathBuf,
        /// The defect.
        source: serde_json::Error,
    },
    /// The checkpoint to resume from.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(timesteps: u64, elapsed_s: f64) -> Mark {
        Mark {
            timesteps,
            elapsed_s,
            since: 0,
        }
    }

    /// At any moment the folder has the time of the checkpoint that it holds.
    #[test]
    fn each_checkpoint_has_its_own_time_whenever_the_process_dies() {
        let folder = tempfile::tempdir().unwrap();
        let mut clock = Clock::start(folder.path(), RunRecord::default(), None);
        let load = || RunRecord::load(folder.path()).unwrap();
        let is_known = |timesteps| load().mark(Some(timesteps)).since == 0;
        clock.write(None).unwrap();
        // (steps, is best): after a crash the checkpoint that was to be replaced may still be there.
        let mut latest = 0;
        let mut best = 0;
        for (timesteps, is_best) in [(100, true), (200, false), (300, true), (400, false)] {
            clock.before_checkpoint(timesteps, is_best).unwrap();
            for kept in [latest, best, timesteps] {
                assert!(is_known(kept), "{kept} before {timesteps}");
            }
            latest = timesteps;
            best = if is_best { timesteps } else { best };
        }
        clock.write(Some(Ending::Interrupted)).unwrap();
        assert!(is_known(400) && is_known(300));
        assert!(load().clock.len() <= 3, "{:?}", load());
        assert_eq!(load().ending, Some(Ending::Interrupted));

        // The next session begins with the time of the checkpoint that it resumes from.
        let clock = Clock::start(folder.path(), load(), Some(300));
        assert_eq!(clock.first, load().mark(Some(300)));
        assert!(clock.first.elapsed_s <= load().mark(Some(400)).elapsed_s);
    }

    #[test]
    fn a_time_of_other_steps_is_not_taken_for_a_checkpoint_s_own() {
        let record = RunRecord {
            clock: vec![mark(100, 1.0), mark(200, 2.0)],
            ..RunRecord::default()
        };
        assert_eq!(record.mark(Some(200)), mark(200, 2.0));
        let unknown = record.mark(Some(160));
        assert_eq!((unknown.since, unknown.elapsed_s), (160, 0.0));
        // A record of an earlier version, written at any moment.
        let old: RunRecord = serde_json::from_str(r#"{"elapsed_s":0.5,"ending":null}"#).unwrap();
        assert_eq!(old.mark(Some(160)).since, 160);
        assert_eq!(old.mark(None), mark(0, 0.0));
    }

    #[test]
    fn folders_of_the_same_name_are_numbered() {
        let root = tempfile::tempdir().unwrap();
        let wanted = root.path().join("runs").join("ppo-0");
        let made = || make_next(&wanted).unwrap().file_name().unwrap().to_owned();
        assert_eq!([made(), made(), made()], ["ppo-0", "ppo-0-2", "ppo-0-3"]);
    }
}
