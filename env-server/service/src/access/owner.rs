//! Owners of sessions, and their quotas.

use std::sync::Arc;

/// The principal of a request, if the service has tokens. It owns the environments it creates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Name under which quotas count.
    pub name: Arc<str>,
    /// Most environments or sessions, if there is a limit.
    pub max_envs: Option<usize>,
    /// Most lanes of all of them, if there is a limit.
    pub max_lanes: Option<usize>,
}
