//! The agent of the reference notebook.

use super::algorithm::Algorithm;
use crate::hyper::{AuxModule, Hyperparameters, Part};
use crate::learner::ppo::Ppo;
use crate::memory::attention::episodic_transformer::EpisodicTransformer;
use crate::memory::episodes::with_episodes::WithEpisodes;
use crate::policy::decider::Decider;
use crate::policy::outputs::Outputs;

/// The agent of the reference notebook.
pub const ROW: Algorithm = Algorithm {
    id: "tracerl-notebook",
    title: "TraceRL (notebook)",
    summary: "The reference notebook's agent: a transformer over the episode and a lifetime memory of episodes.",
    source: "the reference notebook of this project",
    decider: Decider::Network,
    parts: &[
        Part::Inputs,
        Part::Collection,
        Part::Learner,
        Part::Network,
        Part::Slots,
        Part::Episodes,
        Part::Extras,
    ],
    defaults: || Hyperparameters {
        num_envs: 1,
        num_steps: 4_096,
        whole_episodes: true,
        update_epochs: 1,
        num_minibatches: 1,
        // An update sees one episode: normalising would take away whether it was a good one.
        norm_adv: false,
        context_length: 256,
        aux_modules: vec![
            AuxModule::Cue,
            AuxModule::Confidence,
            AuxModule::NextObservation,
        ],
        intrinsic_expl: true,
        relative_age: false,
        ..Hyperparameters::base()
    },
    core: |context| Box::new(WithEpisodes::new(EpisodicTransformer::new, context)),
    outputs: Outputs::ActorCritic,
    learner: |context| Box::new(Ppo::new(context)),
};
