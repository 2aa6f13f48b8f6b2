//! PPO over the last frames.

use super::algorithm::Algorithm;
use super::defaults::{no_check, recurrent};
use super::family::Family;
use crate::learner::ppo::Ppo;
use crate::memory::attention::frame_stack::FrameStack;
use crate::memory::attention::window::{Context, Window};
use crate::policy::decider::Decider;
use crate::policy::outputs::Outputs;

/// PPO over the last frames side by side.
pub const ROW: Algorithm = Algorithm {
    id: "frame-stack",
    title: "FrameStack",
    family: Family::Window,
    summary: "PPO over the last frames side by side: the simplest memory, and a control for longer ones.",
    source: "Mnih et al. 2015, Nature 518; Schulman et al. 2017, arXiv:1707.06347",
    decider: Decider::Network,
    defaults: || recurrent(|hyper| hyper.with(Context { memory_window: 4 })),
    check: no_check,
    plays: |_| Ok(()),
    core: |context| Box::new(Window::new(FrameStack::new, context)),
    outputs: Outputs::ActorCritic,
    learner: |context| Box::new(Ppo::new(context)),
};
