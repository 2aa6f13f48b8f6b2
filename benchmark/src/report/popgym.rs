//! POPGym's measure of our rows, the mean return of the best epoch (MMER), beside published rows.

use agent::evaluate::Mode;
use serde::Serialize;

use super::markdown::{header_lines, table_line};
use super::parts::Colours;
use crate::format::fixed;
use crate::plan::Plan;
use crate::records::Record;
use crate::scores::quoted::{Kind, QuotedResult, quoted};
use crate::scores::statistics::{Estimate, Measured};
use crate::scores::summary::{AgentSummary, ExperimentSummary, summarize};

/// The section of a report.
#[derive(Serialize)]
pub struct Popgym {
    /// Names of our rows, in the order of the cells.
    agents: Vec<String>,
    tasks: Vec<TaskRow>,
    sources: Vec<SourceRow>,
}

/// One task.
#[derive(Serialize)]
struct TaskRow {
    task: String,
    /// The best recurrent network that is quoted.
    best_recurrent: String,
    /// All that is quoted.
    quoted: String,
    cells: Vec<String>,
    finals: Vec<String>,
}

/// A source of quoted rows.
#[derive(Serialize)]
struct SourceRow {
    title: String,
    note: String,
}

/// Returns the section, if the run has rows with such a measure on tasks of the suite.
pub fn section(summaries: &[ExperimentSummary<'_>], colours: &Colours) -> Option<Popgym> {
    let agents = &colours.names;
    let tasks = task_rows(summaries, agents);
    (!tasks.is_empty()).then(|| Popgym {
        agents: agents.clone(),
        tasks,
        sources: sources(),
    })
}

/// Writes the tables of docs/popgym.md: our rows and the quoted ones, then final scores and controls.
pub fn markdown(records: &[Record], plan: &Plan) -> String {
    let agents: Vec<String> = plan.agents.iter().map(|row| row.name.clone()).collect();
    let tasks = task_rows(&summarize(records, plan), &agents);
    let header = |first: &[&str]| {
        let names = agents.iter().map(|name| format!("`{name}`"));
        let first = first.iter().map(|&name| name.to_owned());
        header_lines(&first.chain(names).collect::<Vec<_>>())
    };
    let mut text = header(&["task", "best recurrent, quoted"]);
    for row in &tasks {
        let first = [row.task.clone(), row.best_recurrent.clone()];
        text += &table_line(&[&first, &row.cells[..]].concat());
    }
    text.push('\n');
    text += &header(&["task"]);
    for row in &tasks {
        text += &table_line(&[std::slice::from_ref(&row.task), &row.finals[..]].concat());
    }
    text
}

fn task_rows(summaries: &[ExperimentSummary<'_>], agents: &[String]) -> Vec<TaskRow> {
    let rows = summaries
        .iter()
        .filter_map(|summary| task_row(summary, agents));
    rows.collect()
}

fn sources() -> Vec<SourceRow> {
    let row = |source: &crate::scores::quoted::Source| SourceRow {
        title: source.title.clone(),
        note: source.note.clone(),
    };
    quoted().sources.iter().map(row).collect()
}

/// Returns a task's row; `None` where no row of ours has the measure, or the task is not the suite's.
fn task_row(summary: &ExperimentSummary<'_>, agents: &[String]) -> Option<TaskRow> {
    let task = &summary.experiment.name;
    let best = quoted().best_recurrent(task)?;
    let cell = |name: &String| {
        summary
            .agent(name)
            .and_then(best_epoch)
            .unwrap_or_else(|| "–".to_owned())
    };
    let cells: Vec<String> = agents.iter().map(cell).collect();
    let is_known = cells.iter().any(|cell| cell != "–");
    let finals = agents
        .iter()
        .map(|name| summary.agent(name).map_or_else(|| "–".to_owned(), finals));
    is_known.then(|| TaskRow {
        task: task.clone(),
        best_recurrent: cited(best),
        quoted: quoted()
            .of_task(task)
            .map(cited)
            .collect::<Vec<_>>()
            .join("; "),
        cells,
        finals: finals.collect(),
    })
}

/// Writes a quoted number, with its agent; a policy's mean return is marked.
fn cited(result: &QuotedResult) -> String {
    let mark = match result.kind {
        Kind::Mmer => "",
        Kind::Final => "*",
    };
    let deviation = result.deviation.map_or_else(String::new, |deviation| {
        format!(" ± {}", fixed(deviation, 3))
    });
    format!(
        "{} {}{deviation}{mark}",
        result.agent,
        fixed(result.value, 3)
    )
}

/// Writes the mean over seeds of the best epoch's mean return, with its interval.
fn best_epoch(agent: &AgentSummary<'_>) -> Option<String> {
    let seeds = agent.values(|outcome| outcome.training?.best_epoch);
    let exact = |mean: f64| Measured {
        mean,
        standard_error: 0.0,
    };
    let seeds: Vec<Measured> = seeds.into_iter().map(exact).collect();
    let estimate = Estimate::from_seeds(&seeds)?;
    let mean = fixed(estimate.mean, 3);
    let (low, high) = estimate.interval;
    Some(match seeds.len() {
        1 => mean,
        _ => format!("{mean} ({} to {})", fixed(low, 3), fixed(high, 3)),
    })
}

/// Writes the final policy's mean returns: greedy, sampled, and with the memory emptied.
fn finals(agent: &AgentSummary<'_>) -> String {
    let modes = [Mode::Greedy, Mode::Sampled, Mode::Emptied];
    let mean = |mode| {
        let estimate = agent.estimate(mode);
        estimate.map_or_else(|| "–".to_owned(), |known| fixed(known.mean, 2))
    };
    modes.map(mean).join(" / ")
}
