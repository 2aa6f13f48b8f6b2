//! PPO over linear recurrent units.

use super::algorithm::Algorithm;
use super::defaults::{no_check, recurrent};
use super::family::Family;
use crate::learner::ppo::Ppo;
use crate::memory::Layers;
use crate::memory::linear::lru::{Eigenvalues, Lru};
use crate::memory::linear::stack::Stack;
use crate::policy::decider::Decider;
use crate::policy::outputs::Outputs;

/// PPO over linear recurrent units.
pub const ROW: Algorithm = Algorithm {
    id: "lru",
    title: "LRU",
    family: Family::Linear,
    summary: "PPO over layers of linear recurrent units: damped oscillators, forgetting by the clock.",
    source: "Orvieto et al. 2023, arXiv:2303.06349",
    decider: Decider::Network,
    defaults: || recurrent(|hyper| hyper.with(Layers::default()).with(Eigenvalues::default())),
    check: no_check,
    plays: |_| Ok(()),
    core: |context| Box::new(Stack::<Lru>::new(context)),
    outputs: Outputs::ActorCritic,
    learner: |context| Box::new(Ppo::new(context)),
};
