//! PPO over an LSTM.

use std::convert::identity;

use super::algorithm::Algorithm;
use super::defaults::{learner, no_check};
use crate::experience::Collection;
use crate::learner::ppo::{Ppo, PpoUpdate};
use crate::memory::recurrent::cell::Recurrent;
use crate::memory::recurrent::lstm::LstmCell;
use crate::policy::decider::Decider;
use crate::policy::outputs::Outputs;

/// PPO over an LSTM.
pub const ROW: Algorithm = Algorithm {
    id: "recurrent-ppo",
    title: "RecurrentPPO",
    summary: "PPO over an LSTM, trained through whole stored sequences.",
    source: "Schulman et al. 2017, arXiv:1707.06347; Pleines et al. 2022, arXiv:2205.11104; Ni et al. 2022, arXiv:2110.05038",
    decider: Decider::Network,
    defaults: || {
        learner(identity)
            .with(Collection {
                num_envs: 64,
                num_steps: 512,
                whole_episodes: true,
            })
            .with(PpoUpdate {
                learning_rate: 3e-3,
                anneal_lr: true,
                update_epochs: 5,
                num_minibatches: 4,
                gae_lambda: 0.3,
                ..PpoUpdate::default()
            })
    },
    check: no_check,
    core: |context| Box::new(Recurrent::new(LstmCell::new, context)),
    outputs: Outputs::ActorCritic,
    learner: |context| Box::new(Ppo::new(context)),
};
