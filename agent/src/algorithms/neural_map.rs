//! PPO over a Neural Map.

use super::algorithm::Algorithm;
use super::defaults::{no_check, recurrent};
use super::family::Family;
use crate::learner::ppo::Ppo;
use crate::memory::Writes;
use crate::memory::recurrent::cell::Recurrent;
use crate::memory::spatial::neural_map::{Map, NeuralMapCell};
use crate::policy::decider::Decider;
use crate::policy::outputs::Outputs;

/// PPO over a Neural Map.
pub const ROW: Algorithm = Algorithm {
    id: "neural-map",
    title: "Neural Map",
    family: Family::Spatial,
    summary: "PPO over a map: the agent writes the cell that it stands on, and reads all.",
    source: "Parisotto and Salakhutdinov 2018, arXiv:1702.08360",
    decider: Decider::Network,
    defaults: || recurrent(|hyper| hyper.with(Map::default()).with(Writes::default())),
    check: no_check,
    plays: |_| Ok(()),
    core: |context| Box::new(Recurrent::new(NeuralMapCell::new, context)),
    outputs: Outputs::ActorCritic,
    learner: |context| Box::new(Ppo::new(context)),
};
