//! Cells of the tables.

use crate::scores::summary::AgentSummary;

/// The text of a cell without a measurement.
pub(super) const NOT_MEASURED: &str = "not measured yet";

/// Returns the anchor of a measurement.
pub(super) fn anchor(agent: &AgentSummary<'_>) -> String {
    format!("{}-on-{}", agent.agent.name, agent.experiment.name)
}

/// Writes a link to a measurement.
pub(super) fn linked(text: &str, agent: &AgentSummary<'_>) -> String {
    format!("[{text}](#{})", anchor(agent))
}

/// Writes the first two lines of a table.
pub(super) fn header_lines(header: &[String]) -> String {
    let rule = "|---".repeat(header.len());
    format!("{}{rule}|\n", table_line(header))
}

/// Writes a line of a table.
pub(super) fn table_line(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}
