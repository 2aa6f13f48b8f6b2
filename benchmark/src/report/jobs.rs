//! The table of jobs: a line for each finished job, with its settings.

use agent::evaluate::Mode;
use serde::Serialize;

use super::parts::or_dash;
use crate::format::{fixed, seconds, thousands};
use crate::scores::summary::{ExperimentSummary, solved_at};

/// One finished job.
#[derive(Serialize)]
pub struct JobRow {
    agent: String,
    experiment: String,
    seed: u64,
    returns: Vec<String>,
    solved_at: String,
    duration_s: String,
    hyperparameters: String,
    hash: String,
    finished_at: String,
}

pub fn job_rows(summary: &ExperimentSummary<'_>) -> Vec<JobRow> {
    let delay = summary.experiment.delay();
    let rows = summary.agents.iter().flat_map(|agent| &agent.finished);
    rows.map(|(record, outcome)| JobRow {
        agent: record.agent.name.clone(),
        experiment: summary.title(),
        seed: record.seed,
        returns: Mode::ALL
            .map(|mode| {
                or_dash(outcome.evaluation(delay, mode), |judged| {
                    fixed(judged.mean_return, 3)
                })
            })
            .to_vec(),
        solved_at: or_dash(solved_at(record), thousands),
        duration_s: seconds(outcome.train_duration_s),
        hyperparameters: outcome
            .hyperparameters
            .iter()
            .map(|(name, value)| format!("{name} = {value}"))
            .collect::<Vec<_>>()
            .join(", "),
        hash: record.configuration_hash.clone(),
        finished_at: record.finished_at.clone(),
    })
    .collect()
}
