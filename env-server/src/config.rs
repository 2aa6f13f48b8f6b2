//! Settings of a server.

use std::time::Duration;

use crate::session::store::Limits;

/// Settings of a server; the defaults are safe on a machine of any size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// Most environments and lanes.
    pub limits: Limits,
    /// Largest request body.
    pub max_body_bytes: usize,
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
            max_body_bytes: 8 << 20,
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(10),
        }
    }
}
