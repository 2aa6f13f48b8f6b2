//! The main path: play, learn, report, until the budget is spent or the task is solved.
//!
//! One loop serves every kind of learner. Before a rollout it asks the [`Learner`] how to play, after it the learner
//! receives the rollout; a [`Source`] plays environments or plays back a recording.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::algorithms;
use crate::env::{EnvError, VectorEnv};
use crate::experience::minari::MinariError;
use crate::experience::{
    Collection, Collector, CollectorState, Dataset, Goals, Guest, Playback, Recording, Rollout,
    Source, Spent, minari,
};
use crate::hyper::{ConfigError, Hyperparameters};
use crate::learner::auxiliary::wants_cue;
use crate::learner::exploration::{Exploration, ExplorationBonuses, LearningRewards};
use crate::learner::sequence::Imitation;
use crate::learner::stopping::Stopping;
use crate::learner::{Diverged, Experience, Group, Learner, LearnerContext, Metrics, StateError};
use crate::nn::NnError;
use crate::policy::Policy;
use crate::policy::inputs::InputEncoder;
use crate::run::autosave::{self, Autosave};
use crate::run::checkpoint::{Checkpoint, CheckpointError, RunState};
use crate::run::collect::{self, RemoteCollector, Workers};
use crate::run::config::TrainConfig;
use crate::run::load::{self, ActorError};
use crate::run::statistics::RunStatistics;
use crate::seeds::{self, LaneSeeds, Role};
use crate::spaces::{Spaces, UnsupportedSpace};
use crate::views::monitor::{LogRecord, Monitor, MonitorError, Progress};

/// The message before training on a task that has no threshold.
const NO_THRESHOLD: &str = "nothing says from which return this task counts as solved with these arguments: training \
                            goes to the end of its budget";

/// How a run is carried out; none of it changes the result.
pub struct TrainOptions<'a> {
    /// Folder for `checkpoint.safetensors` (the latest) and `best.safetensors`; it must exist.
    pub out: Option<&'a Path>,
    /// Steps between two checkpoints that may become the best. The latest state is written at the beginning, now and then
    /// on the way, and at the end in any case.
    pub checkpoint_interval: Option<u64>,
    /// Resumes from this checkpoint.
    pub resume: Option<Checkpoint>,
    /// Set by Ctrl-C: stops after the update under way.
    pub stop: &'a AtomicBool,
}

/// The reason why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// The budget is spent.
    Budget,
    /// Each of the last episodes reached the return from which the task counts as solved.
    EarlyStop,
    /// A stop was requested.
    Interrupted,
}

/// A run that ended without an error.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The reason why it ended.
    pub ending: Ending,
    /// Its last state.
    pub checkpoint: Checkpoint,
    /// Time spent in this session.
    pub elapsed: Duration,
    /// Steps a second in this session.
    pub steps_per_s: f64,
    /// Scalars that were learned.
    pub parameters: usize,
}

/// Where a run's experience comes from.
pub enum Origin<'a> {
    /// Environments, played while learning.
    Environments(&'a mut dyn VectorEnv),
    /// Recorded episodes. Nothing is played; steps count as they are learned from.
    Recording(&'a mut Playback<'a>),
    /// Environments that workers play.
    Workers {
        /// The workers.
        workers: &'a Workers,
        /// Groups that the lanes are dealt into, as [`super::collect::groups`] says, or as a resumed run has them.
        groups: usize,
        /// An environment of the same task, which is asked what it is like and is not played.
        like: &'a mut dyn VectorEnv,
    },
}

/// Trains an agent by playing, from scratch or from where a checkpoint left it. Where the hyper-parameters name a dataset it
/// learns from that, and the environment is not played.
///
/// # Errors
/// Those of [`train_from`].
pub fn train(
    config: &TrainConfig,
    env: &mut dyn VectorEnv,
    options: TrainOptions<'_>,
    monitor: &mut dyn Monitor,
) -> Result<Trained, TrainError> {
    let num_envs = env.num_envs();
    let Some(dataset) = dataset(&config.hyper, &env.spaces())? else {
        return train_from(config, Origin::Environments(env), options, monitor);
    };
    let mut playback = Playback::new(&dataset, num_envs)?;
    train_from(config, Origin::Recording(&mut playback), options, monitor)
}

/// Reads the recorded episodes that the hyper-parameters name, if they name some.
///
/// # Errors
/// Those of [`minari::read`].
pub(super) fn dataset(
    hyper: &Hyperparameters,
    spaces: &Spaces,
) -> Result<Option<Dataset>, TrainError> {
    let named = hyper.get::<Imitation>().dataset;
    if named.is_empty() {
        return Ok(None);
    }
    let read = minari::read(Path::new(&named), spaces.clone(), Dataset::MAX_BYTES);
    Ok(Some(read?))
}

/// Checks that workers can play the lanes of a run, before anything is made for it.
///
/// # Errors
/// [`TrainError::Workers`], with the reason why they cannot.
pub fn check_workers(config: &TrainConfig) -> Result<(), TrainError> {
    collect::refusal(config).map_or(Ok(()), |reason| Err(TrainError::Workers(reason)))
}

/// Trains an agent from experience of any origin, from scratch or from where a checkpoint left it.
///
/// # Errors
/// Those of the environment and of the file system, or [`TrainError::Diverged`]. If there is a folder, the last good
/// state is written there first.
pub fn train_from(
    config: &TrainConfig,
    origin: Origin<'_>,
    options: TrainOptions<'_>,
    monitor: &mut dyn Monitor,
) -> Result<Trained, TrainError> {
    let autosave = Autosave::every(autosave::INTERVAL);
    train_with(config, origin, options, monitor, autosave)
}

fn train_with(
    config: &TrainConfig,
    origin: Origin<'_>,
    options: TrainOptions<'_>,
    monitor: &mut dyn Monitor,
    autosave: Autosave,
) -> Result<Trained, TrainError> {
    let TrainOptions {
        out,
        checkpoint_interval,
        resume,
        stop,
    } = options;
    let is_new = resume.is_none();
    let mut trainer = match resume {
        Some(checkpoint) => Trainer::resume(config, origin, checkpoint)?,
        None => Trainer::begin(config, origin)?,
    };
    if let (true, Some(out)) = (is_new, out) {
        // So a run can be resumed from its first step on, and a folder that cannot be written to is an error now.
        trainer.keep_what_is_given(out, monitor)?;
    }
    let may_stop_early = Stopping::is_early(&config.hyper) && trainer.is_judged();
    if may_stop_early && trainer.statistics.solved_threshold.is_none() {
        monitor.message(NO_THRESHOLD);
    }
    let mut saving = Saving::new(out, checkpoint_interval, autosave);
    saving.schedule_after(trainer.statistics.timesteps);
    match trainer.run(stop, &mut saving, monitor) {
        Ok(ending) => {
            monitor.finish(&trainer.progress())?;
            trainer.finished(ending)
        }
        Err(error) => Err(trainer.give_up(error, out, monitor)),
    }
}

/// When checkpoints are written, and where to.
struct Saving<'a> {
    out: Option<&'a Path>,
    interval: Option<u64>,
    /// Steps of the next checkpoint that may become the best.
    next: Option<u64>,
    autosave: Autosave,
}

impl<'a> Saving<'a> {
    fn new(out: Option<&'a Path>, interval: Option<u64>, autosave: Autosave) -> Self {
        let interval = interval.map(|interval| interval.max(1));
        Self {
            out,
            interval,
            next: None,
            autosave,
        }
    }

    /// Schedules the next checkpoint: at multiples of the interval, so that a resumed run keeps the same checkpoints as
    /// an uninterrupted one.
    fn schedule_after(&mut self, timesteps: u64) {
        self.next = self
            .interval
            .map(|interval| (timesteps / interval + 1) * interval);
    }
}

/// Whether there is more to learn.
#[derive(PartialEq)]
enum Verdict {
    Continue,
    Solved,
}

impl<'a> Origin<'a> {
    fn env(&mut self) -> &mut dyn VectorEnv {
        match self {
            Self::Environments(env) => *env,
            Self::Recording(playback) => *playback,
            Self::Workers { like, .. } => *like,
        }
    }

    fn begin(
        self,
        config: &TrainConfig,
        encoder: InputEncoder,
        policy: &Policy,
        guest: Option<Guest>,
    ) -> Result<Box<dyn Source + 'a>, EnvError> {
        let TrainConfig { env, hyper, .. } = config;
        let seeds = |lanes| LaneSeeds::training(config.seed, 0..lanes);
        Ok(match self {
            Self::Environments(played) => {
                let seeds = seeds(played.num_envs());
                let collector =
                    Collector::begin(played, encoder, policy, hyper, &env.draws, seeds)?;
                Box::new(collector.with_guest(guest))
            }
            Self::Recording(playback) => {
                let seeds = seeds(playback.num_envs());
                Box::new(Recording::begin(playback, encoder, policy, hyper, seeds)?)
            }
            Self::Workers {
                workers, groups, ..
            } => Box::new(RemoteCollector::begin(
                workers, groups, config, encoder, policy,
            )?),
        })
    }
}

/// Records how the time of an update was spent.
fn put_times(record: &mut LogRecord, spent: Spent, learning: Duration) {
    let times = record.section("time");
    times.put_wall_clock("collecting_s", spent.collecting);
    times.put_wall_clock("carrying_s", spent.carrying);
    times.put_wall_clock("waiting_s", spent.waiting);
    times.put_wall_clock("learning_s", learning.as_secs_f64());
}

struct Trainer<'a> {
    config: TrainConfig,
    spaces: Spaces,
    policy: Policy,
    learner: Box<dyn Learner>,
    exploration: Exploration,
    source: Box<dyn Source + 'a>,
    rng: Xoshiro256PlusPlus,
    statistics: RunStatistics,
    clock: Clock,
    /// Whether the user knows that checkpoints lack the environment's state.
    has_told_of_new_episodes: bool,
}

/// The clock of this process's part of a run.
struct Clock {
    began: Instant,
    timesteps_before: u64,
}

/// Returns the encoder for a task with these spaces.
///
/// # Errors
/// Spaces that the agents, or the algorithm, cannot play.
pub(super) fn input_encoder(
    config: &TrainConfig,
    spaces: &Spaces,
) -> Result<InputEncoder, TrainError> {
    let algorithm = algorithms::find(&config.algorithm)?;
    let hyper = &config.hyper;
    let encoder = InputEncoder::new(&spaces.observation, &spaces.action, hyper, wants_cue(hyper))?;
    algorithm.check_plays(&encoder)?;
    if hyper.get::<ExplorationBonuses>().her && Goals::of(encoder.columns()).is_none() {
        return Err(ConfigError::NoGoals.into());
    }
    Ok(encoder)
}

/// Loads the agent that plays in the learner's place, if the hyper-parameters name one.
fn guest(hyper: &Hyperparameters, spaces: &Spaces) -> Result<Option<Guest>, TrainError> {
    let named = hyper.get::<Imitation>().behaviour_checkpoint;
    if named.is_empty() {
        return Ok(None);
    }
    let path = match Path::new(&named) {
        path if path.is_dir() => path.join(LATEST),
        path => path.to_owned(),
    };
    let checkpoint = Checkpoint::load(&path)?;
    load::trained(&checkpoint)?;
    Ok(Some(Guest {
        actor: load::actor_for(&checkpoint, spaces)?,
        id: digest(&checkpoint.to_bytes()),
    }))
}

/// SHA-256 in hexadecimal digits.
fn digest(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl<'a> Trainer<'a> {
    fn begin(config: &TrainConfig, mut origin: Origin<'a>) -> Result<Self, TrainError> {
        if matches!(origin, Origin::Workers { .. }) {
            check_workers(config)?;
        }
        let algorithm = algorithms::find(&config.algorithm)?;
        let env = origin.env();
        let solved_threshold = env.solved_threshold()?;
        let spaces = env.spaces();
        let hyper = &config.hyper;
        let num_envs = match &origin {
            Origin::Workers { .. } => hyper.get::<Collection>().num_envs,
            Origin::Environments(_) | Origin::Recording(_) => origin.env().num_envs(),
        };
        let encoder = input_encoder(config, &spaces)?;
        // The order of the draws decides the weights: policy, learner, exploration.
        let mut rng = seeds::generator(config.seed, Role::Agent);
        let mut policy = algorithm.policy(hyper, &encoder, &mut rng);
        let learner = (algorithm.learner)(&mut LearnerContext {
            policy: &mut policy,
            encoder: &encoder,
            hyper,
            rng: &mut rng,
        });
        let observation_size = encoder.observation_size();
        let exploration = Exploration::new(
            &hyper.get(),
            learner.discount(),
            observation_size,
            num_envs,
            &mut rng,
        );
        let guest = guest(hyper, &spaces)?;
        let source = origin.begin(config, encoder, &policy, guest)?;
        Ok(Self {
            config: config.clone(),
            spaces,
            policy,
            learner,
            exploration,
            source,
            rng,
            statistics: RunStatistics {
                solved_threshold,
                ..RunStatistics::default()
            },
            clock: Clock {
                began: Instant::now(),
                timesteps_before: 0,
            },
            has_told_of_new_episodes: false,
        })
    }

    /// The configuration may differ from the checkpoint's in what a longer run needs (its budget); everything else is
    /// the checkpoint's.
    fn resume(
        config: &TrainConfig,
        origin: Origin<'a>,
        checkpoint: Checkpoint,
    ) -> Result<Self, TrainError> {
        let mut trainer = Self::begin(config, origin)?;
        let id = |state: &CollectorState| state.guest.as_ref().map(|guest| guest.id.clone());
        if id(trainer.source.state()) != id(&checkpoint.run.collector) {
            return Err(TrainError::OtherGuest);
        }
        trainer.policy.params.import(&checkpoint.params)?;
        trainer.learner.import(&checkpoint.learner)?;
        trainer.exploration.import(checkpoint.run.exploration)?;
        let snapshot = checkpoint.run.environment.as_deref();
        let mut collector = checkpoint.run.collector;
        // A checkpoint of an earlier version has no generators: its lanes draw as those of a new run.
        let begun = &trainer.source.state().generators;
        if collector.generators.len() != begun.len() {
            collector.generators = begun.clone();
        }
        trainer.source.restore(snapshot, collector)?;
        trainer.rng = checkpoint.run.rng;
        trainer.clock.timesteps_before = checkpoint.run.statistics.timesteps;
        trainer.statistics = RunStatistics {
            solved_threshold: trainer.statistics.solved_threshold,
            ..checkpoint.run.statistics
        };
        Ok(trainer)
    }

    /// The loop: plays, learns and reports until the run ends, and writes checkpoints.
    fn run(
        &mut self,
        stop: &AtomicBool,
        saving: &mut Saving<'_>,
        monitor: &mut dyn Monitor,
    ) -> Result<Ending, TrainError> {
        let ending = loop {
            if let Some(ending) = self.ending(stop) {
                break ending;
            }
            let began = Instant::now();
            let rollout = self.collect()?;
            let spent = self.source.spent().unwrap_or_else(|| Spent {
                collecting: began.elapsed().as_secs_f64(),
                ..Spent::default()
            });
            if self.record(&rollout) == Verdict::Solved {
                // There is no update: the weights that solved the task are the ones to keep.
                break Ending::EarlyStop;
            }
            if rollout.cut_short {
                // The budget ended in the middle of the episodes, so there is no outcome to learn from.
                break Ending::Budget;
            }
            let began = Instant::now();
            let mut record = self.learn(&rollout)?;
            put_times(&mut record, spent, began.elapsed());
            monitor.update(&self.progress(), &record)?;
            self.save_if_due(saving, monitor)?;
        };
        match saving.out {
            // An interrupted run decides on its best checkpoint where an uninterrupted run would.
            Some(out) if ending == Ending::Interrupted => self.keep(out, monitor)?,
            Some(out) => self.save(out, monitor)?,
            None => {}
        }
        Ok(ending)
    }

    fn save_if_due(
        &mut self,
        saving: &mut Saving<'_>,
        monitor: &mut dyn Monitor,
    ) -> Result<(), TrainError> {
        let Some(out) = saving.out else {
            return Ok(());
        };
        let began = Instant::now();
        if saving
            .next
            .is_some_and(|due| self.statistics.timesteps >= due)
        {
            self.save(out, monitor)?;
            saving.schedule_after(self.statistics.timesteps);
        } else if saving.autosave.is_due(began) {
            // An automatic checkpoint: training does not end because it cannot be written just now.
            if let Err(error) = self.keep(out, monitor) {
                monitor.message(&format!("could not write a checkpoint: {error}"));
            }
        } else {
            return Ok(());
        }
        saving.autosave.saved(began, Instant::now());
        Ok(())
    }

    fn ending(&self, stop: &AtomicBool) -> Option<Ending> {
        let statistics = &self.statistics;
        if statistics.timesteps + self.source.batch() as u64 > self.config.total_timesteps {
            Some(Ending::Budget)
        } else if stop.load(Ordering::Relaxed) {
            Some(Ending::Interrupted)
        } else {
            None
        }
    }

    /// Plays a rollout, the last one no longer than the budget.
    fn collect(&mut self) -> Result<Rollout, EnvError> {
        let left = self.config.total_timesteps - self.statistics.timesteps;
        let max_steps = usize::try_from(left / self.source.batch() as u64).unwrap_or(usize::MAX);
        let behaviour = self.learner.behaviour(self.share_done());
        self.source
            .collect(&self.policy, behaviour, &mut self.rng, max_steps)
    }

    /// Returns the share of the budget that is spent, 0 to 1.
    fn share_done(&self) -> f64 {
        self.statistics.timesteps as f64 / self.config.total_timesteps as f64
    }

    /// Returns whether the returns of a rollout say how good the policy is. Those of chance or of a recording do not:
    /// a task is not solved by them, and no checkpoint is the best by them.
    fn is_judged(&self) -> bool {
        self.source.is_played() && self.learner.behaviour(self.share_done()).is_of_policy()
    }

    /// Counts a rollout.
    fn record(&mut self, rollout: &Rollout) -> Verdict {
        let is_judged = self.is_judged();
        self.statistics.record(rollout, is_judged);
        if Stopping::is_early(&self.config.hyper) && is_judged && self.statistics.is_safely_solved()
        {
            Verdict::Solved
        } else {
            Verdict::Continue
        }
    }

    /// Hands a rollout to the learner; returns the measurements.
    fn learn(&mut self, rollout: &Rollout) -> Result<LogRecord, TrainError> {
        let progress = self.share_done();
        let shaped = self.exploration.rewards(rollout);
        let experience = Experience {
            rollout,
            rewards: &shaped.rewards,
            progress,
        };
        let metrics = self
            .learner
            .learn(&mut self.policy, &experience, &mut self.rng)?;
        self.statistics.updates += u64::from(metrics.is_some());
        Ok(self.log_record(&metrics.unwrap_or_default(), &shaped))
    }

    fn progress(&self) -> Progress {
        let statistics = &self.statistics;
        let elapsed = self.clock.began.elapsed();
        let (return_mean, return_std) = statistics.recent_return().unzip();
        Progress {
            total_timesteps: self.config.total_timesteps,
            timesteps: statistics.timesteps,
            episodes: statistics.episodes,
            updates: statistics.updates,
            elapsed,
            steps_per_s: self.clock.steps_per_s(statistics.timesteps),
            return_mean,
            return_std,
            length_mean: statistics.recent_length(),
        }
    }

    fn log_record(&self, metrics: &Metrics, shaped: &LearningRewards<'_>) -> LogRecord {
        let mut record = self.progress().to_record();
        let mut put = |name: &str, group: Group| {
            for (key, value) in metrics.group(group) {
                record.section(name).put(key, value);
            }
        };
        put("rollout", Group::Rollout);
        put("train", Group::Train);
        let bonuses = [
            ("mean_rnd_bonus", shaped.mean_rnd_bonus),
            ("mean_count_bonus", shaped.mean_count_bonus),
        ];
        for (name, bonus) in bonuses {
            if let Some(bonus) = bonus {
                record.section("rnd_net_dist").put(name, bonus);
            }
        }
        for (key, value) in metrics.group(Group::Memory) {
            record.section("memory").put(key, value);
        }
        record
    }

    /// The run as it is now; without the environment's state if that cannot be saved, as with environments of hosts.
    fn checkpoint(&mut self) -> Result<Checkpoint, TrainError> {
        let environment = match self.source.snapshot() {
            Ok(environment) => Some(environment),
            Err(EnvError::Refused { code, .. }) if code == "not-supported" => None,
            Err(error) => return Err(error.into()),
        };
        Ok(self.checkpoint_with(environment))
    }

    fn checkpoint_with(&self, environment: Option<Vec<u8>>) -> Checkpoint {
        Checkpoint {
            config: self.config.clone(),
            spaces: self.spaces.clone(),
            params: self.policy.params.export(),
            learner: self.learner.export(),
            run: RunState {
                statistics: self.statistics.clone(),
                rng: self.rng.clone(),
                exploration: self.exploration.export(),
                collector: self.source.state().clone(),
                environment,
            },
        }
    }

    /// Writes the latest checkpoint, and keeps it as the best if the running return says so.
    fn save(&mut self, out: &Path, monitor: &mut dyn Monitor) -> Result<(), TrainError> {
        let judged = self.is_judged().then(|| self.statistics.recent_return());
        let mean = judged.flatten().map(|(mean, _)| mean);
        let best = mean.filter(|mean| self.statistics.best_return.is_none_or(|best| *mean > best));
        if best.is_some() {
            self.statistics.best_return = best;
        }
        let mut checkpoint = self.checkpoint()?;
        if checkpoint.run.environment.is_none() && !self.has_told_of_new_episodes {
            self.has_told_of_new_episodes = true;
            monitor.message(
                "the server cannot save these environments: a resumed run begins new episodes",
            );
        }
        monitor.before_checkpoint(self.statistics.timesteps, best.is_some())?;
        checkpoint.save(&out.join(LATEST))?;
        if best.is_some() {
            checkpoint.learner.replay.clear();
            checkpoint.save(&out.join(BEST))?;
        }
        Ok(())
    }

    /// Writes the latest checkpoint and leaves the best as it is.
    fn keep(&mut self, out: &Path, monitor: &mut dyn Monitor) -> Result<(), TrainError> {
        let checkpoint = self.checkpoint()?;
        monitor.before_checkpoint(self.statistics.timesteps, false)?;
        Ok(checkpoint.save(&out.join(LATEST))?)
    }

    /// Writes the latest checkpoint, without the environment's state if the server refuses it: a run resumed from there
    /// begins new episodes.
    fn keep_what_is_given(
        &mut self,
        out: &Path,
        monitor: &mut dyn Monitor,
    ) -> Result<(), TrainError> {
        let environment = match self.source.snapshot() {
            Ok(environment) => Some(environment),
            Err(EnvError::Refused { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        monitor.before_checkpoint(self.statistics.timesteps, false)?;
        Ok(self.checkpoint_with(environment).save(&out.join(LATEST))?)
    }

    /// Writes a checkpoint of a run that failed. After an error of the environment its state is not requested, which may
    /// take long: a resumed run begins new episodes.
    fn give_up(
        &mut self,
        error: TrainError,
        out: Option<&Path>,
        monitor: &mut dyn Monitor,
    ) -> TrainError {
        if let Some(out) = out
            && self.statistics.updates > 0
        {
            let environment = match error {
                TrainError::Env(_) => None,
                _ => self.source.snapshot().ok(),
            };
            let timesteps = self.statistics.timesteps;
            if let Err(failed) = monitor.before_checkpoint(timesteps, false) {
                monitor.message(&format!("could not keep the run's clock: {failed}"));
            }
            let path = out.join(LATEST);
            match self.checkpoint_with(environment).save(&path) {
                Ok(()) => monitor.message(&format!("kept what was learned in {}", path.display())),
                Err(failed) => {
                    monitor.message(&format!("could not keep what was learned: {failed}"));
                }
            }
        }
        error
    }

    fn finished(mut self, ending: Ending) -> Result<Trained, TrainError> {
        let timesteps = self.statistics.timesteps;
        Ok(Trained {
            ending,
            elapsed: self.clock.began.elapsed(),
            steps_per_s: self.clock.steps_per_s(timesteps),
            parameters: self.policy.params.count(),
            checkpoint: self.checkpoint()?,
        })
    }
}

/// The latest checkpoint of a run's folder.
pub const LATEST: &str = "checkpoint.safetensors";
/// The checkpoint with the best running return of a run's folder.
pub const BEST: &str = "best.safetensors";

impl Clock {
    fn steps_per_s(&self, timesteps: u64) -> f64 {
        (timesteps - self.timesteps_before) as f64 / self.began.elapsed().as_secs_f64()
    }
}

/// The reason why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The environment.
    #[error(transparent)]
    Env(#[from] EnvError),
    /// A space that the agents cannot play.
    #[error(transparent)]
    Space(#[from] UnsupportedSpace),
    /// A checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A checkpoint of another network.
    #[error("the checkpoint does not fit the agent: {0}")]
    Weights(#[from] NnError),
    /// A checkpoint of another learner.
    #[error("the checkpoint does not fit the agent: {0}")]
    Learner(#[from] StateError),
    /// A file of measurements.
    #[error(transparent)]
    Monitor(#[from] MonitorError),
    /// The agent that plays in the learner's place.
    #[error("behaviour_checkpoint: {0}")]
    Guest(#[from] ActorError),
    /// A resumed run whose data another agent played.
    #[error("behaviour_checkpoint is another agent's now: the run cannot go on as it began")]
    OtherGuest,
    /// The recorded episodes.
    #[error("dataset: {0}")]
    Dataset(#[from] MinariError),
    /// An agent that workers cannot play.
    #[error("workers cannot play this agent: {0}; train it without --workers and --pool")]
    Workers(&'static str),
    /// The losses.
    #[error(transparent)]
    Diverged(#[from] Diverged),
}

#[cfg(test)]
mod tests;
