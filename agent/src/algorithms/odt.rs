//! Online Decision Transformer: the same model, which learns from what it has played itself.

use super::algorithm::Algorithm;
use super::defaults::sequences;
use super::dt;
use crate::learner::sequence::{EntropyBound, Imitation, Play};
use crate::learner::settings::Replaying;

/// Online Decision Transformer: the same model, which learns from what it has played itself.
pub const ROW: Algorithm = Algorithm {
    id: "odt",
    title: "Online DT",
    summary: "A Decision Transformer that plays: its episodes are labelled with what they earned, and its entropy is kept up.",
    source: "Zheng et al. 2022, Online Decision Transformer, arXiv:2202.05607",
    defaults: || {
        sequences()
            .edited(|imitation: &mut Imitation| imitation.behaviour = Play::Policy)
            .edited(|replaying: &mut Replaying| {
                (replaying.replay_steps, replaying.train_every) = (10_000, 64);
            })
            .with(EntropyBound::default())
    },
    ..dt::ROW
};
