//! Remembered or lucky: each agent's return in the four evaluations, side by side.

use agent::evaluate::Mode;

use super::svg::{Anchor, HEIGHT, Panel, return_domain};
use crate::scores::summary::{AgentSummary, ExperimentSummary};

/// Approximate width of a character of a label.
const LETTER: f64 = 6.0;

/// Draws one experiment's panel: a group of four bars for each agent.
pub fn panel(summary: &ExperimentSummary<'_>) -> Option<String> {
    let agents: Vec<&AgentSummary<'_>> = summary
        .agents
        .iter()
        .filter(|agent| !agent.finished.is_empty())
        .collect();
    if agents.is_empty() {
        return None;
    }
    let estimates = agents.iter().flat_map(|agent| {
        Mode::ALL
            .into_iter()
            .filter_map(|mode| agent.estimate(mode))
            .map(|estimate| estimate.mean)
    });
    let domain = return_domain(estimates);
    let (left, right) = Panel::horizontal_extent();
    let mut panel = Panel::for_returns((0.0, 1.0), false, domain);
    let group = (right - left) / agents.len() as f64;
    let longest = agents.iter().map(|agent| agent.agent.name.len()).max();
    let crowded = longest.unwrap_or(0) as f64 * LETTER > group;
    for (index, agent) in agents.iter().enumerate() {
        let left = left + group * index as f64;
        draw_group(&mut panel, agent, left, group);
        // Names that would overlap alternate between two lines.
        let line = if crowded && index % 2 == 1 { 14.0 } else { 0.0 };
        panel.svg.text(
            "label",
            (left + group / 2.0, HEIGHT - 20.0 + line),
            Anchor::Middle,
            &agent.agent.name,
        );
    }
    Some(
        panel
            .svg
            .finish(&format!("Return by evaluation, {}", summary.title())),
    )
}

fn draw_group(panel: &mut Panel, agent: &AgentSummary<'_>, left: f64, width: f64) {
    let bar = (width * 0.8 / Mode::ALL.len() as f64).min(22.0);
    let first = left + (width - bar * Mode::ALL.len() as f64) / 2.0;
    let chance = panel.y.at(0.0);
    for (index, mode) in Mode::ALL.into_iter().enumerate() {
        let Some(judged) = agent.estimate(mode) else {
            continue;
        };
        let x = first + bar * index as f64;
        let end = panel.y.at(judged.mean);
        // A return of exactly chance still has a visible bar.
        let height = (chance - end).abs().max(1.0);
        let title = format!("{}, {mode}: {}", agent.agent.name, judged);
        panel.svg.rect(
            &format!("bar {mode}"),
            (x + 1.0, end.min(chance)),
            (bar - 2.0, height),
            &title,
        );
        let (low, high) = judged.interval;
        let centre = x + bar / 2.0;
        panel.svg.line(
            "whisker ink",
            (centre, panel.y.at(low)),
            (centre, panel.y.at(high)),
        );
    }
}
