//! Small learners of three kinds that the table does not have yet: from replay, without a gradient, and offline. They
//! show that the training loop, checkpoints, evaluation, inspection, serving and export hold for them as for PPO.

mod episodic_control;
mod imitation;
mod memories;
mod q_learning;
mod tests;

pub use self::memories::memories;
use super::algorithm::Algorithm;
use super::defaults;
use crate::experience::Collection;
use crate::hyper::Hyperparameters;
use crate::learner::settings::Optimiser;

static LEARNERS: [Algorithm; 3] = [q_learning::ROW, episodic_control::ROW, imitation::ROW];

static CONTROLS: [Algorithm; 3] = [
    q_learning::CONTROL,
    episodic_control::CONTROL,
    imitation::CONTROL,
];

fn added(rows: &'static [Algorithm]) -> impl Iterator<Item = &'static Algorithm> {
    rows.iter().inspect(|row| super::add(row))
}

/// Returns the learners. Tests of the table's rows include them.
pub fn learners() -> impl Iterator<Item = &'static Algorithm> {
    added(&LEARNERS)
}

/// Returns the same learners without a memory. They must stay at chance where a cue is to be remembered.
fn controls() -> impl Iterator<Item = &'static Algorithm> {
    added(&CONTROLS)
}

/// Returns defaults for many short rollouts.
fn short_rollouts(learning_rate: f32) -> Hyperparameters {
    defaults::learner(std::convert::identity)
        .with(Collection {
            num_envs: 16,
            num_steps: 8,
            whole_episodes: false,
        })
        .edited(|optimiser: &mut Optimiser| optimiser.learning_rate = learning_rate)
}
