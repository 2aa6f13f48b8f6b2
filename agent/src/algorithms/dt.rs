//! Decision Transformer: supervised learning over a window of tokens, from episodes of chance.

use super::algorithm::Algorithm;
use super::defaults::{check_width, only_choices, sequences};
use super::family::Family;
use super::sections::Overrides;
use crate::hyper::{ConfigError, Hyperparameters};
use crate::learner::sequence::Sequences;
use crate::memory::attention::Width;
use crate::memory::attention::gtrxl::Heads;
use crate::memory::sequence::DecisionTransformer;
use crate::policy::decider::Decider;
use crate::policy::outputs::Outputs;

/// Decision Transformer: supervised learning over a window of tokens, from episodes of chance.
pub const ROW: Algorithm = Algorithm {
    id: "dt",
    title: "Decision Transformer",
    family: Family::Sequence,
    summary: "A transformer over returns-to-go, observations and actions that is asked for a return; learns from random episodes.",
    source: "Chen et al. 2021, arXiv:2106.01345",
    decider: Decider::Network,
    defaults: sequences,
    check: check_model,
    plays: only_choices,
    core: |context| Box::new(DecisionTransformer::new(context)),
    outputs: Outputs::Actor,
    learner: |context| Box::new(Sequences::new(context)),
};

pub(super) fn check_model(hyper: &mut Hyperparameters, _: &Overrides) -> Result<(), ConfigError> {
    let width = hyper.get::<Width>().model_width;
    check_width("model_width", width, hyper.get::<Heads>().memory_heads)
}
