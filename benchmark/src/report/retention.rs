//! The retention heat map: each slot's entry, its usefulness and its attention, step by step
//! through one episode.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::parts::Figure;
use super::svg::{Anchor, Scale, Svg};
use crate::format::{compact, fixed};
use crate::records::outcome::MemoryView;
use crate::scores::summary::{AgentSummary, ExperimentSummary};

const WIDTH: f64 = 560.0;
const LEFT: f64 = 34.0;
const RIGHT: f64 = 10.0;
/// Height of the heading above each of the three maps.
const HEADING: f64 = 26.0;
/// Height of the axis below the last map.
const AXIS: f64 = 36.0;
/// Number of shades. Equal neighbours are drawn as one, so few shades keep the page small.
const SHADES: usize = 8;

/// The fill of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fill {
    /// The cue.
    Cue,
    /// A shade of the common colour, 0..[`SHADES`].
    Shade(usize),
}

/// Draws one heat map for each agent, of the first seed that has one.
pub fn figures(summary: &ExperimentSummary<'_>) -> Vec<Figure> {
    let figure = |agent: &AgentSummary<'_>| {
        let (record, view) = agent
            .finished
            .iter()
            .find_map(|(record, outcome)| Some((record, outcome.memory_view.as_ref()?)))?;
        Some(Figure {
            title: format!(
                "{}, {}, seed {}",
                agent.agent.name,
                summary.title(),
                record.seed
            ),
            caption: caption(view).unwrap_or_default(),
            svg: figure(view),
        })
    };
    summary.agents.iter().filter_map(figure).collect()
}

/// Draws the figure: three maps `[slots, steps]`, one below the other.
fn figure(view: &MemoryView) -> String {
    let row = (96.0 / view.slots as f64).clamp(4.0, 16.0);
    let map_height = row * view.slots as f64;
    let mut svg = Svg::new(WIDTH, 3.0 * (HEADING + map_height) + AXIS);
    let maps: [(&str, Vec<Option<Fill>>); 3] = [
        (
            "what each slot held: the cue, and other steps, later ones stronger",
            written(view),
        ),
        (
            "learned usefulness of what it held",
            shaded(view, &view.usefulness),
        ),
        (
            "share of the attention it got",
            shaded(view, &view.attention),
        ),
    ];
    let mut top = 0.0;
    for (heading, cells) in &maps {
        svg.text("label", (LEFT, top + 20.0), Anchor::Start, heading);
        draw_map(&mut svg, view, cells, top + HEADING, row);
        top += HEADING + map_height;
    }
    draw_axis(&mut svg, view, top);
    svg.finish("Retention heat map: slots over time")
}

/// Describes in a sentence what happened to the cue; `None` for tasks without a cue.
fn caption(view: &MemoryView) -> Option<String> {
    let cue = view.cue_step?;
    let last = view.steps.len().checked_sub(1)?;
    let holders: Vec<usize> = (0..view.slots)
        .filter(|slot| view.write_step[last * view.slots + slot] == Some(cue))
        .collect();
    if holders.is_empty() {
        return Some("The cue was no longer in memory at the judged action.".to_owned());
    }
    let attention: f64 = holders
        .iter()
        .map(|slot| f64::from(view.attention[last * view.slots + slot]))
        .sum();
    let slots: Vec<String> = holders.iter().map(usize::to_string).collect();
    let percent = fixed(100.0 * attention, 0);
    Some(format!(
        "At the judged action the cue was in memory (slot {}) and got {percent} % of the attention.",
        slots.join(", ")
    ))
}

fn written(view: &MemoryView) -> Vec<Option<Fill>> {
    let last = f64::from(view.steps.last().copied().unwrap_or(0).max(1));
    let fill = |step: u32| {
        if Some(step) == view.cue_step {
            Fill::Cue
        } else {
            Fill::Shade(shade(f64::from(step) / last))
        }
    };
    view.write_step
        .iter()
        .map(|written| written.map(fill))
        .collect()
}

/// Shades values between the lowest and the highest of the occupied slots.
fn shaded(view: &MemoryView, values: &[f32]) -> Vec<Option<Fill>> {
    let occupied = || {
        view.write_step
            .iter()
            .zip(values)
            .filter(|(written, _)| written.is_some())
    };
    let least = occupied()
        .map(|(_, value)| *value)
        .fold(f32::INFINITY, f32::min);
    let greatest = occupied()
        .map(|(_, value)| *value)
        .fold(f32::NEG_INFINITY, f32::max);
    let span = f64::from(greatest - least);
    let fill = |value: f32| {
        Fill::Shade(if span > 0.0 {
            shade(f64::from(value - least) / span)
        } else {
            0
        })
    };
    view.write_step
        .iter()
        .zip(values)
        .map(|(written, value)| written.map(|_| fill(*value)))
        .collect()
}

fn shade(share: f64) -> usize {
    ((share * SHADES as f64) as usize).min(SHADES - 1)
}

/// Draws cells `[columns, slots]` with one path for each fill. Joins equal neighbours along time.
fn draw_map(svg: &mut Svg, view: &MemoryView, cells: &[Option<Fill>], top: f64, row: f64) {
    let columns = view.steps.len();
    let width = (WIDTH - LEFT - RIGHT) / columns as f64;
    svg.rect(
        "empty",
        (LEFT, top),
        (WIDTH - LEFT - RIGHT, row * view.slots as f64),
        "",
    );
    let mut paths: BTreeMap<Fill, String> = BTreeMap::new();
    for slot in 0..view.slots {
        let at = |column: usize| cells[column * view.slots + slot];
        let mut start = 0;
        while start < columns {
            let end = (start..columns)
                .find(|&column| at(column) != at(start))
                .unwrap_or(columns);
            if let Some(fill) = at(start) {
                let (x, y) = (LEFT + width * start as f64, top + row * slot as f64);
                let run = width * (end - start) as f64;
                let path = paths.entry(fill).or_default();
                write!(path, "M{x:.1} {y:.1}h{run:.1}v{:.1}h-{run:.1}z", row - 0.6)
                    .expect("a String takes all writes");
            }
            start = end;
        }
    }
    for (fill, path) in &paths {
        match fill {
            Fill::Cue => svg.path("cue", 1.0, path),
            Fill::Shade(shade) => svg.path(
                "shade",
                0.1 + 0.9 * *shade as f64 / (SHADES - 1) as f64,
                path,
            ),
        }
    }
    svg.text("tick", (LEFT - 5.0, top + 8.0), Anchor::End, "0");
    if view.slots > 1 {
        let bottom = top + row * view.slots as f64;
        svg.text(
            "tick",
            (LEFT - 5.0, bottom - 1.0),
            Anchor::End,
            &(view.slots - 1).to_string(),
        );
    }
}

fn draw_axis(svg: &mut Svg, view: &MemoryView, top: f64) {
    let (Some(&first), Some(&last)) = (view.steps.first(), view.steps.last()) else {
        return;
    };
    // A step is as wide as a column; its label stands below the column's middle.
    let half = (WIDTH - LEFT - RIGHT) / view.steps.len() as f64 / 2.0;
    let scale = Scale::linear(
        (f64::from(first), f64::from(last)),
        (LEFT + half, WIDTH - RIGHT - half),
    );
    for tick in scale.ticks().into_iter().filter(|tick| tick.fract() == 0.0) {
        let x = scale.at(tick);
        svg.line("axis", (x, top), (x, top + 4.0));
        svg.text("tick", (x, top + 15.0), Anchor::Middle, &compact(tick));
    }
    svg.text(
        "label",
        (f64::midpoint(LEFT, WIDTH - RIGHT), top + 31.0),
        Anchor::Middle,
        "step of the episode; rows are slots",
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn caption_says_where_the_cue_was() {
        let mut view = fixtures::memory_view(4);
        assert_eq!(
            caption(&view).unwrap(),
            "At the judged action the cue was in memory (slot 0) and got 90 % of the attention."
        );
        view.write_step[6] = Some(3);
        assert_eq!(
            caption(&view).unwrap(),
            "The cue was no longer in memory at the judged action."
        );
        view.cue_step = None;
        assert_eq!(caption(&view), None);
    }

    #[test]
    fn cells_by_hand() {
        // Steps 0..=3. Slot 0 holds the cue. Slot 1 holds nothing, then steps 1, 2 and 3 of 3:
        // shades 8/3 → 2, 16/3 → 5, 7.
        let view = fixtures::memory_view(4);
        let cue = Some(Fill::Cue);
        let expected = [
            cue,
            None,
            cue,
            Some(Fill::Shade(2)),
            cue,
            Some(Fill::Shade(5)),
            cue,
            Some(Fill::Shade(7)),
        ];
        assert_eq!(written(&view), expected);
        assert_eq!(
            shaded(&view, &view.usefulness)[..4],
            [
                Some(Fill::Shade(7)),
                None,
                Some(Fill::Shade(7)),
                Some(Fill::Shade(0))
            ]
        );
    }

    #[test]
    fn runs_are_joined() {
        // The cue stays in one slot for four steps: one rectangle.
        let svg = figure(&fixtures::memory_view(4));
        let cue = svg
            .split(r#"class="cue""#)
            .nth(1)
            .unwrap()
            .split("/>")
            .next()
            .unwrap();
        assert_eq!(cue.matches('z').count(), 1);
    }
}
