//! The program: reads arguments, binds, serves and drains.

mod allocator;
mod cli;
mod settings;

use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{ArgMatches, FromArgMatches};
use env_server::commands::{health, replay, verify};
use env_server::{Server, check_exposure};
use environments::registry;
use service::{observe, signals};
use tokio::net::TcpListener;

use cli::{Cli, Command, HealthArgs, ReplayArgs, ServeArgs, SpecsArgs, VerifyArgs};
use settings::Settings;

fn main() -> ExitCode {
    let matches = cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let outcome = match cli.command {
        Command::Serve(args) => serve(*args, &matches),
        Command::Health(args) => health(&args),
        Command::Specs(args) => specs(&args),
        Command::Verify(args) => return verify_files(&args),
        Command::Replay(args) => return replay_files(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&format!("error: {}", with_causes(&error)));
            ExitCode::FAILURE
        }
    }
}

/// Writes a line to standard output. If the reader has gone (`| head`), it has seen enough: work
/// continues.
fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}

/// Writes a line to standard error, ignoring failures, since it may be closed.
fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Formats an error and its causes, skipping a cause that the text already ends with.
fn with_causes(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |told, cause| {
        let cause = cause.to_string();
        match told.as_str() {
            "" => cause,
            _ if told.ends_with(&cause) => told,
            _ => format!("{told}: {cause}"),
        }
    })
}

fn serve(args: ServeArgs, matches: &ArgMatches) -> anyhow::Result<()> {
    let matches = matches.subcommand_matches("serve");
    let matches = matches.context("the arguments are not those of serve")?;
    let resolved = settings::resolve(args.given, args.config.as_deref(), matches)?;
    if args.print_config {
        return print(resolved.to_toml()?.trim_end());
    }
    allocator::leave_huge_pages();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .on_thread_park(allocator::give_back)
        .build()
        .context("cannot start threads")?;
    runtime.block_on(serve_with(&resolved.settings))
}

async fn serve_with(settings: &Settings) -> anyhow::Result<()> {
    // Dropped last, it sends the remaining traces.
    let _logging = observe::logging::set_up(
        env!("CARGO_PKG_NAME"),
        &settings.log,
        settings.log_format,
        settings.otlp_endpoint.as_deref(),
    )?;
    let mut config = settings.server_config()?;
    config.hosts = settings.open_hosts()?;
    config.check()?;
    check_exposure(settings.listen, &config.service)?;
    raise_file_limit(config.service.max_connections);
    let listener = bind(settings.listen).await?;
    let shutdown = signals::shutdown().context("cannot handle signals")?;
    signals::reload_on_hangup(&config.service).context("cannot handle SIGHUP")?;
    let scheme = match config.service.tls {
        Some(_) => "https",
        None => "http",
    };
    let address = listener.local_addr()?;
    let server = Server::open(listener, config)?;
    let mut stdout = std::io::stdout();
    // The parent process may wait for this line; if it no longer reads, serve anyway.
    let _ = writeln!(stdout, "listening on {scheme}://{address}");
    let _ = stdout.flush();
    server.serve(shutdown).await;
    Ok(())
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| {
        let ip = SocketAddr::new(address.ip(), 0);
        format!("cannot listen on {address}; --listen {ip} takes a free port")
    })
}

/// Raises the limit on open files, since every connection is one and the usual limit is lower than
/// `max_connections`.
#[cfg(unix)]
fn raise_file_limit(max_connections: usize) {
    use rustix::process::{Resource, getrlimit, setrlimit};
    /// Files kept free for everything else.
    const SPARE_FILES: u64 = 128;
    let wanted = (max_connections as u64).saturating_add(SPARE_FILES);
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return;
    }
    limit.current = Some(limit.maximum.map_or(wanted, |maximum| maximum.min(wanted)));
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit on open files cannot be raised");
    } else if limit.current < Some(wanted) {
        tracing::warn!(
            "max_connections is {max_connections}, but the system allows {} open files: raise its \
             hard limit, or lower the setting",
            limit.current.unwrap_or_default()
        );
    }
}

#[cfg(not(unix))]
fn raise_file_limit(_: usize) {}

#[tokio::main(flavor = "current_thread")]
async fn health(args: &HealthArgs) -> anyhow::Result<()> {
    let check = health::check(&args.url, args.tls_cert.as_deref());
    let checked = tokio::time::timeout(Duration::from_millis(args.timeout_ms), check).await;
    checked
        .unwrap_or_else(|_| anyhow::bail!("no answer in {} ms", args.timeout_ms))
        .with_context(|| args.url.to_string())
}

fn specs(args: &SpecsArgs) -> anyhow::Result<()> {
    let text = match args.json {
        true => serde_json::to_string_pretty(registry::specs())?,
        false => cli::describe(registry::specs()),
    };
    print(text.trim_end())
}

fn verify_files(args: &VerifyArgs) -> ExitCode {
    each_file(&args.files, |path| {
        let report = verify::verify_file(path)?;
        let name = path.display();
        for difference in &report.differences {
            tell(&format!(
                "{name}:{}: {}",
                difference.line, difference.detail
            ));
        }
        let untold = report.num_differences - report.differences.len();
        if untold > 0 {
            tell(&format!("{name}: and {untold} more"));
        }
        let differences = match report.num_differences {
            0 => "all equal".to_owned(),
            n => format!("{n} differences"),
        };
        let (episodes, steps) = (report.episodes, report.steps);
        print(&format!(
            "{name}: {episodes} episodes, {steps} steps, {differences}"
        ))?;
        Ok(report.num_differences == 0)
    })
}

fn replay_files(args: &ReplayArgs) -> ExitCode {
    each_file(&args.files, |path| {
        let replayed = replay::replay_file(path)?;
        let (operations, steps) = (replayed.operations, replayed.steps);
        print(&format!(
            "{}: {operations} operations, {steps} steps, all equal",
            path.display()
        ))?;
        Ok(true)
    })
}

/// Checks every file, also after a failure; succeeds if `check` accepts all of them.
fn each_file(files: &[PathBuf], check: impl Fn(&Path) -> anyhow::Result<bool>) -> ExitCode {
    let mut outcome = ExitCode::SUCCESS;
    for path in files {
        let is_good = check(path).unwrap_or_else(|error| {
            tell(&format!("error: {}", with_causes(&error)));
            false
        });
        if !is_good {
            outcome = ExitCode::FAILURE;
        }
    }
    outcome
}
