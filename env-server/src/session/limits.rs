//! Limits on the sessions of a server and on the size of a reply.

/// Bytes of entries at which a page is full. A page holds at least one operation, whatever its
/// size.
pub const PAGE_BYTES: usize = 8 << 20;

/// Limits on the sessions of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Environments, where a vector environment counts as one.
    pub max_envs: usize,
    /// Lanes of one vector environment.
    pub max_lanes_per_env: usize,
    /// Lanes of all environments together.
    pub max_lanes: usize,
    /// Estimated bytes of all environments together.
    pub max_memory_bytes: usize,
    /// Least bytes of operations that each environment keeps for its trajectory.
    pub trajectory_bytes: usize,
    /// Default lease in seconds: the time an environment lives after its last operation.
    pub default_ttl_s: u64,
    /// Longest lease that a creation may request, in seconds.
    pub max_ttl_s: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_envs: 16_384,
            max_lanes_per_env: 16_384,
            max_lanes: 262_144,
            max_memory_bytes: 1 << 30,
            trajectory_bytes: 32 << 10,
            default_ttl_s: 3_600,
            max_ttl_s: 7 * 24 * 3_600,
        }
    }
}
