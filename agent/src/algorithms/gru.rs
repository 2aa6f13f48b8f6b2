//! PPO over a gated recurrent unit.

use std::convert::identity;

use super::algorithm::Algorithm;
use super::defaults::{no_check, recurrent};
use super::family::Family;
use crate::learner::ppo::Ppo;
use crate::memory::recurrent::cell::Recurrent;
use crate::memory::recurrent::gru::GruCell;
use crate::policy::decider::Decider;
use crate::policy::outputs::Outputs;

/// PPO over a gated recurrent unit.
pub const ROW: Algorithm = Algorithm {
    id: "gru",
    title: "GRU",
    family: Family::Recurrent,
    summary: "PPO over a gated recurrent unit: a state with two gates, a quarter fewer weights than an LSTM.",
    source: "Cho et al. 2014, arXiv:1406.1078; Morad et al. 2023, arXiv:2303.01859",
    decider: Decider::Network,
    defaults: || recurrent(identity),
    check: no_check,
    plays: |_| Ok(()),
    core: |context| Box::new(Recurrent::new(GruCell::new, context)),
    outputs: Outputs::ActorCritic,
    learner: |context| Box::new(Ppo::new(context)),
};
