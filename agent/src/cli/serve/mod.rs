//! `agent serve`: a trained agent that answers over HTTP.

mod routes;

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use agent::deploy::serve::{Limits, Service};
use anyhow::{anyhow, bail, ensure};
use clap::Args;
use service::{Access, ServiceConfig, Tls, check_exposure, check_names, run_routes, signals};
use tokio::net::TcpListener;

use super::values;

/// How often leases are looked through. One that has run out is seen at once by who asks for it; this only frees memory.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(1);

/// Answer over HTTP what a trained agent would do, until Ctrl-C or SIGTERM
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  agent serve --checkpoint runs/hard                            on http://127.0.0.1:7979
  agent serve --checkpoint runs/hard --listen 127.0.0.1:0       on a free port, which is printed
  agent serve --checkpoint runs/hard --listen 0.0.0.0:7979 --token-file tokens.toml

Then, in another terminal, two observations of one lane, the first of an episode and one after it:
  A=http://127.0.0.1:7979/v1
  curl $A/agent                                                 who acts, and what it takes
  curl -X PUT --json '{\"num_envs\":1}' $A/sessions/mine
  curl --json '{\"session_id\":\"mine\",\"seq\":0,\"observations\":[[1,0,0]],\"is_first\":[true]}' $A/act
  curl --json '{\"session_id\":\"mine\",\"seq\":1,\"observations\":[[0,0,0]],\"is_first\":[false]}' $A/act

Actions are those of `agent evaluate`: greedy, or sampled with \"mode\":\"sampled\". Without a
session_id the memory travels with the caller, as \"state\". docs/serving.md explains both.")]
pub struct ServeArgs {
    /// A checkpoint, or a run's folder
    #[arg(long, value_name = "PATH|DIR")]
    checkpoint: PathBuf,
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:7979")]
    listen: SocketAddr,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    limits: LimitArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Access")]
struct AccessArgs {
    /// File of bearer tokens, as env-server's; without one, whoever reaches the service may use it. SIGHUP reads it again
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Certificate chain in PEM, for HTTPS
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key of the certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Names that requests may be for, beside this machine's own and, where others reach it, its addresses
    #[arg(
        long,
        value_name = "NAME,…",
        value_delimiter = ',',
        alias = "allowed-host",
        env = "AGENT_SERVE_ALLOWED_HOSTS",
        hide_env_values = true
    )]
    allowed_hosts: Vec<String>,
    /// Origins whose pages in browsers may use the service, such as https://lab.example
    #[arg(
        long,
        value_name = "ORIGIN,…",
        value_delimiter = ',',
        alias = "allowed-origin",
        env = "AGENT_SERVE_ALLOWED_ORIGINS",
        hide_env_values = true
    )]
    allowed_origins: Vec<String>,
    /// Serve without tokens on an address that other machines reach
    #[arg(long)]
    insecure: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
struct LimitArgs {
    /// Lease of a session that asks for none, in seconds: it ends when it is not used for so long
    #[arg(long, value_name = "S", default_value_t = Limits::default().default_ttl_s, value_parser = clap::value_parser!(u64).range(1..=MAX_S))]
    ttl_s: u64,
    /// Longest lease that can be asked for, in seconds
    #[arg(long, value_name = "S", default_value_t = Limits::default().max_ttl_s, value_parser = clap::value_parser!(u64).range(1..=MAX_S))]
    max_ttl_s: u64,
    /// Most sessions at once
    #[arg(long, value_name = "N", default_value_t = Limits::default().max_sessions, value_parser = values::count)]
    max_sessions: usize,
    /// Most lanes of one session, or of one request without a session
    #[arg(long, value_name = "N", default_value_t = Limits::default().max_lanes_per_session, value_parser = values::count)]
    max_lanes_per_session: usize,
    /// Most lanes of all sessions together
    #[arg(long, value_name = "N", default_value_t = Limits::default().max_lanes, value_parser = values::count)]
    max_lanes: usize,
    /// Most memory of all sessions together, by estimate
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().max_memory_bytes, value_parser = values::count)]
    max_memory_bytes: usize,
    /// Largest request body; a state that travels may have half of it
    #[arg(long, value_name = "BYTES", default_value_t = ServiceConfig::default().max_body_bytes, value_parser = values::count)]
    max_body_bytes: usize,
    /// Most requests being answered at once; more are answered 503
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = values::count)]
    max_requests_in_flight: usize,
    /// Most open connections; more are answered 503 and closed
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = values::count)]
    max_connections: usize,
    /// Most time from a request to its answer, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 30_000, value_parser = clap::value_parser!(u64).range(1..=MAX_S * 1_000))]
    request_timeout_ms: u64,
    /// How long work under way is waited for in the end, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(0..=MAX_S * 1_000))]
    drain_timeout_ms: u64,
}

/// Longest time that can be set: ten years.
const MAX_S: u64 = 10 * 365 * 24 * 3_600;

pub fn run(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let limits = args.limits.of_service()?;
    let config = server_config(args)?;
    // Before the checkpoint is read, which takes a while.
    check_names(&config)?;
    check_exposure(args.listen, &config)?;
    let path = values::checkpoint(&args.checkpoint)?;
    let bytes = std::fs::read(&path).map_err(|error| anyhow!("{}: {error}", path.display()))?;
    let service = Service::new(&bytes, limits);
    let service = service.map_err(|error| anyhow!("{}: {error}", path.display()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(Arc::new(service), args.listen, &config))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(
    service: Arc<Service>,
    address: SocketAddr,
    config: &ServiceConfig,
) -> anyhow::Result<()> {
    let Ok(listener) = TcpListener::bind(address).await else {
        let ip = SocketAddr::new(address.ip(), 0);
        bail!("cannot listen on {address}; --listen {ip} takes a free port");
    };
    let shutdown = signals::shutdown()?;
    signals::reload_on_hangup(config)?;
    let scheme = if config.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let mut stdout = std::io::stdout();
    // Whoever started this waits for the line; that it has gone away is no reason not to serve.
    let _ = writeln!(stdout, "listening on {scheme}://{}", listener.local_addr()?);
    let _ = stdout.flush();
    let housekeeping = tokio::spawn(keep_house(Arc::clone(&service)));
    let routes = routes::router(Arc::clone(&service), config.max_body_bytes);
    let drain_begins = async move {
        shutdown.await;
        service.drain();
    };
    run_routes(listener, routes, &routes::TEMPLATES, config, drain_begins).await?;
    housekeeping.abort();
    Ok(())
}

async fn keep_house(service: Arc<Service>) {
    loop {
        tokio::time::sleep(HOUSEKEEPING_INTERVAL).await;
        service.reap();
    }
}

impl LimitArgs {
    fn of_service(&self) -> anyhow::Result<Limits> {
        let Self {
            ttl_s, max_ttl_s, ..
        } = *self;
        ensure!(
            ttl_s <= max_ttl_s,
            "--ttl-s {ttl_s} is longer than --max-ttl-s {max_ttl_s}"
        );
        Ok(Limits {
            max_sessions: self.max_sessions,
            max_lanes_per_session: self.max_lanes_per_session,
            max_lanes: self.max_lanes,
            max_memory_bytes: self.max_memory_bytes,
            // It comes back in a request, beside observations.
            max_state_bytes: self.max_body_bytes / 2,
            default_ttl_s: ttl_s,
            max_ttl_s,
        })
    }
}

/// What was given; a variable may be set to nothing.
fn given(names: &[String]) -> Vec<String> {
    let names = names.iter().map(|name| name.trim());
    names
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn server_config(args: &ServeArgs) -> anyhow::Result<ServiceConfig> {
    let (access, limits) = (&args.access, &args.limits);
    let tls = access.tls_cert.as_deref().zip(access.tls_key.as_deref());
    let tls = tls.map(|(cert, key): (&Path, &Path)| Tls::from_files(cert, key));
    let tokens = access.token_file.as_deref().map(Access::from_file);
    Ok(ServiceConfig {
        max_body_bytes: limits.max_body_bytes,
        max_requests_in_flight: limits.max_requests_in_flight,
        max_connections: limits.max_connections,
        request_timeout: Duration::from_millis(limits.request_timeout_ms),
        drain_timeout: Duration::from_millis(limits.drain_timeout_ms),
        access: tokens.transpose()?.map(Arc::new),
        tls: tls.transpose()?.map(Arc::new),
        allowed_hosts: given(&access.allowed_hosts),
        allowed_origins: given(&access.allowed_origins),
        insecure: access.insecure,
        ..ServiceConfig::default()
    })
}
