//! `agent record`: episodes as files that other programs read.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use agent::algorithms;
use agent::env::remote::RemoteVectorEnv;
use agent::env::{EnvError, Watched};
use agent::evaluate::{
    EvaluateError, EvaluationEnv, Mode, Player, RecordOptions, Recorded, episodes_per_lifetime,
    judged_step,
};
use agent::experience::Dataset;
use agent::experience::minari::{self, About};
use agent::run::checkpoint::Checkpoint;
use agent::run::settings::{Settings, written};
use agent::signals::{StopRequest, stop_on_signals};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::{Map, Value};

use super::evaluate::ask_for;
use super::row::task;
use super::server::{ServerArgs, Servers};
use super::{print, shell, tell, thousands, values};

/// Play episodes and keep them as files, to learn from or for other programs
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "\
Examples:
  agent record --env-arg delay=8 --env-arg difficulty=1 --episodes 5000 --out data/chance-v0
  agent record --checkpoint runs/hard --out data/hard-v0           a trained agent plays
  agent record --oracle --env RepeatFirst-v0 --out data/best-v0    the best player plays
  agent train --algorithm dt --dataset data/chance-v0 --env-arg delay=8 --env-arg difficulty=1

The dataset is a folder in the format of Minari 0.5, with an HDF5 file. In Python:
  minari.MinariDataset(\"data/chance-v0/data\"), or, with MINARI_DATASETS_PATH=data,
  minari.load_dataset(\"chance-v0\")

Chance plays, unless another player is named. Each episode begins with a reset and a seed of its
own, which stands next to it; where episodes share what is to be remembered, the first of each
lifetime does. Seeds are those of training with the same --seed, never those of an evaluation.

The folder appears when it is complete. Ctrl-C, SIGTERM and SIGHUP leave none; the exit status is
then 130, 143 or 129."
)]
pub struct RecordArgs {
    /// Folder of the dataset, which must not exist; a name that ends in -v0, -v1, … is also its id in Minari
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Number of episodes
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    episodes: u32,
    /// Environment to play [default: MemoryTask-v0, or the checkpoint's]
    #[arg(long, value_name = "SPEC", conflicts_with = "checkpoint")]
    env: Option<String>,
    /// Argument of the environment, e.g. delay=16; repeatable; with --checkpoint, what differs from training's
    #[arg(long, value_name = "NAME=VALUE", value_parser = values::env_arg)]
    env_arg: Vec<(String, Value)>,
    /// Let this agent play: a checkpoint, or a run's folder
    #[arg(long, value_name = "PATH|DIR", conflicts_with = "oracle")]
    checkpoint: Option<PathBuf>,
    /// Let the environment's own player play, which knows every hidden draw; another server must allow it
    #[arg(long)]
    oracle: bool,
    /// How the agent chooses: greedy, sampled, scrambled, emptied (`agent evaluate --help` explains them)
    #[arg(long, value_name = "MODE", default_value = "sampled", value_parser = mode, requires = "checkpoint")]
    mode: Mode,
    /// Return that a sequence model is asked for [default: training's]
    #[arg(long, value_name = "RETURN", requires = "checkpoint")]
    target_return: Option<f32>,
    /// Seed of the environments and of the actions
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Show no progress
    #[arg(long)]
    no_progress: bool,
    /// Print the outcome as a line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    servers: ServerArgs,
}

/// Environments that are played side by side.
const LANES: usize = 64;

fn mode(text: &str) -> Result<Mode, String> {
    Mode::from_str(text, true)
        .map_err(|_| "the modes are greedy, sampled, scrambled and emptied".into())
}

pub fn run(args: &RecordArgs) -> anyhow::Result<ExitCode> {
    // Before anything is played: a folder that cannot be written to would come too late.
    let folder = minari::NewFolder::create(&args.out)?;
    let stop = stop_on_signals(|| tell("\nstopping; nothing is kept"), || {})?;
    let (mut env, player, about) = args.cast()?;
    let options = RecordOptions {
        episodes: args.episodes as usize,
        seed: args.seed,
        mode: args.mode,
        judged_step: judged_step(&about.kwargs),
        episodes_per_lifetime: episodes_per_lifetime(&about.kwargs),
        max_bytes: Dataset::MAX_BYTES,
    };
    let bar = args.bar();
    let recorded = player.record(&mut watched(&mut env, &stop), &options, |kept| {
        bar.set_position(kept as u64);
    });
    bar.finish_and_clear();
    let recorded = match recorded {
        Err(EvaluateError::Env(EnvError::Stopped)) => return Ok(stop.exit_status().into()),
        recorded => recorded?,
    };
    folder.write(&recorded.dataset, &recorded.seeds, &about)?;
    if stop.flag().load(std::sync::atomic::Ordering::Relaxed) {
        return Ok(stop.exit_status().into());
    }
    folder.keep()?;
    print(&if args.json {
        json(args, &about, &recorded)?
    } else {
        report(args, &about, &recorded)
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The environments, which refuse a step once a stop is requested.
fn watched<'a>(
    env: &'a mut RemoteVectorEnv,
    stop: &'a StopRequest,
) -> Watched<'a, impl FnMut() -> Result<(), EnvError> + use<'a>> {
    let asked = stop.flag();
    Watched::new(env, move || {
        match asked.load(std::sync::atomic::Ordering::Relaxed) {
            true => Err(EnvError::Stopped),
            false => Ok(()),
        }
    })
}

impl RecordArgs {
    /// Returns the environments, who plays them, and a description of both.
    fn cast(&self) -> anyhow::Result<(RemoteVectorEnv, Player, About)> {
        match &self.checkpoint {
            Some(path) => self.cast_agent(path),
            None => self.cast_player(),
        }
    }

    fn cast_agent(&self, path: &Path) -> anyhow::Result<(RemoteVectorEnv, Player, About)> {
        let mut checkpoint = Checkpoint::load(&values::checkpoint(path)?)?;
        if let Some(target) = self.target_return {
            ask_for(&mut checkpoint, target)?;
        }
        let algorithm = algorithms::find(&checkpoint.config.algorithm)?;
        let servers = self.servers.start_for(algorithm)?;
        let EvaluationEnv { env, .. } =
            servers.evaluation_env(&checkpoint, &self.env_arg, self.lanes())?;
        let player = Player::for_env(&checkpoint, &env)?;
        let about = self.about(&checkpoint.config.env.spec_id, env.kwargs(), algorithm.id);
        Ok((env, player, about))
    }

    fn cast_player(&self) -> anyhow::Result<(RemoteVectorEnv, Player, About)> {
        let row = algorithms::find(if self.oracle { "oracle" } else { "random" })?;
        let servers: Servers = self.servers.start_for(row)?;
        let spec_id = self.env.as_deref().unwrap_or(Settings::DEFAULT_ENV);
        let kwargs: Map<String, Value> = self.env_arg.iter().cloned().collect();
        let env = servers.connect(spec_id, kwargs, self.lanes())?;
        let player = Player::untrained(row, &env)?;
        let about = self.about(spec_id, env.kwargs(), row.id);
        Ok((env, player, about))
    }

    fn lanes(&self) -> usize {
        LANES.min(self.episodes as usize)
    }

    fn about(&self, spec_id: &str, kwargs: &Map<String, Value>, player: &str) -> About {
        About {
            spec_id: spec_id.into(),
            kwargs: kwargs.clone(),
            player: player.into(),
            mode: self.mode.name().into(),
            seed: self.seed,
        }
    }

    fn bar(&self) -> ProgressBar {
        if self.no_progress {
            return ProgressBar::hidden();
        }
        let template = "{percent:>3}% {wide_bar:.cyan/dim} {pos}/{len} episodes · ETA {eta}";
        let style = ProgressStyle::with_template(template).expect("the template is well-formed");
        let bar = ProgressBar::new(self.episodes.into());
        bar.with_style(style.progress_chars("━╸━"))
    }
}

/// Steps and mean return of a recording.
fn totals(recorded: &Recorded) -> (usize, f64) {
    let episodes = recorded.dataset.episodes();
    let steps = episodes.iter().map(|episode| episode.steps()).sum();
    let earned = episodes.iter().flat_map(|episode| &episode.rewards);
    (steps, earned.sum::<f64>() / episodes.len() as f64)
}

/// The outcome for a person.
fn report(args: &RecordArgs, about: &About, recorded: &Recorded) -> String {
    let (steps, mean) = totals(recorded);
    let named = about.kwargs.iter().map(|(name, value)| {
        let argument = format!("{name}={}", written(value));
        format!(" --env-arg {}", shell::quote(argument))
    });
    let of_task = format!(" --env {}{}", about.spec_id, named.collect::<String>());
    let kept = format!(
        "{} episodes of {} steps in all, on {}, played by {}; mean return {mean:.2}.\nKept in {}.",
        thousands(recorded.dataset.episodes().len() as u64),
        thousands(steps as u64),
        task(&about.spec_id, &about.kwargs),
        about.player,
        args.out.display(),
    );
    let dt = algorithms::find("dt").expect("a row of the table");
    match dt.refusal(recorded.dataset.spaces(), &(dt.defaults)()) {
        Some(_) => kept,
        None => format!(
            "{kept}\n\nLearn from it:  agent train --algorithm dt --dataset {}{of_task}",
            shell::quote(&args.out)
        ),
    }
}

/// The outcome for a program.
fn json(args: &RecordArgs, about: &About, recorded: &Recorded) -> anyhow::Result<String> {
    #[derive(Serialize)]
    struct Outcome<'a> {
        /// Id of the algorithm that played.
        player: &'a str,
        mode: &'a str,
        env: &'a str,
        env_args: &'a Map<String, Value>,
        seed: u64,
        episodes: usize,
        steps: usize,
        mean_return: f64,
        out: Cow<'a, str>,
    }
    let (steps, mean_return) = totals(recorded);
    Ok(serde_json::to_string(&Outcome {
        player: &about.player,
        mode: &about.mode,
        env: &about.spec_id,
        env_args: &about.kwargs,
        seed: about.seed,
        episodes: recorded.dataset.episodes().len(),
        steps,
        mean_return,
        // JSON has no other names than text.
        out: args.out.to_string_lossy(),
    })?)
}
