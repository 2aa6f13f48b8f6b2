//! Settings of a server.

use std::path::PathBuf;
use std::time::Duration;

use service::ServiceConfig;

use crate::journal::Durability;
use crate::session::Clock;
use crate::session::Limits;

/// Settings of a server; the defaults are safe on a machine of any size.
#[derive(Clone, Debug, Default)]
pub struct ServerConfig {
    /// Settings that any service has: access, TLS, limits on connections, requests and time.
    pub service: ServiceConfig,
    /// Most environments and lanes.
    pub limits: Limits,
    /// Folder in which environments are kept; without it they end with the process.
    pub data_dir: Option<PathBuf>,
    /// How much an acknowledged operation survives, given a `data_dir`.
    pub durability: Durability,
    /// Whether clients may ask for the action of a player that knows an environment's hidden draws.
    pub allow_oracle: bool,
    /// Time by which the answer to a step is held back for each lane, as if the environments were
    /// slow; zero, the default, holds back none. It changes no answer.
    pub simulate_lane: Duration,
    /// Programs that play further environments.
    pub hosts: Vec<hosts::Host>,
    /// The clock of leases.
    pub clock: Clock,
    /// The environment served over the OpenEnv protocol, if it is enabled: a spec such as
    /// `MemoryTask-v0?delay=16`, or a body of `POST /v1/envs`.
    pub openenv: Option<String>,
}
