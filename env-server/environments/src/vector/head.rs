//! Fields of a snapshot.

use env_protocol::{AutoresetMode, Kwargs};

/// Fields of a snapshot other than the state.
#[derive(Clone, Debug)]
pub struct Head<'a> {
    /// Id of the spec.
    pub spec_id: &'a str,
    /// Arguments at creation.
    pub kwargs: &'a Kwargs,
    /// Autoreset mode, for vector environments.
    pub autoreset_mode: Option<AutoresetMode>,
}
