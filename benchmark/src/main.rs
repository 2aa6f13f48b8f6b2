//! The benchmark's program: arguments, Ctrl-C, a server, and then the library.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agent::algorithms::{self, ALGORITHMS, Decider};
use anyhow::Context as _;
use benchmark::agent_contender::check_servers;
use benchmark::cli::{self, Cli, Equipment, INTERRUPTED, OpenRun, Subcommands};
use benchmark::contenders::Contenders;
use benchmark::embedded::EmbeddedServer;
use benchmark::external::{self, ExternalContender, Groups};
use benchmark::plan::Plan;
use benchmark::progress::tell;
use clap::Parser as _;
use env_server::ServerConfig;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    run(Cli::parse()).unwrap_or_else(|error| {
        tell(&format!("error: {}", format!("{error:#}").trim_end()));
        ExitCode::FAILURE
    })
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Some(Subcommands::Report { run_directory }) => {
            cli::rewrite_report(&run_directory)?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Subcommands::Resume { run_directory, run }) => {
            check_servers(&run.server)?;
            compete(&cli::reopen(&run_directory)?, &run)
        }
        None => {
            // Before a directory is made for a run that could not begin.
            check_servers(&cli.run.server)?;
            let arguments: Vec<String> = std::env::args().skip(1).collect();
            let algorithms: Vec<&str> = ALGORITHMS.iter().map(|row| row.id).collect();
            let open = cli.plan.prepare(&arguments, &algorithms)?;
            compete(&open, &cli.run)
        }
    }
}

fn compete(run: &OpenRun, args: &cli::RunArgs) -> anyhow::Result<ExitCode> {
    let groups = precautions(&run.config.plan);
    let stop = stop_on_interrupt(groups.clone())?;
    let contender = Contenders {
        external: ExternalContender::new(
            Duration::from_secs(args.external_timeout),
            groups,
            run.config.external_folders(&run.directory),
        ),
    };
    let embedded = match args.server.as_slice() {
        [] => {
            let server = EmbeddedServer::with(ServerConfig {
                allow_oracle: asks_an_oracle(&run.config.plan),
                ..ServerConfig::default()
            });
            Some(server.context("cannot start an environment server")?)
        }
        _ => None,
    };
    let servers = match &embedded {
        Some(server) => vec![server.url().to_owned()],
        None => args.server.clone(),
    };
    let equipment = Equipment {
        contender: &contender,
        servers: &servers,
        stop: &stop,
    };
    cli::run(run, args, &equipment)
}

/// Before tokens and seeds are drawn for programs from outside: their memory is hidden from them, and what they leave behind
/// is adopted, to be ended. A run without them can be looked into by a debugger.
fn precautions(plan: &Plan) -> Groups {
    if plan.agents.iter().all(|row| row.external.is_none()) {
        return Groups::default();
    }
    external::hide_memory();
    Groups::adopting()
}

/// Whether an agent of the plan plays by the environments' hidden draws.
fn asks_an_oracle(plan: &Plan) -> bool {
    let algorithms = plan
        .agents
        .iter()
        .map(|row| algorithms::find(&row.algorithm));
    let mut known = algorithms.flatten();
    known.any(|algorithm| algorithm.decider == Decider::Oracle)
}

/// The flag that Ctrl-C (or a request to terminate) sets. Asked a second time, the program leaves at once, and takes the
/// programs it has started with it: what has been kept so far is kept.
fn stop_on_interrupt(groups: Groups) -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            groups.kill_all();
            std::process::exit(i32::from(INTERRUPTED));
        }
        tell("\nstopping as soon as what is learned is kept; Ctrl-C again leaves at once");
    })
    .context("cannot handle Ctrl-C")?;
    Ok(stop)
}
