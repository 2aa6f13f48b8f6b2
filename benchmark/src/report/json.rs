//! Rows as JSON (`--json`): a line for each finished row.

use agent::evaluate::Mode;
use serde::Serialize;

use crate::format::speed;
use crate::records::Record;
use crate::scores::statistics::Measured;
use crate::scores::summary::{solved_at, verdict_of};

/// A row as JSON. Numbers that a failed or partial row lacks are `null`.
#[derive(Debug, Serialize)]
struct Row<'a> {
    agent: &'a str,
    experiment: &'a str,
    /// The delay of training and evaluation.
    delay: Option<u64>,
    /// `EASY` or `HARD`.
    mode: Option<&'static str>,
    /// 0 for `EASY`, 1 for `HARD`.
    difficulty: Option<u64>,
    seed: u64,
    /// Mean return of the greedy evaluation.
    mean_return: Option<f64>,
    /// Standard deviation over the episodes of the greedy evaluation.
    std_return: Option<f64>,
    /// Standard error of `mean_return`: the standard deviation over the root of the number of
    /// episodes.
    standard_error: Option<f64>,
    episodes: Option<u64>,
    scrambled_return: Option<f64>,
    scrambled_standard_error: Option<f64>,
    emptied_return: Option<f64>,
    emptied_standard_error: Option<f64>,
    /// The verdict on this seed's evaluations.
    verdict: &'static str,
    /// Mean return from which the task counts as solved, and the steps after which the last 100
    /// training episodes first reached it.
    solved_threshold: Option<f64>,
    solved_at: Option<u64>,
    trained_steps: Option<u64>,
    /// `null` if training took less than a second, too short to measure speed.
    steps_per_s: Option<f64>,
    /// Seconds of training.
    duration_s: Option<f64>,
    /// Whether the agent is an external program; left out if it is not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    external: bool,
    /// Remarks without which the numbers could mislead.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    notes: &'a [String],
    /// Reason why the agent cannot play the task; only in such rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_applicable: Option<&'a str>,
    /// Reason of the failure; only in failed rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

/// Writes the record as JSON in one line, without a line break at the end.
pub fn row(record: &Record) -> String {
    let outcome = record.outcome();
    let delay = record.experiment.delay();
    let evaluation = |mode| outcome.and_then(|outcome| outcome.evaluation(delay, mode));
    let greedy = evaluation(Mode::Greedy);
    let error = |mode| evaluation(mode).map(|judged| Measured::from_record(judged).standard_error);
    let row = Row {
        agent: &record.agent.name,
        experiment: &record.experiment.name,
        delay,
        mode: record.experiment.mode(),
        difficulty: record.experiment.difficulty(),
        seed: record.seed,
        mean_return: greedy.map(|judged| judged.mean_return),
        std_return: greedy.map(|judged| judged.std_return),
        standard_error: error(Mode::Greedy),
        episodes: greedy.map(|judged| judged.episodes),
        scrambled_return: evaluation(Mode::Scrambled).map(|judged| judged.mean_return),
        scrambled_standard_error: error(Mode::Scrambled),
        emptied_return: evaluation(Mode::Emptied).map(|judged| judged.mean_return),
        emptied_standard_error: error(Mode::Emptied),
        verdict: verdict_of(record).name(),
        solved_threshold: outcome.and_then(|outcome| outcome.solved_threshold),
        solved_at: solved_at(record),
        trained_steps: outcome.map(|outcome| outcome.trained_steps),
        steps_per_s: outcome
            .and_then(|outcome| speed(outcome.steps_per_s, outcome.train_duration_s)),
        duration_s: outcome.map(|outcome| outcome.train_duration_s),
        external: record.agent.external.is_some(),
        notes: outcome.map_or(&[], |outcome| &outcome.notes),
        not_applicable: record.not_applicable(),
        error: record.failure(),
    };
    serde_json::to_string(&row).expect("a row has only strings and numbers")
}

#[cfg(test)]
mod tests {
    use crate::fixtures;

    #[test]
    fn rows() {
        let finished = super::row(&fixtures::record("tracerl", 4, 1, 0));
        let failed = super::row(&fixtures::failed_record("ppo", 16, 0, 3, "no server"));
        let outside = super::row(&fixtures::external_record("mine", 0.5, &["a note"]));
        insta::assert_snapshot!(format!("{finished}\n{failed}\n{outside}"));
    }
}
