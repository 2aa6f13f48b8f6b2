//! Where an agent is on the map of its episode: from its observations, or from the clock.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::spaces::encoder::InputColumn;

/// Name of the `Dict` entry whose numbers are the agent's position.
const POSITION: &str = "position";

/// What places an agent on its map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum MapPose {
    /// The numbers of an observation's entry `position`; the step of the episode where there is none.
    Auto,
    /// The step of the episode, whatever is observed.
    Time,
    /// Nothing: the map is a single cell. The control that hides the pose.
    Hidden,
}

/// An axis of a map.
#[derive(Clone, Debug, PartialEq)]
struct Axis {
    /// The number of the input row that is the position; `None` for the step of the episode.
    column: Option<usize>,
    /// Least position.
    low: f32,
    /// Whole positions from the least to the greatest.
    positions: f32,
    /// Cells, each for an equal part of the positions.
    cells: usize,
}

/// The map as a grid: how positions fall into its cells, which count row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    axes: Vec<Axis>,
}

/// Places of all lanes at a step.
pub struct Places {
    /// The cell of each lane.
    pub cells: Vec<usize>,
    /// What is kept of them for the next step, [`Grid::width`] numbers of each lane.
    pub kept: Vec<f32>,
    /// The cell before the move of each cell after it, for a map around the agent, one list for each lane; `None` where
    /// that was off the map.
    pub sources: Vec<Option<usize>>,
}

impl Grid {
    /// A grid of at most `most` cells along each axis, for input rows that begin with these columns.
    pub fn new(pose: MapPose, columns: &[InputColumn], most: usize) -> Self {
        let numbers = columns.iter().enumerate().filter_map(|(place, column)| {
            let is_position = column.name.as_deref() == Some(POSITION) && column.choice.is_none();
            let [low, high] = column.bounds.filter(|_| is_position)?;
            let positions = (high - low).floor() + 1.0;
            Some(Axis {
                column: Some(place),
                low,
                positions,
                cells: (positions as usize).min(most),
            })
        });
        let time = Axis {
            column: None,
            low: 0.0,
            positions: most as f32,
            cells: most,
        };
        let axes = match pose {
            MapPose::Auto => {
                let seen: Vec<Axis> = numbers.collect();
                match seen.is_empty() {
                    true => vec![time],
                    false => seen,
                }
            }
            MapPose::Time => vec![time],
            MapPose::Hidden => Vec::new(),
        };
        Self { axes }
    }

    /// Returns the number of cells.
    pub fn cells(&self) -> usize {
        self.axes.iter().map(|axis| axis.cells).product()
    }

    /// Returns how many numbers of a lane [`Grid::places`] needs of the step before: the clock, then a cell along each
    /// axis. In the first step of an episode they are zeros.
    pub fn width(&self) -> usize {
        1 + self.axes.len()
    }

    /// Places lanes with these input rows (`width` numbers each), and with what was kept of the step before. Around the
    /// agent, its own cell is the middle one, and the others move.
    pub fn places(&self, rows: &[f32], width: usize, before: &[f32], around: bool) -> Places {
        let mut places = Places {
            cells: Vec::new(),
            kept: Vec::with_capacity(before.len()),
            sources: Vec::new(),
        };
        let lanes = rows.chunks_exact(width);
        for (row, before) in lanes.zip(before.chunks_exact(self.width())) {
            let (clock, before) = (before[0], &before[1..]);
            let after: Vec<f32> = self
                .axes
                .iter()
                .map(|axis| axis.along(row, clock))
                .collect();
            let clamped = |axis: &Axis, place: f32| (place.max(0.0) as usize).min(axis.cells - 1);
            let own = |(axis, &place): (&Axis, &f32)| match around {
                true => axis.cells / 2,
                false => clamped(axis, place),
            };
            let own = self.axes.iter().zip(&after).map(own);
            places.cells.push(self.flat(own));
            if around {
                let moves = after
                    .iter()
                    .zip(before)
                    .map(|(after, before)| after - before);
                let moves: Vec<i64> = moves.map(|by| by as i64).collect();
                let cells = 0..self.cells();
                places
                    .sources
                    .extend(cells.map(|cell| self.source(cell, &moves)));
            }
            places.kept.push(clock + 1.0);
            places.kept.extend(after);
        }
        places
    }

    /// Returns input rows of `width` numbers with each position as a share of its range, from −1 to 1: in whole cells it
    /// would drown the other numbers.
    pub fn scaled(&self, rows: &[f32], width: usize) -> Vec<f32> {
        let mut rows = rows.to_vec();
        for row in rows.chunks_exact_mut(width) {
            for axis in &self.axes {
                if let Some(column) = axis.column {
                    let range = (axis.positions - 1.0).max(1.0);
                    row[column] = 2.0 * (row[column] - axis.low) / range - 1.0;
                }
            }
        }
        rows
    }

    fn flat(&self, along: impl Iterator<Item = usize>) -> usize {
        let axes = self.axes.iter().zip(along);
        axes.fold(0, |cell, (axis, along)| cell * axis.cells + along)
    }

    /// Returns the cell that `cell` was before the agent in the middle moved by so many cells along each axis.
    fn source(&self, cell: usize, moves: &[i64]) -> Option<usize> {
        let (mut rest, mut stride, mut source) = (cell, 1, 0);
        for (axis, by) in self.axes.iter().zip(moves).rev() {
            let along = (rest % axis.cells) as i64 + by;
            let along = usize::try_from(along).ok()?;
            if along >= axis.cells {
                return None;
            }
            source += along * stride;
            (rest, stride) = (rest / axis.cells, stride * axis.cells);
        }
        Some(source)
    }
}

impl Axis {
    /// Returns the whole cell along the axis; it may lie off the map.
    fn along(&self, row: &[f32], clock: f32) -> f32 {
        let position = self.column.map_or(clock, |column| row[column]);
        ((position - self.low).round() * self.cells as f32 / self.positions).floor()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, bounds: Option<[f32; 2]>) -> InputColumn {
        InputColumn {
            source: 0,
            choice: None,
            name: Some(name.to_owned()),
            bounds,
            place: None,
        }
    }

    /// A corridor of four cells with three rows, after two numbers that are no position.
    fn maze(most: usize) -> Grid {
        let columns = [
            column("observation", Some([-1.0, 1.0])),
            column("observation", Some([-1.0, 1.0])),
            column("position", Some([0.0, 3.0])),
            column("position", Some([-1.0, 1.0])),
        ];
        Grid::new(MapPose::Auto, &columns, most)
    }

    #[test]
    fn a_position_is_a_cell_of_the_grid() {
        let grid = maze(16);
        assert_eq!((grid.cells(), grid.width()), (12, 3));
        let rows = [9.0, 9.0, 0.0, 0.0, 9.0, 9.0, 3.0, 1.0, 9.0, 9.0, 7.0, -8.0];
        let places = grid.places(&rows, 4, &[0.0; 9], false);
        // (0, 0) is the middle of the first three cells, (3, 1) the last of all; what lies outside is clamped.
        assert_eq!(places.cells, [1, 11, 9]);
        // Two cells along the first axis: each for two positions.
        let coarse = maze(2);
        assert_eq!(coarse.cells(), 4);
        let places = coarse.places(&rows[..8], 4, &[0.0; 6], false);
        assert_eq!(places.cells, [0, 3]);
        let scaled = grid.scaled(&rows[..8], 4);
        assert_eq!(scaled, [9.0, 9.0, -1.0, 0.0, 9.0, 9.0, 1.0, 1.0]);
    }

    #[test]
    fn without_a_position_the_clock_is_the_place() {
        let unbounded = [column("position", None), column("view", Some([0.0, 9.0]))];
        for (pose, columns) in [(MapPose::Auto, &unbounded[..]), (MapPose::Time, &[])] {
            let grid = Grid::new(pose, columns, 3);
            let mut kept = vec![0.0; 2];
            let mut cells = Vec::new();
            for _ in 0..5 {
                let places = grid.places(&[7.0, 7.0], 2, &kept, false);
                cells.extend(places.cells);
                kept = places.kept;
            }
            assert_eq!(cells, [0, 1, 2, 2, 2]);
            assert_eq!(kept, [5.0, 4.0]);
        }
        let hidden = Grid::new(MapPose::Hidden, &unbounded, 3);
        assert_eq!((hidden.cells(), hidden.width()), (1, 1));
        assert_eq!(hidden.places(&[7.0], 1, &[3.0], false).cells, [0]);
    }

    /// A step forward and one back bring back all cells but those that fell off the map; the agent stays in the middle.
    #[test]
    fn the_map_moves_around_the_agent() {
        let grid = maze(16);
        let at = |x: f32| [9.0, 9.0, x, 0.0];
        let forward = grid.places(&at(2.0), 4, &[1.0, 1.0, 1.0], true);
        assert_eq!(forward.cells, [2 * 3 + 1]);
        let expected = (3..12).map(Some).chain([None; 3]);
        assert!(forward.sources.iter().copied().eq(expected));
        let back = grid.places(&at(1.0), 4, &forward.kept, true);
        assert_eq!(back.cells, forward.cells);
        let restored = back
            .sources
            .iter()
            .map(|source| forward.sources[(*source)?]);
        let expected = [None; 3].into_iter().chain((3..12).map(Some));
        assert!(restored.eq(expected));
    }
}
