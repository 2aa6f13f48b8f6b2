//! The table of algorithms. The command line, the documents and the benchmark read it; a new memory architecture is a
//! file in `memory/` and a row here.

#[cfg(test)]
mod check;

use crate::hyper::{AuxModule, ConfigError, HyperparameterRow, Hyperparameters, MemoryScope, Part};
use crate::memory::attention::episodic_transformer::EpisodicTransformer;
use crate::memory::episodes::with_episodes::WithEpisodes;
use crate::memory::feedforward::Feedforward;
use crate::memory::none::Nothing;
use crate::memory::recurrent::lstm::Lstm;
use crate::memory::slots::SlotMemory;
use crate::memory::{CoreContext, MemoryCore};
use crate::policy::decider::Decider;

/// A row: what an algorithm is, and what it is made of.
pub struct Algorithm {
    /// Id on the command line, in records and in file names.
    pub id: &'static str,
    /// Its name in tables.
    pub title: &'static str,
    /// What it is, in a sentence.
    pub summary: &'static str,
    /// Where it comes from.
    pub source: &'static str,
    /// Who chooses its actions.
    pub decider: Decider,
    /// The parts it has; they decide which hyper-parameters it takes.
    pub parts: &'static [Part],
    /// Its hyper-parameters: one set for every task.
    pub defaults: fn() -> Hyperparameters,
    /// Builds its memory, adding the memory's parameters to the context's.
    pub core: fn(&mut CoreContext<'_>) -> Box<dyn MemoryCore>,
}

impl Algorithm {
    /// Whether there is anything to learn.
    pub fn learns(&self) -> bool {
        self.decider == Decider::Network
    }

    /// Returns the hyper-parameters that the algorithm has, in the order of their table.
    pub fn hyperparameters(&self) -> impl Iterator<Item = HyperparameterRow> {
        let rows = Hyperparameters::table().into_iter();
        rows.filter(|row| self.parts.contains(&row.part))
    }
}

/// All algorithms, in the order in which they are shown.
pub const ALGORITHMS: &[Algorithm] = &[
    Algorithm {
        id: "ppo",
        title: "PPO",
        summary: "Proximal policy optimisation without any memory: the control.",
        source: "Schulman et al. 2017, arXiv:1707.06347; Huang et al. 2022, The 37 Implementation Details of PPO",
        decider: Decider::Network,
        parts: &[
            Part::Inputs,
            Part::Collection,
            Part::Learner,
            Part::Network,
            Part::Extras,
        ],
        defaults: || Hyperparameters {
            num_envs: 64,
            num_steps: 32,
            anneal_lr: true,
            ..Hyperparameters::base()
        },
        core: |context| Box::new(Feedforward::new(context)),
    },
    Algorithm {
        id: "recurrent-ppo",
        title: "RecurrentPPO",
        summary: "PPO over an LSTM, trained through whole stored sequences.",
        source: "Schulman et al. 2017, arXiv:1707.06347; Pleines et al. 2022, arXiv:2205.11104; Ni et al. 2022, arXiv:2110.05038",
        decider: Decider::Network,
        parts: &[
            Part::Inputs,
            Part::Collection,
            Part::Learner,
            Part::Network,
            Part::Extras,
        ],
        defaults: || Hyperparameters {
            num_envs: 64,
            num_steps: 512,
            whole_episodes: true,
            learning_rate: 3e-3,
            anneal_lr: true,
            update_epochs: 5,
            num_minibatches: 4,
            gae_lambda: 0.3,
            ..Hyperparameters::base()
        },
        core: |context| Box::new(Lstm::new(context)),
    },
    Algorithm {
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
    },
    Algorithm {
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
    },
    Algorithm {
        id: "random",
        title: "Random",
        summary: "Every action equally likely; learns nothing: the floor.",
        source: "the lower baseline of every benchmark",
        decider: Decider::Chance,
        parts: &[Part::Collection],
        defaults: player,
        core: |_| Box::new(Nothing),
    },
    Algorithm {
        id: "oracle",
        title: "Oracle",
        summary: "Knows every hidden draw; learns nothing: the ceiling. The server must allow it (--allow-oracle).",
        source: "the environments' own clairvoyant player",
        decider: Decider::Oracle,
        parts: &[Part::Collection],
        defaults: player,
        core: |_| Box::new(Nothing),
    },
];

/// The hyper-parameters of who does not learn: how many environments it plays, and for how long between two reports.
fn player() -> Hyperparameters {
    Hyperparameters {
        num_envs: 64,
        num_minibatches: 1,
        early_stop: false,
        ..Hyperparameters::base()
    }
}

/// The rows that learn.
pub fn learners() -> impl Iterator<Item = &'static Algorithm> {
    ALGORITHMS.iter().filter(|row| row.learns())
}

/// The row with this id.
///
/// # Errors
/// Names the ids there are.
pub fn find(id: &str) -> Result<&'static Algorithm, ConfigError> {
    ALGORITHMS
        .iter()
        .find(|row| row.id == id)
        .ok_or_else(|| ConfigError::UnknownAlgorithm {
            name: id.into(),
            meant: env_protocol::hint(id, ALGORITHMS.iter().map(|row| row.id)),
            known: ids(),
        })
}

/// The ids of all rows, for messages.
pub fn ids() -> String {
    ALGORITHMS
        .iter()
        .map(|row| row.id)
        .collect::<Vec<_>>()
        .join(", ")
}
