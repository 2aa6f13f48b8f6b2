//! The labyrinths of POPGym: drawing a maze, walking in it, and what one sees.
//!
//! `maze_dims`, height and width, are even. The grid has (height + 1) · (width + 1) squares: cells at
//! odd rows and columns, with the passages between them. At each reset a maze is carved by hunt and
//! kill with random hunting, as mazelib does. A cell is drawn and carved. Then, as often as the grid has
//! squares and once more: if the drawn cell is carved, the passage continues from it to an uncarved cell
//! next to it, drawn among all there are, and so on until there are none; then another cell is drawn. The
//! result is a tree, which may lack a cell. At last the doors are drawn: a side for the start and a cell on it, and
//! a cell on the opposite side for the exit; both are squares of the outer wall.
//!
//! Actions: 0 left, 1 right, 2 up, 3 down; a move into a wall or off the grid leaves the agent in place.
//!
//! Observation: ten integers, the 3 by 3 squares around the agent row by row, and the last action, 4 at
//! a reset. 0 is free, 1 a wall, 2 the start, 3 the exit; 4 never occurs. The view is cut at the border,
//! and padded with walls below and on the right, wherever the cut was: on the left and upper border it
//! is not centred. The cut exchanges height and width, so past the lesser of them rows or columns are
//! missing in mazes that are not square.

use std::collections::VecDeque;

use env_protocol::{Parameter, Space};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::levels::Levels;
use crate::kit::recording::{Bit, ensure, parse};
use crate::kit::vec_bytes;
use crate::render::{Bar, Cell, Grid, Picture, Seen, Tone, window};
use crate::{Arguments, Draw, Draws, KwargsError};

/// Least and greatest height and width.
const DIMS: [i64; 2] = [6, 100];
/// Longest episode.
const MAX_LENGTH: u32 = 10_000_000;
/// Heights and widths at the levels.
pub(super) const SIZES: [u32; 3] = [10, 14, 18];
/// Length at every level.
pub(super) const LENGTH: u32 = 1024;

/// Codes of squares.
pub(super) const FREE: u8 = 0;
const WALL: u8 = 1;
const START: u8 = 2;
pub(super) const EXIT: u8 = 3;
/// Codes in an observation, of squares and of actions.
const CODES: i64 = 5;
/// Number of squares in a view, and of numbers in an observation.
const VIEW: usize = 9;
/// Shown where no action was taken.
const NO_ACTION: u8 = 4;
/// Names of the actions.
const NAMES: [&str; 4] = ["left", "right", "up", "down"];
/// Most squares of a side that a picture shows.
const SHOWN: usize = 31;

/// A row and a column.
type Place = [usize; 2];

/// A maze, the agent in it, and the time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Walk {
    /// Height and width, one less than rows and columns of the grid.
    dims: [u32; 2],
    episode_length: u32,
    /// Codes of the squares, row by row.
    squares: Vec<u8>,
    /// The agent's square.
    agent: usize,
    /// The last action, 4 at a reset.
    action: u8,
    /// Number of steps in the episode.
    steps: u32,
    is_running: bool,
}

/// Where the choices of a new maze come from.
trait Choices {
    /// Chooses a cell among so many rows and columns of cells.
    fn cell(&mut self, rows: usize, columns: usize) -> Place;

    /// Chooses among directions, which are numbered as actions.
    fn direction(&mut self, directions: &[usize]) -> usize;
}

/// Choices that are drawn.
struct Drawn<'a, D>(&'a mut D);

impl<D: Draws> Choices for Drawn<'_, D> {
    #[inline]
    fn cell(&mut self, rows: usize, columns: usize) -> Place {
        [rows, columns].map(|cells| self.0.below(cells as u64) as usize)
    }

    #[inline]
    fn direction(&mut self, directions: &[usize]) -> usize {
        directions[self.0.below(directions.len() as u64) as usize]
    }
}

/// Choices of a recording, which become draws.
struct Scripted {
    hunts: std::vec::IntoIter<Place>,
    moves: std::vec::IntoIter<usize>,
    draws: Vec<Draw>,
    fault: Option<String>,
}

impl Scripted {
    fn number(&mut self, number: usize) {
        self.draws.push(Draw::Integer(number as u64));
    }
}

impl Choices for Scripted {
    fn cell(&mut self, rows: usize, columns: usize) -> Place {
        let found = self.hunts.next().filter(|square| {
            let sides = square.iter().zip([rows, columns]);
            let mut sides = sides.map(|(at, cells)| at % 2 == 1 && at / 2 < cells);
            sides.all(|is_cell| is_cell)
        });
        let Some(square) = found else {
            self.fault.get_or_insert("hunts has no cell".to_owned());
            return [0, 0];
        };
        let cell = square.map(|at| at / 2);
        cell.into_iter().for_each(|at| self.number(at));
        cell
    }

    fn direction(&mut self, directions: &[usize]) -> usize {
        let next = self.moves.next();
        let position = directions.iter().position(|&d| Some(d) == next);
        if position.is_none() {
            let fault = format!("moves has {next:?} where {directions:?} can be carved");
            self.fault.get_or_insert(fault);
        }
        let position = position.unwrap_or(0);
        self.number(position);
        directions[position]
    }
}

#[derive(Deserialize)]
struct Latent {
    maze: Vec<Vec<Bit>>,
    start: Place,
    end: Place,
    hunts: Vec<Place>,
    moves: Vec<usize>,
}

/// Returns the parameters `maze_dims` and `episode_length`.
pub(super) fn parameters() -> [Parameter; 2] {
    let [minimum, maximum] = DIMS;
    let dims = env_protocol::Domain::Integers {
        minimum,
        maximum,
        min_items: 2,
        max_items: 2,
        default: None,
    };
    [
        Parameter::new(
            "maze_dims",
            "Height and width of the maze, even; 10, 14, 18 each at easy, medium, hard.",
            dims,
        ),
        Parameter::integer(
            "episode_length",
            "One more than the steps after which an episode is truncated; 1024 at every level.",
            2,
            i64::from(MAX_LENGTH),
            None,
        ),
    ]
}

/// Returns the space of observations.
pub(super) fn observation_space() -> Space {
    Space::MultiDiscrete {
        nvec: vec![CODES; VIEW + 1],
    }
}

/// Returns the space of actions.
pub(super) fn action_space() -> Space {
    Space::Discrete { n: 4, start: 0 }
}

impl Walk {
    /// Reads the arguments. Before the first reset all squares inside the wall are free, and the agent
    /// is at the start, in the upper wall.
    ///
    /// # Errors
    /// When a side of the maze is odd.
    pub(super) fn new(arguments: &Arguments) -> Result<Self, KwargsError> {
        let levels = Levels::from_arguments(arguments);
        let dims = levels.lists("maze_dims", SIZES.map(|side| vec![i64::from(side); 2]))?;
        let &[height, width] = &dims[..] else {
            return Err(KwargsError::new("maze_dims", "must be height and width"));
        };
        if height % 2 != 0 || width % 2 != 0 {
            let detail = format!("must be even, not {dims:?}");
            return Err(KwargsError::new("maze_dims", detail));
        }
        let mut walk = Walk {
            dims: [height as u32, width as u32],
            episode_length: levels.natural("episode_length", [LENGTH; 3])?,
            squares: Vec::new(),
            agent: 1,
            action: NO_ACTION,
            steps: 0,
            is_running: false,
        };
        let squares = (0..walk.rows() * walk.columns()).map(|square| {
            let [row, column] = walk.place(square);
            let is_inside =
                (1..walk.rows() - 1).contains(&row) && (1..walk.columns() - 1).contains(&column);
            if is_inside { FREE } else { WALL }
        });
        walk.squares = squares.collect();
        walk.squares[walk.agent] = START;
        Ok(walk)
    }

    fn rows(&self) -> usize {
        self.dims[0] as usize + 1
    }

    fn columns(&self) -> usize {
        self.dims[1] as usize + 1
    }

    fn place(&self, square: usize) -> Place {
        [square / self.columns(), square % self.columns()]
    }

    fn square(&self, [row, column]: Place) -> usize {
        row * self.columns() + column
    }

    /// Side of the maze, if it is a square.
    pub(super) fn side(&self) -> Option<u32> {
        Some(self.dims[0]).filter(|&side| side == self.dims[1])
    }

    /// Argument `episode_length`.
    pub(super) fn episode_length(&self) -> u32 {
        self.episode_length
    }

    /// Number of squares.
    pub(super) fn squares(&self) -> usize {
        self.squares.len()
    }

    /// The agent's square.
    pub(super) fn agent(&self) -> usize {
        self.agent
    }

    /// The square of the start.
    pub(super) fn start(&self) -> usize {
        let start = self.squares.iter().position(|&code| code == START);
        start.unwrap_or(0)
    }

    /// Whether a step may come next.
    pub(super) fn is_running(&self) -> bool {
        self.is_running
    }

    /// Whether a square can be walked on.
    pub(super) fn is_open(&self, square: usize) -> bool {
        self.squares[square] != WALL
    }

    /// Whether the agent is at the exit.
    pub(super) fn is_at_exit(&self) -> bool {
        self.squares[self.agent] == EXIT
    }

    /// Squares that can be walked on, without the start.
    pub(super) fn num_open(&self) -> u32 {
        let open = self.squares.iter().filter(|&&code| code == FREE);
        open.count() as u32
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        vec_bytes(&self.squares)
    }

    /// Draws a maze and puts the agent at its start. `has_exit` says whether its exit is open.
    pub(super) fn begin(&mut self, has_exit: bool, draws: &mut impl Draws) {
        self.carve(&mut Drawn(draws));
        let side = draws.below(4) as usize;
        let cells = self.side_cells(side);
        let [start, end] = [(); 2].map(|()| draws.below(cells as u64) as usize);
        self.agent = self.door(side, start);
        self.squares[self.agent] = START;
        if has_exit {
            let exit = self.door(side ^ 1, end);
            self.squares[exit] = EXIT;
        }
        self.action = NO_ACTION;
        self.steps = 0;
        self.is_running = true;
    }

    /// Carves a maze by hunt and kill.
    fn carve(&mut self, choices: &mut impl Choices) {
        let [rows, columns] = [self.rows() / 2, self.columns() / 2];
        let width = self.columns();
        self.squares.fill(WALL);
        let square = |[row, column]: Place| (2 * row + 1) * width + 2 * column + 1;
        let mut cell = choices.cell(rows, columns);
        self.squares[square(cell)] = FREE;
        let hunts = self.squares.len() + 1;
        for hunt in 0..hunts {
            if self.squares[square(cell)] == FREE {
                while let Some((next, passage)) = self.ways_on(cell, choices) {
                    self.squares[passage] = FREE;
                    self.squares[square(next)] = FREE;
                    cell = next;
                }
            }
            if hunt + 1 < hunts {
                cell = choices.cell(rows, columns);
            }
        }
    }

    /// Chooses an uncarved cell next to this one; `None` where there is none. Returns it with the
    /// passage to it.
    #[inline]
    fn ways_on(&self, [row, column]: Place, choices: &mut impl Choices) -> Option<(Place, usize)> {
        let width = self.columns();
        let here = (2 * row + 1) * width + 2 * column + 1;
        let is_uncarved = [
            column > 0 && self.squares[here - 2] == WALL,
            2 * column + 3 < width && self.squares[here + 2] == WALL,
            row > 0 && self.squares[here - 2 * width] == WALL,
            2 * row + 3 < self.rows() && self.squares[here + 2 * width] == WALL,
        ];
        let mut ways = [0; 4];
        let mut found = 0;
        for (direction, is_uncarved) in is_uncarved.into_iter().enumerate() {
            ways[found] = direction;
            found += usize::from(is_uncarved);
        }
        if found == 0 {
            return None;
        }
        Some(match choices.direction(&ways[..found]) {
            0 => ([row, column - 1], here - 1),
            1 => ([row, column + 1], here + 1),
            2 => ([row - 1, column], here - width),
            _ => ([row + 1, column], here + width),
        })
    }

    /// Number of cells along a side: 0 is above, 1 below, 2 left, 3 right.
    fn side_cells(&self, side: usize) -> usize {
        let cells = if side < 2 {
            self.columns()
        } else {
            self.rows()
        };
        cells / 2
    }

    /// The square in the outer wall at a cell of a side.
    fn door(&self, side: usize, cell: usize) -> usize {
        let at = 2 * cell + 1;
        self.square(match side {
            0 => [0, at],
            1 => [self.rows() - 1, at],
            2 => [at, 0],
            _ => [at, self.columns() - 1],
        })
    }

    /// Returns the square that an action leads to.
    #[inline]
    pub(super) fn moved(&self, from: usize, action: usize) -> usize {
        let width = self.columns();
        let next = match action {
            0 if !from.is_multiple_of(width) => from - 1,
            1 if !(from + 1).is_multiple_of(width) => from + 1,
            2 if from >= width => from - width,
            3 if from + width < self.squares.len() => from + width,
            _ => from,
        };
        if self.squares[next] == WALL {
            from
        } else {
            next
        }
    }

    /// Takes an action. Returns whether the time is over.
    #[inline]
    pub(super) fn step(&mut self, action: i64) -> bool {
        self.agent = self.moved(self.agent, action as usize);
        self.action = action as u8;
        self.steps += 1;
        self.steps == self.episode_length - 1
    }

    /// Ends the episode.
    pub(super) fn end(&mut self) {
        self.is_running = false;
    }

    /// Writes what the agent sees.
    #[inline]
    pub(super) fn observe(&self, observation: &mut [i64]) {
        let (rows, columns) = (self.rows(), self.columns());
        let [row, column] = self.place(self.agent);
        // The first row and column of the cut, and the ones behind it: height and width exchanged.
        let [top, left] = [row, column].map(|at| at.saturating_sub(1));
        let bottom = (row + 1).min(columns) + 1;
        let right = (column + 1).min(rows) + 1;
        let (bottom, right) = (bottom.min(rows), right.min(columns));
        let (view, action) = observation.split_at_mut(VIEW);
        for (row, codes) in (top..).zip(view.chunks_exact_mut(3)) {
            for (column, code) in (left..).zip(codes) {
                let is_in_cut = row < bottom && column < right;
                *code = i64::from(match is_in_cut {
                    true => self.squares[row * columns + column],
                    false => WALL,
                });
            }
        }
        action[0] = i64::from(self.action);
    }

    /// Returns the distance of every square from the agent and the action that begins a shortest way to
    /// it; `None` where there is no way, and for the agent's own square.
    pub(super) fn ways(&self) -> Vec<Option<(u32, usize)>> {
        let mut ways = vec![None; self.squares.len()];
        let mut next = VecDeque::new();
        for action in 0..4 {
            let near = self.moved(self.agent, action);
            if near != self.agent && ways[near].is_none() {
                ways[near] = Some((1, action));
                next.push_back((near, 1, action));
            }
        }
        while let Some((square, distance, first)) = next.pop_front() {
            for action in 0..4 {
                let near = self.moved(square, action);
                if near != self.agent && ways[near].is_none() {
                    ways[near] = Some((distance + 1, first));
                    next.push_back((near, distance + 1, first));
                }
            }
        }
        ways
    }

    /// The exit, if it is open.
    pub(super) fn exit(&self) -> Option<usize> {
        self.squares.iter().position(|&code| code == EXIT)
    }

    /// Checks a state that came from outside.
    ///
    /// # Errors
    /// Says what is wrong with a state that no episode leads to.
    pub(super) fn validate(&self, has_exit: bool) -> Result<(), String> {
        let is_side =
            |side: u32| (DIMS[0]..=DIMS[1]).contains(&i64::from(side)) && side.is_multiple_of(2);
        let count = |code: u8| self.squares.iter().filter(|&&other| other == code).count();
        if !self.dims.iter().all(|&side| is_side(side))
            || self.squares.len() != self.rows() * self.columns()
            || self.squares.iter().any(|&code| code > EXIT)
            || count(START) != 1
            || count(EXIT) > usize::from(has_exit)
            || (self.is_running && has_exit && count(EXIT) == 0)
            || count(FREE) == 0
        {
            return Err(format!("the squares are no maze of {:?}", self.dims));
        }
        if self
            .squares
            .get(self.agent)
            .is_none_or(|&code| code == WALL)
            || self.action > NO_ACTION
        {
            return Err("the agent is on no free square".to_owned());
        }
        let (length, steps) = (self.episode_length, self.steps);
        let most = length.saturating_sub(1 + u32::from(self.is_running));
        if !(2..=MAX_LENGTH).contains(&length) || steps > most {
            return Err(format!("{steps} steps of {length} cannot be taken"));
        }
        Ok(())
    }

    /// Returns the draws of a recorded maze: `{"maze": rows of bits, "start": [2], "end": [2],
    /// "hunts": [[2]], "moves": []}`.
    ///
    /// # Errors
    /// When the recorded choices do not lead to the recorded maze.
    pub(super) fn script(&self, latent: &Value) -> Result<Vec<Draw>, String> {
        let latent: Latent = parse(latent)?;
        let mut choices = Scripted {
            hunts: latent.hunts.into_iter(),
            moves: latent.moves.into_iter(),
            draws: Vec::new(),
            fault: None,
        };
        let mut walk = self.clone();
        walk.carve(&mut choices);
        ensure(choices.fault.is_none(), || {
            choices.fault.take().unwrap_or_default()
        })?;
        let left = choices.hunts.len() + choices.moves.len();
        ensure(left == 0, || format!("{left} hunts and moves are left"))?;
        let rows = walk.squares.chunks(walk.columns());
        let maze: Vec<Vec<Bit>> = rows
            .map(|row| row.iter().map(|&code| Bit(code == WALL)).collect())
            .collect();
        ensure(maze == latent.maze, || {
            "hunts and moves do not carve this maze".to_owned()
        })?;
        let doors = (0..4).flat_map(|side| {
            let cells = 0..walk.side_cells(side);
            cells.map(move |cell| (side, cell))
        });
        let find = |place: Place| {
            let mut doors = doors.clone();
            doors.find(|&(side, cell)| {
                let door = walk.door(side, cell);
                walk.place(door) == place
            })
        };
        match (find(latent.start), find(latent.end)) {
            (Some((side, start)), Some((opposite, end))) if opposite == side ^ 1 => {
                for number in [side, start, end] {
                    choices.number(number);
                }
                Ok(choices.draws)
            }
            _ => Err("latent: start and end are not doors in opposite walls".to_owned()),
        }
    }

    /// Draws the maze, which the agent does not see, and its view. `mark` returns the cell of a free
    /// square.
    pub(super) fn picture(
        &self,
        seen: &Seen<'_, i64>,
        mark: impl Fn(usize) -> Option<Cell>,
    ) -> Picture {
        let [row, column] = self.place(self.agent);
        let shown = window(self.rows(), row, SHOWN);
        let columns = window(self.columns(), column, SHOWN);
        let width = columns.len();
        let squares = shown.flat_map(|row| columns.clone().map(move |column| [row, column]));
        let map = squares.map(|place| {
            let square = self.square(place);
            match self.squares[square] {
                // The tone of the agent would show its place to a player, who does not know it.
                _ if square == self.agent => Cell::new("A").tone(Tone::Cue),
                FREE => mark(square).unwrap_or_default(),
                code => mark_of(code, Tone::Hidden),
            }
        });
        let view = seen.observation.iter().take(VIEW).zip(0..);
        let view = view.map(|(&code, at)| {
            let cell = match (code as u8, at) {
                (FREE, _) => Cell::default(),
                (code, _) => mark_of(code, Tone::Neutral),
            };
            cell.seen(true)
        });
        let most = self.episode_length - 1;
        let left = u64::from(most.saturating_sub(self.steps));
        let picture = Picture::new()
            .grid("the maze", Grid::new(width, map))
            .grid("the agent's view", Grid::new(3, view))
            .bars("", [Bar::remaining("actions left", left, u64::from(most))])
            .key(Cell::new("A").tone(Tone::Cue), "agent")
            .key(mark_of(START, Tone::Hidden), "start")
            .key(mark_of(WALL, Tone::Hidden), "wall");
        match seen.action {
            Some(&[action]) => {
                let heading = NAMES[action as usize % 4];
                picture.note(Tone::Agent, &format!("action: {heading}"))
            }
            _ => picture,
        }
    }
}

/// Returns the cell of a square that is not free, a wall in this tone.
pub(super) fn mark_of(code: u8, wall: Tone) -> Cell {
    match code {
        START => Cell::new("S").tone(Tone::Neutral),
        EXIT => Cell::new("E").tone(Tone::Goal),
        _ => Cell::new("#").tone(wall),
    }
}

#[cfg(test)]
mod tests;
