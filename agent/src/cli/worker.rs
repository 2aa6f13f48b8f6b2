//! `agent worker`: plays groups of lanes for a training run in another process.

use std::cell::RefCell;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use agent::env::remote::Token;
use agent::run::collect::{self, Worker};
use agent::signals::stop_on_signals;
use anyhow::{Context, bail};
use clap::Args;
use workers::{Ended, Request};

use super::server::{ServerArgs, start_embedded};

/// Play for `agent train`, which starts this program with --workers or --pool
#[derive(Debug, Args)]
pub struct WorkerArgs {
    /// File with the bearer token that the run's servers ask for
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// The arguments with which a worker for these servers is started.
pub fn arguments(servers: &ServerArgs) -> Vec<OsString> {
    let mut arguments = vec![OsString::from("worker")];
    if let Some(file) = &servers.token_file {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
        arguments.extend(["--token-file".into(), file.into_os_string()]);
    }
    arguments
}

pub fn run(args: &WorkerArgs) -> anyhow::Result<ExitCode> {
    if std::io::stdin().is_terminal() {
        bail!(
            "a worker reads calls from the program that starts it: use `agent train --workers N`"
        );
    }
    let variable = std::env::var_os(Token::VARIABLE);
    let token = Token::find(args.token_file.as_deref(), variable.as_deref())?;
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    stop_on_signals(move || asked.store(true, Ordering::Relaxed), || ())
        .context("cannot handle signals")?;
    let program = collect::program(Vec::new()).context("cannot read this program")?;
    let start_server = || start_embedded(false).map_err(|error| error.to_string());
    let worker = RefCell::new(Worker::new(start_server, token));
    let answer = move |request: &Request, _: &workers::Parts, _: &AtomicBool| {
        let mut worker = worker.borrow_mut();
        worker.answer(request).map_err(Ended::Failed)
    };
    let served = workers::serve_on_standard_streams(&program.hello, &stop, &answer);
    served.context("calls cannot be read or answered")?;
    Ok(ExitCode::SUCCESS)
}
