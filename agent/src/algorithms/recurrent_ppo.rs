//! PPO over an LSTM.

use std::convert::identity;

use super::algorithm::Algorithm;
use super::defaults::{no_check, recurrent};
use super::family::Family;
use crate::learner::ppo::Ppo;
use crate::memory::recurrent::cell::Recurrent;
use crate::memory::recurrent::lstm::LstmCell;
use crate::policy::decider::Decider;
use crate::policy::outputs::Outputs;

/// PPO over an LSTM.
pub const ROW: Algorithm = Algorithm {
    id: "recurrent-ppo",
    title: "RecurrentPPO",
    family: Family::Recurrent,
    summary: "PPO over an LSTM, trained through whole stored sequences.",
    source: "Schulman et al. 2017, arXiv:1707.06347; Pleines et al. 2022, arXiv:2205.11104; Ni et al. 2022, arXiv:2110.05038",
    decider: Decider::Network,
    defaults: || recurrent(identity),
    check: no_check,
    plays: |_| Ok(()),
    core: |context| Box::new(Recurrent::new(LstmCell::new, context)),
    outputs: Outputs::ActorCritic,
    learner: |context| Box::new(Ppo::new(context)),
};
