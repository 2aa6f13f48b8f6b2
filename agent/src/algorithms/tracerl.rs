//! TraceRL: PPO with a memory of slots.

use serde_json::Value;

use super::algorithm::Algorithm;
use super::defaults::{check_heads, learner};
use super::family::Family;
use super::sections::Overrides;
use crate::experience::Collection;
use crate::hyper::{ConfigError, Hyperparameters};
use crate::learner::ppo::{Ppo, PpoUpdate};
use crate::learner::settings::Optimiser;
use crate::memory::episodes;
use crate::memory::episodes::with_episodes::WithEpisodes;
use crate::memory::feedforward::Feedforward;
use crate::memory::slots::{MemoryScope, SlotMemory, Steps};
use crate::memory::{CoreContext, Slots};
use crate::policy::decider::Decider;
use crate::policy::outputs::Outputs;

/// TraceRL.
pub const ROW: Algorithm = Algorithm {
    id: "tracerl",
    title: "TraceRL",
    family: Family::Retentive,
    summary: "PPO with a memory of slots that learns what to keep and what to attend to, end to end.",
    source: "this project; the reference notebook's agent, reworked",
    decider: Decider::Network,
    defaults: || {
        learner(|hyper| {
            hyper.with(Slots::default()).with(Steps {
                memory_score_coef: 1.0,
                ..Steps::default()
            })
        })
        .with(Collection {
            num_envs: 64,
            num_steps: 512,
            whole_episodes: true,
        })
        .edited(|optimiser: &mut Optimiser| {
            (optimiser.learning_rate, optimiser.anneal_lr) = (3e-3, true);
        })
        .with(PpoUpdate {
            update_epochs: 6,
            num_minibatches: 8,
            gae_lambda: 0.3,
            ent_coef: 0.1,
            ..PpoUpdate::default()
        })
    },
    check: check_steps,
    plays: |_| Ok(()),
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
    outputs: Outputs::ActorCritic,
    learner: |context| Box::new(Ppo::new(context)),
};

fn relative_age(context: &CoreContext<'_>) -> bool {
    context.hyper.get::<Steps>().relative_age
}

/// Settings of how steps are read.
const OF_READING: [&str; 6] = [
    "memory_reader",
    "memory_compression",
    "slot_heads",
    "newest_match",
    "memory_controller",
    "age_phases",
];

/// Checks that nothing is set about how steps are read, where none are kept.
fn check_reading(steps: &Steps) -> Result<(), ConfigError> {
    let values = |steps| Hyperparameters::new().with(steps).to_map();
    let (set, plain) = (values(steps.clone()), values(Steps::default()));
    let Some(name) = OF_READING.iter().find(|&&name| set[name] != plain[name]) else {
        return Ok(());
    };
    let value = match &set[*name] {
        Value::String(choice) => choice.clone(),
        value => value.to_string(),
    };
    let setting = format!("{name} = {value}");
    Err(ConfigError::ReadingWithoutSteps { setting })
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
        check_reading(&steps)?;
    }
    if steps.age_phases && !steps.relative_age {
        return Err(ConfigError::PhasesWithoutAges);
    }
    if steps.newest_match && steps.slot_heads == 1 {
        return Err(ConfigError::NewestMatchWithoutHeads);
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
