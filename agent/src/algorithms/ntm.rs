//! PPO over a neural Turing machine.

use super::algorithm::Algorithm;
use super::defaults::{no_check, recurrent};
use super::family::Family;
use crate::learner::ppo::Ppo;
use crate::memory::Writes;
use crate::memory::addressed::{Addressing, ntm};
use crate::memory::recurrent::cell::Recurrent;
use crate::policy::decider::Decider;
use crate::policy::outputs::Outputs;

/// PPO over a neural Turing machine.
pub const ROW: Algorithm = Algorithm {
    id: "ntm",
    title: "NTM",
    family: Family::Addressed,
    summary: "PPO over a neural Turing machine: a matrix with heads that move by content and by shifts.",
    source: "Graves et al. 2014, arXiv:1410.5401",
    decider: Decider::Network,
    defaults: || recurrent(|hyper| hyper.with(Addressing::default()).with(Writes::default())),
    check: no_check,
    plays: |_| Ok(()),
    core: |context| Box::new(Recurrent::new(ntm::cell, context)),
    outputs: Outputs::ActorCritic,
    learner: |context| Box::new(Ppo::new(context)),
};
