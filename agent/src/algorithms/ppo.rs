//! PPO without a memory.

use super::algorithm::Algorithm;
use crate::hyper::{Hyperparameters, Part};
use crate::learner::ppo::Ppo;
use crate::memory::feedforward::Feedforward;
use crate::policy::decider::Decider;
use crate::policy::outputs::Outputs;

/// PPO with two hidden layers: the control of every memory.
pub const ROW: Algorithm = Algorithm {
    id: "ppo",
    title: "PPO",
    summary: "Proximal policy optimisation without any memory: the control.",
    source: "Schulman et al. 2017, arXiv:1707.06347; Huang et al. 2022, The 37 Implementation Details of PPO",
    decider: Decider::Network,
    parts: &[
        Part::Inputs,
        Part::Collection,
        Part::Learner,
        Part::Network,
        Part::Extras,
    ],
    defaults: || Hyperparameters {
        num_envs: 64,
        num_steps: 32,
        anneal_lr: true,
        ..Hyperparameters::base()
    },
    core: |context| Box::new(Feedforward::new(context)),
    outputs: Outputs::ActorCritic,
    learner: |context| Box::new(Ppo::new(context)),
};
