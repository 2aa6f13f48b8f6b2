//! Defaults and checks that rows share.

use super::sections::Overrides;
use crate::experience::Collection;
use crate::hyper::{ConfigError, Hyperparameters};
use crate::learner::auxiliary::AuxiliaryLosses;
use crate::learner::exploration::ExplorationBonuses;
use crate::learner::ppo::PpoUpdate;
use crate::learner::stopping::Stopping;
use crate::memory::{Network, Slots};
use crate::policy::inputs::Inputs;

/// The sections of an algorithm that learns, in the order of the list. `memory` adds those of
/// its memory: [`identity`](std::convert::identity) for none.
pub fn learner(memory: fn(Hyperparameters) -> Hyperparameters) -> Hyperparameters {
    let hyper = Hyperparameters::new()
        .with(Inputs::default())
        .with(Collection::default())
        .with(PpoUpdate::default())
        .with(Stopping::default())
        .with(Network::default());
    memory(hyper)
        .with(AuxiliaryLosses::default())
        .with(ExplorationBonuses::default())
}

pub fn no_check(_: &mut Hyperparameters, _: &Overrides) -> Result<(), ConfigError> {
    Ok(())
}

/// The heads of an attention share the numbers of an entry evenly.
pub fn check_heads(hyper: &Hyperparameters, heads: usize) -> Result<(), ConfigError> {
    let Slots { mem_dim, .. } = hyper.get();
    if mem_dim.is_multiple_of(heads) {
        return Ok(());
    }
    Err(ConfigError::Heads { mem_dim, heads })
}
