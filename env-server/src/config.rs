//! Settings of a server.

use std::path::PathBuf;

use service::ServiceConfig;

use crate::error::Error;
use crate::journal::Durability;
use crate::openenv;
use crate::session::Clock;
use crate::session::store::Limits;

/// Settings of a server; the defaults are safe on a machine of any size.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Settings that any service has: access, TLS, limits on connections, requests and time.
    pub service: ServiceConfig,
    /// Most environments and lanes.
    pub limits: Limits,
    /// Where environments are kept; without it they end with the process.
    pub data_dir: Option<PathBuf>,
    /// What an acknowledged operation survives, given a `data_dir`.
    pub durability: Durability,
    /// Whether whoever plays an environment may ask what a player that knows its hidden draws would
    /// do.
    pub allow_oracle: bool,
    /// What leases go by.
    pub clock: Clock,
    /// The environment that the OpenEnv protocol plays, where it is spoken: a spec as in
    /// `MemoryTask-v0?delay=16`, or a body of `POST /v1/envs`.
    pub openenv: Option<String>,
}

impl ServerConfig {
    /// Says what is wrong with the settings, before anything is served.
    ///
    /// # Errors
    /// [`Error::OpenEnv`], when there is no environment of that name and arguments, and
    /// [`service::Error::Setting`].
    pub fn check(&self) -> Result<(), Error> {
        service::server::check_names(&self.service)?;
        openenv::check(self)
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        ServerConfig {
            service: ServiceConfig::default(),
            limits: Limits::default(),
            data_dir: None,
            durability: Durability::default(),
            allow_oracle: false,
            clock: Clock::default(),
            openenv: None,
        }
    }
}
