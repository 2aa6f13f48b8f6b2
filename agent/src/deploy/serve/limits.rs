//! Limits of a service.

use env_protocol::Problem;
use service::leases::{check_lanes, check_ttl_s};

/// What a service holds at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sessions.
    pub max_sessions: usize,
    /// Lanes of one session, or of one request without a session.
    pub max_lanes_per_session: usize,
    /// Lanes of all sessions together.
    pub max_lanes: usize,
    /// Bytes of all sessions together, by estimate.
    pub max_memory_bytes: usize,
    /// Bytes of a state that travels with its caller.
    pub max_state_bytes: usize,
    /// Seconds a session lives after its last operation when its creation does not say.
    pub default_ttl_s: u64,
    /// Most that a creation may say.
    pub max_ttl_s: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_sessions: 1_024,
            max_lanes_per_session: 16_384,
            max_lanes: 65_536,
            max_memory_bytes: 1 << 30,
            max_state_bytes: 4 << 20,
            default_ttl_s: 3_600,
            max_ttl_s: 7 * 24 * 3_600,
        }
    }
}

impl Limits {
    /// Returns the number of lanes that a body asks for.
    pub(super) fn lanes(&self, asked: u64) -> Result<usize, Problem> {
        check_lanes(asked, self.max_lanes_per_session)
    }

    /// Returns the lease that a body asks for, in seconds.
    pub(super) fn ttl_s(&self, asked: Option<u64>) -> Result<u64, Problem> {
        check_ttl_s(asked, self.default_ttl_s, self.max_ttl_s)
    }
}
