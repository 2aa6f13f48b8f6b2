//! Players that do not learn: the floor and the ceiling of every benchmark.

use super::algorithm::Algorithm;
use super::defaults::no_check;
use super::family::Family;
use crate::experience::Collection;
use crate::hyper::Hyperparameters;
use crate::learner::none::NoLearner;
use crate::memory::none::Nothing;
use crate::policy::decider::Decider;
use crate::policy::outputs::Outputs;

/// The floor: chance.
pub const RANDOM: Algorithm = Algorithm {
    id: "random",
    title: "Random",
    family: Family::Control,
    summary: "Every action equally likely; learns nothing: the floor.",
    source: "the lower baseline of every benchmark",
    decider: Decider::Chance,
    defaults: player,
    check: no_check,
    plays: |_| Ok(()),
    core: |_| Box::new(Nothing),
    outputs: Outputs::Nothing,
    learner: |_| Box::new(NoLearner),
};

/// The ceiling: the environment's clairvoyant player.
pub const ORACLE: Algorithm = Algorithm {
    id: "oracle",
    title: "Oracle",
    family: Family::Control,
    summary: "Knows every hidden draw; learns nothing: the ceiling. The server must allow it (--allow-oracle).",
    source: "the environments' own clairvoyant player",
    decider: Decider::Oracle,
    defaults: player,
    check: no_check,
    plays: |_| Ok(()),
    core: |_| Box::new(Nothing),
    outputs: Outputs::Nothing,
    learner: |_| Box::new(NoLearner),
};

/// Returns the hyper-parameters of a player that does not learn: how many environments it plays, and for how long between two
/// reports.
fn player() -> Hyperparameters {
    Hyperparameters::new().with(Collection {
        num_envs: 64,
        ..Collection::default()
    })
}
