//! TraceRL: PPO with a memory of slots.

use super::algorithm::Algorithm;
use crate::hyper::{Hyperparameters, MemoryScope, Part};
use crate::learner::ppo::Ppo;
use crate::memory::episodes::with_episodes::WithEpisodes;
use crate::memory::feedforward::Feedforward;
use crate::memory::slots::SlotMemory;
use crate::policy::decider::Decider;
use crate::policy::outputs::Outputs;

/// TraceRL.
pub const ROW: Algorithm = Algorithm {
    id: "tracerl",
    title: "TraceRL",
    summary: "PPO with a memory of slots that learns what to keep and what to attend to, end to end.",
    source: "this project; the reference notebook's agent, reworked",
    decider: Decider::Network,
    parts: &[
        Part::Inputs,
        Part::Collection,
        Part::Learner,
        Part::Network,
        Part::Slots,
        Part::Steps,
        Part::Extras,
    ],
    defaults: || Hyperparameters {
        num_envs: 64,
        num_steps: 512,
        whole_episodes: true,
        learning_rate: 3e-3,
        anneal_lr: true,
        update_epochs: 6,
        num_minibatches: 8,
        gae_lambda: 0.3,
        memory_score_coef: 1.0,
        ent_coef: 0.1,
        ..Hyperparameters::base()
    },
    core: |context| match context.hyper.memory_scope {
        MemoryScope::Episode => Box::new(SlotMemory::new(context)),
        MemoryScope::Lifetime => Box::new(WithEpisodes::new(Feedforward::new, context)),
        MemoryScope::Both => Box::new(WithEpisodes::new(SlotMemory::new, context)),
    },
    outputs: Outputs::ActorCritic,
    learner: |context| Box::new(Ppo::new(context)),
};
