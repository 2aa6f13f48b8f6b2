//! MERLIN: PPO over a memory that learns by prediction.

use super::algorithm::Algorithm;
use super::defaults::{no_check, recurrent};
use super::family::Family;
use crate::hyper::Hyperparameters;
use crate::learner::ppo::Ppo;
use crate::memory::predictive::{Merlin, Predictive};
use crate::memory::{Network, Writes};
use crate::policy::decider::Decider;
use crate::policy::outputs::Outputs;

/// MERLIN.
pub const ROW: Algorithm = Algorithm {
    id: "merlin",
    title: "MERLIN",
    family: Family::Predictive,
    summary: "PPO over a memory that learns by predicting what is seen, not from what is rewarded.",
    source: "Wayne et al. 2018, arXiv:1803.10760",
    decider: Decider::Network,
    defaults: || {
        defaults(Predictive {
            reconstruct_starts: true,
            ..Predictive::default()
        })
    },
    check: no_check,
    plays: |_| Ok(()),
    core: |context| Box::new(Merlin::new(context)),
    outputs: Outputs::ActorCritic,
    learner: |context| Box::new(Ppo::new(context)),
};

/// Returns the defaults with these values of the memory's own.
pub(super) fn defaults(predictive: Predictive) -> Hyperparameters {
    recurrent(|hyper| hyper.with(Writes::default()).with(Predictive::default()))
        .with(Network { hidden_size: 32 })
        .with(predictive)
}
