//! The table of results: scores, steps to solve, and cost.

use agent::evaluate::Mode;

use super::super::markdown::{header_lines, table_line};
use super::cells::linked;
use super::found::Comparison;
use crate::format::{compact, fixed, thousands};
use crate::plan::{AgentRow, Experiment};
use crate::scores::statistics::Estimate;
use crate::scores::summary::AgentSummary;
use crate::scores::verdict::Verdict;

/// Writes the table: a line for each algorithm.
pub(super) fn table(comparison: &Comparison<'_>) -> String {
    let delays: Vec<String> = comparison
        .delay_tasks()
        .map(|(delay, _)| delay.to_string())
        .collect();
    let delays = delays.join(" / ");
    let mut header = vec!["algorithm".to_owned()];
    header.extend(
        comparison
            .plan
            .experiments
            .iter()
            .map(|task| task.name.clone()),
    );
    header.push("parameters".to_owned());
    header.push(format!("bytes a lane at delay {delays}"));
    header.push(format!("steps/s at delay {delays}"));
    let mut text = header_lines(&header);
    for row in comparison.rows() {
        let mut line = vec![format!("`{}`", row.name)];
        let tasks = comparison.plan.experiments.iter();
        line.extend(tasks.map(|task| score_cell(comparison, task, row)));
        let number = |count: usize| thousands(count as u64);
        line.push(by_delay(comparison, row, |agent| {
            agent.parameters().map(number)
        }));
        line.push(by_delay(comparison, row, |agent| {
            agent.memory_bytes().map(number)
        }));
        let rate = |rate: f64| thousands(rate.round() as u64);
        line.push(by_delay(comparison, row, |agent| {
            agent.steps_per_s().map(rate)
        }));
        text.push_str(&table_line(&line));
    }
    text
}

/// Writes a score with its interval and the steps to solve the task.
fn score_cell(comparison: &Comparison<'_>, task: &Experiment, row: &AgentRow) -> String {
    let Some(agent) = comparison.find(task, row) else {
        return comparison.missing(row).to_owned();
    };
    let Some(score) = Estimate::from_seeds(&agent.scores(Mode::Greedy)) else {
        return agent.verdict().name().to_owned();
    };
    let (low, high) = score.interval;
    let mark = match agent.verdict() {
        Verdict::Remembers => "**",
        Verdict::UsesMemory => "*",
        _ => "",
    };
    let mean = linked(&format!("{mark}{}{mark}", fixed(score.mean, 2)), agent);
    let solved = agent.median_steps_to_solve();
    let solved = solved.map_or_else(String::new, |steps| format!(", {}", compact(steps)));
    format!("{mean} ({} to {}){solved}", fixed(low, 2), fixed(high, 2))
}

/// Writes a quantity at each delay; only once if it is always the same.
fn by_delay(
    comparison: &Comparison<'_>,
    row: &AgentRow,
    of: impl Fn(&AgentSummary<'_>) -> Option<String>,
) -> String {
    let values: Vec<Option<String>> = comparison
        .delay_tasks()
        .map(|(_, task)| comparison.finished(task, row).and_then(&of))
        .collect();
    let known: Vec<&String> = values.iter().flatten().collect();
    match known.first() {
        None => comparison.missing(row).to_owned(),
        Some(first) if known.len() == values.len() && known.iter().all(|x| x == first) => {
            (*first).clone()
        }
        Some(_) => {
            let or_dash = |value: &Option<String>| value.clone().unwrap_or_else(|| "–".into());
            values.iter().map(or_dash).collect::<Vec<_>>().join(" / ")
        }
    }
}
