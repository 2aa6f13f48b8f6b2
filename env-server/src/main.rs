//! Arguments, bind, run, drain.

mod cli;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use env_server::environments::registry;
use env_server::observe::{self, LogFormat};
use env_server::{Error, replay, run, verify};
use tokio::net::TcpListener;

use cli::{Cli, Command, ReplayArgs, ServeArgs, SpecsArgs, VerifyArgs};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(args) => serve(&args),
        Command::Specs(args) => specs(&args),
        Command::Verify(args) => return verify_files(&args),
        Command::Replay(args) => return replay_files(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn serve(args: &ServeArgs) -> anyhow::Result<()> {
    // Dropped last, it sends what is left of the traces.
    let _logging = observe::logging::set_up(&args.log, LogFormat::default(), None)?;
    let config = args.config();
    config.check()?;
    let listener = TcpListener::bind(args.listen).await.with_context(|| {
        let address = args.listen;
        format!(
            "cannot listen on {address}; --listen {}:0 takes a free port",
            address.ip()
        )
    })?;
    let shutdown = shutdown_signal()?;
    let mut stdout = std::io::stdout();
    // Whoever started this waits for the line; that it has gone away is no reason not to serve.
    let _ = writeln!(stdout, "listening on http://{}", listener.local_addr()?);
    let _ = stdout.flush();
    run(listener, config, shutdown).await?;
    Ok(())
}

/// Completes on Ctrl-C or SIGTERM. The handlers are in place when this returns.
fn shutdown_signal() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot handle SIGINT")?;
        let mut terminate = signal(SignalKind::terminate()).context("cannot handle SIGTERM")?;
        Ok(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        })
    }
    #[cfg(not(unix))]
    Ok(async {
        // Without a handler there is nothing to wait for but the end of the process.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}

fn specs(args: &SpecsArgs) -> anyhow::Result<()> {
    let text = match args.json {
        true => serde_json::to_string_pretty(registry::specs())?,
        false => cli::describe(registry::specs()),
    };
    writeln!(std::io::stdout(), "{}", text.trim_end())?;
    Ok(())
}

fn verify_files(args: &VerifyArgs) -> ExitCode {
    each_file(&args.files, |path| {
        let report = verify::verify_file(path)?;
        let name = path.display();
        for difference in &report.differences {
            eprintln!("{name}:{}: {}", difference.line, difference.detail);
        }
        let untold = report.num_differences - report.differences.len();
        if untold > 0 {
            eprintln!("{name}: and {untold} more");
        }
        let differences = match report.num_differences {
            0 => "all equal".to_owned(),
            n => format!("{n} differences"),
        };
        let (episodes, steps) = (report.episodes, report.steps);
        println!("{name}: {episodes} episodes, {steps} steps, {differences}");
        Ok(report.num_differences == 0)
    })
}

fn replay_files(args: &ReplayArgs) -> ExitCode {
    each_file(&args.files, |path| {
        let replayed = replay::replay_file(path)?;
        let (operations, steps) = (replayed.operations, replayed.steps);
        println!(
            "{}: {operations} operations, {steps} steps, all equal",
            path.display()
        );
        Ok(true)
    })
}

/// Succeeds when `check` finds every file good; one that is not does not keep others from being
/// checked.
fn each_file(files: &[PathBuf], check: impl Fn(&Path) -> Result<bool, Error>) -> ExitCode {
    let mut outcome = ExitCode::SUCCESS;
    for path in files {
        let is_good = check(path).unwrap_or_else(|error| {
            eprintln!("error: {error}");
            false
        });
        if !is_good {
            outcome = ExitCode::FAILURE;
        }
    }
    outcome
}
