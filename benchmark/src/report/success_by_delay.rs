//! Success against delay: whether knowledge from some delays holds at others.

use agent::evaluate::Mode;

use super::parts::Colours;
use super::svg::{Anchor, Panel, return_domain};
use crate::format::thousands;
use crate::scores::summary::{AgentSummary, ExperimentSummary};

/// The modes drawn: greedy as a solid line, scrambled as a dashed one.
const MODES: [(Mode, &str); 2] = [(Mode::Greedy, "solid"), (Mode::Scrambled, "dashed")];

/// Draws one experiment's panel; `None` when it was judged at a single delay.
pub fn panel(summary: &ExperimentSummary<'_>, colours: &Colours) -> Option<String> {
    let delays = summary.judged_delays();
    let (shortest, longest) = (*delays.first()?, *delays.last()?);
    if shortest == longest {
        return None;
    }
    let values = summary.agents.iter().flat_map(|agent| {
        MODES
            .iter()
            .flat_map(|(mode, _)| points(agent, &delays, *mode))
            .map(|(_, estimate)| estimate.mean)
    });
    // The whole training range is shown, evaluated or not.
    let (from, to) = summary
        .experiment
        .delay_range()
        .map_or((shortest, longest), |(low, high)| {
            (low.min(shortest), high.max(longest))
        });
    let mut panel = Panel::for_returns((from as f64, to as f64), true, return_domain(values));
    mark_training_range(&mut panel, summary);
    panel.label_x("delay (log)");
    for agent in &summary.agents {
        for (mode, stroke) in MODES {
            draw(
                &mut panel,
                agent,
                &delays,
                mode,
                stroke,
                colours.class(&agent.agent.name),
            );
        }
    }
    Some(panel.svg.finish(&format!(
        "Success against delay, trained on {}",
        summary.title()
    )))
}

/// Explains why an agent whose slots were never full in training cannot be expected to choose what
/// to keep at longer delays. Empty without such an agent.
pub fn caption(summary: &ExperimentSummary<'_>) -> String {
    let Some((_, trained)) = summary.experiment.delay_range() else {
        return String::new();
    };
    let longest = summary.judged_delays().last().copied().unwrap_or(trained);
    let sentence = |agent: &AgentSummary<'_>| {
        let (_, outcome) = agent.finished.first()?;
        let slots = outcome.hyperparameters.get("max_entries")?.as_u64()?;
        (trained <= slots && slots < longest).then(|| {
            format!(
                "{} has {} slots, and at delay {} an episode never filled them: nothing taught it what to drop. \
                 At delay {} it has to drop something, by a choice that was never trained, so a low return there says \
                 nothing about what it can learn. Ask a row that was trained at a delay longer than {}.",
                agent.agent.name,
                thousands(slots),
                thousands(trained),
                thousands(longest),
                thousands(slots),
            )
        })
    };
    let sentences: Vec<String> = summary.agents.iter().filter_map(sentence).collect();
    sentences.join(" ")
}

fn points(
    agent: &AgentSummary<'_>,
    delays: &[u64],
    mode: Mode,
) -> Vec<(u64, crate::scores::statistics::Estimate)> {
    delays
        .iter()
        .filter_map(|&delay| Some((delay, agent.estimate_at(Some(delay), mode)?)))
        .collect()
}

fn mark_training_range(panel: &mut Panel, summary: &ExperimentSummary<'_>) {
    let Some((shortest, longest)) = summary.experiment.delay_range() else {
        return;
    };
    let (top, bottom) = Panel::vertical_extent();
    // A single delay has no width: drawn wide enough to be visible.
    let (left, right) = (
        panel.x.at(shortest as f64) - 5.0,
        panel.x.at(longest as f64) + 5.0,
    );
    let title = format!(
        "trained on delays {}…{}",
        thousands(shortest),
        thousands(longest)
    );
    panel
        .svg
        .rect("trained", (left, top), (right - left, bottom - top), &title);
    let centre = f64::midpoint(left, right).clamp(70.0, 340.0);
    panel.svg.text(
        "note",
        (centre, bottom - 6.0),
        Anchor::Middle,
        "trained here",
    );
}

fn draw(
    panel: &mut Panel,
    agent: &AgentSummary<'_>,
    delays: &[u64],
    mode: Mode,
    stroke: &str,
    colour: &str,
) {
    let points = points(agent, delays, mode);
    let line: Vec<_> = points
        .iter()
        .map(|(delay, mean)| panel.point(*delay as f64, mean.mean))
        .collect();
    panel
        .svg
        .polyline(&format!("curve {stroke} {colour}"), &line, "");
    for (delay, judged) in points {
        let at = panel.point(delay as f64, judged.mean);
        let (low, high) = judged.interval;
        panel.svg.line(
            &format!("whisker {colour}"),
            (at.0, panel.y.at(low)),
            (at.0, panel.y.at(high)),
        );
        let title = format!(
            "{}, delay {}, {mode}: {}",
            agent.agent.name,
            thousands(delay),
            judged
        );
        panel
            .svg
            .dot(&format!("point {stroke} {colour}"), at, 3.0, &title);
    }
}
