//! `agent play`: a person in the agent's place.

use std::io::ErrorKind;
use std::process::ExitCode;

use agent::env::ResetRequest;
use agent::play::{PlayError, play};
use agent::settings::Settings;
use clap::Args;
use serde_json::{Map, Value};

use super::server::ServerArgs;
use super::{print, values};

/// Play an environment yourself, in the terminal
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  agent play                                            MemoryTask: answer with the first number, 4 actions later
  agent play --env-arg delay=7 --env-arg difficulty=1   longer, and with distractors
  agent play --server http://127.0.0.1:7878 --episodes 3")]
pub struct PlayArgs {
    /// Environment to play
    #[arg(long, value_name = "SPEC", default_value = Settings::DEFAULT_ENV)]
    env: String,
    /// Argument of the environment, e.g. delay=3; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = values::env_arg)]
    env_arg: Vec<(String, Value)>,
    /// Leave after so many episodes [default: when you type q]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    episodes: Option<u64>,
    /// Seed of the episodes [default: another one each time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    #[command(flatten)]
    servers: ServerArgs,
}

pub fn run(args: &PlayArgs) -> anyhow::Result<ExitCode> {
    let servers = args.servers.start(false)?;
    let kwargs = args.env_arg.iter().cloned().collect();
    let mut env = servers.connect(&args.env, kwargs, 1)?;
    let reset = ResetRequest {
        seeds: Some(vec![args.seed.unwrap_or_else(rand::random)]),
        options: Map::new(),
    };
    let returns = play(
        &mut env,
        &reset,
        args.episodes.unwrap_or(u64::MAX),
        &mut std::io::stdin().lock(),
        &mut std::io::stdout().lock(),
    );
    let returns = match returns {
        // Nobody looks on any more.
        Err(PlayError::Terminal(error)) if error.kind() == ErrorKind::BrokenPipe => {
            return Ok(ExitCode::SUCCESS);
        }
        played => played?,
    };
    if !returns.is_empty() {
        let mean = returns.iter().sum::<f64>() / returns.len() as f64;
        let count = returns.len();
        print(&format!(
            "{count} played to the end; mean return {mean:.2}."
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
