//! The command line.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use env_protocol::{Domain, Returns, Spec};
use env_server::{Limits, ServerConfig};

/// Memory tasks behind HTTP, for agents in any language
#[derive(Debug, Parser)]
#[command(name = "env-server", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Serve(ServeArgs),
    Specs(SpecsArgs),
    Verify(VerifyArgs),
    Replay(ReplayArgs),
}

/// Serve environments over HTTP until Ctrl-C or SIGTERM
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  env-server serve                          on http://127.0.0.1:7878
  env-server serve --listen 127.0.0.1:0     on a free port; the printed line says which
  env-server serve --listen 0.0.0.0:7878    for other machines (there is no authentication)

Then, in another terminal, an episode of delay 1:
  S=http://127.0.0.1:7878/v1/envs/mine
  curl -X PUT --json '{\"spec_id\":\"MemoryTask-v0\",\"kwargs\":{\"delay\":1}}' $S
  curl --json '{\"seed\":7}' $S/reset
  curl --json '{\"action\":1}' $S/step

People read http://127.0.0.1:7878/docs, programs http://127.0.0.1:7878/openapi.json.")]
pub struct ServeArgs {
    /// Address to listen on; port 0 takes a free one
    #[arg(
        long,
        value_name = "ADDR:PORT",
        default_value = "127.0.0.1:7878",
        env = "ENV_SERVER_LISTEN"
    )]
    pub listen: SocketAddr,
    /// Most environments at once, a vector environment counting as one
    #[arg(long, value_name = "N", default_value_t = Limits::default().max_envs)]
    max_envs: usize,
    /// Most lanes of one vector environment
    #[arg(long, value_name = "N", default_value_t = Limits::default().max_lanes_per_env)]
    max_lanes_per_env: usize,
    /// Most lanes of all environments together
    #[arg(long, value_name = "N", default_value_t = Limits::default().max_lanes)]
    max_lanes: usize,
    /// Largest request body
    #[arg(long, value_name = "BYTES", default_value_t = ServerConfig::default().max_body_bytes)]
    max_body_bytes: usize,
    /// After SIGTERM, go on serving this long while /readyz says 503, for load balancers to notice
    #[arg(long, value_name = "MS", default_value_t = 0)]
    drain_delay_ms: u64,
    /// Then wait this long at most for work under way
    #[arg(long, value_name = "MS", default_value_t = ServerConfig::default().drain_timeout.as_millis() as u64)]
    drain_timeout_ms: u64,
    /// Also speak the OpenEnv protocol (WS /ws and its routes) and play this environment with it: a
    /// spec as in MemoryTask-v0?delay=16&difficulty=1, or a body of POST /v1/envs
    #[arg(long, value_name = "SPEC")]
    openenv: Option<String>,
    /// What to log to stderr: error, warn, info, debug, trace, or filters by module
    #[arg(
        long,
        value_name = "FILTER",
        default_value = "info",
        env = "ENV_SERVER_LOG"
    )]
    pub log: String,
}

impl ServeArgs {
    /// The settings of the server.
    pub fn config(&self) -> ServerConfig {
        ServerConfig {
            limits: Limits {
                max_envs: self.max_envs,
                max_lanes_per_env: self.max_lanes_per_env,
                max_lanes: self.max_lanes,
                ..Limits::default()
            },
            max_body_bytes: self.max_body_bytes,
            drain_delay: Duration::from_millis(self.drain_delay_ms),
            drain_timeout: Duration::from_millis(self.drain_timeout_ms),
            openenv: self.openenv.clone(),
            ..ServerConfig::default()
        }
    }
}

/// List the environments and their arguments
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  env-server specs
  env-server specs --json | python3 -m json.tool")]
pub struct SpecsArgs {
    /// As JSON, as GET /v1/specs has them
    #[arg(long)]
    pub json: bool,
}

/// Replay recorded reference episodes and compare everything
#[derive(Debug, Args)]
#[command(after_help = "\
Each line of a FILE is one episode as JSON: env, kwargs, latent (what it drew), actions, observations,
rewards, terminated, truncated. The environment is put into those draws and fed the actions. The exit
status is 1 when anything differs, or when a file cannot be read, holds no episode or names an unknown
environment.

Example:
  env-server verify env-server/tests/data/memory_task.jsonl")]
pub struct VerifyArgs {
    /// Files of episodes, one JSON object a line
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// Play a trajectory that a server has told again and compare every reply
#[derive(Debug, Args)]
#[command(after_help = "\
A FILE has pages of GET …/trajectory, one JSON document after another. Each page is played from the
state it begins with. The exit status is 1 when anything differs or a file cannot be read.

Example, with an environment \"mine\" that has been played:
  curl -s http://127.0.0.1:7878/v1/envs/mine/trajectory > mine.json
  env-server replay mine.json")]
pub struct ReplayArgs {
    /// Files of trajectories
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// The catalogue, for people.
pub fn describe(specs: &[Spec]) -> String {
    let mut text = String::new();
    for spec in specs {
        let _ = writeln!(text, "{}\n  {}", spec.id, spec.description);
        let [low, high] = spec.reward_range;
        let _ = writeln!(
            text,
            "  reward {low} to {high}, solved from a mean return of {}",
            spec.solved_threshold
        );
        for parameter in &spec.parameters {
            let resettable = match parameter.resettable {
                true => ", also a reset option",
                false => "",
            };
            let _ = writeln!(
                text,
                "  {:<18} {}{resettable}\n                     {}",
                parameter.name,
                domain(&parameter.domain),
                parameter.description
            );
        }
        let _ = writeln!(text, "  remember: {}", spec.remember);
        let _ = writeln!(text, "  returns: {}", returns(&spec.returns));
        let _ = writeln!(text, "  source: {}\n", spec.source);
    }
    text
}

/// What an argument may be, and its default.
fn domain(domain: &Domain) -> String {
    let with_default = |range: String, default: Option<String>| match default {
        Some(default) => format!("{range}, default {default}"),
        None => range,
    };
    match domain {
        Domain::Integer {
            minimum,
            maximum,
            default,
        } => with_default(
            format!("{minimum} to {maximum}"),
            default.map(|x| x.to_string()),
        ),
        Domain::Number {
            minimum,
            maximum,
            default,
        } => with_default(
            format!("{minimum:?} to {maximum:?}"),
            default.map(|x| format!("{x:?}")),
        ),
        Domain::Choice { choices, default } => with_default(choices.join(", "), default.clone()),
        Domain::Integers {
            minimum,
            maximum,
            min_items,
            max_items,
            default,
        } => with_default(
            format!("{min_items} to {max_items} integers, each {minimum} to {maximum}"),
            default.as_ref().map(|x| format!("{x:?}")),
        ),
    }
}

/// What is known of what players score, with the default arguments.
fn returns(returns: &Returns) -> String {
    let known = [
        ("random", returns.random),
        ("memoryless", returns.memoryless),
        ("best", returns.best),
        ("oracle", returns.oracle),
    ];
    let known = known.iter();
    let known: Vec<String> = known
        .filter_map(|(name, x)| x.map(|x| format!("{name} {:.3}", x + 0.0)))
        .collect();
    known.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn help_teaches() {
        let mut command = Cli::command().term_width(100);
        insta::assert_snapshot!("help", command.render_long_help());
        for name in ["serve", "specs", "verify", "replay"] {
            let command = command.find_subcommand_mut(name).expect("a subcommand");
            let help = command.clone().term_width(100).render_long_help();
            insta::assert_snapshot!(format!("help_{name}"), help);
        }
    }

    #[test]
    fn the_catalogue_reads_well() {
        let specs = env_server::environments::registry::specs();
        insta::assert_snapshot!("specs", describe(specs));
    }
}
