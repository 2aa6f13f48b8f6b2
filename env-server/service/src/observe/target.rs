//! The name of requests in logs.

/// Target of the logs and the spans of requests, for filters.
pub const TARGET: &str = "env_server::request";
