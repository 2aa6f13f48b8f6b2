//! The benchmark's program: reads the arguments, starts a server, handles Ctrl-C, and calls the
//! library.

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agent::algorithms::ALGORITHMS;
use agent::env::remote::Token;
use agent::signals::{StopRequest, stop_on_signals};
use anyhow::Context as _;
use benchmark::cli::commands::{self, OpenRun, RunContext};
use benchmark::cli::merge::merge_runs;
use benchmark::cli::{Cli, RunArgs, Subcommands};
use benchmark::contenders::any::AnyContender;
use benchmark::contenders::external::{self, ExternalContender, Groups};
use benchmark::contenders::ours::{OurContender, asks_the_oracle, check_servers};
use benchmark::contenders::remote::{RemoteContender, worker};
use benchmark::plan::Plan;
use benchmark::run::contender::Contender;
use benchmark::run::embedded::EmbeddedServer;
use benchmark::run::progress::{Display, tell};
use clap::Parser as _;
use env_server::ServerConfig;
use workers::{Pool, Program, cluster};

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
            print(&commands::rewrite_report(&run_directory)?)
        }
        Some(Subcommands::Export {
            run_directory,
            format,
        }) => print(&commands::export_table(&run_directory, format)?),
        Some(Subcommands::Compare { first, second }) => {
            print(&commands::compare_runs(&first, &second)?)
        }
        Some(Subcommands::Worker) => work(),
        Some(Subcommands::Merge { runs, into }) => print(&merge_runs(&runs, &into)?),
        Some(Subcommands::Resume { run_directory, run }) => {
            let token = run.token()?;
            check_servers(&run.server, token.as_ref())?;
            let pool = Workers::start(&run)?;
            compete(&commands::reopen(&run_directory)?, &run, token, pool)
        }
        None => {
            // Checked first, so that no directory is made for a run that cannot begin.
            let token = cli.run.token()?;
            check_servers(&cli.run.server, token.as_ref())?;
            let pool = Workers::start(&cli.run)?;
            let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
            let algorithms: Vec<&str> = ALGORITHMS.iter().map(|row| row.id).collect();
            let open = commands::prepare(&cli.plan, &arguments, &algorithms)?;
            compete(&open, &cli.run, token, pool)
        }
    }
}

/// Answers jobs until standard input ends, or a signal comes: a job then saves a checkpoint and sends
/// it.
fn work() -> anyhow::Result<ExitCode> {
    if std::io::stdin().is_terminal() {
        anyhow::bail!(
            "a worker reads calls from the program that starts it: use `benchmark --workers N`"
        );
    }
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    let on_first = move || asked.store(true, Ordering::Relaxed);
    stop_on_signals(on_first, || ()).context("cannot handle signals")?;
    let hello = worker::hello().context("cannot read this program")?;
    let served = workers::serve_on_standard_streams(&hello, &stop, &worker::answer);
    served.context("calls cannot be read or answered")?;
    Ok(ExitCode::SUCCESS)
}

fn print(text: &str) -> anyhow::Result<ExitCode> {
    let display = Display::hidden();
    display.print(text.trim_end());
    match display.print_error() {
        Some(error) => anyhow::bail!("cannot print: {error}"),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Processes that run jobs of this project's agents, if it is not this one.
struct Workers {
    pool: Arc<dyn Pool>,
    /// Number of jobs at once, where the pool decides it.
    slots: Option<usize>,
}

impl Workers {
    /// Starts the pool that the arguments ask for. A cluster is looked at now, before a run has a
    /// directory.
    fn start(args: &RunArgs) -> anyhow::Result<Option<Self>> {
        if let Some(terms) = args.cluster() {
            let hello = worker::hello().context("cannot read this program")?;
            let warn = |text: &str| tell(&format!("warning: {text}"));
            let program = Program::own_file_for_others();
            let pool = cluster::pool(&program, &hello.program, &terms, warn)?;
            return Ok(Some(Self {
                slots: Some(usize::try_from(pool.ready().slots).unwrap_or(usize::MAX)),
                pool: Arc::new(pool),
            }));
        }
        let local = args.workers.map(|_| worker::pool()).transpose();
        let local = local.context("cannot start workers")?;
        Ok(local.map(|pool| Self {
            pool: Arc::new(pool),
            slots: None,
        }))
    }
}

fn compete(
    run: &OpenRun,
    args: &RunArgs,
    mut token: Option<Token>,
    workers: Option<Workers>,
) -> anyhow::Result<ExitCode> {
    let groups = precautions(&run.config.plan);
    let slots = workers.as_ref().and_then(|workers| workers.slots);
    let pool = workers.map(|workers| workers.pool);
    let stop = stop_on_interrupt(groups.clone(), pool.clone())?;
    let embedded = match args.server.as_slice() {
        [] => {
            let mut config = ServerConfig {
                allow_oracle: run.config.plan.agents.iter().any(asks_the_oracle),
                ..ServerConfig::default()
            };
            if has_programs(&run.config.plan) {
                let own = external::guard(&mut config).map_err(anyhow::Error::msg)?;
                token = Some(Token::own(&own)?);
            }
            let server = EmbeddedServer::with(config);
            Some(server.context("cannot start an environment server")?)
        }
        _ => None,
    };
    let ours: Box<dyn Contender> = match pool.clone() {
        Some(pool) => Box::new(RemoteContender::new(pool)),
        None => Box::new(OurContender { token }),
    };
    let contender = AnyContender {
        ours: &*ours,
        external: ExternalContender::new(
            Duration::from_secs(args.external_timeout),
            groups,
            run.directory.program_folders(&run.config),
        ),
    };
    let servers = match &embedded {
        Some(server) => vec![server.url().to_owned()],
        None => args.server.clone(),
    };
    let context = RunContext {
        contender: &contender,
        servers: &servers,
        slots,
        stop: &stop,
    };
    let status = commands::run(run, args, &context);
    if let Some(pool) = pool {
        pool.close();
    }
    status
}

/// Takes precautions against external programs, before tokens and seeds are drawn: hides this
/// process's memory from them, and adopts the processes that they leave behind, so that these can
/// be ended. Without external programs, a debugger can still attach.
fn precautions(plan: &Plan) -> Groups {
    if !has_programs(plan) {
        return Groups::default();
    }
    external::hide_memory();
    Groups::adopting()
}

/// Returns whether the plan has external programs.
fn has_programs(plan: &Plan) -> bool {
    plan.agents.iter().any(|row| row.external.is_some())
}

/// Returns a request that Ctrl-C (or a request to terminate) sets. The second time, the program
/// exits at once and kills the programs and workers that it has started; recorded results stay.
fn stop_on_interrupt(groups: Groups, pool: Option<Arc<dyn Pool>>) -> anyhow::Result<StopRequest> {
    let on_first =
        || tell("\nstopping once checkpoints are saved; press Ctrl-C again to stop at once");
    let on_second = move || {
        groups.kill_all();
        if let Some(pool) = pool {
            pool.kill_all();
        }
    };
    stop_on_signals(on_first, on_second).context("cannot handle Ctrl-C")
}
