//! `agent inspect`: one episode, and what the memory did in it.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use agent::algorithms;
use agent::evaluate::inspect::{MAX_STEPS, last_contents, record_episode};
use agent::evaluate::{EvaluationEnv, Player, cue_step};
use agent::run::checkpoint::Checkpoint;
use agent::views::heatmap::{EpisodeView, HeatMap, TerminalStyle};
use anyhow::bail;
use clap::Args;
use serde_json::Value;

use super::probe::{ProbeArgs, probe};
use super::row::task;
use super::server::ServerArgs;
use super::{print, thousands, values};

/// Play an episode and show the memory: its entries, their write times, and the attention to them; or find out which part of a
/// memory fails
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  agent inspect --checkpoint runs/hard
  agent inspect --checkpoint runs/hard --env-arg delay=200 --episode-seed 3 --out pictures
  agent inspect --checkpoint runs/hard --env-arg delay=200 --probe     what fails there

The drawing in the terminal has colours if it is a terminal and NO_COLOR is not set; DIR gets the same as
episode-SEED.svg and episode-SEED.png.

With --probe an agent of TraceRL plays the same episodes four times: as it is, with the entries
kept by force that it may need, with the needed entry handed to the policy, and with both. The
gain in return tells which part fails: writing, keeping, finding or acting.")]
pub struct InspectArgs {
    /// A checkpoint, or a run's folder
    #[arg(long, value_name = "PATH|DIR")]
    checkpoint: PathBuf,
    /// Argument of the environment that differs from training's, e.g. delay=200; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = values::env_arg)]
    env_arg: Vec<(String, Value)>,
    /// Number of the episode, or of the set of episodes with --probe; training plays none of these
    #[arg(long, value_name = "N", default_value_t = 0)]
    episode_seed: u64,
    /// Folder for the pictures [default: the checkpoint's folder]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Find out which part of a memory of slots fails, in place of pictures of an episode
    #[arg(long, conflicts_with = "out")]
    probe: bool,
    /// Episodes of a probe, played side by side, each in an environment of its own
    #[arg(long, value_name = "N", default_value_t = 100, requires = "probe", value_parser = clap::value_parser!(u32).range(1..))]
    episodes: u32,
    /// Print the outcome of a probe as a line of JSON
    #[arg(long, requires = "probe")]
    json: bool,
    #[command(flatten)]
    servers: ServerArgs,
}

pub fn run(args: &InspectArgs) -> anyhow::Result<ExitCode> {
    let path = values::checkpoint(&args.checkpoint)?;
    let checkpoint = Checkpoint::load(&path)?;
    if args.probe {
        let probed = ProbeArgs {
            env_arg: &args.env_arg,
            episodes: args.episodes as usize,
            seed: args.episode_seed,
            servers: &args.servers,
            json: args.json,
        };
        print(&probe(&checkpoint, &path, &probed)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let view = record(args, &checkpoint)?;
    let map = HeatMap::new(&view)?;
    let mut text = map.terminal(TerminalStyle::of_stdout());
    let contents = last_contents(&view);
    if !contents.is_empty() {
        let _ = writeln!(text, "\nIn memory at the last step:");
    }
    for line in contents {
        let _ = writeln!(text, "  {line}");
    }
    let _ = writeln!(
        text,
        "\nReturn {} in {} steps.",
        view.rewards.iter().sum::<f64>(),
        thousands(view.num_steps() as u64)
    );
    let beside = path.parent().unwrap_or(Path::new("."));
    for picture in draw(
        &map,
        args.out.as_deref().unwrap_or(beside),
        args.episode_seed,
    )? {
        let _ = writeln!(text, "{}", picture.display());
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn record(args: &InspectArgs, checkpoint: &Checkpoint) -> anyhow::Result<EpisodeView> {
    let config = &checkpoint.config;
    let servers = args
        .servers
        .start_for(algorithms::find(&config.algorithm)?)?;
    let EvaluationEnv {
        mut env,
        episode_steps,
        ..
    } = servers.evaluation_env(checkpoint, &args.env_arg, 1)?;
    let player = Player::for_env(checkpoint, &env)?;
    if episode_steps.is_some_and(|steps| steps > MAX_STEPS) {
        bail!(
            "an episode of more than {} steps is too long to draw: take a shorter one with --env-arg delay=N",
            thousands(MAX_STEPS)
        );
    }
    let title = format!(
        "{} on {}",
        algorithms::find(&config.algorithm)?.title,
        task(&config.env.spec_id, env.kwargs())
    );
    let cue_step = cue_step(&config.env.spec_id, env.kwargs());
    Ok(record_episode(
        &player,
        &mut env,
        args.episode_seed,
        title,
        cue_step.into_iter().collect(),
    )?)
}

/// Writes the pictures; returns their paths.
fn draw(map: &HeatMap, folder: &Path, seed: u64) -> anyhow::Result<[PathBuf; 2]> {
    let path = |extension: &str| folder.join(format!("episode-{seed}.{extension}"));
    let pictures = [path("svg"), path("png")];
    let contents = [map.svg().into_bytes(), map.png()?];
    let write = || {
        std::fs::create_dir_all(folder)?;
        for (path, content) in pictures.iter().zip(contents) {
            std::fs::write(path, content)?;
        }
        Ok(())
    };
    write().map_err(|error: std::io::Error| {
        anyhow::anyhow!("cannot write pictures into {}: {error}", folder.display())
    })?;
    Ok(pictures)
}
