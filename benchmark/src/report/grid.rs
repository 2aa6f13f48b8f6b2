//! The experiments at a glance: a line for each agent with a verdict for each experiment.

use serde::Serialize;

use super::parts::{Colours, GridCell, badge, grid_cell};
use crate::scores::reference::needs_memory;
use crate::scores::summary::{AgentSummary, ExperimentSummary};
use crate::scores::verdict::Verdict;

/// One agent's line.
#[derive(Serialize)]
pub struct GridRow {
    name: String,
    class: String,
    badge: Option<&'static str>,
    /// Number of experiments in which it remembers, in which it only uses its memory, and of all
    /// its experiments that need memory.
    remembers: usize,
    uses: usize,
    of: usize,
    /// Number of experiments in which its memory could not be tested.
    untested: usize,
    /// Number of experiments with nothing to remember.
    others: usize,
    cells: Vec<Option<GridCell>>,
}

pub fn grid_row(name: &str, summaries: &[ExperimentSummary<'_>], colours: &Colours) -> GridRow {
    let rows = summaries.iter().filter_map(|summary| summary.agent(name));
    let rows: Vec<&AgentSummary<'_>> = rows.filter(|row| row.not_applicable.is_none()).collect();
    let count = |verdict: Verdict| rows.iter().filter(|row| row.verdict() == verdict).count();
    let of = rows
        .iter()
        .filter(|row| needs_memory(row.experiment))
        .count();
    GridRow {
        name: name.to_owned(),
        class: colours.class(name).to_owned(),
        badge: rows.iter().find_map(|row| badge(row)),
        remembers: count(Verdict::Remembers),
        uses: count(Verdict::UsesMemory),
        untested: count(Verdict::Untested),
        of,
        others: rows.len() - of,
        cells: summaries
            .iter()
            .map(|summary| summary.agent(name).map(grid_cell))
            .collect(),
    }
}
