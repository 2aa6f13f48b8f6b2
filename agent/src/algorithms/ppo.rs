//! PPO without a memory.

use std::convert::identity;

use super::algorithm::Algorithm;
use super::defaults::{learner, no_check};
use super::family::Family;
use crate::experience::Collection;
use crate::learner::ppo::Ppo;
use crate::learner::settings::Optimiser;
use crate::memory::feedforward::Feedforward;
use crate::policy::decider::Decider;
use crate::policy::outputs::Outputs;

/// PPO with two hidden layers: the control of every memory.
pub const ROW: Algorithm = Algorithm {
    id: "ppo",
    title: "PPO",
    family: Family::Control,
    summary: "Proximal policy optimisation without any memory: the control.",
    source: "Schulman et al. 2017, arXiv:1707.06347; Huang et al. 2022, The 37 Implementation Details of PPO",
    decider: Decider::Network,
    defaults: || {
        learner(identity)
            .with(Collection {
                num_envs: 64,
                num_steps: 32,
                ..Collection::default()
            })
            .edited(|optimiser: &mut Optimiser| optimiser.anneal_lr = true)
    },
    check: no_check,
    plays: |_| Ok(()),
    core: |context| Box::new(Feedforward::new(context)),
    outputs: Outputs::ActorCritic,
    learner: |context| Box::new(Ppo::new(context)),
};
