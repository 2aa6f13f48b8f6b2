//! The table of settings. Flags, environment variables, keys of the TOML file, their documentation
//! and the output of `--print-config` all come from it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::parser::ValueSource;
use clap::{ArgMatches, Command};
use env_server::hosts::Host;
use env_server::{Access, Durability, Limits, ServerConfig, ServiceConfig, Tls};
use serde::{Deserialize, Serialize};
use service::observe::LogFormat;

/// One row of the table.
pub struct Row {
    /// The TOML key. The flag has `-` for `_`; the variable is in capitals.
    pub name: &'static str,
    /// Description, without a full stop.
    pub doc: &'static str,
    /// The default, as TOML.
    pub default: Option<String>,
}

impl Row {
    /// Returns the name of the flag.
    pub fn flag(&self) -> String {
        format!("--{}", self.name.replace('_', "-"))
    }

    /// Returns the name of the environment variable.
    pub fn variable(&self) -> String {
        variable(self.name)
    }
}

fn variable(name: &str) -> String {
    format!("ENV_SERVER_{}", name.to_uppercase())
}

/// The type of a setting: optional unless there is a default.
macro_rules! resolved_type {
    ($type:ident) => { Option<$type> };
    ($type:ident = $default:expr) => { $type };
}

macro_rules! resolved {
    ($value:expr) => {
        $value
    };
    ($value:expr, = $default:expr) => {
        $value.unwrap_or_else(|| $default)
    };
}

macro_rules! shown {
    ($value:expr) => {
        $value.as_ref().map(toml_text).transpose()
    };
    ($value:expr, = $default:expr) => {
        toml_text(&$value).map(Some)
    };
}

macro_rules! default_text {
    () => {
        None
    };
    (= $default:expr) => {
        Some(toml_text(&$default).expect("defaults are plain"))
    };
}

macro_rules! settings {
    ($(
        #[doc = $doc:literal]
        $(#[arg($($arg:tt)*)])?
        $name:ident: $type:ident $value_name:literal $(= $default:expr)? $(, in $range:expr)?;
    )+) => {
        /// Settings given explicitly, by flags and variables or in a file.
        #[derive(Clone, Debug, Default, Deserialize, clap::Args)]
        #[serde(deny_unknown_fields, default)]
        pub struct Given {
            $(
                #[doc = $doc]
                #[arg(long, value_name = $value_name, $($($arg)*)?)]
                $name: Option<$type>,
            )+
            /// A program that plays environments, as NAME=COMMAND; they are NAME/SPEC (repeatable)
            #[arg(long = "host", value_name = "NAME=COMMAND")]
            #[serde(skip)]
            host: Vec<NamedCommand>,
            /// The same in a file, by name.
            #[arg(skip)]
            hosts: BTreeMap<String, String>,
        }

        /// Every setting, with its value if it has one.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Settings {
            $(#[doc = $doc] pub $name: resolved_type!($type $(= $default)?),)+
            /// Commands of hosts, by name.
            pub hosts: BTreeMap<String, String>,
        }

        impl Given {
            /// Fills the settings missing in `self` from `weaker`, and then from the defaults.
            fn or(self, weaker: Given) -> Settings {
                let mut hosts = weaker.hosts;
                hosts.extend(self.host.into_iter().map(|NamedCommand(name, command)| (name, command)));
                Settings { $($name: resolved!(self.$name.or(weaker.$name) $(, = $default)?),)+ hosts }
            }

            /// Returns the names of the settings given.
            fn names(&self) -> Vec<&'static str> {
                let mut names = Vec::new();
                $(if self.$name.is_some() { names.push(stringify!($name)); })+
                names
            }
        }

        impl Settings {
            /// Returns the rows of the table, in order.
            pub fn table() -> Vec<Row> {
                vec![$(Row {
                    name: stringify!($name),
                    doc: $doc.trim_ascii(),
                    default: default_text!($(= $default)?),
                }),+]
            }

            /// Returns the name and value of each setting, as TOML.
            fn values(&self) -> anyhow::Result<Vec<(&'static str, Option<String>)>> {
                Ok(vec![$((stringify!($name), shown!(self.$name $(, = $default)?)?)),+])
            }

            /// Returns the first setting that is out of its range, and the range.
            fn out_of_range(&self) -> Option<(&'static str, String)> {
                $($(
                    let range: RangeInclusive<$type> = $range;
                    if !range.contains(&self.$name) {
                        let text = format!("{} to {}", range.start(), range.end());
                        return Some((stringify!($name), text));
                    }
                )?)+
                None
            }
        }
    };
}

/// A host on the command line.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct NamedCommand(String, String);

impl FromStr for NamedCommand {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, command) = text
            .split_once('=')
            .ok_or("write NAME='COMMAND …', for example gym='python -m strategic_memory_envs.host CartPole-v1'")?;
        Ok(NamedCommand(name.to_owned(), command.to_owned()))
    }
}

/// Largest value of any count; it keeps sums far from overflowing.
const MANY: usize = 1 << 40;

/// Longest time that can be set: ten years.
const MAX_MS: u64 = MAX_S * 1_000;
const MAX_S: u64 = 10 * 365 * 24 * 3_600;

/// Longest simulated time of a lane: a second.
const MAX_LANE_US: u64 = 1_000_000;

fn base() -> ServerConfig {
    ServerConfig::default()
}

fn hosts() -> env_server::hosts::Limits {
    env_server::hosts::Limits::default()
}

fn ms(time: Duration) -> u64 {
    time.as_millis() as u64
}

fn us(time: Duration) -> u64 {
    time.as_micros() as u64
}

settings! {
    /// Address to listen on; port 0 picks a free port
    listen: SocketAddr "ADDR:PORT" = SocketAddr::from(([127, 0, 0, 1], 7878));
    /// File of bearer tokens, reread on SIGHUP; without it anyone who can reach the server may use it
    token_file: PathBuf "FILE";
    /// Certificate chain in PEM, for HTTPS; needs tls_key. SIGHUP rereads both
    tls_cert: PathBuf "FILE";
    /// Private key of the certificate, in PEM
    tls_key: PathBuf "FILE";
    /// Comma-separated names that requests may be for, in addition to this machine's own and, where other machines can reach it, its addresses
    #[arg(alias = "allowed-host")]
    allowed_hosts: String "NAME,…";
    /// Comma-separated origins whose pages may use the server from a browser, such as https://lab.example
    #[arg(alias = "allowed-origin")]
    allowed_origins: String "ORIGIN,…";
    /// Serve without tokens on an address that other machines can reach
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    insecure: bool "BOOL" = false;

    /// Most environments at once; a vector environment counts as one
    max_envs: usize "N" = Limits::default().max_envs, in 1..=MANY;
    /// Most lanes of one vector environment
    max_lanes_per_env: usize "N" = Limits::default().max_lanes_per_env, in 1..=MANY;
    /// Most lanes of all environments together
    max_lanes: usize "N" = Limits::default().max_lanes, in 1..=MANY;
    /// Most memory, by estimate, for all environments and for large replies in progress
    max_memory_bytes: usize "BYTES" = base().limits.max_memory_bytes, in 1..=MANY;
    /// Bytes of history kept per environment; older operations are dropped
    trajectory_bytes: usize "BYTES" = base().limits.trajectory_bytes, in 0..=MANY;
    /// Largest request body
    max_body_bytes: usize "BYTES" = base().service.max_body_bytes, in 1..=MANY;
    /// Most requests processed at once; further ones are answered 503
    max_requests_in_flight: usize "N" = base().service.max_requests_in_flight, in 1..=MANY;
    /// Most open connections; further ones are answered 503 and closed, or over TLS just closed
    max_connections: usize "N" = base().service.max_connections, in 1..=MANY;

    /// Most time from the first byte of a request to its answer; then 503, or 408 if its body is incomplete
    request_timeout_ms: u64 "MS" = ms(base().service.request_timeout), in 1..=MAX_MS;
    /// Most time for receiving the head of a request or a TLS handshake; then the connection is closed
    header_timeout_ms: u64 "MS" = ms(base().service.header_timeout), in 1..=MAX_MS;
    /// Most time between requests on a connection, or without progress in reading an answer; then it is closed
    idle_timeout_ms: u64 "MS" = ms(base().service.idle_timeout), in 1..=MAX_MS;
    /// Default lease in seconds; an unused environment ends after this time
    default_ttl_s: u64 "S" = base().limits.default_ttl_s, in 1..=MAX_S;
    /// Longest lease in seconds that may be requested
    max_ttl_s: u64 "S" = base().limits.max_ttl_s, in 1..=MAX_S;

    /// Folder that keeps environments across restarts; without it they end with the process
    data_dir: PathBuf "DIR";
    /// How much an acknowledged operation survives, given data_dir: process (the end of the process, however sudden) or disk (also a power cut)
    durability: Durability "WHICH" = Durability::default();

    /// After SIGTERM, keep serving this long while /readyz answers 503, so that load balancers notice
    drain_delay_ms: u64 "MS" = ms(base().service.drain_delay), in 0..=MAX_MS;
    /// Then wait at most this long for requests in progress
    drain_timeout_ms: u64 "MS" = ms(base().service.drain_timeout), in 0..=MAX_MS;

    /// Serve the clairvoyant player's action at …/oracle (for baselines only)
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    allow_oracle: bool "BOOL" = false;
    /// Answer each step this many µs × lanes later, as a slow environment would, to try how clients cope; 0 does not
    simulate_lane_us: u64 "US" = us(base().simulate_lane), in 0..=MAX_LANE_US;

    /// Most processes of each host; lanes of a vector are divided among them
    host_processes: usize "N" = hosts().processes, in 1..=256;
    /// Most time from the start of a host to its first frame
    host_start_timeout_s: u64 "S" = hosts().start.as_secs(), in 1..=MAX_S;
    /// Most time for a host to answer a call; then its process is replaced
    host_step_timeout_s: u64 "S" = hosts().step.as_secs(), in 1..=MAX_S;
    /// Most resident memory of one process of a host
    host_memory_bytes: usize "BYTES" = hosts().memory_bytes as usize, in 1..=MANY;
    /// Comma-separated names of environment variables that hosts get, too
    host_variables: String "NAME,…";

    /// Filter for logs on stderr: error, warn, info, debug, trace, or filters by module
    log: String "FILTER" = "info".to_owned();
    /// Format of log lines: text or json
    log_format: LogFormat "WHICH" = LogFormat::default();
    /// Collector of traces, by OTLP over HTTP; without it none are sent
    otlp_endpoint: String "URL";
    /// Spec to serve over the OpenEnv protocol, at /ws and related routes; without it none
    openenv: String "SPEC";
}

/// Splits a comma-separated list.
fn listed(text: Option<&str>) -> Vec<String> {
    let parts = text.unwrap_or_default().split(',').map(str::trim);
    parts
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

fn toml_text(value: &impl Serialize) -> anyhow::Result<String> {
    let value = toml::Value::try_from(value).context("a value cannot be written as TOML")?;
    Ok(value.to_string())
}

/// Adds environment variables and defaults from the table to the help, which a derive cannot do.
pub fn complete(command: Command) -> Command {
    let config = |arg: clap::Arg| arg.env(variable("config")).hide_env_values(true);
    Settings::table()
        .iter()
        .fold(command.mut_arg("config", config), |command, row| {
            command.mut_arg(row.name, |arg| {
                let help = match &row.default {
                    Some(default) => {
                        format!("{} [default: {}]", row.doc, default.trim_matches('"'))
                    }
                    None => row.doc.to_owned(),
                };
                arg.env(row.variable()).hide_env_values(true).help(help)
            })
        })
}

/// Settings from all sources, and the source of each.
#[derive(Debug)]
pub struct Resolved {
    /// The values.
    pub settings: Settings,
    /// Source of each setting, in the order of the table.
    origins: Vec<String>,
}

/// Combines flags and variables with the file. Flags take precedence over variables (clap sees to
/// that), and both over the file. `matches` are those of the command that `given` comes from.
///
/// # Errors
/// When the file cannot be read or has an unknown key or a wrong value, when a value is out of its
/// range, and when values contradict each other.
pub fn resolve(
    given: Given,
    file: Option<&Path>,
    matches: &ArgMatches,
) -> anyhow::Result<Resolved> {
    let in_file = match file {
        Some(path) => read(path)?,
        None => Given::default(),
    };
    let named_in_file = in_file.names();
    let origin = |row: &Row| match matches.value_source(row.name) {
        Some(ValueSource::CommandLine) => row.flag(),
        Some(ValueSource::EnvVariable) => row.variable(),
        _ if named_in_file.contains(&row.name) => format!("{:?}", file.unwrap_or(Path::new(""))),
        _ => "default".to_owned(),
    };
    let resolved = Resolved {
        origins: Settings::table().iter().map(origin).collect(),
        settings: given.or(in_file),
    };
    resolved.check()?;
    Ok(resolved)
}

fn read(path: &Path) -> anyhow::Result<Given> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("{shown} cannot be read"))?;
    // The error shows the line.
    toml::from_str(&text).with_context(|| format!("{shown} is not a valid settings file"))
}

impl Resolved {
    fn check(&self) -> anyhow::Result<()> {
        let settings = &self.settings;
        if let Some((name, range)) = settings.out_of_range() {
            let origin = self.origin(name);
            bail!("{name} must be from {range} (it is set by {origin})");
        }
        ensure!(
            settings.tls_cert.is_some() == settings.tls_key.is_some(),
            "tls_cert and tls_key go together: only one of them is set"
        );
        ensure!(
            settings.data_dir.is_some() || self.origin("durability") == "default",
            "durability is set but there is no data_dir, so nothing would be kept"
        );
        ensure!(
            settings.default_ttl_s <= settings.max_ttl_s,
            "default_ttl_s, {}, is longer than max_ttl_s, {}",
            settings.default_ttl_s,
            settings.max_ttl_s
        );
        Ok(())
    }

    fn origin(&self, name: &str) -> &str {
        let table = Settings::table();
        let index = table.iter().position(|row| row.name == name);
        &self.origins[index.expect("a setting of the table")]
    }

    /// Formats all settings as a settings file, with the source of each value.
    ///
    /// # Errors
    /// When a path is not Unicode.
    pub fn to_toml(&self) -> anyhow::Result<String> {
        let mut text = String::new();
        for ((name, value), origin) in self.settings.values()?.iter().zip(&self.origins) {
            text.push_str(&match value {
                Some(value) => format!("{name} = {value}  # {origin}\n"),
                None => format!("# {name} is not set\n"),
            });
        }
        if !self.settings.hosts.is_empty() {
            text.push_str("\n[hosts]\n");
        }
        for (name, command) in &self.settings.hosts {
            let (name, command) = (toml_text(name)?, toml_text(command)?);
            text.push_str(&format!("{name} = {command}\n"));
        }
        Ok(text)
    }
}

impl Settings {
    /// Starts the hosts and asks for their specs.
    ///
    /// # Errors
    /// When one cannot be used.
    pub fn open_hosts(&self) -> anyhow::Result<Vec<Host>> {
        let limits = env_server::hosts::Limits {
            processes: self.host_processes,
            start: Duration::from_secs(self.host_start_timeout_s),
            step: Duration::from_secs(self.host_step_timeout_s),
            memory_bytes: self.host_memory_bytes as u64,
            variables: listed(self.host_variables.as_deref()),
            ..hosts()
        };
        let hosts = self.hosts.iter();
        let hosts = hosts.map(|(name, command)| Host::open(name, command, limits.clone()));
        Ok(hosts.collect::<Result<_, _>>()?)
    }

    /// Builds the configuration of the server, reading tokens and the certificate from their files.
    ///
    /// # Errors
    /// When one of these cannot be used.
    pub fn server_config(&self) -> Result<ServerConfig, env_server::Error> {
        let tls = self.tls_cert.as_ref().zip(self.tls_key.as_ref());
        Ok(ServerConfig {
            service: ServiceConfig {
                max_body_bytes: self.max_body_bytes,
                max_requests_in_flight: self.max_requests_in_flight,
                max_connections: self.max_connections,
                request_timeout: Duration::from_millis(self.request_timeout_ms),
                header_timeout: Duration::from_millis(self.header_timeout_ms),
                idle_timeout: Duration::from_millis(self.idle_timeout_ms),
                access: self
                    .token_file
                    .as_deref()
                    .map(Access::from_file)
                    .transpose()?
                    .map(Arc::new),
                tls: tls
                    .map(|(cert, key)| Tls::from_files(cert, key))
                    .transpose()?
                    .map(Arc::new),
                allowed_hosts: listed(self.allowed_hosts.as_deref()),
                allowed_origins: listed(self.allowed_origins.as_deref()),
                insecure: self.insecure,
                drain_delay: Duration::from_millis(self.drain_delay_ms),
                drain_timeout: Duration::from_millis(self.drain_timeout_ms),
                ..ServiceConfig::default()
            },
            limits: Limits {
                max_envs: self.max_envs,
                max_lanes_per_env: self.max_lanes_per_env,
                max_lanes: self.max_lanes,
                max_memory_bytes: self.max_memory_bytes,
                trajectory_bytes: self.trajectory_bytes,
                default_ttl_s: self.default_ttl_s,
                max_ttl_s: self.max_ttl_s,
            },
            data_dir: self.data_dir.clone(),
            durability: self.durability,
            openenv: self.openenv.clone(),
            allow_oracle: self.allow_oracle,
            simulate_lane: Duration::from_micros(self.simulate_lane_us),
            ..ServerConfig::default()
        })
    }
}
