//! Settings of a server.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::access::Access;
use crate::session::store::Limits;
use crate::tls::Tls;

/// What an acknowledged operation survives, given a data directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// The end of the process, however sudden: written to the system before it is acknowledged.
    #[default]
    Process,
    /// A power cut as well: on the disk before it is acknowledged.
    Disk,
}

/// Settings of a server; the defaults are safe on a machine of any size.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Most environments and lanes.
    pub limits: Limits,
    /// Most memory of all environments together, by estimate.
    pub max_memory_bytes: usize,
    /// Most of its trajectory that is kept of one environment.
    pub trajectory_bytes: usize,
    /// Largest request body.
    pub max_body_bytes: usize,
    /// Most requests that are being answered at once; more are refused with `overloaded`.
    pub max_requests_in_flight: usize,
    /// Most open connections; more are refused with `overloaded`, over TLS by closing them.
    pub max_connections: usize,
    /// How long a request may take, from the end of its head to its answer.
    pub request_timeout: Duration,
    /// How long the head of a request, and a TLS handshake, may take to arrive.
    pub header_timeout: Duration,
    /// How long a connection is kept without a request on it or progress in reading a reply.
    pub idle_timeout: Duration,
    /// Lease of an environment whose creation asks for none.
    pub default_ttl: Duration,
    /// Longest lease that can be asked for.
    pub max_ttl: Duration,
    /// Where environments are kept; without it they end with the process.
    pub data_dir: Option<PathBuf>,
    /// What an acknowledged operation survives, given a `data_dir`.
    pub durability: Durability,
    /// The spec that is played over the OpenEnv protocol, if any.
    pub openenv: Option<String>,
    /// Who may use the server; without it, everybody who reaches it.
    pub access: Option<Arc<Access>>,
    /// Certificate and key; without them, plain HTTP.
    pub tls: Option<Arc<Tls>>,
    /// Whether an address that other machines reach may do without tokens.
    pub insecure: bool,
    /// How long to go on serving, not ready, after shutdown has begun; for load balancers that
    /// need time to notice.
    pub drain_delay: Duration,
    /// How long to wait for work under way after that.
    pub drain_timeout: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        ServerConfig {
            limits: Limits::default(),
            max_memory_bytes: 1 << 30,
            trajectory_bytes: 32 << 10,
            max_body_bytes: 8 << 20,
            max_requests_in_flight: 1_024,
            max_connections: 4_096,
            request_timeout: Duration::from_secs(30),
            header_timeout: Duration::from_secs(10),
            // Longer than clients keep idle connections (reqwest 90 s), so that it is the client
            // that closes: the other way round a request can meet a connection just closed.
            idle_timeout: Duration::from_secs(120),
            default_ttl: Duration::from_secs(3_600),
            max_ttl: Duration::from_secs(7 * 24 * 3_600),
            data_dir: None,
            durability: Durability::default(),
            openenv: None,
            access: None,
            tls: None,
            insecure: false,
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(10),
        }
    }
}
