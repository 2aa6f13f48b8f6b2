//! PPO over Gated Transformer-XL.

use super::algorithm::Algorithm;
use super::defaults::{check_width, recurrent};
use super::family::Family;
use super::sections::Overrides;
use crate::hyper::{ConfigError, Hyperparameters};
use crate::learner::ppo::Ppo;
use crate::memory::Layers;
use crate::memory::attention::Width;
use crate::memory::attention::gtrxl::{Gtrxl, Heads};
use crate::memory::attention::window::Context;
use crate::policy::decider::Decider;
use crate::policy::outputs::Outputs;

/// PPO over Gated Transformer-XL.
pub const ROW: Algorithm = Algorithm {
    id: "gtrxl",
    title: "GTrXL",
    family: Family::Window,
    summary: "PPO over a gated transformer: layers of attention over the last steps, with gates that begin nearly closed.",
    source: "Parisotto et al. 2020, arXiv:1910.06764; Dai et al. 2019, arXiv:1901.02860",
    decider: Decider::Network,
    defaults: || {
        recurrent(|hyper| {
            hyper
                .with(Context::default())
                .with(Width::default())
                .with(Layers::default())
                .with(Heads::default())
        })
    },
    check: check_model,
    plays: |_| Ok(()),
    core: |context| Box::new(Gtrxl::new(context)),
    outputs: Outputs::ActorCritic,
    learner: |context| Box::new(Ppo::new(context)),
};

fn check_model(hyper: &mut Hyperparameters, _: &Overrides) -> Result<(), ConfigError> {
    let width = hyper.get::<Width>().model_width;
    check_width("model_width", width, hyper.get::<Heads>().memory_heads)
}
