//! PPO over an end-to-end memory network.

use super::algorithm::Algorithm;
use super::defaults::{no_check, recurrent};
use super::family::Family;
use crate::learner::ppo::Ppo;
use crate::memory::attention::memn2n::{Hops, MemN2n};
use crate::memory::attention::window::{Context, Window};
use crate::memory::attention::{Order, Width};
use crate::policy::decider::Decider;
use crate::policy::outputs::Outputs;

/// PPO over an end-to-end memory network.
pub const ROW: Algorithm = Algorithm {
    id: "memn2n",
    title: "MemN2N",
    family: Family::Window,
    summary: "PPO over a memory network: reads of the last observations, each asked by what the one before has found.",
    source: "Sukhbaatar et al. 2015, arXiv:1503.08895; Oh et al. 2016, arXiv:1605.09128",
    decider: Decider::Network,
    defaults: || {
        recurrent(|hyper| {
            hyper
                .with(Context::default())
                .with(Width::default())
                .with(Hops::default())
                .with(Order::default())
        })
    },
    check: no_check,
    plays: |_| Ok(()),
    core: |context| Box::new(Window::new(MemN2n::new, context)),
    outputs: Outputs::ActorCritic,
    learner: |context| Box::new(Ppo::new(context)),
};
