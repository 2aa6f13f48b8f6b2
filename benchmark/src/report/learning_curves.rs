//! Learning curves: mean return of recent training episodes against environment steps.

use super::parts::{Colours, seed_list};
use super::svg::{Panel, return_domain};
use crate::format::{fixed, thousands};
use crate::scores::statistics::mean;
use crate::scores::summary::{AgentSummary, ExperimentSummary};

/// Intervals along a mean curve.
const GRID: u64 = 120;

/// Draws one experiment's panel: a thin line for each seed, a thick one for their mean, and a dot
/// where training ended.
pub fn panel(summary: &ExperimentSummary<'_>, colours: &Colours) -> String {
    let budget = summary.experiment.total_timesteps;
    let curves = || summary.agents.iter().flat_map(curves);
    let longest = curves()
        .filter_map(|curve| curve.last())
        .map(|(steps, _)| *steps)
        .chain([budget])
        .max();
    let domain = return_domain(curves().flatten().map(|(_, value)| *value));
    let mut panel = Panel::for_returns((0.0, longest.unwrap_or(budget) as f64), false, domain);
    panel.label_x("environment steps");
    for agent in &summary.agents {
        draw(&mut panel, agent, colours.class(&agent.agent.name));
    }
    panel
        .svg
        .finish(&format!("Learning curves, {}", summary.title()))
}

fn draw(panel: &mut Panel, summary: &AgentSummary<'_>, colour: &str) {
    let curves: Vec<&[(u64, f64)]> = curves(summary).collect();
    let Some(end) = curves
        .iter()
        .filter_map(|curve| curve.last())
        .map(|(steps, _)| *steps)
        .max()
    else {
        return;
    };
    let name = &summary.agent.name;
    if curves.len() > 1 {
        for curve in &curves {
            let points: Vec<_> = curve
                .iter()
                .map(|(steps, value)| panel.point(*steps as f64, *value))
                .collect();
            panel
                .svg
                .polyline(&format!("curve seed {colour}"), &points, "");
        }
    }
    let average: Vec<_> = (0..=GRID)
        .filter_map(|index| {
            let steps = end as f64 * index as f64 / GRID as f64;
            let values: Vec<f64> = curves
                .iter()
                .filter_map(|curve| value_at(curve, steps))
                .collect();
            // There is no mean over seeds until every seed has finished an episode.
            (values.len() == curves.len())
                .then(|| mean(&values))
                .flatten()
                .map(|value| panel.point(steps, value))
        })
        .collect();
    panel.svg.polyline(
        &format!("curve mean {colour}"),
        &average,
        &format!("{name}, {}", seed_list(curves.len())),
    );
    for (record, outcome) in &summary.finished {
        if let Some((steps, value)) = outcome.learning_curve.last() {
            let title = format!(
                "{name}, seed {}: {} after {} steps",
                record.seed,
                fixed(*value, 2),
                thousands(*steps)
            );
            panel.svg.dot(
                &format!("end {colour}"),
                panel.point(*steps as f64, *value),
                3.0,
                &title,
            );
        }
    }
}

fn curves<'a>(summary: &'a AgentSummary<'_>) -> impl Iterator<Item = &'a [(u64, f64)]> {
    summary
        .finished
        .iter()
        .map(|(_, outcome)| outcome.learning_curve.as_slice())
        .filter(|curve| !curve.is_empty())
}

/// Returns the curve's value after `steps` steps, linear between its points. There is none before
/// the first point; after the last, its value stays (a learner that has solved the task stops).
fn value_at(curve: &[(u64, f64)], steps: f64) -> Option<f64> {
    let after = curve.partition_point(|(at, _)| *at as f64 <= steps);
    let (from, value) = *curve.get(after.checked_sub(1)?)?;
    let Some(&(to, next)) = curve.get(after) else {
        return Some(value);
    };
    Some(value + (next - value) * (steps - from as f64) / (to - from) as f64)
}

#[cfg(test)]
mod tests {
    use super::value_at;

    #[test]
    fn values_between_points() {
        let curve = [(10, 0.0), (20, 1.0)];
        assert_eq!(
            [5.0, 10.0, 15.0, 20.0, 99.0].map(|at| value_at(&curve, at)),
            [None, Some(0.0), Some(0.5), Some(1.0), Some(1.0)]
        );
        assert_eq!(value_at(&[], 1.0), None);
    }
}
