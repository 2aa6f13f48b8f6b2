//! The frontier as one figure: the edges of all agents laid over each other, and a heat map for each agent.

use super::super::parts::Colours;
use super::super::svg::{Anchor, Svg};
use crate::format::{fixed, thousands};
use crate::scores::frontier::{BAR, Frontier, Map};

/// Width and height of a heat map with its margins.
const PANEL: (f64, f64) = (250.0, 164.0);
/// Panels side by side. The overlay takes the place of two by two of them.
const COLUMNS: usize = 4;
const LEFT: f64 = 34.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 24.0;
/// Further room of the overlay: on the left for lines that were moved, below for the axis label.
const OVERLAY: (f64, f64) = (10.0, 16.0);
/// Height of the key below all panels.
const KEY: f64 = 30.0;
/// Least width of a delay's label.
const TICK: f64 = 52.0;
/// Distance between the edges of two agents that recall the same cells.
const BESIDE: f64 = 2.4;
/// Shades in the key.
const SHADES: usize = 6;

/// The place of a map's cells: `[pairs, delays]`, the fewest pairs at the bottom.
struct Cells {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
    columns: usize,
    rows: usize,
}

impl Cells {
    /// Returns the left edge of a column, counted from 0.
    fn x(&self, column: usize) -> f64 {
        self.left + self.width * column as f64 / self.columns as f64
    }

    /// Returns the lower edge of a row, counted from 0 at the bottom.
    fn y(&self, row: usize) -> f64 {
        self.top + self.height * (1.0 - row as f64 / self.rows as f64)
    }

    /// Returns the width and height of a cell.
    fn size(&self) -> (f64, f64) {
        let (columns, rows) = (self.columns as f64, self.rows as f64);
        (self.width / columns, self.height / rows)
    }
}

/// Draws the figure.
pub(super) fn figure(frontier: &Frontier, colours: &Colours) -> Svg {
    let below = frontier.maps.len().saturating_sub(COLUMNS);
    let panel_rows = 2 + below.div_ceil(COLUMNS);
    let bottom = PANEL.1 * panel_rows as f64;
    let mut svg = Svg::new(PANEL.0 * COLUMNS as f64, bottom + KEY);
    draw_overlay(&mut svg, frontier, colours);
    for (index, map) in frontier.maps.iter().enumerate() {
        let (column, row) = match index.checked_sub(COLUMNS) {
            None => (COLUMNS / 2 + index % 2, index / 2),
            Some(below) => (below % COLUMNS, 2 + below / COLUMNS),
        };
        let corner = (PANEL.0 * column as f64, PANEL.1 * row as f64);
        draw_map(&mut svg, frontier, map, corner, colours.class(&map.agent));
    }
    draw_key(&mut svg, frontier, bottom);
    svg
}

/// Returns the place of the cells in a panel at this corner, as wide and high as `panels` of them, with further room on the
/// left and below.
fn cells(frontier: &Frontier, corner: (f64, f64), panels: f64, further: (f64, f64)) -> Cells {
    Cells {
        left: corner.0 + LEFT + further.0,
        top: corner.1 + TOP,
        width: PANEL.0 * panels - LEFT - further.0 - RIGHT,
        height: PANEL.1 * panels - TOP - BOTTOM - further.1,
        columns: frontier.delays.len(),
        rows: frontier.pairs.len(),
    }
}

fn draw_overlay(svg: &mut Svg, frontier: &Frontier, colours: &Colours) {
    let cells = cells(frontier, (0.0, 0.0), 2.0, OVERLAY);
    let title = format!("Up to where the mean return is {} or more", fixed(BAR, 2));
    svg.text("name", (cells.left, 16.0), Anchor::Start, &title);
    let trained = trained_columns(frontier);
    let (left, right) = (cells.x(0), cells.x(trained));
    let tooltip = format!(
        "trained on delays {} to {}",
        thousands(frontier.shortest),
        thousands(frontier.own_delay)
    );
    svg.rect(
        "trained",
        (left, cells.top),
        (right - left, cells.height),
        &tooltip,
    );
    for column in 0..=cells.columns {
        let x = cells.x(column);
        svg.line("grid", (x, cells.y(0)), (x, cells.top));
    }
    for row in 0..=cells.rows {
        let y = cells.y(row);
        svg.line("grid", (cells.left, y), (cells.left + cells.width, y));
    }
    let note = (f64::midpoint(left, right), cells.y(0) - 6.0);
    svg.text("note", note, Anchor::Middle, "trained here");
    draw_ticks(svg, frontier, &cells, 6.0 + OVERLAY.0);
    let middle = (cells.left + cells.width / 2.0, cells.y(0) + BOTTOM + 8.0);
    let label = "delay, in steps; rows are pairs";
    svg.text("label", middle, Anchor::Middle, label);
    let last = frontier.maps.len().saturating_sub(1);
    for (index, map) in frontier.maps.iter().enumerate() {
        let aside = BESIDE * (index as f64 - last as f64 / 2.0);
        let class = format!("curve {}", colours.class(&map.agent));
        draw_edge(svg, &cells, map, &class, aside);
    }
}

fn draw_map(svg: &mut Svg, frontier: &Frontier, map: &Map, corner: (f64, f64), colour: &str) {
    let cells = cells(frontier, corner, 1.0, (0.0, 0.0));
    let swatch = (cells.left, cells.top - 17.0);
    svg.rect(&format!("bar {colour}"), swatch, (9.0, 9.0), "");
    let name = (cells.left + 14.0, cells.top - 8.5);
    svg.text("name", name, Anchor::Start, &map.agent);
    let (width, height) = cells.size();
    for (index, row) in map.rows.iter().enumerate() {
        for (column, cell) in row.cells.iter().enumerate() {
            let Some(known) = cell else {
                continue;
            };
            let tooltip = format!(
                "{}, {} pairs, delay {}: {known}",
                map.agent,
                frontier.pairs[index],
                thousands(frontier.delays[column])
            );
            let opacity = opacity(share(frontier, known.mean));
            let place = (cells.x(column), cells.y(index + 1));
            let class = format!("tile {colour}");
            svg.cell(&class, opacity, place, (width, height), &tooltip);
        }
    }
    let whole = (cells.width, cells.height);
    svg.rect("frame", (cells.left, cells.top), whole, "");
    let trained = cells.x(trained_columns(frontier));
    svg.line("chance", (trained, cells.y(0)), (trained, cells.top));
    draw_edge(svg, &cells, map, "curve edge ink", 0.0);
    draw_ticks(svg, frontier, &cells, 6.0);
}

/// Labels rows with pairs and columns with delays: every column where there is room, else every other one or fewer, from
/// the longest delay on. Pairs stand `away` from the cells.
fn draw_ticks(svg: &mut Svg, frontier: &Frontier, cells: &Cells, away: f64) {
    let (width, height) = cells.size();
    for (row, pairs) in frontier.pairs.iter().enumerate() {
        let place = (cells.left - away, cells.y(row) - height / 2.0 + 3.5);
        svg.text("tick", place, Anchor::End, &pairs.to_string());
    }
    let stride = (TICK / width).ceil().max(1.0) as usize;
    for column in (0..cells.columns).rev().step_by(stride) {
        let place = (cells.x(column) + width / 2.0, cells.y(0) + 14.0);
        let delay = thousands(frontier.delays[column]);
        svg.text("tick", place, Anchor::Middle, &delay);
    }
}

/// Draws the edge of the cells that an agent recalls, along their borders: at the left where it recalls none, and nowhere
/// in rows that were not measured. `aside` moves it to the upper right, but not out of the rows.
fn draw_edge(svg: &mut Svg, cells: &Cells, map: &Map, class: &str, aside: f64) {
    let reaches: Vec<Option<usize>> = map.rows.iter().map(|row| row.reach()).collect();
    for (first, run) in measured_runs(&reaches) {
        let corners = run.iter().enumerate().flat_map(|(index, &reach)| {
            let row = first + index;
            let y = |row| (cells.y(row) - aside).clamp(cells.top, cells.y(0));
            let at = |row| (cells.x(reach) + aside, y(row));
            [at(row), at(row + 1)]
        });
        let corners: Vec<(f64, f64)> = corners.collect();
        svg.polyline(class, &corners, &map.agent);
    }
}

/// Returns the first row and the reaches of every run of rows that were measured.
fn measured_runs(reaches: &[Option<usize>]) -> Vec<(usize, Vec<usize>)> {
    let mut runs: Vec<(usize, Vec<usize>)> = Vec::new();
    for (row, reach) in reaches.iter().enumerate() {
        let Some(reach) = *reach else {
            continue;
        };
        match runs.last_mut() {
            Some((first, run)) if *first + run.len() == row => run.push(reach),
            _ => runs.push((row, vec![reach])),
        }
    }
    runs
}

/// Explains the shades, from guessing to the highest return.
fn draw_key(svg: &mut Svg, frontier: &Frontier, top: f64) {
    let (y, width) = (top + 9.0, 22.0);
    let text = |svg: &mut Svg, x, anchor, text: &str| {
        svg.text("label", (x, y + 10.0), anchor, text);
    };
    let guessing = format!("mean return: {} (guessing)", fixed(frontier.guessing, 1));
    let first = LEFT + 180.0;
    text(svg, first - 8.0, Anchor::End, &guessing);
    for shade in 0..SHADES {
        let share = shade as f64 / (SHADES - 1) as f64;
        let place = (first + width * shade as f64, y);
        svg.cell("tile ink", opacity(share), place, (width, 12.0), "");
    }
    let after = first + width * SHADES as f64 + 8.0;
    let rest = format!(
        "1 (all answers right). A line ends the cells with {} or more; blank cells were not measured.",
        fixed(BAR, 2)
    );
    text(svg, after, Anchor::Start, &rest);
}

/// Returns the number of columns up to the longest delay trained on.
fn trained_columns(frontier: &Frontier) -> usize {
    let delays = frontier.delays.iter();
    delays.filter(|&&delay| delay <= frontier.own_delay).count()
}

/// Returns where a return lies between guessing, 0, and the highest, 1.
fn share(frontier: &Frontier, mean_return: f64) -> f64 {
    let share = (mean_return - frontier.guessing) / (1.0 - frontier.guessing);
    share.clamp(0.0, 1.0)
}

/// Returns the opacity of a share. A measured cell is never quite blank.
fn opacity(share: f64) -> f64 {
    0.1 + 0.8 * share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_without_a_measurement_part_the_edge() {
        let runs = measured_runs(&[Some(2), Some(1), None, Some(0)]);
        assert_eq!(runs, [(0, vec![2, 1]), (3, vec![0])]);
        assert_eq!(measured_runs(&[None, None]), []);
    }

    #[test]
    fn cells_by_hand() {
        let cells = Cells {
            left: 10.0,
            top: 20.0,
            width: 90.0,
            height: 40.0,
            columns: 9,
            rows: 4,
        };
        assert_eq!([0, 2, 9].map(|column| cells.x(column)), [10.0, 30.0, 100.0]);
        assert_eq!([0, 1, 4].map(|row| cells.y(row)), [60.0, 50.0, 20.0]);
        assert_eq!(cells.size(), (10.0, 10.0));
    }
}
