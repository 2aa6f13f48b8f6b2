//! The frontier: how many pairs each agent recalls, past how many distractors; as a figure, and as tables that say the same.

mod figure;

use serde::Serialize;

use super::markdown::{header_lines, table_line};
use super::parts::{Colours, or_dash};
use crate::error::Error;
use crate::format::{fixed, thousands};
use crate::plan::Plan;
use crate::records::Record;
use crate::scores::frontier::{BAR, Frontier, Map, Row};
use crate::scores::statistics::Estimate;
use crate::scores::summary::{ExperimentSummary, summarize};

const LABEL: &str = "Pairs that are recalled, by delay";

/// The section of a report.
#[derive(Serialize)]
pub struct Section {
    figure: String,
    bar: String,
    guessing: String,
    shortest: String,
    own_delay: String,
    pairs: Vec<u64>,
    delays: Vec<String>,
    agents: Vec<AgentRows>,
}

/// An agent's lines in the tables.
#[derive(Serialize)]
struct AgentRows {
    name: String,
    class: String,
    /// For each number of pairs, the longest delay up to which all is recalled.
    reaches: Vec<String>,
    rows: Vec<PairsRow>,
}

/// An agent's cells with a number of pairs.
#[derive(Serialize)]
struct PairsRow {
    pairs: u64,
    cells: Vec<String>,
    /// At the longest delay trained on: emptied and scrambled.
    controls: [String; 2],
}

/// Returns the section, if the run has a map.
pub fn section(summaries: &[ExperimentSummary<'_>], colours: &Colours) -> Option<Section> {
    let frontier = Frontier::of(summaries)?;
    Some(Section {
        figure: figure::figure(&frontier, colours).finish(LABEL),
        bar: fixed(BAR, 2),
        guessing: fixed(frontier.guessing, 2),
        shortest: thousands(frontier.shortest),
        own_delay: thousands(frontier.own_delay),
        pairs: frontier.pairs.clone(),
        delays: frontier.delays.iter().copied().map(thousands).collect(),
        agents: agents(&frontier, colours),
    })
}

/// Writes the tables of docs/frontier.md: reaches, then mean returns with the controls.
///
/// # Errors
/// When the run has no map.
pub fn markdown(records: &[Record], plan: &Plan) -> Result<String, Error> {
    let summaries = summarize(records, plan);
    let frontier = Frontier::of(&summaries).ok_or_else(no_map)?;
    let agents = agents(&frontier, &Colours::new(&summaries));
    let header = |first: &[&str], columns: &mut dyn Iterator<Item = String>, last: &[&str]| {
        let owned =
            |names: &[&str]| -> Vec<String> { names.iter().map(|&name| name.to_owned()).collect() };
        header_lines(&[owned(first), columns.collect(), owned(last)].concat())
    };
    let pairs = frontier.pairs.iter().map(|&pairs| match pairs {
        1 => "1 pair".to_owned(),
        _ => format!("{pairs} pairs"),
    });
    let mut text = header(&["agent"], &mut { pairs }, &[]);
    for agent in &agents {
        text += &table_line(&[&[format!("`{}`", agent.name)], &agent.reaches[..]].concat());
    }
    text.push('\n');
    let mut delays = frontier.delays.iter().copied().map(thousands);
    text += &header(&["agent", "pairs"], &mut delays, &["emptied", "scrambled"]);
    for agent in &agents {
        for row in &agent.rows {
            let first = [format!("`{}`", agent.name), row.pairs.to_string()];
            text += &table_line(&[&first, &row.cells[..], &row.controls].concat());
        }
    }
    Ok(text)
}

/// Returns the figure as a file of its own.
///
/// # Errors
/// When the run has no map.
pub fn svg(records: &[Record], plan: &Plan) -> Result<String, Error> {
    let summaries = summarize(records, plan);
    let frontier = Frontier::of(&summaries).ok_or_else(no_map)?;
    let svg = figure::figure(&frontier, &Colours::new(&summaries));
    Ok(svg.finish_file(LABEL))
}

fn no_map() -> Error {
    Error::PlanContent {
        place: "--format".to_owned(),
        reason: "the run has no map of pairs by delays; docs/frontier.md says which runs have one"
            .to_owned(),
    }
}

fn agents(frontier: &Frontier, colours: &Colours) -> Vec<AgentRows> {
    let rows = |map: &Map| AgentRows {
        name: map.agent.clone(),
        class: colours.class(&map.agent).to_owned(),
        reaches: map.rows.iter().map(|row| reach(frontier, row)).collect(),
        rows: (frontier.pairs.iter().zip(&map.rows))
            .filter(|(_, row)| row.reach().is_some())
            .map(|(&pairs, row)| pairs_row(pairs, row))
            .collect(),
    };
    frontier.maps.iter().map(rows).collect()
}

fn pairs_row(pairs: u64, row: &Row) -> PairsRow {
    let number = |known: Option<Estimate>| or_dash(known, |known| fixed(known.mean, 3));
    PairsRow {
        pairs,
        cells: row.cells.iter().copied().map(number).collect(),
        controls: [row.emptied, row.scrambled].map(number),
    }
}

/// Writes the longest delay up to which a row is recalled.
fn reach(frontier: &Frontier, row: &Row) -> String {
    or_dash(row.reach(), |columns| match columns.checked_sub(1) {
        Some(last) => thousands(frontier.delays[last]),
        None => "none".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    /// Returns records of two agents. One guesses; the other recalls less of more pairs, and one of its cells is missing.
    fn records() -> Vec<Record> {
        let recall = |agent, pairs, returns: [f64; 4]| {
            let delays = [8, 64, 1_024, 4_096];
            let judged: Vec<(u64, f64)> = delays.into_iter().zip(returns).collect();
            fixtures::recall(agent, pairs, 0, &judged)
        };
        vec![
            recall("ppo", 1, [-0.5, -0.5, -0.52, -0.48]),
            recall("ppo", 16, [-0.5, -0.5, -0.5, -0.5]),
            recall("tracerl", 1, [1.0, 1.0, 1.0, 1.0]),
            recall("tracerl", 4, [1.0, 0.99, 0.96, 0.62]),
            fixtures::recall("tracerl", 16, 0, &[(8, 0.97), (64, 0.9), (4_096, -0.1)]),
        ]
    }

    #[test]
    fn tables() {
        insta::assert_snapshot!(markdown(&records(), &fixtures::plan()).unwrap());
    }

    #[test]
    fn file() {
        insta::assert_snapshot!(svg(&records(), &fixtures::plan()).unwrap());
    }

    #[test]
    fn a_run_without_a_map_is_refused() {
        let other = [fixtures::record("tracerl", 4, 1, 0)];
        let error = markdown(&other, &fixtures::plan()).unwrap_err().to_string();
        assert!(error.contains("no map of pairs by delays"), "{error}");
        assert!(svg(&other, &fixtures::plan()).is_err());
        let summaries = summarize(&other, &fixtures::plan());
        assert!(section(&summaries, &Colours::new(&summaries)).is_none());
    }
}
