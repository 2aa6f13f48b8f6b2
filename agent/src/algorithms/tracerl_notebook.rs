//! The agent of the reference notebook.

use super::algorithm::Algorithm;
use super::defaults::{check_heads, learner};
use super::family::Family;
use crate::experience::Collection;
use crate::learner::auxiliary::{AuxModule, AuxiliaryLosses};
use crate::learner::exploration::ExplorationBonuses;
use crate::learner::ppo::{Ppo, PpoUpdate};
use crate::memory::Slots;
use crate::memory::attention::episodic_transformer::{self, Episodes, EpisodicTransformer};
use crate::memory::episodes::with_episodes::WithEpisodes;
use crate::policy::decider::Decider;
use crate::policy::outputs::Outputs;

/// The agent of the reference notebook.
pub const ROW: Algorithm = Algorithm {
    id: "tracerl-notebook",
    title: "TraceRL (notebook)",
    family: Family::Retentive,
    summary: "The reference notebook's agent: a transformer over the episode and a lifetime memory of episodes.",
    source: "the reference notebook of this project",
    decider: Decider::Network,
    defaults: || {
        learner(|hyper| {
            hyper.with(Slots::default()).with(Episodes {
                context_length: 256,
            })
        })
        .with(Collection {
            num_envs: 1,
            num_steps: 4_096,
            whole_episodes: true,
        })
        .with(PpoUpdate {
            update_epochs: 1,
            num_minibatches: 1,
            // An update sees one episode: normalising would take away whether it was a good one.
            norm_adv: false,
            ..PpoUpdate::default()
        })
        .with(AuxiliaryLosses {
            aux_modules: vec![
                AuxModule::Cue,
                AuxModule::Confidence,
                AuxModule::NextObservation,
            ],
            ..AuxiliaryLosses::default()
        })
        .with(ExplorationBonuses {
            intrinsic_expl: true,
            ..ExplorationBonuses::default()
        })
    },
    check: |hyper, _| check_heads(hyper, episodic_transformer::HEADS),
    plays: |_| Ok(()),
    core: |context| Box::new(WithEpisodes::new(EpisodicTransformer::new, false, context)),
    outputs: Outputs::ActorCritic,
    learner: |context| Box::new(Ppo::new(context)),
};
