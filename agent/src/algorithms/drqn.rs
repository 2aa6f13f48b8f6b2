//! Q-learning over a long short-term memory.

use std::convert::identity;

use super::algorithm::Algorithm;
use super::defaults::{check_replay, only_choices, q_learner};
use super::family::Family;
use crate::learner::q_learning::QLearning;
use crate::memory::recurrent::cell::Recurrent;
use crate::memory::recurrent::lstm::LstmCell;
use crate::policy::decider::Decider;
use crate::policy::outputs::Outputs;

/// Q-learning over a long short-term memory.
pub const ROW: Algorithm = Algorithm {
    id: "drqn",
    title: "DRQN",
    family: Family::Recurrent,
    summary: "Q-learning over an LSTM, from replayed episodes, with a target network.",
    source: "Hausknecht & Stone 2015, arXiv:1507.06527; Kapturowski et al. 2019 (R2D2)",
    decider: Decider::Network,
    defaults: || q_learner(identity),
    check: check_replay,
    plays: only_choices,
    core: |context| Box::new(Recurrent::new(LstmCell::new, context)),
    outputs: Outputs::ActionValues,
    learner: |context| Box::new(QLearning::new(context)),
};
