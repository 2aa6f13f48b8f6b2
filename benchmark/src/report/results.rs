//! The table of results: a line for each agent on each experiment.

use agent::evaluate::Mode;
use serde::Serialize;

use super::parts::{Colours, badge, or_dash};
use crate::format::{fixed, seconds, thousands};
use crate::scores::reference::needs_memory;
use crate::scores::statistics::Estimate;
use crate::scores::summary::{AgentSummary, ExperimentSummary};

/// One agent on one experiment, over seeds.
#[derive(Serialize)]
pub struct TableRow {
    experiment: String,
    /// Whether this is an experiment's first row: the table draws a rule above it.
    first: bool,
    agent: String,
    badge: Option<&'static str>,
    class: String,
    seeds: usize,
    returns: Vec<ReturnCell>,
    /// Greedy return minus emptied return.
    gap: ReturnCell,
    memory_score: ReturnCell,
    interquartile_mean: String,
    std_return: String,
    remembering: String,
    steps_to_solve: String,
    trained_steps: String,
    steps_per_s: String,
    duration_s: String,
    parameters: String,
}

/// A mean over seeds, with its interval below.
#[derive(Serialize)]
struct ReturnCell {
    mean: String,
    interval: Option<String>,
}

pub fn table_rows(summary: &ExperimentSummary<'_>, colours: &Colours) -> Vec<TableRow> {
    let row = |(index, agent): (usize, &AgentSummary<'_>)| TableRow {
        experiment: summary.title(),
        first: index == 0,
        agent: agent.agent.name.clone(),
        badge: badge(agent),
        class: colours.class(&agent.agent.name).to_owned(),
        seeds: agent.finished.len(),
        returns: Mode::ALL
            .map(|mode| return_cell(agent.estimate(mode)))
            .into(),
        gap: return_cell(agent.gap()),
        memory_score: return_cell(agent.memory_score()),
        interquartile_mean: or_dash(agent.estimate(Mode::Greedy), |e| {
            fixed(e.interquartile_mean, 2)
        }),
        std_return: or_dash(agent.std_return(), |std| fixed(std, 2)),
        remembering: or_dash(
            agent.gap().filter(|_| needs_memory(agent.experiment)),
            |_| format!("{} of {}", agent.remembering_seeds(), agent.finished.len()),
        ),
        steps_to_solve: or_dash(agent.median_steps_to_solve(), |steps| {
            thousands(steps.round() as u64)
        }),
        trained_steps: or_dash(agent.trained_steps(), |steps| {
            thousands(steps.round() as u64)
        }),
        steps_per_s: or_dash(agent.steps_per_s(), |rate| thousands(rate.round() as u64)),
        duration_s: or_dash(agent.train_duration_s(), seconds),
        parameters: or_dash(agent.parameters(), |count| thousands(count as u64)),
    };
    summary.agents.iter().enumerate().map(row).collect()
}

fn return_cell(judged: Option<Estimate>) -> ReturnCell {
    let interval = judged.map(|judged| judged.interval);
    ReturnCell {
        mean: or_dash(judged, |judged| fixed(judged.mean, 2)),
        interval: interval.map(|(low, high)| format!("{} to {}", fixed(low, 2), fixed(high, 2))),
    }
}
