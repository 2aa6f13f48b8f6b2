//! PPO over a differentiable neural computer.

use super::algorithm::Algorithm;
use super::defaults::{no_check, recurrent};
use super::family::Family;
use crate::learner::ppo::Ppo;
use crate::memory::Writes;
use crate::memory::addressed::{Addressing, dnc};
use crate::memory::recurrent::cell::Recurrent;
use crate::policy::decider::Decider;
use crate::policy::outputs::Outputs;

/// PPO over a differentiable neural computer.
pub const ROW: Algorithm = Algorithm {
    id: "dnc",
    title: "DNC",
    family: Family::Addressed,
    summary: "PPO over a differentiable neural computer: a matrix with allocated rows and links in the order of writing.",
    source: "Graves et al. 2016, Nature 538:471–476, doi:10.1038/nature20101",
    decider: Decider::Network,
    defaults: || recurrent(|hyper| hyper.with(Addressing::default()).with(Writes::default())),
    check: no_check,
    plays: |_| Ok(()),
    core: |context| Box::new(Recurrent::new(dnc::cell, context)),
    outputs: Outputs::ActorCritic,
    learner: |context| Box::new(Ppo::new(context)),
};
