//! Sources of experience.

use rand_xoshiro::Xoshiro256PlusPlus;

use crate::env::EnvError;
use crate::experience::behaviour::Behaviour;
use crate::experience::rollout::Rollout;
use crate::experience::state::CollectorState;
use crate::policy::Policy;

/// How the time of collecting a rollout was spent, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    /// Playing; of several workers the mean.
    pub collecting: f64,
    /// Packing, sending and unpacking what workers need and answer; of several the mean.
    pub carrying: f64,
    /// Waiting for the slowest of several workers; the mean.
    pub waiting: f64,
}

/// A source of experience: environments that are played, or a recording.
///
/// Learners that keep experience for later ([`Replay`](crate::experience::Replay)) read the same rollouts as others.
pub trait Source {
    /// Returns the number of lanes.
    fn batch(&self) -> usize;

    /// Returns whether lanes are played as the learner asks. If not, returns say nothing about the policy.
    fn is_played(&self) -> bool;

    /// Returns the next rollout: `num_steps` steps in every lane, or until every lane has ended an episode, but at most
    /// `max_steps`. `rng` draws what all lanes share; each lane draws the rest from its own generator.
    ///
    /// # Errors
    /// A refusal by the environment; the lanes are then between two steps.
    fn collect(
        &mut self,
        policy: &Policy,
        behaviour: Behaviour,
        rng: &mut Xoshiro256PlusPlus,
        max_steps: usize,
    ) -> Result<Rollout, EnvError>;

    /// Returns how the last rollout's time was spent, where that is more than playing.
    fn spent(&self) -> Option<Spent> {
        None
    }

    /// Returns the state of the lanes.
    fn state(&self) -> &CollectorState;

    /// Returns the state of the environments, or the place in the recording.
    ///
    /// # Errors
    /// A refusal by the environment.
    fn snapshot(&mut self) -> Result<Vec<u8>, EnvError>;

    /// Continues from where a checkpoint left the source. Without the environments' own state the lanes stay where they are,
    /// and only their generators are the checkpoint's.
    ///
    /// # Errors
    /// A refusal by the environment; nothing has changed then.
    fn restore(&mut self, snapshot: Option<&[u8]>, state: CollectorState) -> Result<(), EnvError>;
}
