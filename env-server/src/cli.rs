//! The command line.

use std::fmt::Write;
use std::path::PathBuf;

use axum::http::Uri;
use clap::{Args, CommandFactory, Parser, Subcommand};
use env_protocol::{Domain, Parameter, Returns, Spec};
use environments::Wrappers;
use environments::render::decimal;

use crate::settings::{self, Given};

/// Memory tasks over HTTP, for agents in any language
#[derive(Debug, Parser)]
#[command(name = "env-server", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Serve(Box<ServeArgs>),
    Health(HealthArgs),
    Specs(SpecsArgs),
    Verify(VerifyArgs),
    Replay(ReplayArgs),
}

/// Returns the whole command line, with the environment variables of settings.
pub fn command() -> clap::Command {
    Cli::command().mut_subcommand("serve", settings::complete)
}

/// Serve environments over HTTP until Ctrl-C or SIGTERM
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  env-server serve                          on http://127.0.0.1:7878
  env-server serve --listen 127.0.0.1:0     on a free port; the printed line says which
  env-server serve --listen 0.0.0.0:7878 --token-file tokens.toml      for other machines
  env-server serve --config env-server.toml --print-config             the effective settings

Each setting can be given as a flag, in the environment, or in the file of --config, in this order
of precedence. docs/operations.md explains them.

Then, in another terminal, play an episode with delay 1:
  S=http://127.0.0.1:7878/v1/envs/mine
  curl -X PUT --json '{\"spec_id\":\"MemoryTask-v0\",\"kwargs\":{\"delay\":1}}' $S
  curl --json '{\"seed\":7}' $S/reset
  curl --json '{\"action\":1}' $S/step

Documentation: http://127.0.0.1:7878/docs; for programs: http://127.0.0.1:7878/openapi.json.")]
pub struct ServeArgs {
    /// TOML file of settings: the names below with _ for -, e.g. max_envs = 100
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print the effective settings as TOML, with the source of each, and exit
    #[arg(long)]
    pub print_config: bool,
    #[command(flatten)]
    pub given: Given,
}

/// Ask a server whether it is ready; the exit status is 0 if so
#[derive(Debug, Args)]
#[command(after_help = "\
Over https, --tls-cert names the server's own certificate file. Only this certificate is accepted,
whatever name it is for.

Example:
  env-server health --url http://127.0.0.1:7878")]
pub struct HealthArgs {
    /// URL of the server
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:7878",
        env = "ENV_SERVER_HEALTH_URL",
        hide_env_values = true
    )]
    pub url: Uri,
    /// Certificate of the server, in PEM
    #[arg(
        long,
        value_name = "FILE",
        env = "ENV_SERVER_TLS_CERT",
        hide_env_values = true
    )]
    pub tls_cert: Option<PathBuf>,
    /// Milliseconds to wait for an answer
    #[arg(long, value_name = "MS", default_value_t = 5_000)]
    pub timeout_ms: u64,
}

/// List the environments and their arguments
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  env-server specs
  env-server specs --json | python3 -m json.tool")]
pub struct SpecsArgs {
    /// Print JSON, as GET /v1/specs returns it
    #[arg(long)]
    pub json: bool,
}

/// Replay recorded reference episodes and compare everything
#[derive(Debug, Args)]
#[command(after_help = "\
Each line of a FILE is one episode as JSON: env, kwargs, latent (its random draws), actions,
observations, rewards, terminated, truncated. The environment replays the draws and the actions.
The exit status is 1 when anything differs, or when a file cannot be read, holds no episode or
names an unknown environment.

Example:
  env-server verify env-server/tests/data/memory_task.jsonl")]
pub struct VerifyArgs {
    /// Files of episodes, one JSON object per line
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// Replay a trajectory downloaded from a server and check every reply
#[derive(Debug, Args)]
#[command(after_help = "\
A FILE has pages of GET …/trajectory, one JSON document after another. Each page is replayed from
its first state. The exit status is 1 when anything differs or a file cannot be read.

Example, with an environment \"mine\" that has been stepped:
  curl -s http://127.0.0.1:7878/v1/envs/mine/trajectory > mine.json
  env-server replay mine.json")]
pub struct ReplayArgs {
    /// Files of trajectories
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// Formats the catalogue as text.
pub fn describe(specs: &[Spec]) -> String {
    let mut text = String::new();
    for spec in specs {
        let _ = writeln!(text, "{}\n  {}", spec.id, spec.description);
        let [low, high] = spec.reward_range;
        let solved = spec.solved_threshold.map_or(String::new(), |threshold| {
            format!(", solved from a mean return of {threshold}")
        });
        let (low, high) = (decimal(low, 4), decimal(high, 4));
        let _ = writeln!(text, "  reward {low} to {high}{solved}");
        let wrappers = Wrappers::parameters();
        let own = |parameter: &&Parameter| !wrappers.contains(parameter);
        for parameter in spec.parameters.iter().filter(own) {
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
    let _ = writeln!(text, "Wrappers, which every spec also accepts");
    for parameter in Wrappers::parameters() {
        let _ = writeln!(
            text,
            "  {:<18} {}\n                     {}",
            parameter.name,
            domain(&parameter.domain),
            parameter.description
        );
    }
    text
}

/// Formats the range of an argument and its default.
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
        Domain::Boolean { default } => {
            with_default("true or false".to_owned(), default.map(|x| x.to_string()))
        }
        Domain::Choice { choices, default } => with_default(choices.join(", "), default.clone()),
        Domain::Integers {
            minimum,
            maximum,
            min_items,
            max_items,
            default,
        } => with_default(
            match min_items == max_items {
                true => format!("{min_items} integers, each {minimum} to {maximum}"),
                false => {
                    format!("{min_items} to {max_items} integers, each {minimum} to {maximum}")
                }
            },
            default.as_ref().map(|x| format!("{x:?}")),
        ),
    }
}

/// Formats the known returns of reference players, with the default arguments.
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

    #[test]
    fn help_teaches() {
        let mut command = command().term_width(100);
        insta::assert_snapshot!("help", command.render_long_help());
        for name in ["serve", "health", "specs", "verify", "replay"] {
            let command = command.find_subcommand_mut(name).expect("a subcommand");
            let help = command.clone().term_width(100).render_long_help();
            insta::assert_snapshot!(format!("help_{name}"), help);
        }
    }

    /// Returns the table of settings as in docs/operations.md.
    fn table() -> String {
        let command = command();
        let serve = command.find_subcommand("serve").expect("a subcommand");
        let mut text = "| flag | variable | default | what |\n|---|---|---|---|\n".to_owned();
        for row in crate::settings::Settings::table() {
            let mut args = serve.get_arguments();
            let arg = args.find(|arg| arg.get_id() == row.name).expect("a flag");
            let value = arg.get_value_names().expect("a value")[0].as_str();
            let is_optional = arg.get_num_args().is_some_and(|n| n.min_values() == 0);
            let value = match is_optional {
                true => format!("[={value}]"),
                false => format!(" {value}"),
            };
            let default = row.default.as_deref().map(|d| format!("`{d}`"));
            let _ = writeln!(
                text,
                "| `{}{value}` | `{}` | {} | {} |",
                row.flag(),
                row.variable(),
                default.unwrap_or_default(),
                row.doc
            );
        }
        text
    }

    #[test]
    fn the_documented_settings_are_those_there_are() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations.md");
        let document = std::fs::read_to_string(path).unwrap();
        let table = table();
        assert!(
            document.contains(&table),
            "docs/operations.md should have\n{table}"
        );
    }

    #[test]
    fn the_catalogue_reads_well() {
        let specs = environments::registry::specs();
        insta::assert_snapshot!("specs", describe(specs));
    }
}
