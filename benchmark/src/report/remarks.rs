//! Failures of rows and notes on rows.

use serde::Serialize;

use crate::records::Record;
use crate::scores::summary::ExperimentSummary;

/// A remark on one row.
#[derive(Serialize)]
pub struct Remark {
    agent: String,
    experiment: String,
    seed: u64,
    text: String,
}

pub fn failures(summary: &ExperimentSummary<'_>) -> Vec<Remark> {
    let failed = summary.agents.iter().flat_map(|agent| &agent.failed);
    failed
        .map(|record| remark(summary, record, record.failure().unwrap_or_default()))
        .collect()
}

pub fn notes(summary: &ExperimentSummary<'_>) -> Vec<Remark> {
    let finished = summary.agents.iter().flat_map(|agent| &agent.finished);
    finished
        .flat_map(|(record, outcome)| {
            let notes = outcome.notes.iter();
            notes.map(|note| remark(summary, record, note))
        })
        .collect()
}

fn remark(summary: &ExperimentSummary<'_>, record: &Record, text: &str) -> Remark {
    Remark {
        agent: record.agent.name.clone(),
        experiment: summary.title(),
        seed: record.seed,
        text: text.to_owned(),
    }
}
