//! PPO over minimal gated recurrent units.

use super::algorithm::Algorithm;
use super::defaults::{no_check, recurrent};
use super::family::Family;
use crate::learner::ppo::Ppo;
use crate::memory::Layers;
use crate::memory::linear::mingru::MinGru;
use crate::memory::linear::stack::Stack;
use crate::policy::decider::Decider;
use crate::policy::outputs::Outputs;

/// PPO over minimal gated recurrent units.
pub const ROW: Algorithm = Algorithm {
    id: "mingru",
    title: "minGRU",
    family: Family::Linear,
    summary: "PPO over layers of minimal gated recurrent units: linear in the state, forgetting by content.",
    source: "Feng et al. 2024, arXiv:2410.01201",
    decider: Decider::Network,
    defaults: || recurrent(|hyper| hyper.with(Layers::default())),
    check: no_check,
    plays: |_| Ok(()),
    core: |context| Box::new(Stack::<MinGru>::new(context)),
    outputs: Outputs::ActorCritic,
    learner: |context| Box::new(Ppo::new(context)),
};
