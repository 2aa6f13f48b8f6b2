//! The table of algorithms. The command line, the documents and the benchmark read it; a new memory architecture is a
//! file in `memory/` and a row here.

#[cfg(test)]
mod check;
pub mod sections;

use crate::experience::Collection;
use crate::hyper::{ConfigError, Hyperparameters};
use crate::learner::auxiliary::{AuxModule, AuxiliaryLosses};
use crate::learner::exploration::ExplorationBonuses;
use crate::learner::ppo::PpoUpdate;
use crate::learner::stopping::Stopping;
use crate::memory::attention::episodic_transformer::{self, Episodes, EpisodicTransformer};
use crate::memory::episodes;
use crate::memory::episodes::with_episodes::WithEpisodes;
use crate::memory::feedforward::Feedforward;
use crate::memory::none::Nothing;
use crate::memory::recurrent::lstm::Lstm;
use crate::memory::slots::{MemoryScope, SlotMemory, Steps};
use crate::memory::{CoreContext, MemoryCore, Network, Slots};
use crate::policy::decider::Decider;
use crate::policy::inputs::Inputs;

use self::sections::Overrides;

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
    /// Its hyper-parameters: one set for every task. The sections that they hold are the ones that it has.
    pub defaults: fn() -> Hyperparameters,
    /// Checks that values which are each in range agree with each other, and settles those that depend on others.
    pub check: fn(&mut Hyperparameters, &Overrides) -> Result<(), ConfigError>,
    /// Builds its memory, adding the memory's parameters to the context's.
    pub core: fn(&mut CoreContext<'_>) -> Box<dyn MemoryCore>,
}

impl Algorithm {
    /// Whether there is anything to learn.
    pub fn learns(&self) -> bool {
        self.decider == Decider::Network
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
        defaults: || {
            learner()
                .with(Collection {
                    num_envs: 64,
                    num_steps: 32,
                    ..Collection::default()
                })
                .with(PpoUpdate {
                    anneal_lr: true,
                    ..PpoUpdate::default()
                })
        },
        check: no_check,
        core: |context| Box::new(Feedforward::new(context)),
    },
    Algorithm {
        id: "recurrent-ppo",
        title: "RecurrentPPO",
        summary: "PPO over an LSTM, trained through whole stored sequences.",
        source: "Schulman et al. 2017, arXiv:1707.06347; Pleines et al. 2022, arXiv:2205.11104; Ni et al. 2022, arXiv:2110.05038",
        decider: Decider::Network,
        defaults: || {
            learner()
                .with(Collection {
                    num_envs: 64,
                    num_steps: 512,
                    whole_episodes: true,
                })
                .with(PpoUpdate {
                    learning_rate: 3e-3,
                    anneal_lr: true,
                    update_epochs: 5,
                    num_minibatches: 4,
                    gae_lambda: 0.3,
                    ..PpoUpdate::default()
                })
        },
        check: no_check,
        core: |context| Box::new(Lstm::new(context)),
    },
    Algorithm {
        id: "tracerl",
        title: "TraceRL",
        summary: "PPO with a memory of slots that learns what to keep and what to attend to, end to end.",
        source: "this project; the reference notebook's agent, reworked",
        decider: Decider::Network,
        defaults: || {
            slots(|hyper| {
                hyper.with(Steps {
                    memory_score_coef: 1.0,
                    ..Steps::default()
                })
            })
            .with(Collection {
                num_envs: 64,
                num_steps: 512,
                whole_episodes: true,
            })
            .with(PpoUpdate {
                learning_rate: 3e-3,
                anneal_lr: true,
                update_epochs: 6,
                num_minibatches: 8,
                gae_lambda: 0.3,
                ent_coef: 0.1,
                ..PpoUpdate::default()
            })
        },
        check: check_steps,
        core: |context| match context.hyper.get::<Steps>().memory_scope {
            MemoryScope::Episode => Box::new(SlotMemory::new(context)),
            MemoryScope::Lifetime => Box::new(WithEpisodes::new(
                Feedforward::new,
                relative_age(context),
                context,
            )),
            MemoryScope::Both => Box::new(WithEpisodes::new(
                SlotMemory::new,
                relative_age(context),
                context,
            )),
        },
    },
    Algorithm {
        id: "tracerl-notebook",
        title: "TraceRL (notebook)",
        summary: "The reference notebook's agent: a transformer over the episode and a lifetime memory of episodes.",
        source: "the reference notebook of this project",
        decider: Decider::Network,
        defaults: || {
            slots(|hyper| {
                hyper.with(Episodes {
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
        core: |context| Box::new(WithEpisodes::new(EpisodicTransformer::new, false, context)),
    },
    Algorithm {
        id: "random",
        title: "Random",
        summary: "Every action equally likely; learns nothing: the floor.",
        source: "the lower baseline of every benchmark",
        decider: Decider::Chance,
        defaults: player,
        check: no_check,
        core: |_| Box::new(Nothing),
    },
    Algorithm {
        id: "oracle",
        title: "Oracle",
        summary: "Knows every hidden draw; learns nothing: the ceiling. The server must allow it (--allow-oracle).",
        source: "the environments' own clairvoyant player",
        decider: Decider::Oracle,
        defaults: player,
        check: no_check,
        core: |_| Box::new(Nothing),
    },
];

/// The sections of an algorithm that learns, in the order of the list.
fn learner() -> Hyperparameters {
    Hyperparameters::new()
        .with(Inputs::default())
        .with(Collection::default())
        .with(PpoUpdate::default())
        .with(Stopping::default())
        .with(Network::default())
        .with(AuxiliaryLosses::default())
        .with(ExplorationBonuses::default())
}

/// The sections of a learner with a memory of slots, in the order of the list; `own` adds the memory's own after them.
fn slots(own: fn(Hyperparameters) -> Hyperparameters) -> Hyperparameters {
    let hyper = Hyperparameters::new()
        .with(Inputs::default())
        .with(Collection::default())
        .with(PpoUpdate::default())
        .with(Stopping::default())
        .with(Network::default())
        .with(Slots::default());
    own(hyper)
        .with(AuxiliaryLosses::default())
        .with(ExplorationBonuses::default())
}

/// The hyper-parameters of a player that does not learn: how many environments it plays, and for how long between two
/// reports.
fn player() -> Hyperparameters {
    Hyperparameters::new().with(Collection {
        num_envs: 64,
        ..Collection::default()
    })
}

fn relative_age(context: &CoreContext<'_>) -> bool {
    context.hyper.get::<Steps>().relative_age
}

fn no_check(_: &mut Hyperparameters, _: &Overrides) -> Result<(), ConfigError> {
    Ok(())
}

/// The heads of an attention share the numbers of an entry evenly.
fn check_heads(hyper: &Hyperparameters, heads: usize) -> Result<(), ConfigError> {
    let Slots { mem_dim, .. } = hyper.get();
    if mem_dim.is_multiple_of(heads) {
        return Ok(());
    }
    Err(ConfigError::Heads { mem_dim, heads })
}

/// Checks a memory of steps, of episodes, or of both.
fn check_steps(hyper: &mut Hyperparameters, overrides: &Overrides) -> Result<(), ConfigError> {
    let mut steps: Steps = hyper.get();
    if steps.memory_scope != MemoryScope::Episode {
        check_heads(hyper, episodes::HEADS)?;
    }
    if steps.memory_scope == MemoryScope::Lifetime {
        // The algorithm's own value gives way; a value that was set must not silently do nothing.
        if overrides
            .steps
            .memory_score_coef
            .is_some_and(|coef| coef > 0.0)
        {
            return Err(ConfigError::ScoreWithoutSteps {
                memory_score_coef: steps.memory_score_coef,
            });
        }
        steps.memory_score_coef = 0.0;
    }
    let Slots { max_entries, .. } = hyper.get();
    if steps.recent_entries > max_entries {
        return Err(ConfigError::MoreRecentThanSlots {
            recent_entries: steps.recent_entries,
            max_entries,
        });
    }
    *hyper = std::mem::take(hyper).with(steps);
    Ok(())
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
