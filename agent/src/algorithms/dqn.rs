//! Q-learning without a memory.

use std::convert::identity;

use super::algorithm::Algorithm;
use super::defaults::{check_replay, only_choices, q_learner};
use super::family::Family;
use crate::learner::q_learning::QLearning;
use crate::memory::feedforward::Feedforward;
use crate::policy::decider::Decider;
use crate::policy::outputs::Outputs;

/// Q-learning without a memory.
pub const ROW: Algorithm = Algorithm {
    id: "dqn",
    title: "DQN",
    family: Family::Control,
    summary: "Q-learning without any memory: the control of rows that learn action values.",
    source: "Mnih et al. 2015, doi:10.1038/nature14236; van Hasselt et al. 2016, arXiv:1509.06461",
    decider: Decider::Network,
    defaults: || q_learner(identity),
    check: check_replay,
    plays: only_choices,
    core: |context| Box::new(Feedforward::new(context)),
    outputs: Outputs::ActionValues,
    learner: |context| Box::new(QLearning::new(context)),
};
