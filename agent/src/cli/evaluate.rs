//! `agent evaluate`: who remembers, and who is merely lucky.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use agent::algorithms;
use agent::env::Watched;
use agent::evaluate::{EvaluateOptions, Evaluation, EvaluationEnv, Mode, Player};
use agent::hyper::Section;
use agent::memory::sequence::Goal;
use agent::run::checkpoint::Checkpoint;
use agent::text::wrapped;
use anyhow::bail;
use clap::{Args, ValueEnum};
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::{Map, Value};

use super::asked::{Asked, answers, figure};
use super::row::{Row, task};
use super::server::ServerArgs;
use super::{print, thousands, values};

/// Evaluate a trained agent: greedy, sampled, and under two controls that rule out cheating
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "\
Examples:
  agent evaluate --checkpoint runs/hard
  agent evaluate --checkpoint runs/hard --env-arg delay=65536     far beyond what it was trained on
  agent evaluate --checkpoint runs/hard --mode greedy,scrambled --episodes 1000 --json
  agent evaluate --checkpoint runs/dt --target-return=-1,0,1      asked for these returns in turn

Modes:
  greedy     always the likeliest action
  sampled    actions drawn from the policy
  scrambled  random actions before the judged one: they cannot carry what was seen
  emptied    greedy, with the memory emptied before every step: who still scores did not need it"
)]
pub struct EvaluateArgs {
    /// A checkpoint, or a run's folder
    #[arg(long, value_name = "PATH|DIR")]
    checkpoint: PathBuf,
    /// Episodes in each mode, played side by side, each in an environment of its own
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    episodes: u32,
    /// Argument of the environment that differs from training's, e.g. delay=65536; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = values::env_arg)]
    env_arg: Vec<(String, Value)>,
    /// Modes to evaluate in, by comma: greedy, sampled, scrambled, emptied, or all that the task allows
    #[arg(long, value_name = "MODE", value_delimiter = ',', default_value = "all", value_parser = mode)]
    mode: Vec<Option<Mode>>,
    /// Return that a sequence model is asked for [default: training's]; of several, by comma, each is compared with the
    /// return that it earns, in one mode: greedy, unless another is named
    #[arg(
        long,
        value_name = "RETURN",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    target_return: Vec<f32>,
    /// Seed of the evaluation; its episodes are never those of training
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Do not balance the cues; by default each cue has the same number of episodes, if the task shows it first
    #[arg(long)]
    no_balance: bool,
    /// Show no progress
    #[arg(long)]
    no_progress: bool,
    /// Print the outcome as a line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    servers: ServerArgs,
}

/// Widest line that is printed.
pub(super) const WIDTH: usize = 80;

/// A mode; `None` is all of them.
fn mode(text: &str) -> Result<Option<Mode>, String> {
    match text {
        "all" => Ok(None),
        text => Mode::from_str(text, true)
            .map(Some)
            .map_err(|_| "the modes are greedy, sampled, scrambled, emptied and all".into()),
    }
}

pub fn run(args: &EvaluateArgs) -> anyhow::Result<ExitCode> {
    let path = values::checkpoint(&args.checkpoint)?;
    let mut checkpoint = Checkpoint::load(&path)?;
    let algorithm = algorithms::find(&checkpoint.config.algorithm)?;
    let servers = args.servers.start_for(algorithm)?;
    let EvaluationEnv {
        mut env,
        judged_step,
        episode_steps,
        episodes_per_lifetime,
        shows_cue_first,
    } = servers.evaluation_env(&checkpoint, &args.env_arg, args.episodes as usize)?;
    let is_compared = args.target_return.len() > 1;
    let modes = match is_compared && args.mode.contains(&None) {
        true => vec![Mode::Greedy],
        false => modes(&args.mode, judged_step),
    };
    let targets = args.target_return.iter().map(|&target| Some(target));
    let targets: Vec<Option<f32>> = match args.target_return.is_empty() {
        true => vec![None],
        false => targets.collect(),
    };
    let rounds = targets.len() * modes.len();
    let bar = bar(rounds, episode_steps, args.no_progress);
    let mut evaluations = Vec::new();
    for &target in &targets {
        if let Some(target) = target {
            ask_for(&mut checkpoint, target)?;
        }
        let player = Player::for_env(&checkpoint, &env)?;
        for &mode in &modes {
            bar.set_message(mode.name());
            let options = EvaluateOptions {
                episodes: args.episodes as usize,
                seed: args.seed,
                mode,
                balanced: !args.no_balance && shows_cue_first,
                judged_step,
                episodes_per_lifetime,
            };
            let mut watched = Watched::new(&mut env, || {
                bar.inc(1);
                Ok(())
            });
            evaluations.push(player.evaluate(&mut watched, &options)?);
        }
    }
    let kwargs = env.kwargs();
    bar.finish_and_clear();
    if is_compared {
        let answers = answers(&args.target_return, &evaluations);
        print(&if args.json {
            serde_json::to_string(&Asked {
                row: Row::new(&checkpoint.config, kwargs, timesteps(&checkpoint)),
                answers,
                checkpoint: path.to_string_lossy(),
            })?
        } else {
            format!("{}\n{}", heading(&checkpoint, kwargs), figure(&answers))
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    print(&if args.json {
        json(&checkpoint, kwargs, &path, &evaluations)?
    } else {
        report(&checkpoint, kwargs, &evaluations)
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Sets the return that the agent is asked for.
pub(super) fn ask_for(checkpoint: &mut Checkpoint, target: f32) -> anyhow::Result<()> {
    let algorithm = checkpoint.config.algorithm.clone();
    let Some(goal) = checkpoint.config.hyper.get_mut::<Goal>() else {
        bail!("{algorithm} is asked for no return: leave --target-return out");
    };
    goal.target_return = target;
    Ok(goal.validate()?)
}

/// Returns the requested modes, each once; for `all`, every mode that the task allows.
fn modes(asked: &[Option<Mode>], judged_step: Option<u64>) -> Vec<Mode> {
    if asked.contains(&None) {
        return Mode::ALL
            .into_iter()
            .filter(|mode| mode.is_possible(judged_step))
            .collect();
    }
    let mut modes: Vec<Mode> = Vec::new();
    for &mode in asked.iter().flatten() {
        if !modes.contains(&mode) {
            modes.push(mode);
        }
    }
    modes
}

/// A bar over the steps of so many evaluations; a spinner where a task does not tell how long its episodes are.
fn bar(evaluations: usize, episode_steps: Option<u64>, hidden: bool) -> ProgressBar {
    let template = "{percent:>3}% {wide_bar:.cyan/dim} {msg} · {pos}/{len} steps · ETA {eta}";
    let (bar, template) = match episode_steps {
        _ if hidden => return ProgressBar::hidden(),
        Some(steps) => (ProgressBar::new(steps * evaluations as u64), template),
        None => (
            ProgressBar::new_spinner(),
            "{spinner} {msg} · {pos} steps · {elapsed}",
        ),
    };
    let style = ProgressStyle::with_template(template).expect("the template is well-formed");
    bar.with_style(style.progress_chars("━╸━"))
}

/// Steps that the agent was trained for.
pub(super) fn timesteps(checkpoint: &Checkpoint) -> u64 {
    checkpoint.run.statistics.timesteps
}

/// Returns the agent, its training and its task, as a title.
pub(super) fn heading(checkpoint: &Checkpoint, kwargs: &Map<String, Value>) -> String {
    let config = &checkpoint.config;
    let title = algorithms::find(&config.algorithm).map_or("", |row| row.title);
    let title = format!(
        "{title}, seed {}, after {} steps of training, on {}",
        config.seed,
        thousands(timesteps(checkpoint)),
        task(&config.env.spec_id, kwargs),
    );
    wrapped(&title, WIDTH, "  ")
}

/// The outcome for a person.
fn report(
    checkpoint: &Checkpoint,
    kwargs: &Map<String, Value>,
    evaluations: &[Evaluation],
) -> String {
    let episodes = evaluations.first().map_or(0, |first| first.returns.len());
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED.with_rounded_corners())
        .set_header([
            "Mode",
            "Mean Ep Rew",
            "± 95 %",
            "Std",
            "Ep Length",
            "Time (s)",
        ]);
    for evaluation in evaluations {
        table.add_row([
            evaluation.mode.name().to_owned(),
            format!("{:.3}", evaluation.mean_return),
            format!("{:.3}", evaluation.margin()),
            format!("{:.3}", evaluation.std_return),
            format!("{:.0}", evaluation.mean_length),
            format!("{:.1}", evaluation.elapsed.as_secs_f64()),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!(
        "{}\n{table}\n± 95 % is half the 95 % interval of the mean over {} episodes.",
        heading(checkpoint, kwargs),
        thousands(episodes as u64),
    )
}

/// The outcome for a program.
fn json(
    checkpoint: &Checkpoint,
    kwargs: &Map<String, Value>,
    path: &Path,
    evaluations: &[Evaluation],
) -> anyhow::Result<String> {
    #[derive(Serialize)]
    struct Outcome<'a> {
        #[serde(flatten)]
        row: Row,
        /// Greedy.
        mean_return: Option<f64>,
        std_return: Option<f64>,
        /// Of the mean returns: standard deviation over the root of the number of episodes.
        standard_error: Option<f64>,
        /// In each mode.
        episodes: Option<usize>,
        sampled_return: Option<f64>,
        sampled_standard_error: Option<f64>,
        scrambled_return: Option<f64>,
        scrambled_standard_error: Option<f64>,
        emptied_return: Option<f64>,
        emptied_standard_error: Option<f64>,
        /// Of the evaluation, in all modes, in seconds.
        evaluation_s: f64,
        checkpoint: Cow<'a, str>,
    }
    let of = |mode| {
        evaluations
            .iter()
            .find(|evaluation| evaluation.mode == mode)
    };
    let mean = |mode| of(mode).map(|evaluation| evaluation.mean_return);
    let error = |mode| of(mode).map(Evaluation::standard_error);
    Ok(serde_json::to_string(&Outcome {
        row: Row::new(&checkpoint.config, kwargs, timesteps(checkpoint)),
        mean_return: mean(Mode::Greedy),
        std_return: of(Mode::Greedy).map(|evaluation| evaluation.std_return),
        standard_error: error(Mode::Greedy),
        episodes: evaluations
            .first()
            .map(|evaluation| evaluation.returns.len()),
        sampled_return: mean(Mode::Sampled),
        sampled_standard_error: error(Mode::Sampled),
        scrambled_return: mean(Mode::Scrambled),
        scrambled_standard_error: error(Mode::Scrambled),
        emptied_return: mean(Mode::Emptied),
        emptied_standard_error: error(Mode::Emptied),
        evaluation_s: evaluations
            .iter()
            .map(|evaluation| evaluation.elapsed.as_secs_f64())
            .sum(),
        // JSON has no other names than text.
        checkpoint: path.to_string_lossy(),
    })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_modes_are_those_that_the_task_allows() {
        use Mode::{Emptied, Greedy, Sampled, Scrambled};
        assert_eq!(
            modes(&[None], Some(3)),
            [Greedy, Sampled, Scrambled, Emptied]
        );
        assert_eq!(modes(&[None], None), [Greedy, Sampled, Emptied]);
        let asked = [Some(Emptied), Some(Scrambled), Some(Emptied)];
        assert_eq!(modes(&asked, None), [Emptied, Scrambled]);
    }
}
