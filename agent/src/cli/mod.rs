//! The command line: one file for each command.

mod asked;
mod evaluate;
mod export;
mod inspect;
mod list;
mod play;
mod play_terminal;
mod probe;
mod record;
mod row;
#[cfg(feature = "serve")]
mod serve;
mod server;
mod train;
mod values;
mod worker;

use std::io::{ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

use agent::shell;
use clap::{Parser, Subcommand};
use tracing_subscriber::filter::LevelFilter;

/// Train agents that learn what to remember, judge them honestly, and look into their memory
#[derive(Debug, Parser)]
#[command(name = "agent", version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  agent list                                   the algorithms there are
  agent train --algorithm tracerl --env-arg delay=16 --total-timesteps 56000 --out runs/first
  agent evaluate --checkpoint runs/first       does it remember, or is it lucky?
  agent inspect --checkpoint runs/first        what it keeps, and what it attends to
  agent inspect --checkpoint runs/first --probe     which part of its memory fails
  agent play --env-arg delay=3                 play the task yourself
  agent record --out data/chance-v0            episodes as files, to learn from
  agent serve --checkpoint runs/first          let other programs ask it for actions
  agent export --checkpoint runs/first --onnx first.onnx     run it without this program

Environments are played over HTTP. Without --server, a server is started for the occasion.";

#[derive(Debug, Subcommand)]
enum Command {
    List(list::ListArgs),
    Train(Box<train::TrainArgs>),
    Evaluate(evaluate::EvaluateArgs),
    Inspect(inspect::InspectArgs),
    Play(play::PlayArgs),
    Record(record::RecordArgs),
    Export(export::ExportArgs),
    #[cfg(feature = "serve")]
    Serve(Box<serve::ServeArgs>),
    #[command(hide = true)]
    Worker(worker::WorkerArgs),
}

/// Parses the arguments, does what they ask for, and says in a line why it could not be done.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::WARN)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        // The default handler would print to standard error, and panic if that is closed.
        .log_internal_errors(false)
        .without_time()
        .with_target(false)
        .init();
    let outcome = match cli.command {
        Command::List(args) => list::run(&args),
        Command::Train(args) => train::run(&args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Play(args) => play::run(&args),
        Command::Record(args) => record::run(&args),
        Command::Export(args) => export::run(&args),
        #[cfg(feature = "serve")]
        Command::Serve(args) => serve::run(&args),
        Command::Worker(args) => worker::run(&args),
    };
    outcome.unwrap_or_else(|error| {
        tell(&format!("error: {}", error.to_string().trim_end()));
        ExitCode::FAILURE
    })
}

/// Writes to standard output. A reader who has gone away (`| head`) is no reason to fail.
///
/// # Errors
/// Anything else that keeps the text from being written, such as a full disk.
fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout();
    match writeln!(stdout, "{}", text.trim_end()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(anyhow::anyhow!("cannot write to standard output: {error}"))
        }
        _ => Ok(()),
    }
}

/// Writes a line to standard error, which may be closed.
fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// 1234567 as `1,234,567`.
fn thousands(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn help_teaches() {
        let mut command = Cli::command().term_width(100);
        insta::assert_snapshot!("help", command.render_long_help());
        for name in [
            "list", "train", "evaluate", "inspect", "play", "record", "export", "serve",
        ] {
            let command = command.find_subcommand_mut(name).expect("a subcommand");
            let help = command.clone().term_width(100).render_long_help();
            insta::assert_snapshot!(format!("help_{name}"), help);
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }
}
