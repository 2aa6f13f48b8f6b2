//! PPO over recurrent independent mechanisms.

use super::algorithm::Algorithm;
use super::defaults::recurrent;
use super::family::Family;
use super::sections::Overrides;
use crate::hyper::{ConfigError, Hyperparameters};
use crate::learner::ppo::Ppo;
use crate::memory::Network;
use crate::memory::recurrent::cell::Recurrent;
use crate::memory::recurrent::rims::{Modules, RimsCell};
use crate::policy::decider::Decider;
use crate::policy::outputs::Outputs;

/// PPO over recurrent independent mechanisms.
pub const ROW: Algorithm = Algorithm {
    id: "rims",
    title: "RIMs",
    family: Family::Recurrent,
    summary: "PPO over recurrent independent mechanisms: small LSTMs that compete for the input.",
    source: "Goyal et al. 2021, arXiv:1909.10893",
    decider: Decider::Network,
    defaults: || recurrent(|hyper| hyper.with(Modules::default())),
    check,
    plays: |_| Ok(()),
    core: |context| Box::new(Recurrent::new(RimsCell::new, context)),
    outputs: Outputs::ActorCritic,
    learner: |context| Box::new(Ppo::new(context)),
};

/// The modules share the hidden units evenly, and no more of them are active than there are.
fn check(hyper: &mut Hyperparameters, _: &Overrides) -> Result<(), ConfigError> {
    let Network { hidden_size } = hyper.get();
    let Modules {
        modules,
        active_modules,
    } = hyper.get();
    if !hidden_size.is_multiple_of(modules) {
        return Err(ConfigError::Modules {
            hidden_size,
            modules,
        });
    }
    if active_modules > modules {
        return Err(ConfigError::ActiveModules {
            active_modules,
            modules,
        });
    }
    Ok(())
}
