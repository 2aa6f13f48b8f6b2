//! Q-learning over a memory network.

use super::algorithm::Algorithm;
use super::defaults::{check_replay, only_choices, q_learner};
use super::family::Family;
use crate::hyper::Hyperparameters;
use crate::learner::q_learning::QLearning;
use crate::learner::settings::Replaying;
use crate::memory::attention::mqn::Mqn;
use crate::memory::attention::window::{Context, Window};
use crate::memory::attention::{Order, Width};
use crate::policy::decider::Decider;
use crate::policy::outputs::Outputs;

/// Q-learning over a memory network.
pub const ROW: Algorithm = Algorithm {
    id: "mqn",
    title: "MQN",
    family: Family::Window,
    summary: "Q-learning over a memory network: the current input asks for one of the last.",
    source: "Oh et al. 2016, arXiv:1605.09128",
    decider: Decider::Network,
    defaults: || defaults(window),
    check: check_replay,
    plays: only_choices,
    core: |context| Box::new(Window::new(Mqn::plain, context)),
    outputs: Outputs::ActionValues,
    learner: |context| Box::new(QLearning::new(context)),
};

/// The sections of a memory Q-network; `memory` has those of its memory. It takes half as many optimiser steps as DRQN, each
/// of them dearer.
pub(super) fn defaults(memory: fn(Hyperparameters) -> Hyperparameters) -> Hyperparameters {
    q_learner(memory).edited(|replaying: &mut Replaying| replaying.train_every = 64)
}

/// Adds the sections of a window.
pub(super) fn window(hyper: Hyperparameters) -> Hyperparameters {
    hyper
        .with(Context::default())
        .with(Width::default())
        .with(Order::default())
}
