//! Settings of a service.

use std::sync::Arc;
use std::time::Duration;

use crate::access::Access;
use crate::tls::Tls;

/// Settings of a service; the defaults are safe on a machine of any size.
#[derive(Clone, Debug)]
pub struct ServiceConfig {
    /// Largest request body, in bytes.
    pub max_body_bytes: usize,
    /// Most requests that are answered at once; further ones are refused with `overloaded`.
    pub max_requests_in_flight: usize,
    /// Most open connections; further ones are refused with `overloaded`, or just closed over TLS.
    pub max_connections: usize,
    /// Longest time from the first byte of a request to its answer.
    pub request_timeout: Duration,
    /// Longest time for receiving the head of a request, and for a TLS handshake.
    pub header_timeout: Duration,
    /// Longest time that a connection is kept without a request and without progress in reading a
    /// reply.
    pub idle_timeout: Duration,
    /// The tokens that grant access; without them, anyone who can reach the service may use it.
    pub access: Option<Arc<Access>>,
    /// Certificate and key; without them, plain HTTP.
    pub tls: Option<Arc<Tls>>,
    /// Names that requests may be for besides those of this machine and its addresses, such as
    /// `lab.example`: without a port, IPv6 in brackets. `docs/operations.md` has the whole check.
    pub allowed_hosts: Vec<String>,
    /// Origins whose pages may send requests and read the replies, such as `https://lab.example`.
    pub allowed_origins: Vec<String>,
    /// Whether to serve without tokens on an address that other machines can reach.
    pub insecure: bool,
    /// How long to continue serving, while not ready, after shutdown has begun; for load balancers
    /// that need time to notice.
    pub drain_delay: Duration,
    /// Longest wait for work in progress after that.
    pub drain_timeout: Duration,
    /// Pings and timeouts of WebSockets.
    pub socket_times: SocketTimes,
}

impl Default for ServiceConfig {
    fn default() -> Self {
        ServiceConfig {
            max_body_bytes: 8 << 20,
            max_requests_in_flight: 1_024,
            max_connections: 4_096,
            request_timeout: Duration::from_secs(30),
            header_timeout: Duration::from_secs(10),
            // Longer than clients keep idle connections (reqwest: 90 s), so that the client closes
            // first. Otherwise a request can meet a connection that has just been closed.
            idle_timeout: Duration::from_secs(120),
            access: None,
            tls: None,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            insecure: false,
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(10),
            socket_times: SocketTimes::default(),
        }
    }
}

/// Pings and timeouts of WebSockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketTimes {
    /// Time between pings.
    pub ping_interval: Duration,
    /// Longest silence of a client before its socket is closed.
    pub silence: Duration,
    /// Longest time that a client may accept nothing of a reply before it is disconnected.
    pub write: Duration,
    /// Longest time to wait for a client's own close message.
    pub close: Duration,
}

impl Default for SocketTimes {
    fn default() -> Self {
        SocketTimes {
            ping_interval: Duration::from_secs(15),
            silence: Duration::from_secs(45),
            write: Duration::from_secs(30),
            close: Duration::from_secs(1),
        }
    }
}
