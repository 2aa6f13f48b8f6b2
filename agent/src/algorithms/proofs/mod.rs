//! Small learners of three kinds that the table does not have yet: from replay, without a gradient, and offline. They
//! show that the training loop, checkpoints, evaluation, inspection, serving and export hold for them as for PPO.

mod episodic_control;
mod imitation;
mod q_learning;
mod tests;

use super::algorithm::Algorithm;

/// The learners. Tests of the table's rows include them.
pub const LEARNERS: &[Algorithm] = &[q_learning::ROW, episodic_control::ROW, imitation::ROW];

/// The same learners without a memory, which must stay at chance where a cue is to be remembered.
pub const CONTROLS: &[Algorithm] = &[
    q_learning::CONTROL,
    episodic_control::CONTROL,
    imitation::CONTROL,
];

/// Returns learners and controls.
pub fn all() -> impl Iterator<Item = &'static Algorithm> {
    LEARNERS.iter().chain(CONTROLS)
}
