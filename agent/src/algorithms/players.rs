//! Players that do not learn: the floor and the ceiling of every benchmark.

use super::algorithm::Algorithm;
use crate::hyper::{Hyperparameters, Part};
use crate::learner::none::NoLearner;
use crate::memory::none::Nothing;
use crate::policy::decider::Decider;
use crate::policy::outputs::Outputs;

/// The floor: chance.
pub const RANDOM: Algorithm = Algorithm {
    id: "random",
    title: "Random",
    summary: "Every action equally likely; learns nothing: the floor.",
    source: "the lower baseline of every benchmark",
    decider: Decider::Chance,
    parts: &[Part::Collection],
    defaults: player,
    core: |_| Box::new(Nothing),
    outputs: Outputs::Nothing,
    learner: |_| Box::new(NoLearner),
};

/// The ceiling: the environment's clairvoyant player.
pub const ORACLE: Algorithm = Algorithm {
    id: "oracle",
    title: "Oracle",
    summary: "Knows every hidden draw; learns nothing: the ceiling. The server must allow it (--allow-oracle).",
    source: "the environments' own clairvoyant player",
    decider: Decider::Oracle,
    parts: &[Part::Collection],
    defaults: player,
    core: |_| Box::new(Nothing),
    outputs: Outputs::Nothing,
    learner: |_| Box::new(NoLearner),
};

/// Returns the hyper-parameters of a player: how many environments it plays, and for how long between two reports.
fn player() -> Hyperparameters {
    Hyperparameters {
        num_envs: 64,
        num_minibatches: 1,
        early_stop: false,
        ..Hyperparameters::base()
    }
}
