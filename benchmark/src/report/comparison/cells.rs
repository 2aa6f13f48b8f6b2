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
