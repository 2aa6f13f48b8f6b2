//! bsuite's own scores, with the regret ratios behind them.

use serde::Serialize;

use super::parts::{Colours, Figure};
use super::svg::Panel;
use crate::format::fixed;
use crate::scores::bsuite::{BsuiteScore, LEARNING_THRESHOLD, Sweep, score};
use crate::scores::summary::ExperimentSummary;

/// One of bsuite's experiments.
#[derive(Serialize)]
pub struct SweepScores {
    name: &'static str,
    threshold: f64,
    rows: Vec<ScoreRow>,
    figure: Figure,
}

/// One agent's score.
#[derive(Serialize)]
struct ScoreRow {
    agent: String,
    class: String,
    score: String,
    settings: usize,
    of: usize,
}

/// Returns the experiments of bsuite that the run has rows of.
pub fn section(summaries: &[ExperimentSummary<'_>], colours: &Colours) -> Vec<SweepScores> {
    Sweep::ALL
        .into_iter()
        .filter_map(|sweep| sweep_scores(sweep, summaries, colours))
        .collect()
}

fn sweep_scores(
    sweep: Sweep,
    summaries: &[ExperimentSummary<'_>],
    colours: &Colours,
) -> Option<SweepScores> {
    let scored: Vec<(&String, BsuiteScore)> = colours
        .names
        .iter()
        .filter_map(|name| Some((name, score(sweep, name, summaries)?)))
        .collect();
    let row = |(name, scored): &(&String, BsuiteScore)| ScoreRow {
        agent: (*name).clone(),
        class: colours.class(name).to_owned(),
        score: fixed(scored.score, 2),
        settings: scored.ratios.len(),
        of: sweep.settings().len(),
    };
    (!scored.is_empty()).then(|| SweepScores {
        name: sweep.name(),
        threshold: LEARNING_THRESHOLD,
        rows: scored.iter().map(row).collect(),
        figure: Figure {
            title: format!("{}: regret ratio", sweep.name()),
            caption: String::new(),
            svg: ratios(sweep, &scored, colours),
        },
    })
}

/// Draws the regret ratio of each setting as a curve for each agent, with the threshold as a line.
fn ratios(sweep: Sweep, scored: &[(&String, BsuiteScore)], colours: &Colours) -> String {
    let settings = sweep.settings();
    let ends = (settings[0] as f64, settings[settings.len() - 1] as f64);
    let mut panel = Panel::for_returns(ends, true, (0.0, 1.15));
    panel.label_x(sweep.argument());
    let (from, to) = (
        panel.point(ends.0, LEARNING_THRESHOLD),
        panel.point(ends.1, LEARNING_THRESHOLD),
    );
    panel.svg.line("axis", from, to);
    for (name, scored) in scored {
        let colour = colours.class(name);
        let points: Vec<_> = scored
            .ratios
            .iter()
            .map(|&(setting, ratio)| panel.point(setting as f64, ratio))
            .collect();
        panel
            .svg
            .polyline(&format!("curve {colour}"), &points, name);
        for (&point, (setting, ratio)) in points.iter().zip(&scored.ratios) {
            let title = format!("{name}, {setting}: {}", fixed(*ratio, 2));
            panel.svg.dot(&format!("end {colour}"), point, 3.0, &title);
        }
    }
    panel
        .svg
        .finish(&format!("Regret ratio by {}", sweep.argument()))
}
