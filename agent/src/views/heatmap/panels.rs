//! Which panels an episode has, and what each shows.

use super::grid::{Grid, Shrink};
use super::palette::Palette;
use super::view::{Entries, EpisodeView, MemoryView, SlotsView, UnitsView, VectorView};

/// At most so many features of an observation are drawn.
const MAX_FEATURES: usize = 8;

/// One heat map over the episode's steps.
#[derive(Clone, Debug)]
pub(super) struct Panel {
    pub title: String,
    pub row_labels: Vec<String>,
    pub grid: Grid,
    pub shrink: Shrink,
    pub palette: Palette,
    pub scale: Scale,
    /// Cells to be framed: those of entries that hold a cue.
    pub frames: Vec<Frame>,
}

/// The values between which a palette is spread.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scale {
    pub low: f32,
    pub high: f32,
    pub low_label: String,
    pub high_label: String,
}

/// Neighbouring cells of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub row: usize,
    /// First and last step.
    pub first: usize,
    pub last: usize,
}

impl Scale {
    fn new(low: f32, high: f32, label: impl Fn(f32) -> String) -> Self {
        let (low_label, high_label) = (label(low), label(high));
        Self {
            low,
            high,
            low_label,
            high_label,
        }
    }

    /// From the negative of the largest magnitude to the largest magnitude.
    fn symmetric(grid: &Grid) -> Self {
        let high = grid
            .values()
            .fold(0.0, |high: f32, value| high.max(value.abs()));
        Self::new(-high, high, |value| format!("{value:.2}"))
    }

    /// Where `value` lies, in `0..=1`; in the middle if all values are the same.
    pub fn fraction(&self, value: f32) -> f32 {
        if self.high > self.low {
            (value - self.low) / (self.high - self.low)
        } else {
            0.5
        }
    }
}

/// The panels of an episode, from top to bottom.
pub(super) fn panels(view: &EpisodeView) -> Vec<Panel> {
    let mut panels = vec![episode_panel(view)];
    match &view.memory {
        MemoryView::Slots(slots) => panels.extend(slot_panels(slots, view)),
        MemoryView::Units(units) => panels.push(unit_panel(units, view.num_steps())),
        MemoryView::Vectors { vectors } => {
            panels.extend(vectors.iter().map(|x| vector_panel(x, view.num_steps())));
        }
        MemoryView::None => {}
    }
    panels
}

/// Panel of observations, actions and rewards; each row is relative to its own largest magnitude.
fn episode_panel(view: &EpisodeView) -> Panel {
    let num_features = view.num_features();
    let num_drawn = num_features.min(MAX_FEATURES);
    let mut row_labels: Vec<String> = (0..num_drawn).map(|index| format!("obs {index}")).collect();
    let num_components = view.num_components();
    row_labels.extend((0..num_components).map(|index| match num_components {
        1 => "action".to_owned(),
        _ => format!("action {index}"),
    }));
    row_labels.push("reward".to_owned());

    let raw = Grid::from_fn(row_labels.len(), view.num_steps(), |row, step| {
        let action = row.checked_sub(num_drawn);
        match action.map(|index| view.actions[step].get(index)) {
            None => view.observations[step][row],
            Some(Some(&number)) => number,
            Some(None) => view.rewards[step] as f32,
        }
    });
    let peaks: Vec<f32> = (0..raw.num_rows)
        .map(|row| {
            (0..raw.num_columns)
                .filter_map(|step| raw.at(row, step))
                .fold(0.0, |peak: f32, value| peak.max(value.abs()))
        })
        .collect();
    let grid = Grid::from_fn(raw.num_rows, raw.num_columns, |row, step| {
        match (raw.at(row, step), peaks[row]) {
            (Some(value), peak) if peak > 0.0 => value / peak,
            (value, _) => value.unwrap_or(f32::NAN),
        }
    });

    let left_out = if num_drawn < num_features {
        format!(" (first {num_drawn} of {num_features} features)")
    } else {
        String::new()
    };
    Panel {
        title: format!("Episode, each row relative to its largest magnitude{left_out}"),
        row_labels,
        grid,
        shrink: Shrink::Peak,
        palette: Palette::BlueRed,
        scale: Scale {
            low: -1.0,
            high: 1.0,
            low_label: "-max".to_owned(),
            high_label: "+max".to_owned(),
        },
        frames: Vec::new(),
    }
}

/// Age, usefulness and attention of the entries, slot by slot.
fn slot_panels(slots: &SlotsView, view: &EpisodeView) -> [Panel; 3] {
    let num_steps = view.num_steps();
    let grid_of = |value: &dyn Fn(usize, u32) -> f32| {
        Grid::from_fn(slots.num_slots, num_steps, |slot, step| {
            let index = step * slots.num_slots + slot;
            slots.write_step[index].map_or(f32::NAN, |written| value(index, written))
        })
    };
    let panel = |title: &str, grid, shrink, palette, scale| Panel {
        title: title.to_owned(),
        row_labels: row_labels("slot", slots.num_slots),
        grid,
        shrink,
        palette,
        scale,
        frames: match slots.entries {
            Entries::Steps => cue_frames(slots, &view.cue_steps, num_steps),
            Entries::Episodes => Vec::new(),
        },
    };

    let written = grid_of(&|_, written| written as f32);
    let usefulness = grid_of(&|index, _| slots.usefulness[index]);
    let attention = grid_of(&|index, _| slots.attention[index]);
    let (written_title, written_scale) = match slots.entries {
        Entries::Steps => (
            "Kept: the step at which each slot's entry was written",
            Scale::new(0.0, (num_steps - 1) as f32, |step| format!("step {step}")),
        ),
        Entries::Episodes => {
            let first = written.values().fold(f32::INFINITY, f32::min);
            let last = written.values().fold(0.0, f32::max);
            (
                "Kept: the number of the episode in each slot",
                Scale::new(first.min(last), last, |number| format!("episode {number}")),
            )
        }
    };
    let most_attention = attention.values().fold(0.0, f32::max);
    let usefulness_scale = Scale::symmetric(&usefulness);
    [
        panel(
            written_title,
            written,
            Shrink::Last,
            Palette::Viridis,
            written_scale,
        ),
        panel(
            "Usefulness of each slot's entry",
            usefulness,
            Shrink::Last,
            Palette::BlueRed,
            usefulness_scale,
        ),
        panel(
            "Attention to each slot's entry",
            attention,
            Shrink::Peak,
            Palette::Magma,
            Scale::new(0.0, most_attention, |share| format!("{share:.2}")),
        ),
    ]
}

fn unit_panel(units: &UnitsView, num_steps: usize) -> Panel {
    number_panel(
        "State of each memory unit",
        row_labels("unit", units.num_units),
        &units.values,
        num_steps,
    )
}

fn vector_panel(vector: &VectorView, num_steps: usize) -> Panel {
    let labels = (0..vector.length).map(|index| index.to_string());
    number_panel(&vector.name, labels.collect(), &vector.values, num_steps)
}

/// A row for each number of a vector; `values` is `[num_steps, rows]`.
fn number_panel(title: &str, row_labels: Vec<String>, values: &[f32], num_steps: usize) -> Panel {
    let count = row_labels.len();
    let grid = Grid::from_fn(count, num_steps, |row, step| values[step * count + row]);
    Panel {
        title: title.to_owned(),
        row_labels,
        scale: Scale::symmetric(&grid),
        grid,
        shrink: Shrink::Peak,
        palette: Palette::BlueRed,
        frames: Vec::new(),
    }
}

fn row_labels(thing: &str, count: usize) -> Vec<String> {
    (0..count).map(|index| format!("{thing} {index}")).collect()
}

/// The stretches of time for which a slot holds an entry written at a cue.
fn cue_frames(slots: &SlotsView, cue_steps: &[u32], num_steps: usize) -> Vec<Frame> {
    let mut is_cue = vec![false; num_steps];
    for &step in cue_steps {
        is_cue[step as usize] = true;
    }
    let mut frames: Vec<Frame> = Vec::new();
    for row in 0..slots.num_slots {
        let written = |step: usize| slots.write_step[step * slots.num_slots + row];
        for step in 0..num_steps {
            if !written(step).is_some_and(|written| is_cue[written as usize]) {
                continue;
            }
            match frames.last_mut() {
                Some(frame)
                    if frame.row == row
                        && frame.last + 1 == step
                        && written(frame.last) == written(step) =>
                {
                    frame.last = step;
                }
                _ => frames.push(Frame {
                    row,
                    first: step,
                    last: step,
                }),
            }
        }
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::super::view::examples;
    use super::*;

    #[test]
    fn slots_become_rows_and_cues_are_framed() {
        let mut view = examples::slots();
        view.cue_steps = vec![0, 1];
        let panels = panels(&view);
        let titles: Vec<_> = panels
            .iter()
            .map(|panel| panel.title.split(' ').next().unwrap())
            .collect();
        assert_eq!(titles, ["Episode,", "Kept:", "Usefulness", "Attention"]);

        let [_, written, usefulness, attention] = &panels[..] else {
            unreachable!("four titles, four panels");
        };
        assert_eq!(written.row_labels, ["slot 0", "slot 1"]);
        assert_eq!(written.grid.at(0, 2), Some(0.0));
        assert_eq!(written.grid.at(1, 0), None);
        assert_eq!(written.grid.at(1, 2), Some(2.0));
        assert_eq!(usefulness.grid.at(1, 1), Some(-1.0));
        assert_eq!((usefulness.scale.low, usefulness.scale.high), (-2.0, 2.0));
        assert_eq!(attention.scale.high_label, "0.88");
        let frame = |row, first, last| Frame { row, first, last };
        assert_eq!(attention.frames, [frame(0, 0, 2), frame(1, 1, 1)]);
    }

    #[test]
    fn episode_rows_are_relative_to_their_own_peak() {
        let panel = episode_panel(&examples::slots());
        assert_eq!(panel.row_labels, ["obs 0", "obs 1", "action", "reward"]);
        assert_eq!(panel.grid.at(1, 2), Some(1.0));
        assert_eq!(panel.grid.at(1, 0), Some(0.0));
        assert_eq!(panel.grid.at(3, 2), Some(1.0));
    }

    #[test]
    fn each_component_of_an_action_has_a_row() {
        let mut view = examples::slots();
        view.actions = vec![vec![0.0, 4.0], vec![1.0, 2.0], vec![0.0, 0.0]];
        let panel = episode_panel(&view);
        assert_eq!(panel.row_labels[2..], ["action 0", "action 1", "reward"]);
        assert_eq!(panel.grid.at(2, 1), Some(1.0));
        assert_eq!(panel.grid.at(3, 1), Some(0.5));
        assert_eq!(panel.grid.at(4, 2), Some(1.0));
    }

    #[test]
    fn each_vector_has_a_panel() {
        let panels = panels(&examples::vectors());
        let titles: Vec<_> = panels[1..].iter().map(|panel| &panel.title[..]).collect();
        assert_eq!(titles, ["read weights", "gate"]);
        assert_eq!(panels[1].grid.at(1, 0), Some(1.0));
        assert_eq!(panels[2].grid.at(0, 2), Some(0.75));
    }

    #[test]
    fn units_become_rows() {
        let view = examples::units();
        let panels = panels(&view);
        assert_eq!(panels.len(), 2);
        assert_eq!(panels[1].grid.at(2, 1), Some(-1.0));
        assert_eq!(panels[1].scale.fraction(0.5), 0.75);
    }
}
