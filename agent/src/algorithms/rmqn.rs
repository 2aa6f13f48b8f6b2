//! Q-learning over a memory network with a recurrent context.

use super::algorithm::Algorithm;
use super::defaults::{check_replay, q_learner};
use super::family::Family;
use crate::learner::q_learning::QLearning;
use crate::learner::settings::Replaying;
use crate::memory::attention::mqn::{Carrying, Mqn};
use crate::memory::attention::window::{Context, Window};
use crate::memory::attention::{Order, Width};
use crate::policy::decider::Decider;
use crate::policy::outputs::Outputs;

/// Q-learning over a memory network with a recurrent context.
pub const ROW: Algorithm = Algorithm {
    id: "rmqn",
    title: "RMQN",
    family: Family::Window,
    summary: "Q-learning over a memory network: an LSTM asks for one of the last inputs.",
    source: "Oh et al. 2016, arXiv:1605.09128",
    decider: Decider::Network,
    defaults: || {
        q_learner(|hyper| {
            hyper
                .with(Context::default())
                .with(Width::default())
                .with(Order::default())
                .with(Carrying::default())
        })
        .edited(|replaying: &mut Replaying| replaying.train_every = 64)
    },
    check: check_replay,
    plays: |_| Ok(()),
    core: |context| Box::new(Window::new(Mqn::recurrent, context)),
    outputs: Outputs::ActionValues,
    learner: |context| Box::new(QLearning::new(context)),
};
