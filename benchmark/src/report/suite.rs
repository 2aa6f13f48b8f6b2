//! Several kinds of task: normalised scores for each task, and aggregates over tasks.

use agent::evaluate::Mode;
use serde::Serialize;

use super::markdown::{header_lines, table_line};
use super::parts::{Colours, GridCell, grid_cell};
use super::svg::{Anchor, Panel, Scale, Svg};
use crate::error::Error;
use crate::format::{compact, fixed};
use crate::plan::Plan;
use crate::records::Record;
use crate::scores::aggregate::{
    Aggregate, aggregate_iqm, performance_profile, probability_of_improvement,
};
use crate::scores::reference::Reference;
use crate::scores::statistics::Estimate;
use crate::scores::summary::{AgentSummary, ExperimentSummary, summarize};

/// Lowest score in the figures; lower ones stand at the edge.
const LOWEST: f64 = -0.25;
/// Highest score in the figures.
const HIGHEST: f64 = 1.1;
/// Distance between thresholds of the performance profile.
const THRESHOLD_STEP: f64 = 0.025;

/// Width of the figure of scores, and of the names on its left, in its own units.
const WIDTH: f64 = 760.0;
const NAMES: f64 = 170.0;
/// Height of a task's row in that figure.
const ROW: f64 = 26.0;

/// The section for a run over several kinds of task.
#[derive(Serialize)]
pub struct Suite {
    tasks: Vec<TaskRow>,
    columns: Vec<Column>,
    scores: String,
    profile: Option<String>,
    /// Number of tasks in the aggregates.
    aggregated: usize,
    /// Tasks that the aggregates leave out: they have no scale, or lack a finished run of some
    /// agent.
    left_out: Vec<String>,
}

/// One task: a line of the table.
#[derive(Serialize)]
struct TaskRow {
    name: String,
    spec_id: String,
    arguments: String,
    budget: String,
    random: String,
    /// Return of the best player that sees only the last observation.
    memoryless: String,
    best: String,
    /// Whether `best` belongs to a clairvoyant player.
    is_bound: bool,
    cells: Vec<Option<ScoreCell>>,
}

/// One agent on one task.
#[derive(Serialize)]
struct ScoreCell {
    score: String,
    interval: Option<String>,
    verdict: GridCell,
}

/// One agent: a column of the table, and a line of the aggregates.
#[derive(Serialize)]
struct Column {
    name: String,
    class: String,
    tuned: bool,
    iqm: Option<AggregateCell>,
    /// Probability of improvement over each agent in the order of the columns; `None` for the agent
    /// itself.
    improvement: Vec<Option<AggregateCell>>,
}

#[derive(Serialize)]
struct AggregateCell {
    value: String,
    interval: Option<String>,
}

/// Returns the section, if the experiments have more than one kind of task.
pub fn section(summaries: &[ExperimentSummary<'_>], colours: &Colours) -> Option<Suite> {
    let first = &summaries.first()?.experiment.spec_id;
    if summaries
        .iter()
        .all(|task| task.experiment.spec_id == *first)
    {
        return None;
    }
    let names = colours.names.iter();
    let compared: Vec<&String> = names.filter(|name| is_compared(name, summaries)).collect();
    let (aggregated, left_out): (Vec<_>, Vec<_>) = summaries
        .iter()
        .partition(|summary| is_comparable(summary, &compared));
    // agents × tasks × runs; no runs of an agent that is not compared
    let scores: Vec<Vec<Vec<f64>>> = colours
        .names
        .iter()
        .map(|name| match compared.contains(&name) {
            true => aggregated.iter().map(|task| scores(task, name)).collect(),
            false => vec![Vec::new(); aggregated.len()],
        })
        .collect();
    let columns = colours.names.iter().enumerate();
    Some(Suite {
        tasks: summaries
            .iter()
            .map(|task| task_row(task, colours))
            .collect(),
        columns: columns
            .map(|(index, name)| column(name, index, &scores, summaries, colours))
            .collect(),
        scores: scores_figure(summaries, colours),
        profile: (!aggregated.is_empty()).then(|| profile_figure(&scores, colours)),
        aggregated: aggregated.len(),
        left_out: left_out
            .iter()
            .map(|task| task.experiment.name.clone())
            .collect(),
    })
}

/// Writes the scores as tables: each task's, with the means over seeds and their least and greatest; then the interquartile means
/// and probabilities of improvement over all of them.
///
/// # Errors
/// When the run has one kind of task.
pub fn markdown(records: &[Record], plan: &Plan) -> Result<String, Error> {
    let summaries = summarize(records, plan);
    let suite = section(&summaries, &Colours::new(&summaries)).ok_or_else(no_scores)?;
    let names: Vec<String> = suite
        .columns
        .iter()
        .map(|column| format!("`{}`", column.name))
        .collect();
    let line = |first: &[&str], cells: &[String]| {
        let first = first.iter().map(|&cell| cell.to_owned());
        first.chain(cells.iter().cloned()).collect::<Vec<_>>()
    };
    let mut text = header_lines(&line(&["task"], &names));
    for task in &summaries {
        let cells: Vec<String> = suite
            .columns
            .iter()
            .map(|column| spread(&scores(task, &column.name)))
            .collect();
        text += &table_line(&line(&[&task.experiment.name], &cells));
    }
    text.push('\n');
    text += &header_lines(&line(&["", "interquartile mean"], &names));
    for (column, name) in suite.columns.iter().zip(&names) {
        let improvement: Vec<String> = column
            .improvement
            .iter()
            .map(|over| cell(over.as_ref()))
            .collect();
        text += &table_line(&line(&[name, &cell(column.iqm.as_ref())], &improvement));
    }
    Ok(text)
}

fn no_scores() -> Error {
    Error::PlanContent {
        place: "--format".to_owned(),
        reason:
            "the run has one kind of task, and no scores over several; `markdown` has its returns"
                .to_owned(),
    }
}

/// Writes a value with its interval.
fn cell(aggregate: Option<&AggregateCell>) -> String {
    let Some(AggregateCell { value, interval }) = aggregate else {
        return "–".to_owned();
    };
    let interval = interval.as_ref().map(|interval| format!(" ({interval})"));
    format!("{value}{}", interval.unwrap_or_default())
}

/// Writes the mean of runs, with the least and the greatest where these differ.
fn spread(runs: &[f64]) -> String {
    let (Some(least), Some(greatest)) = (
        runs.iter().copied().reduce(f64::min),
        runs.iter().copied().reduce(f64::max),
    ) else {
        return "–".to_owned();
    };
    let mean = fixed(runs.iter().sum::<f64>() / runs.len() as f64, 2);
    let (least, greatest) = (fixed(least, 2), fixed(greatest, 2));
    match least == greatest {
        true => mean,
        false => format!("{mean} ({least} to {greatest})"),
    }
}

/// Returns whether an agent is in the aggregates: it can play every task, and is not a variant of another agent, which
/// runs some tasks only.
fn is_compared(name: &str, summaries: &[ExperimentSummary<'_>]) -> bool {
    let mut rows = summaries.iter().filter_map(|task| task.agent(name));
    rows.all(|row| row.not_applicable.is_none() && row.agent.variant.is_none())
}

/// Returns whether a task has a scale and a run of every agent in the aggregates.
fn is_comparable(task: &ExperimentSummary<'_>, compared: &[&String]) -> bool {
    Reference::from_experiment(task.experiment).is_some()
        && compared.iter().all(|name| !scores(task, name).is_empty())
}

fn scores(task: &ExperimentSummary<'_>, name: &str) -> Vec<f64> {
    let scores = task
        .agent(name)
        .map_or_else(Vec::new, |agent| agent.scores(Mode::Greedy));
    scores.iter().map(|score| score.mean).collect()
}

fn task_row(task: &ExperimentSummary<'_>, colours: &Colours) -> TaskRow {
    let reference = Reference::from_experiment(task.experiment);
    let dash = || "–".to_owned();
    let arguments = task.experiment.kwargs.iter();
    TaskRow {
        name: task.experiment.name.clone(),
        spec_id: task.experiment.spec_id.clone(),
        arguments: arguments
            .map(|(name, value)| format!("{name} = {value}"))
            .collect::<Vec<_>>()
            .join(", "),
        budget: compact(task.experiment.total_timesteps as f64),
        random: reference.map_or_else(dash, |known| fixed(known.random, 2)),
        memoryless: reference
            .and_then(|known| known.memoryless)
            .map_or_else(dash, |earned| fixed(earned, 2)),
        best: reference.map_or_else(dash, |known| fixed(known.best, 2)),
        is_bound: reference.is_some_and(|known| known.is_bound),
        cells: colours
            .names
            .iter()
            .map(|name| task.agent(name).map(score_cell))
            .collect(),
    }
}

fn score_cell(agent: &AgentSummary<'_>) -> ScoreCell {
    let score = Estimate::from_seeds(&agent.scores(Mode::Greedy));
    ScoreCell {
        score: score.map_or_else(|| "–".to_owned(), |score| fixed(score.mean, 2)),
        interval: score.map(|score| range(score.interval)),
        verdict: grid_cell(agent),
    }
}

fn column(
    name: &str,
    index: usize,
    scores: &[Vec<Vec<f64>>],
    summaries: &[ExperimentSummary<'_>],
    colours: &Colours,
) -> Column {
    let rows: Vec<_> = summaries
        .iter()
        .filter_map(|task| task.agent(name))
        .collect();
    let has_runs = |agent: usize| scores[agent].iter().all(|runs| !runs.is_empty());
    let against = |other: usize| {
        let is_pair = other != index && has_runs(index) && has_runs(other);
        is_pair.then(|| probability_of_improvement(&scores[index], &scores[other]))?
    };
    Column {
        name: name.to_owned(),
        class: colours.class(name).to_owned(),
        tuned: rows.iter().any(|row| row.agent.tuned),
        iqm: aggregate_iqm(&scores[index]).map(aggregate_cell),
        improvement: (0..scores.len())
            .map(|other| against(other).map(aggregate_cell))
            .collect(),
    }
}

fn aggregate_cell(aggregate: Aggregate) -> AggregateCell {
    AggregateCell {
        value: fixed(aggregate.value, 2),
        interval: aggregate.interval.map(range),
    }
}

fn range((low, high): (f64, f64)) -> String {
    format!("{} to {}", fixed(low, 2), fixed(high, 2))
}

/// Draws a row for each task with a dot for each agent, and its interval over seeds as a whisker.
fn scores_figure(summaries: &[ExperimentSummary<'_>], colours: &Colours) -> String {
    let bottom = ROW * summaries.len() as f64 + 6.0;
    let mut svg = Svg::new(WIDTH, bottom + 22.0);
    let x = Scale::linear((LOWEST, HIGHEST), (NAMES, WIDTH - 12.0));
    for tick in x.ticks() {
        let class = if tick == 0.0 { "chance" } else { "grid" };
        svg.line(class, (x.at(tick), 4.0), (x.at(tick), bottom));
        let place = (x.at(tick), bottom + 14.0);
        svg.text("tick", place, Anchor::Middle, &fixed(tick, 1));
    }
    for (index, task) in summaries.iter().enumerate() {
        let middle = ROW * (index as f64 + 0.5) + 3.0;
        let name = &task.experiment.name;
        svg.text("label", (NAMES - 10.0, middle + 4.0), Anchor::End, name);
        svg.line("grid", (NAMES, middle), (WIDTH - 12.0, middle));
        for (place, agent) in task.agents.iter().enumerate() {
            let Some(score) = Estimate::from_seeds(&agent.scores(Mode::Greedy)) else {
                continue;
            };
            // Side by side, so that equal scores do not hide each other.
            let share = (place as f64 + 0.5) / task.agents.len() as f64 - 0.5;
            let y = middle + share * ROW * 0.7;
            let colour = colours.class(&agent.agent.name);
            let (low, high) = score.interval;
            svg.line(
                &format!("whisker {colour}"),
                (x.at(low), y),
                (x.at(high), y),
            );
            let title = format!("{}, {name}: {}", agent.agent.name, score);
            svg.dot(&format!("end {colour}"), (x.at(score.mean), y), 3.6, &title);
        }
    }
    svg.finish("Normalised score by task")
}

/// Draws the share of runs above each score: a curve for each agent, with its interval as a band.
fn profile_figure(scores: &[Vec<Vec<f64>>], colours: &Colours) -> String {
    let steps = ((HIGHEST - LOWEST) / THRESHOLD_STEP).round() as usize;
    let thresholds: Vec<f64> = (0..=steps)
        .map(|index| LOWEST + index as f64 * THRESHOLD_STEP)
        .collect();
    let mut panel = Panel::for_returns((LOWEST, HIGHEST), false, (0.0, 1.02));
    panel.label_x("normalised score");
    for (name, scores) in colours.names.iter().zip(scores) {
        let profile = performance_profile(scores, &thresholds);
        let at = |value: fn(&Aggregate) -> Option<f64>| -> Vec<(f64, f64)> {
            let shares = thresholds.iter().zip(&profile);
            shares
                .filter_map(|(&threshold, share)| Some(panel.point(threshold, value(share)?)))
                .collect()
        };
        let low = at(|share| share.interval.map(|interval| interval.0));
        let high = at(|share| share.interval.map(|interval| interval.1));
        let curve = at(|share| Some(share.value));
        let colour = colours.class(name);
        if !low.is_empty() {
            panel
                .svg
                .path(&format!("band {colour}"), 0.15, &outline(&high, &low));
        }
        panel.svg.polyline(&format!("curve {colour}"), &curve, name);
    }
    panel
        .svg
        .finish("Share of runs above each normalised score")
}

/// Returns the path data of the area between two curves.
fn outline(upper: &[(f64, f64)], lower: &[(f64, f64)]) -> String {
    let points = upper.iter().chain(lower.iter().rev());
    let points: Vec<String> = points.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    format!("M{}Z", points.join("L"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_differ_show_how_far() {
        assert_eq!(spread(&[0.5, 0.25, 0.75]), "0.50 (0.25 to 0.75)");
        assert_eq!(spread(&[0.999, 0.998]), "1.00");
        assert_eq!(spread(&[]), "–");
    }
}
