//! bsuite's own scores of its memory experiments, as bsuite 0.3.5 and 0.3.6 define them
//! (`bsuite/experiments/memory_len/analysis.py`; Osband et al. 2020, arXiv:1908.03568).
//!
//! bsuite judges all of training, 10,000 episodes. A setting's regret ratio is the share of wrong
//! answers divided by one half, the share that guessing gets wrong. The score is the share of
//! settings whose ratio is below 0.75.

use std::ops::RangeInclusive;

use crate::plan::Experiment;
use crate::records::outcome::TrainingTally;
use crate::scores::statistics::mean;
use crate::scores::summary::{AgentSummary, ExperimentSummary};

/// Regret ratio below which a setting counts as learned.
pub const LEARNING_THRESHOLD: f64 = 0.75;

/// Share of episodes that guessing gets wrong, whatever the setting.
const BASE_RATE: f64 = 0.5;

/// Number of training episodes that bsuite judges.
const NUM_EPISODES: u64 = 10_000;

const ONE_TO_TEN: RangeInclusive<u64> = 1..=10;
const UP_TO_25: [u64; 5] = [12, 14, 17, 20, 25];

/// One of bsuite's two memory experiments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sweep {
    /// One bit, held for more and more steps.
    MemoryLen,
    /// More and more bits, held for one step.
    MemorySize,
}

impl Sweep {
    /// Both experiments.
    pub const ALL: [Self; 2] = [Self::MemoryLen, Self::MemorySize];

    /// Returns bsuite's name of the experiment.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MemoryLen => "memory_len",
            Self::MemorySize => "memory_size",
        }
    }

    /// Returns the environment's argument that is varied.
    pub const fn argument(self) -> &'static str {
        match self {
            Self::MemoryLen => "memory_length",
            Self::MemorySize => "num_bits",
        }
    }

    /// Returns the values of that argument, ascending.
    pub fn settings(self) -> Vec<u64> {
        let tens = match self {
            Self::MemoryLen => 30..=100,
            Self::MemorySize => 30..=40,
        };
        ONE_TO_TEN.chain(UP_TO_25).chain(tens.step_by(10)).collect()
    }

    /// Returns the setting that an experiment stands for; `None` if it is not of this sweep or does
    /// not train as bsuite asks.
    pub fn setting(self, experiment: &Experiment) -> Option<u64> {
        let number = |name: &str, default| {
            let given = experiment.kwargs.get(name);
            given.map_or(Some(default), serde_json::Value::as_u64)
        };
        let (spec_id, fixed) = match self {
            Self::MemoryLen => ("BsuiteMemoryLen-v0", number("num_bits", 1)? == 1),
            Self::MemorySize => ("BsuiteMemorySize-v0", number("memory_length", 2)? == 2),
        };
        let setting = experiment.kwargs.get(self.argument())?.as_u64()?;
        let is_one = experiment.spec_id == spec_id && fixed && !experiment.early_stop;
        (is_one && self.settings().contains(&setting)).then_some(setting)
    }
}

/// One agent's score and the ratios behind it.
#[derive(Debug, Clone, PartialEq)]
pub struct BsuiteScore {
    /// Share of the settings that were learned, among the settings that ran.
    pub score: f64,
    /// Pairs of setting and regret ratio, settings ascending.
    pub ratios: Vec<(u64, f64)>,
}

/// Returns an agent's score over the settings that it has rows of; `None` when it has none.
pub fn score(
    sweep: Sweep,
    agent: &str,
    summaries: &[ExperimentSummary<'_>],
) -> Option<BsuiteScore> {
    let ratio_of = |summary: &ExperimentSummary<'_>| {
        let setting = sweep.setting(summary.experiment)?;
        let rows = summary.agents.iter().find(|row| row.agent.name == agent)?;
        Some((setting, regret_ratio(rows)?))
    };
    let mut ratios: Vec<(u64, f64)> = summaries.iter().filter_map(ratio_of).collect();
    ratios.sort_by_key(|(setting, _)| *setting);
    let learned = ratios
        .iter()
        .filter(|(_, ratio)| *ratio < LEARNING_THRESHOLD)
        .count();
    (!ratios.is_empty()).then(|| BsuiteScore {
        score: learned as f64 / ratios.len() as f64,
        ratios,
    })
}

/// Returns the mean over seeds, without seeds that trained for more episodes than bsuite.
fn regret_ratio(rows: &AgentSummary<'_>) -> Option<f64> {
    mean(&rows.values(|outcome| outcome.training.and_then(ratio_of_training)))
}

/// Returns the regret ratio of one training. An episode pays 1 for the right answer and −1 for the
/// wrong one.
fn ratio_of_training(tally: TrainingTally) -> Option<f64> {
    let episodes = tally.episodes as f64;
    let wrong = (episodes - tally.return_sum) / 2.0;
    (1..=NUM_EPISODES)
        .contains(&tally.episodes)
        .then(|| wrong / BASE_RATE / episodes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use crate::plan::{Plan, Suite};
    use crate::records::{Record, RowResult};
    use crate::scores::summary::summarize;

    fn record(length: u64, seed: u64, episodes: u64, return_sum: f64) -> Record {
        let mut record = fixtures::record_on(
            ("len", "BsuiteMemoryLen-v0"),
            &[("memory_length", length.into())],
            "x",
            seed,
            [0.0; 3],
        );
        record.experiment.early_stop = false;
        if let RowResult::Finished(outcome) = &mut record.result {
            outcome.training = Some(TrainingTally {
                episodes,
                return_sum,
                best_epoch: None,
            });
        }
        record
    }

    #[test]
    fn ratios_by_hand() {
        let ratio = |episodes, return_sum| {
            ratio_of_training(TrainingTally {
                episodes,
                return_sum,
                best_epoch: None,
            })
        };
        // 10,000 episodes with a mean return of 0: half of the answers are wrong, as with guessing.
        assert_eq!(ratio(10_000, 0.0), Some(1.0));
        // 3 of 8 episodes wrong: a return of 5 − 3, and 3/8 over 1/2.
        assert_eq!(ratio(8, 2.0), Some(0.75));
        assert_eq!(ratio(100, 100.0), Some(0.0));
        assert_eq!((ratio(0, 0.0), ratio(10_001, 0.0)), (None, None));
    }

    #[test]
    fn a_score_is_the_share_of_settings_below_the_threshold() {
        let records = [
            record(20, 0, 8, 2.0),     // 0.75: not below
            record(3, 0, 100, 100.0),  // 0
            record(3, 1, 100, 0.0),    // 1, so 0.5 over seeds
            record(11, 0, 100, 100.0), // no setting of bsuite's
        ];
        let summaries = summarize(&records, &fixtures::plan());
        let found = score(Sweep::MemoryLen, "x", &summaries).unwrap();
        assert_eq!(found.ratios, [(3, 0.5), (20, 0.75)]);
        assert_eq!(found.score, 0.5);
        assert_eq!(score(Sweep::MemorySize, "x", &summaries), None);
        assert_eq!(score(Sweep::MemoryLen, "y", &summaries), None);
    }

    #[test]
    fn the_suite_has_every_setting_and_bsuites_episodes() {
        let plan = Plan::suite(Suite::Bsuite).unwrap();
        for (sweep, count) in [(Sweep::MemoryLen, 23), (Sweep::MemorySize, 17)] {
            let planned: Vec<u64> = plan
                .experiments
                .iter()
                .filter_map(|experiment| sweep.setting(experiment))
                .collect();
            assert_eq!(planned, sweep.settings());
            assert_eq!(planned.len(), count);
        }
        for experiment in &plan.experiments {
            let length = &experiment.kwargs["memory_length"];
            let steps = length.as_u64().unwrap() + 1;
            assert_eq!(experiment.total_timesteps, NUM_EPISODES * steps);
        }
    }
}
