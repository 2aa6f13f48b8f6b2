//! TraceRL: PPO with a memory of slots.

use clap::ValueEnum;
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
use crate::memory::slots::{MemoryReader, MemoryScope, RetentionRule, SlotMemory, Steps};
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

/// Settings of how steps are kept and read.
const OF_READING: [&str; 7] = [
    "retention_rule",
    "memory_reader",
    "memory_compression",
    "slot_heads",
    "newest_match",
    "memory_controller",
    "age_phases",
];

/// Checks that nothing is set about how steps are kept and read, where there are none.
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

/// Returns whether a weight of the score-function term was set, so that it must not silently do nothing.
fn sets_score(overrides: &Overrides) -> bool {
    let set = overrides.steps.memory_score_coef;
    set.is_some_and(|coef| coef > 0.0)
}

/// Checks that a rule of retention and what it works with agree. The algorithm's own values give way to those that follow from the
/// rule; a value that was set must not silently do nothing.
fn check_rule(steps: &mut Steps, slots: &Slots, overrides: &Overrides) -> Result<(), ConfigError> {
    let rule = steps.retention_rule;
    let refused = |reason| {
        let name = rule.to_possible_value();
        let rule = name.map_or_else(String::new, |name| name.get_name().to_string());
        Err(ConfigError::RetentionRule { rule, reason })
    };
    let scored = matches!(rule, RetentionRule::Learned | RetentionRule::Ngc);
    if !scored {
        if sets_score(overrides) {
            return refused(
                "it would leave memory_score_coef without effect, the credit for drawn choices. Leave that out, or take learned or ngc",
            );
        }
        steps.memory_score_coef = 0.0;
    }
    match rule {
        RetentionRule::Learned => return Ok(()),
        RetentionRule::Fifo => {
            let set = overrides.steps.recent_entries;
            if set.is_some_and(|set| set != slots.max_entries) {
                return refused(
                    "all slots hold the latest entries, so that recent_entries would do nothing. Leave it out",
                );
            }
            steps.recent_entries = slots.max_entries;
            return Ok(());
        }
        _ => {}
    }
    if steps.recent_entries == slots.max_entries {
        return refused(
            "recent_entries = max_entries leaves no slot to compete for. Lower recent_entries, or take fifo",
        );
    }
    let is_plain = steps.memory_reader == MemoryReader::Attention && steps.memory_compression == 0;
    match rule {
        RetentionRule::AttentionMass if steps.recent_entries == 0 => refused(
            "an entry collects attention while it is one of the latest, and would go at once. Set recent_entries to 1 or more",
        ),
        RetentionRule::Trim | RetentionRule::Aler if !is_plain => refused(
            "it learns from how slots are read as they are. Leave memory_reader and memory_compression out",
        ),
        RetentionRule::Ngc | RetentionRule::Aler if steps.newest_match => refused(
            "it chooses among slots as they lie, not the newest first. Leave newest_match out",
        ),
        RetentionRule::Q if slots.memory_retention_coef <= 0.0 => {
            refused("it learns from a regression alone. Set memory_retention_coef above 0")
        }
        RetentionRule::Ngc if steps.memory_score_coef <= 0.0 => refused(
            "it learns from the returns of its choices alone. Set memory_score_coef above 0",
        ),
        _ => Ok(()),
    }
}

/// Checks a memory of steps, of episodes, or of both.
fn check_steps(hyper: &mut Hyperparameters, overrides: &Overrides) -> Result<(), ConfigError> {
    let mut steps: Steps = hyper.get();
    if steps.memory_scope != MemoryScope::Episode {
        check_heads(hyper, episodes::HEADS)?;
    }
    if steps.memory_scope == MemoryScope::Lifetime {
        // The algorithm's own value gives way; a value that was set must not silently do nothing.
        if sets_score(overrides) {
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
    check_rule(&mut steps, &hyper.get(), overrides)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::selection::EnvSelection;
    use crate::overrides;
    use crate::run::config::TrainConfig;

    fn resolved(overrides: &Overrides) -> Result<(Steps, Slots), String> {
        let env = EnvSelection {
            spec_id: "MemoryTask-v0".into(),
            kwargs: serde_json::Map::new(),
            draws: Vec::new(),
        };
        let config = TrainConfig::resolve(&ROW, overrides, env, 100_000, 0);
        let config = config.map_err(|error| error.to_string())?;
        Ok((config.hyper.get(), config.hyper.get()))
    }

    #[test]
    fn a_rule_takes_what_follows_from_it() {
        let (steps, slots) = resolved(&overrides! { retention_rule: "fifo" }).unwrap();
        assert_eq!((steps.recent_entries, slots.max_entries), (16, 16));
        assert_eq!(steps.memory_score_coef, 0.0);
        let (steps, _) = resolved(&overrides! { retention_rule: "ngc" }).unwrap();
        assert_eq!((steps.recent_entries, steps.memory_score_coef), (4, 1.0));
        let (steps, _) = resolved(&overrides! { retention_rule: "lru" }).unwrap();
        assert_eq!((steps.recent_entries, steps.memory_score_coef), (4, 0.0));
    }

    #[test]
    fn a_rule_that_does_not_go_with_the_rest_is_refused_with_the_way_out() {
        let refusals = [
            (
                overrides! { retention_rule: "lru", memory_score_coef: 0.5 },
                "take learned or ngc",
            ),
            (
                overrides! { retention_rule: "fifo", recent_entries: 3 },
                "recent_entries would do nothing",
            ),
            (
                overrides! { retention_rule: "reservoir", recent_entries: 16 },
                "Lower recent_entries, or take fifo",
            ),
            (
                overrides! { retention_rule: "attention-mass", recent_entries: 0 },
                "Set recent_entries to 1 or more",
            ),
            (
                overrides! { retention_rule: "trim", memory_reader: "graph" },
                "Leave memory_reader and memory_compression out",
            ),
            (
                overrides! { retention_rule: "aler", memory_compression: 2 },
                "Leave memory_reader and memory_compression out",
            ),
            (
                overrides! { retention_rule: "q", memory_retention_coef: 0.0 },
                "Set memory_retention_coef above 0",
            ),
            (
                overrides! { retention_rule: "ngc", memory_score_coef: 0.0 },
                "Set memory_score_coef above 0",
            ),
            (
                overrides! { retention_rule: "ngc", slot_heads: 2, newest_match: true },
                "Leave newest_match out",
            ),
            (
                overrides! { retention_rule: "aler", slot_heads: 2, newest_match: true },
                "Leave newest_match out",
            ),
            (
                overrides! { retention_rule: "fifo", memory_scope: "lifetime" },
                "retention_rule = fifo would do nothing",
            ),
        ];
        for (overrides, way_out) in refusals {
            let refusal = resolved(&overrides).unwrap_err();
            assert!(refusal.contains("retention_rule = "), "{refusal}");
            assert!(refusal.contains(way_out), "{refusal}");
        }
    }

    #[test]
    fn the_newest_match_needs_a_second_way_of_asking() {
        let (steps, _) = resolved(&overrides! { slot_heads: 2, newest_match: true }).unwrap();
        assert!(steps.newest_match);
        let refusal = resolved(&overrides! { newest_match: true }).unwrap_err();
        assert!(refusal.contains("set slot_heads = 2"), "{refusal}");
    }
}
