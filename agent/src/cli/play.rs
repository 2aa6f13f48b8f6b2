//! `agent play`: a person in the agent's place.

use std::io::{ErrorKind, IsTerminal};
use std::process::ExitCode;

use super::play_terminal::{Briefing, PlayError, play, readable};
use agent::env::ResetRequest;
use agent::run::settings::Settings;
use clap::Args;
use env_protocol::Spec;
use serde_json::{Map, Value};

use super::row::task;
use super::server::ServerArgs;
use super::{print, values};

/// Play an environment yourself, in the terminal
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  agent play                                            MemoryTask: answer with the first number, 4 actions later
  agent play --env-arg delay=7 --env-arg difficulty=1   longer, and with distractors
  agent play --env MineSweeper-v0                       type a cell as 0,2
  agent play --server http://127.0.0.1:7878 --episodes 3")]
pub struct PlayArgs {
    /// Environment to play
    #[arg(long, value_name = "SPEC", default_value = Settings::DEFAULT_ENV)]
    env: String,
    /// Argument of the environment, e.g. delay=3; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = values::env_arg)]
    env_arg: Vec<(String, Value)>,
    /// Number of episodes [default: until you type q]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    episodes: Option<u64>,
    /// Seed of the episodes [default: random]
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
    let briefing = Briefing {
        task: describe(&env.spec()?, env.kwargs()),
        is_terminal: std::io::stdin().is_terminal() && std::io::stdout().is_terminal(),
    };
    let returns = play(
        &mut env,
        &reset,
        args.episodes.unwrap_or(u64::MAX),
        &briefing,
        &mut std::io::stdin().lock(),
        &mut std::io::stdout().lock(),
    );
    let returns = match returns {
        // The reader has left.
        Err(PlayError::Terminal(error)) if error.kind() == ErrorKind::BrokenPipe => {
            return Ok(ExitCode::SUCCESS);
        }
        played => played?,
    };
    if !returns.is_empty() {
        let mean = returns.iter().sum::<f64>() / returns.len() as f64;
        let count = returns.len();
        print(&format!(
            "{count} played to the end; mean return {}.",
            readable(mean)
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns a description of the task for the player.
fn describe(spec: &Spec, kwargs: &Map<String, Value>) -> String {
    let mut lines = vec![task(&spec.id, kwargs), spec.description.clone()];
    if !spec.remember.is_empty() {
        lines.push(format!("To remember: {}.", spec.remember));
    }
    let returns = &spec.returns;
    let known = [
        ("random play", returns.random),
        ("the best known player", returns.best),
    ];
    let known = known
        .iter()
        .filter_map(|(who, x)| x.map(|x| format!("{who} earns {}", readable(x))));
    let known: Vec<String> = known.collect();
    if !known.is_empty() {
        lines.push(format!("With the default arguments {}.", known.join(", ")));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_explained_with_its_scale() {
        let spec = serde_json::json!({
            "id": "RepeatFirst-v0",
            "description": "Name the suit of the first card at every step.",
            "parameters": [],
            "observation_space": {"type": "Discrete", "n": 4},
            "action_space": {"type": "Discrete", "n": 4},
            "reward_range": [-0.02, 0.02],
            "solved_threshold": 0.9,
            "remember": "one suit",
            "returns": {"random": -0.5, "best": 1.0000000000000007},
            "source": "POPGym",
        });
        let spec = serde_json::from_value(spec).unwrap();
        insta::assert_snapshot!(describe(&spec, &Map::new()), @r"
        RepeatFirst-v0
        Name the suit of the first card at every step.
        To remember: one suit.
        With the default arguments random play earns -0.5, the best known player earns 1.
        ");
    }
}
