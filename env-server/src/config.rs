//! Settings of a server.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::Error;
use crate::http::SocketTimes;
use crate::journal::Durability;
use crate::openenv;
use crate::session::store::Limits;

/// Settings of a server; the defaults are safe on a machine of any size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// Most environments and lanes.
    pub limits: Limits,
    /// Where environments are kept so that they outlive the server; nowhere if `None`.
    pub data_dir: Option<PathBuf>,
    /// What an acknowledged operation survives, with a `data_dir`.
    pub durability: Durability,
    /// Largest request body.
    pub max_body_bytes: usize,
    /// How long to go on serving, not ready, after shutdown has begun; for load balancers that
    /// need time to notice.
    pub drain_delay: Duration,
    /// How long to wait for work under way after that.
    pub drain_timeout: Duration,
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
    /// [`Error::OpenEnv`], when there is no environment of that name and arguments.
    pub fn check(&self) -> Result<(), Error> {
        openenv::check(self)
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        ServerConfig {
            limits: Limits::default(),
            data_dir: None,
            durability: Durability::Process,
            max_body_bytes: 8 << 20,
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(10),
            socket_times: SocketTimes::default(),
            openenv: None,
        }
    }
}
