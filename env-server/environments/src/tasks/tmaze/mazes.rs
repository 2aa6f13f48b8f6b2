//! Pictures of T-mazes.

use crate::render::{Bar, Cell, Grid, Picture, Tone, window};

/// Number of cells of a corridor that are shown around the agent.
const NEAR: usize = 18;
/// Number of cells that are shown at each end.
const AT_ENDS: usize = 2;
/// Last cell of the longest corridor that is shown without gaps, with numbers above it.
const MAX_LABELLED: u32 = NEAR as u32;

/// A corridor with a goal on one side of its end, and the agent in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Maze {
    /// The corridor's last cell, the junction; the first one is 0.
    pub end: u32,
    /// Position of the agent, which leaves the corridor only at its end.
    pub agent: (u32, i8),
    /// Whether the goal is at y = +1.
    pub is_goal_up: bool,
    /// Whether the agent has been shown the goal's side.
    pub is_shown: bool,
    /// Whether the first cell's sign is in the last observation.
    pub is_sign_seen: bool,
}

impl Maze {
    /// Draws the maze with a key and the progress of the agent. Of a long corridor, draws both ends
    /// and the cells near the agent.
    pub fn picture(&self) -> Picture {
        let columns = padded_columns(self.end as usize + 1, self.agent.0 as usize);
        let rows = [1, 0, -1].into_iter();
        let cells = rows.flat_map(|y| columns.iter().map(move |&x| self.cell(x, y)));
        let mut grid = Grid::new(columns.len(), cells);
        if self.end <= MAX_LABELLED {
            grid = grid.column_labels(columns.iter().flatten());
        }
        let walked = f64::from(self.agent.0) / f64::from(self.end.max(1));
        let way = Bar::new("walked", walked).note(&format!("{} of {}", self.agent.0, self.end));
        let [sign, goal, wrong] = self.signs();
        Picture::new()
            .grid("", grid)
            .bars("", [way])
            .key(Cell::new("A").tone(Tone::Agent), "agent")
            .key(sign, "sign")
            .key(goal, "goal")
            .key(wrong, "wrong side")
    }

    /// Adds the sign and the two goal cells, which are hidden until the agent has seen the sign.
    fn signs(&self) -> [Cell; 3] {
        let tone = |tone| if self.is_shown { tone } else { Tone::Hidden };
        [
            Cell::new("S").tone(Tone::Cue),
            Cell::new("G").tone(tone(Tone::Goal)),
            Cell::new("x").tone(tone(Tone::Bad)),
        ]
    }

    fn cell(&self, x: Option<usize>, y: i8) -> Cell {
        let Some(x) = x else {
            return Cell::blank();
        };
        let is_end = x == self.end as usize;
        let [sign, goal, wrong] = self.signs();
        match y {
            _ if (x, y) == (self.agent.0 as usize, self.agent.1) => {
                Cell::new("A").tone(Tone::Agent).seen(self.is_sign_seen)
            }
            0 if x == 0 => sign,
            0 => Cell::default(),
            _ if !is_end => Cell::blank(),
            _ if (y == 1) == self.is_goal_up => goal,
            _ => wrong,
        }
    }
}

/// [`columns`] and blank ones behind them, so that their number does not depend on the agent.
fn padded_columns(length: usize, agent: usize) -> Vec<Option<usize>> {
    let mut columns = columns(length, agent);
    columns.resize(length.min(AT_ENDS + 1 + NEAR + 1 + AT_ENDS), None);
    columns
}

/// The cells to show of a corridor, in order, and a gap for what is left out between them.
fn columns(length: usize, agent: usize) -> Vec<Option<usize>> {
    let near = window(length, agent, NEAR);
    let last = length.saturating_sub(AT_ENDS)..length;
    let mut cells: Vec<usize> = (0..AT_ENDS.min(length)).chain(near).chain(last).collect();
    cells.sort_unstable();
    cells.dedup();
    let mut columns = Vec::with_capacity(cells.len() + 2);
    for (i, &x) in cells.iter().enumerate() {
        if i > 0 && cells[i - 1] + 1 < x {
            columns.push(None);
        }
        columns.push(Some(x));
    }
    columns
}

/// Adds the direction of the sign.
pub(super) fn sign(picture: Picture, is_up: bool) -> Picture {
    let side = if is_up { "up" } else { "down" };
    picture.note(Tone::Cue, &format!("the sign says {side}"))
}

/// Adds whether a turn at the junction was to the goal.
pub(super) fn turned(picture: Picture, is_right: bool) -> Picture {
    match is_right {
        true => picture.note(Tone::Good, "turned to the goal"),
        false => picture.note(Tone::Bad, "turned to the wrong side"),
    }
}

/// Adds the last action, which may have been a move into a wall.
pub(super) fn acted(picture: Picture, action: Option<&[i64]>) -> Picture {
    let heading = match action {
        Some([0]) => "right",
        Some([1]) => "up",
        Some([2]) => "left",
        Some(_) => "down",
        None => return picture,
    };
    picture.note(Tone::Agent, &format!("action: {heading}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_and_the_agent_are_shown() {
        let short: Vec<Option<usize>> = (0..5).map(Some).collect();
        assert_eq!(columns(5, 3), short);
        let long = columns(1_000_001, 500_000);
        assert_eq!(long.len(), AT_ENDS + 1 + NEAR + 1 + AT_ENDS);
        assert_eq!(long[..4], [Some(0), Some(1), None, Some(499_991)]);
        assert_eq!(long[12], Some(500_000));
        let last = [Some(500_008), None, Some(999_999), Some(1_000_000)];
        assert_eq!(long[20..], last);
        assert_eq!(columns(30, 29).len(), AT_ENDS + 1 + NEAR);
    }

    #[test]
    fn as_many_columns_wherever_the_agent_is() {
        for length in 1..40 {
            let most = (0..length).map(|agent| columns(length, agent).len()).max();
            for agent in 0..length {
                let padded = padded_columns(length, agent);
                assert_eq!(Some(padded.len()), most, "{agent} of {length}");
                assert!(padded.starts_with(&columns(length, agent)));
            }
        }
    }
}
