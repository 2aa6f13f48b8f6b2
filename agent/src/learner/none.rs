//! The learner of players that do not learn.

use rand_xoshiro::Xoshiro256PlusPlus;

use super::{Diverged, Experience, Learner, LearnerState, Metrics, StateError};
use crate::policy::Policy;

/// Learns nothing and remembers nothing.
pub struct NoLearner;

impl Learner for NoLearner {
    fn discount(&self) -> f32 {
        1.0
    }

    fn learn(
        &mut self,
        _policy: &mut Policy,
        _experience: &Experience<'_>,
        _rng: &mut Xoshiro256PlusPlus,
    ) -> Result<Option<Metrics>, Diverged> {
        Ok(None)
    }

    fn export(&self) -> LearnerState {
        LearnerState::default()
    }

    fn import(&mut self, _state: &LearnerState) -> Result<(), StateError> {
        Ok(())
    }
}
