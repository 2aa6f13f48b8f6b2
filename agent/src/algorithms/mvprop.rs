//! PPO over MVProp.

use super::algorithm::Algorithm;
use super::defaults::{learner, no_check};
use super::family::Family;
use crate::experience::Collection;
use crate::learner::ppo::{Ppo, PpoUpdate};
use crate::learner::settings::Optimiser;
use crate::memory::Network;
use crate::memory::spatial::mvprop::{MvProp, Planning};
use crate::policy::decider::Decider;
use crate::policy::outputs::Outputs;

/// PPO over MVProp.
pub const ROW: Algorithm = Algorithm {
    id: "mvprop",
    title: "MVProp",
    family: Family::Spatial,
    summary: "PPO over a planner: on a map of all that was seen, rewards spread from cell to cell.",
    source: "Nardelli et al. 2019, Value Propagation Networks, arXiv:1805.11199",
    decider: Decider::Network,
    defaults: || {
        learner(|hyper| hyper.with(Planning::default()))
            .with(Network { hidden_size: 16 })
            .with(Collection {
                num_envs: 64,
                num_steps: 32,
                ..Collection::default()
            })
            .edited(|optimiser: &mut Optimiser| {
                (optimiser.learning_rate, optimiser.anneal_lr) = (5e-3, true);
            })
            .with(PpoUpdate {
                num_minibatches: 16,
                ent_coef: 1e-3,
                ..PpoUpdate::default()
            })
    },
    check: no_check,
    plays: |encoder| MvProp::plays(encoder.columns()),
    core: |context| Box::new(MvProp::new(context)),
    outputs: Outputs::ActorCritic,
    learner: |context| Box::new(Ppo::new(context)),
};
