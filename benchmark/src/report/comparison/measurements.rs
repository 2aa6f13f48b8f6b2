//! The measurements that the other tables link to.

use std::fmt::Write as _;

use agent::evaluate::Mode;

use super::super::markdown::{header_lines, table_line};
use super::cells::{NOT_MEASURED, anchor};
use super::found::Comparison;
use crate::format::compact;
use crate::scores::summary::AgentSummary;

/// Writes the table: a line for each row on each task that has records.
pub(super) fn table(comparison: &Comparison<'_>) -> String {
    let header = [
        "measurement",
        "seeds",
        "budget",
        "greedy",
        "scrambled",
        "emptied",
        "verdict",
        "commit",
    ];
    let mut text = header_lines(&header.map(str::to_owned));
    let tasks = comparison.plan.experiments.iter();
    let found = tasks.flat_map(|task| {
        let rows = comparison
            .plan
            .agents
            .iter()
            .filter(move |row| row.runs(task));
        rows.filter_map(move |row| comparison.finished(task, row))
    });
    let mut is_empty = true;
    for agent in found {
        is_empty = false;
        text.push_str(&table_line(&measurement(agent)));
    }
    if is_empty {
        let _ = writeln!(text, "| {NOT_MEASURED} |{}", "  |".repeat(header.len() - 1));
    }
    text
}

fn measurement(agent: &AgentSummary<'_>) -> [String; 8] {
    let judged = |mode| {
        let estimate = agent.estimate(mode);
        estimate.map_or_else(|| "–".to_owned(), |judged| judged.to_string())
    };
    let mut commits: Vec<&str> = agent
        .finished
        .iter()
        .map(|(record, _)| &record.commit[..record.commit.len().min(7)])
        .collect();
    commits.sort_unstable();
    commits.dedup();
    let anchor = anchor(agent);
    [
        format!(
            "<a id=\"{anchor}\"></a>`{}` on {}",
            agent.agent.name, agent.experiment.name
        ),
        agent.finished.len().to_string(),
        compact(agent.experiment.total_timesteps as f64),
        judged(Mode::Greedy),
        judged(Mode::Scrambled),
        judged(Mode::Emptied),
        agent.verdict().name().to_owned(),
        commits.join(", "),
    ]
}
