//! Settings of a server.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::access::Access;
use crate::error::Error;
use crate::http::SocketTimes;
use crate::journal::Durability;
use crate::openenv;
use crate::server;
use crate::session::Clock;
use crate::session::store::Limits;
use crate::tls::Tls;

/// Settings of a server; the defaults are safe on a machine of any size.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Most environments and lanes.
    pub limits: Limits,
    /// Largest request body.
    pub max_body_bytes: usize,
    /// Most requests processed at once; further ones are refused with `overloaded`.
    pub max_requests_in_flight: usize,
    /// Most open connections; further ones are refused with `overloaded`, or just closed over TLS.
    pub max_connections: usize,
    /// Longest time for a request, from its first byte to its answer.
    pub request_timeout: Duration,
    /// Longest time for receiving the head of a request, and for a TLS handshake.
    pub header_timeout: Duration,
    /// How long a connection stays open without a request or progress in reading a reply.
    pub idle_timeout: Duration,
    /// Folder in which environments are kept; without it they end with the process.
    pub data_dir: Option<PathBuf>,
    /// How much an acknowledged operation survives, given a `data_dir`.
    pub durability: Durability,
    /// Tokens that grant access; without them anyone who can reach the server may use it.
    pub access: Option<Arc<Access>>,
    /// Certificate and key; without them, plain HTTP.
    pub tls: Option<Arc<Tls>>,
    /// Names that requests may be for, such as `lab.example`, in addition to those of this machine
    /// and its addresses: without a port, IPv6 in brackets. `docs/operations.md` describes the
    /// other checks.
    pub allowed_hosts: Vec<String>,
    /// Origins whose pages may send requests and read the replies, such as `https://lab.example`.
    pub allowed_origins: Vec<String>,
    /// Whether clients may ask for the action of a player that knows an environment's hidden draws.
    pub allow_oracle: bool,
    /// Whether to serve without tokens on an address that other machines can reach.
    pub insecure: bool,
    /// How long to continue serving, while not ready, after shutdown has begun; for load balancers
    /// that need time to notice.
    pub drain_delay: Duration,
    /// How long to wait for work in progress after that.
    pub drain_timeout: Duration,
    /// The clock of leases.
    pub clock: Clock,
    /// Pings and timeouts of WebSockets.
    pub socket_times: SocketTimes,
    /// The environment served over the OpenEnv protocol, if it is enabled: a spec such as
    /// `MemoryTask-v0?delay=16`, or a body of `POST /v1/envs`.
    pub openenv: Option<String>,
}

impl ServerConfig {
    /// Checks the settings before anything is served.
    ///
    /// # Errors
    /// [`Error::OpenEnv`], when there is no environment with that name and arguments, and
    /// [`Error::Setting`].
    pub fn check(&self) -> Result<(), Error> {
        server::check_names(self)?;
        openenv::check(self)
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        ServerConfig {
            limits: Limits::default(),
            max_body_bytes: 8 << 20,
            max_requests_in_flight: 1_024,
            max_connections: 4_096,
            request_timeout: Duration::from_secs(30),
            header_timeout: Duration::from_secs(10),
            // Longer than clients keep idle connections (reqwest: 90 s), so that the client closes
            // them. If the server did, a request could arrive on a connection just closed.
            idle_timeout: Duration::from_secs(120),
            data_dir: None,
            durability: Durability::default(),
            access: None,
            tls: None,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            allow_oracle: false,
            insecure: false,
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(10),
            clock: Clock::default(),
            socket_times: SocketTimes::default(),
            openenv: None,
        }
    }
}
