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
    /// Most requests that are being answered at once; more are refused with `overloaded`.
    pub max_requests_in_flight: usize,
    /// Most open connections; more are refused with `overloaded`, over TLS by closing them.
    pub max_connections: usize,
    /// How long a request may take, from its first byte to its answer.
    pub request_timeout: Duration,
    /// How long the head of a request, and a TLS handshake, may take to arrive.
    pub header_timeout: Duration,
    /// How long a connection is kept without a request on it or progress in reading a reply.
    pub idle_timeout: Duration,
    /// Where environments are kept; without it they end with the process.
    pub data_dir: Option<PathBuf>,
    /// What an acknowledged operation survives, given a `data_dir`.
    pub durability: Durability,
    /// Who may use the server; without it, everybody who reaches it.
    pub access: Option<Arc<Access>>,
    /// Certificate and key; without them, plain HTTP.
    pub tls: Option<Arc<Tls>>,
    /// Names that requests may be for beside those of this machine and its addresses, such as
    /// `lab.example`: without a port, IPv6 in brackets. What is checked otherwise
    /// `docs/operations.md` says.
    pub allowed_hosts: Vec<String>,
    /// Origins whose pages may send requests and read the replies, such as `https://lab.example`.
    pub allowed_origins: Vec<String>,
    /// Whether whoever plays an environment may ask what a player that knows its hidden draws would
    /// do.
    pub allow_oracle: bool,
    /// Whether an address that other machines reach may do without tokens.
    pub insecure: bool,
    /// How long to go on serving, not ready, after shutdown has begun; for load balancers that
    /// need time to notice.
    pub drain_delay: Duration,
    /// How long to wait for work under way after that.
    pub drain_timeout: Duration,
    /// What leases go by.
    pub clock: Clock,
    /// Pings and timeouts of WebSockets.
    pub socket_times: SocketTimes,
    /// The environment that the OpenEnv protocol plays, where it is spoken: a spec as in
    /// `MemoryTask-v0?delay=16`, or a body of `POST /v1/envs`.
    pub openenv: Option<String>,
}

impl ServerConfig {
    /// Says what is wrong with the settings, before anything is served.
    ///
    /// # Errors
    /// [`Error::OpenEnv`], when there is no environment of that name and arguments, and
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
            // Longer than clients keep idle connections (reqwest 90 s), so that it is the client
            // that closes: the other way round a request can meet a connection just closed.
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
