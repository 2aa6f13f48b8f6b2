//! Where everything is on the sheet.

use super::drawing::{Anchor, Area, Cell, Drawing, Shape, Text, TextStyle};
use super::grid::{Grid, share};
use super::map::HeatMap;
use super::palette::{CUE, Colour, EMPTY};
use super::panels::Panel;

const INK: Colour = Colour::hex(0x1f2933);
const FAINT_INK: Colour = Colour::hex(0x616e7c);

const MARGIN: u32 = 24;
/// Room for the rows' labels.
const LEFT: u32 = 96;
/// Room for the colour bar and its labels.
const RIGHT: u32 = 124;
/// Width of all heat maps; more steps than this are shrunk to it.
const PLOT_WIDTH: u32 = 960;
/// Largest total height of the memory's heat maps, if their rows allow it.
const MEMORY_HEIGHT: u32 = 640;
const MAX_ROW_HEIGHT: u32 = 22;
const MAX_ROWS: usize = 512;
const TITLE_HEIGHT: u32 = 34;
const NOTE_HEIGHT: u32 = 20;
/// A panel's title, the cue marks under it, and the blank above it.
const HEADING_HEIGHT: u32 = 44;
const AXIS_HEIGHT: u32 = 48;
/// Cells at least so wide and high are set apart by a line of a pixel.
const MIN_SIZE_FOR_GAPS: u32 = 6;
/// Labels of the rows are so far apart at least.
const LABEL_DISTANCE: u32 = 15;

/// Lays out a heat map.
pub(super) fn layout(map: &HeatMap) -> Drawing {
    let mut sheet = Drawing {
        width: LEFT + PLOT_WIDTH + RIGHT,
        ..Drawing::default()
    };
    let mut y = MARGIN;
    sheet.text(&map.title, LEFT, y, Anchor::Start, TextStyle::Title, INK);
    y += TITLE_HEIGHT;
    for note in notes(map) {
        sheet.text(&note, LEFT, y, Anchor::Start, TextStyle::Label, FAINT_INK);
        y += NOTE_HEIGHT;
    }
    for (index, panel) in map.panels.iter().enumerate() {
        y += HEADING_HEIGHT;
        let row_height = row_height(panel, index, map.panels.len() - 1);
        y = sheet.panel(map, panel, y, row_height);
    }
    sheet.axis(map.num_steps, y);
    sheet.height = y + AXIS_HEIGHT;
    sheet
}

/// Notes on the cues, and the meaning of the marks.
fn notes(map: &HeatMap) -> Vec<String> {
    let mut notes = map.notes.clone();
    if !map.cue_steps.is_empty() {
        let frames = if map.panels.iter().any(|panel| !panel.frames.is_empty()) {
            " Framed: an entry that holds a cue."
        } else {
            ""
        };
        notes.push(format!("Orange marks: steps that show a cue.{frames}"));
    }
    notes
}

/// The first panel, the episode, has few rows; the others share what is there.
fn row_height(panel: &Panel, index: usize, num_memory_panels: usize) -> u32 {
    if index == 0 {
        return 16;
    }
    let height = MEMORY_HEIGHT / num_memory_panels as u32;
    (height / panel.grid.num_rows.max(1) as u32).clamp(1, MAX_ROW_HEIGHT)
}

impl Drawing {
    /// Draws a panel whose heat map begins at `y`; returns where that ends.
    fn panel(&mut self, map: &HeatMap, panel: &Panel, y: u32, row_height: u32) -> u32 {
        let heading_y = y - 18;
        self.text(
            &panel.title,
            LEFT,
            heading_y,
            Anchor::Start,
            TextStyle::Heading,
            INK,
        );

        let grid = panel.grid.fit(MAX_ROWS, PLOT_WIDTH as usize, panel.shrink);
        let plot = Area {
            x: LEFT,
            y,
            width: PLOT_WIDTH,
            height: row_height * grid.num_rows as u32,
        };
        self.cells(panel, &grid, plot);
        self.row_labels(panel, &grid, plot);
        self.cue_marks(map, plot);
        for frame in &panel.frames {
            let rows = shrunk(frame.row, panel.grid.num_rows, grid.num_rows);
            let first = step_area(frame.first, map.num_steps, plot);
            let last = step_area(frame.last, map.num_steps, plot);
            self.shapes.push(Shape::Border {
                area: Area {
                    x: first.x,
                    y: plot.y + rows as u32 * row_height,
                    width: last.x + last.width - first.x,
                    height: row_height,
                },
                colour: CUE,
            });
        }
        self.colour_bar(panel, plot);
        plot.y + plot.height
    }

    /// The heat map itself: neighbours of one colour in a row become one rectangle.
    fn cells(&mut self, panel: &Panel, grid: &Grid, plot: Area) {
        self.shapes.push(Shape::Fill {
            area: plot,
            colour: EMPTY,
        });
        let height = plot.height / grid.num_rows.max(1) as u32;
        let width = plot.width / grid.num_columns as u32;
        let gap = u32::from(height.min(width) >= MIN_SIZE_FOR_GAPS);
        let mut cells = Vec::new();
        for row in 0..grid.num_rows {
            let y = plot.y + row as u32 * height;
            for column in 0..grid.num_columns {
                let Some(value) = grid.at(row, column) else {
                    continue;
                };
                let step = step_area(column, grid.num_columns, plot);
                let area = Area {
                    y,
                    width: step.width - gap,
                    height: height - gap,
                    ..step
                };
                let colour = panel.palette.colour(panel.scale.fraction(value));
                join(&mut cells, Cell { area, colour });
            }
        }
        self.shapes.push(Shape::Cells(cells));
    }

    fn row_labels(&mut self, panel: &Panel, grid: &Grid, plot: Area) {
        let height = plot.height / grid.num_rows.max(1) as u32;
        let every = LABEL_DISTANCE.div_ceil(height.max(1)) as usize;
        for row in (0..grid.num_rows).step_by(every) {
            let label = &panel.row_labels[share(row, grid.num_rows, panel.grid.num_rows).start];
            let y = plot.y + row as u32 * height + height / 2;
            self.text(label, LEFT - 8, y, Anchor::End, TextStyle::Label, FAINT_INK);
        }
    }

    /// A mark over each step that shows a cue.
    fn cue_marks(&mut self, map: &HeatMap, plot: Area) {
        for &step in &map.cue_steps {
            let column = step_area(step as usize, map.num_steps, plot);
            let width = column.width.clamp(2, 12);
            self.shapes.push(Shape::Fill {
                area: Area {
                    x: column.x + column.width.saturating_sub(width) / 2,
                    y: plot.y - 7,
                    width,
                    height: 5,
                },
                colour: CUE,
            });
        }
    }

    /// The panel's colours with the values at their ends, to the right of it.
    fn colour_bar(&mut self, panel: &Panel, plot: Area) {
        let bar = Area {
            x: LEFT + PLOT_WIDTH + 16,
            y: plot.y,
            width: 12,
            height: plot.height.clamp(32, 160),
        };
        let lines = (0..bar.height).map(|offset| Cell {
            area: Area {
                y: bar.y + offset,
                height: 1,
                ..bar
            },
            colour: panel
                .palette
                .colour(1.0 - offset as f32 / (bar.height - 1) as f32),
        });
        self.shapes.push(Shape::Cells(lines.collect()));
        let x = bar.x + bar.width + 6;
        let (top, bottom) = (bar.y + 6, bar.y + bar.height - 6);
        for (label, y) in [
            (&panel.scale.high_label, top),
            (&panel.scale.low_label, bottom),
        ] {
            self.text(label, x, y, Anchor::Start, TextStyle::Label, FAINT_INK);
        }
    }

    /// The axis of steps under the last panel, which ends at `y`.
    fn axis(&mut self, num_steps: usize, y: u32) {
        let plot = Area {
            x: LEFT,
            y,
            width: PLOT_WIDTH,
            height: 0,
        };
        for step in ticks(num_steps) {
            let column = step_area(step, num_steps, plot);
            let x = column.x + column.width / 2;
            self.shapes.push(Shape::Fill {
                area: Area {
                    x,
                    y,
                    width: 1,
                    height: 5,
                },
                colour: FAINT_INK,
            });
            let label = step.to_string();
            self.text(
                &label,
                x,
                y + 14,
                Anchor::Middle,
                TextStyle::Label,
                FAINT_INK,
            );
        }
        let title = if num_steps > PLOT_WIDTH as usize {
            let covered = num_steps.div_ceil(PLOT_WIDTH as usize);
            format!("step (each column stands for up to {covered} steps)")
        } else {
            "step".to_owned()
        };
        let middle = LEFT + PLOT_WIDTH / 2;
        self.text(
            &title,
            middle,
            y + 32,
            Anchor::Middle,
            TextStyle::Label,
            FAINT_INK,
        );
    }

    fn text(
        &mut self,
        text: &str,
        x: u32,
        y: u32,
        anchor: Anchor,
        style: TextStyle,
        colour: Colour,
    ) {
        self.shapes.push(Shape::Text(Text {
            text: text.to_owned(),
            x,
            y,
            anchor,
            style,
            colour,
        }));
    }
}

/// Appends a cell, or widens the last one if that is its left neighbour in the same colour.
fn join(cells: &mut Vec<Cell>, cell: Cell) {
    match cells.last_mut() {
        Some(last)
            if last.colour == cell.colour
                && last.area.y == cell.area.y
                && last.area.x + last.area.width == cell.area.x =>
        {
            last.area.width += cell.area.width;
        }
        _ => cells.push(cell),
    }
}

/// The column of one of `num_steps` steps: at least a pixel wide, as high as the plot.
fn step_area(step: usize, num_steps: usize, plot: Area) -> Area {
    let start = (step * plot.width as usize / num_steps) as u32;
    let end = ((step + 1) * plot.width as usize / num_steps) as u32;
    Area {
        x: plot.x + start,
        width: (end - start).max(1),
        ..plot
    }
}

/// Where the `index`-th of `length` things is when they are shrunk to `num_shares`.
fn shrunk(index: usize, length: usize, num_shares: usize) -> usize {
    ((index + 1) * num_shares).div_ceil(length) - 1
}

/// Steps to be labelled: 0 and multiples of 1, 2 or 5 times a power of ten, at most 16 of them.
pub(super) fn ticks(num_steps: usize) -> Vec<usize> {
    let mut power = 1;
    loop {
        for factor in [1, 2, 5] {
            let distance = factor * power;
            if num_steps.div_ceil(distance) <= 16 {
                return (0..num_steps).step_by(distance).collect();
            }
        }
        power *= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::super::view::examples;
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(ticks(4), [0, 1, 2, 3]);
        assert_eq!(ticks(17), [0, 2, 4, 6, 8, 10, 12, 14, 16]);
        assert_eq!(ticks(65_536).len(), 14);
        assert_eq!(ticks(65_536)[1], 5_000);
    }

    #[test]
    fn shrunk_is_the_inverse_of_share() {
        for length in [5, 16, 17] {
            for position in 0..5 {
                for index in share(position, 5, length) {
                    assert_eq!(shrunk(index, length, 5), position, "{index} of {length}");
                }
            }
        }
    }

    #[test]
    fn everything_is_on_the_sheet() {
        for view in [examples::slots(), examples::units(), examples::vectors()] {
            let sheet = layout(&HeatMap::new(&view).unwrap());
            let areas = sheet.shapes.iter().flat_map(|shape| match shape {
                Shape::Fill { area, .. } | Shape::Border { area, .. } => vec![*area],
                Shape::Cells(cells) => cells.iter().map(|cell| cell.area).collect(),
                Shape::Text(text) => vec![Area {
                    x: text.x,
                    y: text.y,
                    width: 0,
                    height: 0,
                }],
            });
            for area in areas {
                assert!(area.x + area.width <= sheet.width, "{area:?}");
                assert!(area.y + area.height <= sheet.height, "{area:?}");
            }
        }
    }

    #[test]
    fn a_kept_cue_is_one_frame_over_its_steps() {
        let sheet = layout(&HeatMap::new(&examples::slots()).unwrap());
        let frames: Vec<_> = sheet
            .shapes
            .iter()
            .filter_map(|shape| match shape {
                Shape::Border { area, .. } => Some((area.x, area.width)),
                _ => None,
            })
            .collect();
        // Slot 0 keeps the cue through all three steps, in each of the memory's three panels.
        assert_eq!(frames, [(LEFT, PLOT_WIDTH); 3]);
    }
}
