//! `agent train`: from flags and a file to a run in a folder.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use agent::algorithms;
use agent::algorithms::sections::Overrides;
use agent::arguments::PoolArgs;
use agent::env::remote::Token;
use agent::env::selection::OptionDraw;
use agent::experience::Collection;
use agent::learner::sequence::Imitation;
use agent::run::checkpoint::Checkpoint;
use agent::run::collect::{self, Workers};
use agent::run::config::TrainConfig;
use agent::run::folder::{CONFIG, Earlier, Session, SessionEnd};
use agent::run::settings::Settings;
use agent::run::statistics::RunStatistics;
use agent::run::train::{Ending, LATEST, check_workers};
use agent::signals::{StopRequest, stop_on_signals};
use agent::views::monitor::{Console, ConsoleOptions};
use anyhow::{Context as _, bail};
use clap::Args;
use serde::Serialize;
use serde_json::Value;
use workers::cluster::{self, Terms};
use workers::{LocalPool, Pool, Program};

use super::row::Row;
use super::server::{ServerArgs, Servers};
use super::{print, shell, tell, thousands, values};

/// Train an agent, or resume a training run
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "\
Examples:
  agent train --algorithm ppo --env-arg delay=1 --total-timesteps 20000
  agent train --algorithm tracerl --env-arg delay=16 --env-arg difficulty=1 --total-timesteps 56000 --out runs/hard
  agent train --algorithm tracerl --env-arg delay=256 --env-draw delay=4..256 --total-timesteps 500000
  agent train --algorithm dt --dataset data/chance-v0 --env-arg delay=8     recorded episodes
  agent train --config runs/hard/config.toml --seed 1 --out runs/hard-1     the same with another seed
  agent train --resume runs/hard                                            after Ctrl-C
  agent train --resume runs/hard --total-timesteps 200000                   longer than first planned
  agent train --algorithm tracerl --workers 4                               slow environments
  agent train --algorithm tracerl --pool ray                                on a Ray cluster

A TOML file has the flags' names as keys, with `_` for `-`:
  algorithm = \"tracerl\"
  total_timesteps = 56000
  env_draw = [\"delay=4..16\"]
  [env_args]
  delay = 16
  [hyperparameters]
  learning_rate = 0.003

A task counts as solved when the mean return of the last 100 training episodes is at least its threshold: 95 % of the
way from random actions to the best player known, with the arguments in use, as the server tells it. Training stops
early once each of those 100 episodes has reached it. Without a threshold it goes to the end of the budget.

DIR gets config.toml (everything resolved), checkpoint.safetensors, best.safetensors, metrics.jsonl,
run.json (its clock), event files for TensorBoard, and run.lock, which keeps a second process out.
The checkpoint is written when the run begins, every half a minute, and when it ends: even after
kill -9 --resume continues from there.

Ctrl-C, SIGTERM and SIGHUP stop the run with a checkpoint; the exit status is then 130, 143 or 129."
)]
pub struct TrainArgs {
    /// Algorithm: an id that `agent list` shows
    #[arg(long, value_name = "ALGORITHM")]
    algorithm: Option<String>,
    /// Environment to learn [default: MemoryTask-v0]
    #[arg(long, value_name = "SPEC")]
    env: Option<String>,
    /// Argument of the environment, e.g. delay=16; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = values::env_arg)]
    env_arg: Vec<(String, Value)>,
    /// Reset option drawn anew for each rollout, log-uniformly, e.g. delay=4..256; repeatable
    #[arg(long, value_name = "NAME=LOW..HIGH")]
    env_draw: Vec<OptionDraw>,
    /// Budget: steps of all environments together [default: 100000]
    #[arg(long, value_name = "N", value_parser = values::steps)]
    total_timesteps: Option<u64>,
    /// Seed of weights, actions and environments [default: 0]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    seed: Option<u64>,
    /// Settings from a TOML file; flags override it
    #[arg(long, value_name = "FILE.toml")]
    config: Option<PathBuf>,
    /// The run's folder; it must be new or empty [default: a new one, runs/ALGORITHM-ENV-SEED-TIME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Resume the run in this folder (by default in --out), or from this checkpoint of it, with its own settings;
    /// --total-timesteps may be longer
    #[arg(long, value_name = "DIR|CHECKPOINT", num_args = 0..=1)]
    resume: Option<Option<PathBuf>>,
    /// Also write a checkpoint every N steps, and keep the best of these
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    checkpoint_interval: Option<u64>,
    /// Train to the end of the budget even if the task is solved
    #[arg(long, conflicts_with = "early_stop")]
    no_early_stop: bool,
    /// Show a box of measurements every --log-interval episodes
    #[arg(long, short)]
    verbose: bool,
    /// Episodes between two boxes
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    log_interval: u64,
    /// Show no progress
    #[arg(long)]
    no_progress: bool,
    /// Print the outcome as a line of JSON
    #[arg(long)]
    json: bool,
    /// Play the environments in N processes of their own: for slow ones. The result is the same to the bit [default with
    /// --pool: as many as it has free CPUs]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1_024))]
    workers: Option<u16>,
    /// The machines of a cluster
    #[command(flatten)]
    pool: PoolArgs,
    #[command(flatten)]
    servers: ServerArgs,
    #[command(flatten)]
    hyperparameters: Overrides,
}

type AnyPool = Arc<dyn Pool + Send + Sync>;

pub fn run(args: &TrainArgs) -> anyhow::Result<ExitCode> {
    let plan = Plan::of(args)?;
    if args.workers.is_some() || args.pool.cluster(None).is_some() {
        check_workers(&plan.config)?;
    }
    let algorithm = algorithms::find(&plan.config.algorithm)?;
    let servers = args.servers.start_for(algorithm)?;
    // A cluster is looked at now, before the run has a folder.
    let workers = workers(args, &plan.config, &servers)?;
    let stop = stop_request(workers.clone())?;
    let session = Session {
        config: plan.config,
        servers: servers.urls,
        token: servers.token,
        retry: servers.retry,
        directory: plan.directory,
        checkpoint_interval: args.checkpoint_interval,
        earlier: plan.earlier,
        workers,
    };
    let mut console = Console::new(ConsoleOptions {
        progress: !args.no_progress,
        log_interval_episodes: args.verbose.then_some(args.log_interval),
    });
    let end = session.run(&mut console, stop.flag());
    let pools = session.workers.iter().flat_map(|workers| &workers.pools);
    pools.for_each(|pool| pool.close());
    let end = end?;
    if args.json {
        print(&json(&end)?)?;
    } else {
        print(&report(&session, &end, &args.servers.flags()))?;
    }
    Ok(match end.ending {
        Ending::Interrupted => stop.exit_status().into(),
        Ending::Budget | Ending::EarlyStop => ExitCode::SUCCESS,
    })
}

/// Returns the workers that are asked for, which run this program. They play on the servers that were named, or on servers of
/// their own.
fn workers(
    args: &TrainArgs,
    config: &TrainConfig,
    servers: &Servers,
) -> anyhow::Result<Option<Workers>> {
    let pools = match (
        args.pool.cluster(Some(agent::nn::cpu_class())),
        args.workers,
    ) {
        (None, None) => return Ok(None),
        (None, Some(count)) => processes(count, &args.servers)?,
        (Some(_), _) if servers.token.is_some() => bail!(
            "the machines of a pool get no token: name servers that ask for none, without --token-file and {}, or train \
             with --workers N instead of --pool",
            Token::VARIABLE
        ),
        (Some(terms), count) => {
            let groups = collect::groups(config.hyper.get::<Collection>().num_envs);
            seats(&terms, count, groups)?
        }
    };
    Ok(Some(Workers {
        pools,
        servers: args.servers.server.clone(),
        on_lost: Arc::new(|reason| {
            tell(&format!("lost a worker ({reason}); another plays its part"));
        }),
    }))
}

/// Processes on this machine, so many.
fn processes(count: u16, servers: &ServerArgs) -> anyhow::Result<Vec<AnyPool>> {
    let program = collect::program(super::worker::arguments(servers));
    let program = program.context("cannot read this program")?;
    let pool = |_| -> AnyPool { Arc::new(LocalPool::new(program.clone())) };
    Ok((0..count).map(pool).collect())
}

/// Seats in a cluster: so many, or as many as it has slots; not more than there are groups to be played.
fn seats(terms: &Terms, count: Option<u16>, groups: usize) -> anyhow::Result<Vec<AnyPool>> {
    let program = collect::program(Vec::new()).context("cannot read this program")?;
    let file = Program::own_file_for_others();
    let warn = |text: &str| tell(&format!("warning: {text}"));
    let pool = cluster::pool(&file, &program.hello.program, terms, warn)?;
    let count = count.map_or(pool.ready().slots, u64::from);
    let seat = |number| -> AnyPool { Arc::new(pool.seat(number)) };
    Ok((0..count.clamp(1, groups as u64)).map(seat).collect())
}

/// A resolved configuration and its folder.
struct Plan {
    config: TrainConfig,
    directory: PathBuf,
    earlier: Earlier,
}

impl Plan {
    fn of(args: &TrainArgs) -> anyhow::Result<Self> {
        let mut settings = args.settings();
        if let Some(file) = &args.config {
            settings = Settings::load(file)?.overlaid(settings);
        }
        let imitation = &mut settings.hyperparameters.imitation;
        for path in [&mut imitation.dataset, &mut imitation.behaviour_checkpoint] {
            make_absolute(path)?;
        }
        let Some(resume) = &args.resume else {
            let config = settings.resolve()?;
            let (directory, earlier) = match &args.out {
                Some(out) => (out.clone(), Earlier::Refuse),
                None => (new_directory(&config), Earlier::NextName),
            };
            return Ok(Self {
                directory,
                config,
                earlier,
            });
        };
        let Some(given) = resume.as_ref().or(args.out.as_ref()) else {
            bail!("what is to be resumed? Give the run's folder: --resume DIR");
        };
        if let Some(plan) = Self::of_unbegun(given, &settings)? {
            return Ok(plan);
        }
        let path = values::checkpoint(given)?;
        let directory = path.parent().unwrap_or(Path::new(".")).to_owned();
        if let Some(out) = &args.out
            && out.canonicalize().ok() != directory.canonicalize().ok()
        {
            bail!(
                "a run is resumed in its own folder, {}: leave --out out",
                directory.display()
            );
        }
        let earlier = Checkpoint::load(&path)?.config;
        Ok(Self {
            config: Settings::of(&earlier).overlaid(settings).resolve()?,
            directory,
            earlier: Earlier::Resume(path),
        })
    }

    /// The plan of a run that was ended before it wrote its first checkpoint: to begin it again.
    fn of_unbegun(directory: &Path, settings: &Settings) -> anyhow::Result<Option<Self>> {
        let config = directory.join(CONFIG);
        if directory.join(LATEST).exists() || !config.is_file() {
            return Ok(None);
        }
        tell(&format!(
            "there is no checkpoint in {} yet: the run begins anew",
            directory.display()
        ));
        Ok(Some(Self {
            config: Settings::load(&config)?
                .overlaid(settings.clone())
                .resolve()?,
            directory: directory.to_owned(),
            earlier: Earlier::ResumeIfAny,
        }))
    }
}

impl TrainArgs {
    fn settings(&self) -> Settings {
        let mut hyperparameters = self.hyperparameters.clone();
        if self.no_early_stop {
            hyperparameters.stopping.early_stop = Some(false);
        }
        Settings {
            algorithm: self.algorithm.clone(),
            env: self.env.clone(),
            total_timesteps: self.total_timesteps,
            seed: self.seed,
            env_draw: self.env_draw.clone(),
            env_args: self.env_arg.iter().cloned().collect(),
            hyperparameters,
        }
    }
}

/// Makes a path absolute, so that a run can be resumed from another folder. An empty one names nothing.
fn make_absolute(path: &mut Option<String>) -> anyhow::Result<()> {
    if let Some(path) = path.as_mut().filter(|path| !path.is_empty()) {
        let absolute = std::path::absolute(&*path)?.into_os_string();
        if let Ok(absolute) = absolute.into_string() {
            *path = absolute;
        }
    }
    Ok(())
}

/// A folder named after what is run and when.
fn new_directory(config: &TrainConfig) -> PathBuf {
    let now = jiff::Zoned::now().strftime("%Y%m%d-%H%M%S");
    let name = format!(
        "{}-{}-{}-{now}",
        config.algorithm, config.env.spec_id, config.seed
    );
    Path::new("runs").join(name)
}

/// Returns the flag that the first Ctrl-C sets; the second ends the program and its workers.
fn stop_request(workers: Option<Workers>) -> anyhow::Result<StopRequest> {
    let on_first =
        || tell("\nstopping with a checkpoint after this update; Ctrl-C again ends at once");
    let on_second = move || {
        let pools = workers.iter().flat_map(|workers| &workers.pools);
        pools.for_each(|pool| pool.kill_all());
    };
    Ok(stop_on_signals(on_first, on_second)?)
}

/// The outcome for a person.
fn report(session: &Session, end: &SessionEnd, server_flags: &str) -> String {
    let statistics = &end.checkpoint.run.statistics;
    let directory = shell::quote(&end.directory);
    let steps = thousands(statistics.timesteps);
    let mut lines = Vec::new();
    if end.was_finished {
        lines.push("This run had ended before; nothing was left to train.".to_owned());
    }
    lines.push(match end.ending {
        Ending::EarlyStop => format!("Stopped early, after {steps} steps."),
        Ending::Budget => format!("The budget is spent: {steps} steps."),
        Ending::Interrupted => format!(
            "Stopped after {steps} of {} steps.",
            thousands(session.config.total_timesteps)
        ),
    });
    let is_recorded = !session.config.hyper.get::<Imitation>().dataset.is_empty();
    lines.push(match is_recorded {
        true => "It learned from recorded episodes: their returns are not its own.".to_owned(),
        false => solved(statistics),
    });
    if let Some((mean, std)) = statistics.recent_return() {
        lines.push(format!(
            "Return of the last {} episodes {mean:.2} ± {std:.2}; {}; {} parameters.",
            statistics.episodes.min(100),
            speed(end),
            thousands(end.parameters as u64),
        ));
    }
    lines.push(format!("{}\n", kept(end)));
    if end.ending == Ending::Interrupted {
        lines.push(format!(
            "Resume:    agent train --resume {directory}{server_flags}"
        ));
    }
    lines.push(format!(
        "Judge it:  agent evaluate --checkpoint {directory}{server_flags}"
    ));
    lines.push(format!(
        "Look in:   agent inspect --checkpoint {directory}{server_flags}"
    ));
    lines.join("\n")
}

/// Where the run is kept, and how much of its checkpoint is stored experience.
fn kept(end: &SessionEnd) -> String {
    let directory = end.directory.display();
    match end.checkpoint.learner.replay.len() {
        0 => format!("Kept in {directory}."),
        bytes => format!(
            "Kept in {directory}. {:.1} MB of its checkpoint are stored experience, from which a resumed run continues; \
             best.safetensors holds none.",
            bytes as f64 / 1e6
        ),
    }
}

/// Whether the task is solved, and what that means there.
fn solved(statistics: &RunStatistics) -> String {
    match (statistics.solved_threshold, statistics.solved_at) {
        (Some(threshold), Some(at)) => format!(
            "Solved after {} steps: the last 100 episodes had a mean return of at least {threshold}.",
            thousands(at)
        ),
        (Some(threshold), None) => format!(
            "Not solved: that takes a mean return of at least {threshold} over 100 episodes."
        ),
        (None, _) => {
            "Nothing says from which return this task counts as solved with these arguments."
                .to_owned()
        }
    }
}

/// How long the run took and how fast it was, as far as its clock tells. A run shorter than a second has no speed: it spends
/// that time on its start.
fn speed(end: &SessionEnd) -> String {
    let Some(steps_per_s) = end.steps_per_s else {
        return "its clock is lost".into();
    };
    let (seconds, rate) = (end.elapsed.as_secs_f64(), thousands(steps_per_s as u64));
    // Most of a run's first second is spent on starting.
    let times = match seconds < 1.0 {
        true => "less than a second".to_owned(),
        false => format!("{seconds:.1} s, {rate} steps/s"),
    };
    if end.timed_steps == end.checkpoint.run.statistics.timesteps {
        return times;
    }
    let timed = thousands(end.timed_steps);
    format!("{times} over the last {timed} steps (the clock of those before is lost)")
}

/// The outcome for a program.
fn json(end: &SessionEnd) -> anyhow::Result<String> {
    #[derive(Serialize)]
    struct Outcome<'a> {
        #[serde(flatten)]
        row: Row,
        /// Of `timed_steps` in `duration_s`.
        steps_per_s: Option<f64>,
        /// Of training, over all sessions of the run, in seconds.
        duration_s: f64,
        /// The steps that this time is of: all that were trained for, unless their clock was lost.
        timed_steps: u64,
        ending: Ending,
        /// Mean return from which the task counts as solved.
        solved_threshold: Option<f64>,
        solved_at: Option<u64>,
        /// Mean over the last 100 training episodes.
        training_return: Option<f64>,
        /// Largest mean return of an epoch of 65,536 steps.
        best_epoch_return: Option<f64>,
        parameters: usize,
        /// Bytes of stored experience in the checkpoint.
        replay_bytes: usize,
        out: Cow<'a, str>,
    }
    let statistics = &end.checkpoint.run.statistics;
    let config = &end.checkpoint.config;
    Ok(serde_json::to_string(&Outcome {
        row: Row::new(config, &config.env.kwargs, statistics.timesteps),
        steps_per_s: end.steps_per_s,
        duration_s: end.elapsed.as_secs_f64(),
        timed_steps: end.timed_steps,
        ending: end.ending,
        solved_threshold: statistics.solved_threshold,
        solved_at: statistics.solved_at,
        training_return: statistics.recent_return().map(|(mean, _)| mean),
        best_epoch_return: statistics.epochs.best,
        parameters: end.parameters,
        replay_bytes: end.checkpoint.learner.replay.len(),
        // JSON has no other names than text.
        out: end.directory.to_string_lossy(),
    })?)
}
