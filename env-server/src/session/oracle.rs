//! Actions of a player that knows every hidden draw: for baselines, where the server allows it.

use env_protocol::{Array, ErrorCode, Problem};

use super::session::Session;

impl Session {
    /// Returns the clairvoyant action for the present state (for a vector, one per lane), and the
    /// number of the step that it is for.
    ///
    /// # Errors
    /// `needs-reset`; `internal`, when an operation has failed midway.
    pub fn oracle(&self) -> Result<(Array, u64), Problem> {
        let state = self.lock()?;
        let actions = state.vector.native("oracle")?.oracle();
        let actions = actions.map_err(|refusal| self.blueprint().problem(refusal))?;
        let actions = self
            .blueprint()
            .action_array(&actions)
            .map_err(|error| Problem::new(ErrorCode::Internal, error.to_string()))?;
        Ok((actions, state.seq))
    }
}
