//! Mazes from above: walk to the goal on a raster that shows it always, once, or from near.
//!
//! `layout` says where one can walk, in H rows and W columns; what lies outside is a wall.
//! - `walls`: `size` by `size` cells, each a wall with chance 0.3. Agent and goal are two cells of the
//!   largest connected part. Where no part has two cells all walls are taken away.
//! - `tmaze`: 3 by `size` + 1 cells. A corridor fills the middle row, and at its end there is a cell on
//!   either side: one is the goal, and the other ends the episode as well. The agent starts at the
//!   other end.
//! - `labyrinth`: `size` by `size` cells. Those in even rows and columns are rooms, joined by a random
//!   tree (depth first), so that there is one way from each to each. Agent and goal are any two free
//!   cells. In an even size the last row and column are walls.
//!
//! Observation: a raster of four channels, `[4, H, W]`, of zeros and ones: free, agent, goal, wall.
//! `view` says what is drawn. `full`: everything. `start`: everything, but the goal at the first step
//! only. `partial`: the cells at most one row and one column away from the agent; all others are zero
//! in every channel.
//!
//! Actions: 0 up, 1 right, 2 down, 3 left; a move into a wall leaves the agent in place. The goal pays 1
//! and all else 0. The goal ends the episode, and so does the wrong end of the T-maze; after 2 H W steps
//! it is truncated.
//!
//! Returns: best and oracle 1. The ways are shorter than H W, and under a partial view a depth-first
//! search walks each step of its tree at most twice, so it meets every cell in time. Memoryless 1 where
//! the goal is always drawn, and in the T-maze under a partial view, which shows the ends from the
//! junction; 1/2 in the T-maze with `view` `start`: after the first action nothing tells the sides
//! apart. In other cases it is not known. Random is computed for the T-maze, and measured elsewhere at
//! size 7, by a program in another language. To remember: the goal's
//! place; under a partial view also where one has been.
//!
//! Source: this project, after the grids of Nardelli et al. 2019, Value Propagation Networks,
//! arXiv:1805.11199.

use std::collections::VecDeque;

use env_protocol::{Bound, Dtype, Parameter, Returns, Space};
use serde::{Deserialize, Serialize};

use crate::kit::arguments::required;
use crate::kit::vec_bytes;
use crate::render::{Bar, Cell, Grid, Picture, Seen, Tone};
use crate::{
    Arguments, Catalogued, Draws, Environment, KwargsError, Pictured, Profile, Transition,
};

/// Least and greatest size.
const SIZES: [u32; 2] = [3, 21];
/// A cell of `walls` is a wall with this chance, in tenths.
const WALL_TENTHS: u64 = 3;
/// Rows and columns that a partial view reaches from the agent.
const REACH: usize = 1;
/// Channels of the raster.
const CHANNELS: usize = 4;
const FREE: usize = 0;
const AGENT: usize = 1;
const GOAL: usize = 2;
const WALL: usize = 3;

/// Names of layouts and views as arguments.
const LAYOUTS: [(&str, Layout); 3] = [
    ("walls", Layout::Walls),
    ("tmaze", Layout::TMaze),
    ("labyrinth", Layout::Labyrinth),
];
const VIEWS: [(&str, View); 3] = [
    ("full", View::Full),
    ("start", View::Start),
    ("partial", View::Partial),
];

/// Where one can walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Layout {
    Walls,
    TMaze,
    Labyrinth,
}

/// Part of the maze that is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum View {
    Full,
    Start,
    Partial,
}

/// `GridMaze-v0`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GridMaze {
    size: u32,
    layout: Layout,
    view: View,
    /// Whether each cell is a wall, row by row.
    walls: Vec<bool>,
    agent: usize,
    goal: usize,
    /// Actions until the time limit; 0 before a reset and after the end.
    remaining: u32,
}

impl GridMaze {
    fn height(&self) -> usize {
        match self.layout {
            Layout::TMaze => 3,
            _ => self.size as usize,
        }
    }

    fn width(&self) -> usize {
        match self.layout {
            Layout::TMaze => self.size as usize + 1,
            _ => self.size as usize,
        }
    }

    fn cells(&self) -> usize {
        self.height() * self.width()
    }

    fn limit(&self) -> u32 {
        2 * self.cells() as u32
    }

    /// Returns the cells at the end of a T-maze's corridor, above and below.
    fn ends(&self) -> [usize; 2] {
        [self.width() - 1, self.cells() - 1]
    }

    /// Returns the cell that an action leads to.
    #[inline]
    fn moved(&self, cell: usize, action: i64) -> usize {
        let (row, column, width) = (cell / self.width(), cell % self.width(), self.width());
        let next = match action {
            0 if row > 0 => cell - width,
            1 if column + 1 < width => cell + 1,
            2 if row + 1 < self.height() => cell + width,
            3 if column > 0 => cell - 1,
            _ => cell,
        };
        if self.walls[next] { cell } else { next }
    }

    /// Returns the number of steps from each cell to `to`; `None` where there is no way.
    fn distances(&self, to: usize) -> Vec<Option<u32>> {
        let mut distances = vec![None; self.cells()];
        distances[to] = Some(0);
        let mut next = VecDeque::from([(to, 0)]);
        while let Some((cell, distance)) = next.pop_front() {
            for action in 0..4 {
                let near = self.moved(cell, action);
                if distances[near].is_none() {
                    distances[near] = Some(distance + 1);
                    next.push_back((near, distance + 1));
                }
            }
        }
        distances
    }

    /// Returns the cells of the largest connected part, in order; of equal ones that of the first cell.
    fn largest_part(&self) -> Vec<usize> {
        let mut largest = Vec::new();
        let mut is_known = self.walls.clone();
        for cell in 0..self.cells() {
            if is_known[cell] {
                continue;
            }
            let reached = self.distances(cell).into_iter().enumerate();
            let part: Vec<usize> = reached
                .filter_map(|(cell, way)| way.map(|_| cell))
                .collect();
            part.iter().for_each(|&cell| is_known[cell] = true);
            if part.len() > largest.len() {
                largest = part;
            }
        }
        largest
    }

    fn draw_walls(&mut self, draws: &mut impl Draws) {
        for wall in &mut self.walls {
            *wall = draws.below(10) < WALL_TENTHS;
        }
        let mut part = self.largest_part();
        if part.len() < 2 {
            self.walls.fill(false);
            part = self.largest_part();
        }
        self.draw_places(part, draws);
    }

    /// Joins the rooms, which lie in even rows and columns: from the last room of the way so far to one
    /// not visited yet, or back.
    fn draw_labyrinth(&mut self, draws: &mut impl Draws) {
        let (width, rooms) = (self.width(), self.width().div_ceil(2));
        let cell = |room: usize| 2 * (room / rooms) * width + 2 * (room % rooms);
        self.walls.fill(true);
        self.walls[cell(0)] = false;
        let mut way = vec![0];
        while let Some(&room) = way.last() {
            let (row, column) = (room / rooms, room % rooms);
            let near = [
                (row > 0).then(|| room - rooms),
                (column + 1 < rooms).then_some(room + 1),
                (row + 1 < rooms).then_some(room + rooms),
                (column > 0).then(|| room - 1),
            ];
            let unvisited = near.into_iter().flatten();
            let unvisited: Vec<usize> = unvisited.filter(|&near| self.walls[cell(near)]).collect();
            if unvisited.is_empty() {
                way.pop();
                continue;
            }
            let next = unvisited[draws.below(unvisited.len() as u64) as usize];
            self.walls[cell(next)] = false;
            self.walls[usize::midpoint(cell(room), cell(next))] = false;
            way.push(next);
        }
        let free = (0..self.cells()).filter(|&cell| !self.walls[cell]);
        self.draw_places(free.collect(), draws);
    }

    /// Draws the cells of agent and goal among these.
    fn draw_places(&mut self, mut cells: Vec<usize>, draws: &mut impl Draws) {
        self.agent = cells.remove(draws.below(cells.len() as u64) as usize);
        self.goal = cells[draws.below(cells.len() as u64) as usize];
    }

    /// Builds the T-maze; its goal is above the junction.
    fn build_tmaze(&mut self) {
        let (width, ends) = (self.width(), self.ends());
        for (cell, wall) in self.walls.iter_mut().enumerate() {
            *wall = cell / width != 1 && !ends.contains(&cell);
        }
        (self.agent, self.goal) = (width, ends[0]);
    }

    /// Whether a cell is drawn.
    fn is_in_view(&self, cell: usize) -> bool {
        let place = |cell: usize| [cell / self.width(), cell % self.width()];
        let pairs = place(cell).into_iter().zip(place(self.agent));
        self.view != View::Partial
            || pairs
                .into_iter()
                .all(|(there, here)| there.abs_diff(here) <= REACH)
    }

    /// Whether the goal is drawn.
    fn is_goal_in_view(&self) -> bool {
        let is_first = self.remaining == self.limit();
        self.is_in_view(self.goal) && (self.view != View::Start || is_first)
    }

    fn observe(&self, observation: &mut [f32]) {
        observation.fill(0.0);
        let cells = self.cells();
        for cell in (0..cells).filter(|&cell| self.is_in_view(cell)) {
            let channel = if self.walls[cell] { WALL } else { FREE };
            observation[channel * cells + cell] = 1.0;
        }
        observation[AGENT * cells + self.agent] = 1.0;
        if self.is_goal_in_view() {
            observation[GOAL * cells + self.goal] = 1.0;
        }
    }

    /// Whether the agent is where an episode ends.
    fn is_at_end(&self) -> bool {
        self.agent == self.goal
            || (self.layout == Layout::TMaze && self.ends().contains(&self.agent))
    }

    /// Computes a T-maze's expected return of random actions from the probability of each cell after
    /// each step.
    fn random_return(&self) -> f64 {
        let mut maze = self.clone();
        maze.build_tmaze();
        let ends = maze.ends();
        let mut likely = vec![0.0; maze.cells()];
        likely[maze.agent] = 1.0;
        for _ in 0..maze.limit() {
            let mut next = vec![0.0; likely.len()];
            for (cell, p) in likely.into_iter().enumerate() {
                if ends.contains(&cell) {
                    next[cell] += p;
                } else {
                    (0..4).for_each(|action| next[maze.moved(cell, action)] += p / 4.0);
                }
            }
            likely = next;
        }
        likely[maze.goal]
    }
}

/// Returns what a choice among names stands for.
fn chosen<T: Copy>(
    arguments: &Arguments,
    name: &str,
    choices: &[(&str, T)],
) -> Result<T, KwargsError> {
    let found = arguments.choice(name).and_then(|chosen| {
        let mut choices = choices.iter();
        choices.find(|(choice, _)| *choice == chosen)
    });
    required(name, found.map(|(_, value)| *value))
}

impl Catalogued for GridMaze {
    fn profile() -> Profile {
        let [least, most] = SIZES.map(i64::from);
        Profile {
            id: "GridMaze-v0",
            description: "Walk to the goal of a maze that is shown from above, as a raster; the goal \
                          is drawn always, at the first step, or from near.",
            parameters: vec![
                Parameter::integer(
                    "size",
                    "Rows and columns; of a T-maze, the steps from the start to the junction.",
                    least,
                    most,
                    Some(7),
                ),
                Parameter::choice(
                    "layout",
                    "Random walls, a T-maze, or a labyrinth with one way from each cell to each.",
                    &LAYOUTS.map(|(name, _)| name),
                    Some("walls"),
                ),
                Parameter::choice(
                    "view",
                    "Part that is drawn: everything, the goal at the first step only, or the 3 by 3 cells \
                     around the agent.",
                    &VIEWS.map(|(name, _)| name),
                    Some("start"),
                ),
            ],
            remember: "the goal's place, and under a partial view where one has been",
            source: "this project, after the grids of Nardelli et al. 2019 (arXiv:1805.11199)",
        }
    }

    fn reward_range(&self) -> [f64; 2] {
        [0.0, 1.0]
    }

    fn returns(&self) -> Returns {
        let memoryless = match (self.layout, self.view) {
            (_, View::Full) | (Layout::TMaze, View::Partial) => Some(1.0),
            (Layout::TMaze, View::Start) => Some(0.5),
            _ => None,
        };
        let random = match (self.layout, self.size) {
            (Layout::TMaze, _) => Some(self.random_return()),
            (Layout::Walls, 7) => Some(0.521),
            (Layout::Labyrinth, 7) => Some(0.310),
            _ => None,
        };
        Returns {
            random,
            memoryless,
            best: Some(1.0),
            oracle: Some(1.0),
            note:
                "Returns are shares of episodes that reach the goal. Random is exact, in a T-maze."
                    .to_owned(),
        }
    }
}

impl Environment for GridMaze {
    type Element = f32;
    type Action = i64;

    fn new(arguments: &Arguments) -> Result<Self, KwargsError> {
        let mut maze = GridMaze {
            size: required("size", arguments.natural("size")?)?,
            layout: chosen(arguments, "layout", &LAYOUTS)?,
            view: chosen(arguments, "view", &VIEWS)?,
            walls: Vec::new(),
            agent: 0,
            goal: 1,
            remaining: 0,
        };
        maze.walls = vec![false; maze.cells()];
        if maze.layout == Layout::TMaze {
            maze.build_tmaze();
        }
        Ok(maze)
    }

    fn observation_space(&self) -> Space {
        Space::Box {
            shape: vec![CHANNELS, self.height(), self.width()],
            dtype: Dtype::Float32,
            low: Bound::All(0.0),
            high: Bound::All(1.0),
        }
    }

    fn action_space(&self) -> Space {
        Space::Discrete { n: 4, start: 0 }
    }

    /// Draws the maze, then the places of agent and goal; of a T-maze the goal's side.
    fn reset(&mut self, draws: &mut impl Draws, observation: &mut [f32]) {
        match self.layout {
            Layout::Walls => self.draw_walls(draws),
            Layout::Labyrinth => self.draw_labyrinth(draws),
            Layout::TMaze => {
                self.build_tmaze();
                self.goal = self.ends()[usize::from(!draws.bit())];
            }
        }
        self.remaining = self.limit();
        self.observe(observation);
    }

    #[inline]
    fn step(
        &mut self,
        action: &[i64],
        _draws: &mut impl Draws,
        observation: &mut [f32],
    ) -> Transition {
        self.agent = self.moved(self.agent, action[0]);
        self.remaining -= 1;
        self.observe(observation);
        if self.is_at_end() {
            self.remaining = 0;
            return Transition::terminal(f64::from(u8::from(self.agent == self.goal)));
        }
        Transition::new(0.0, false, self.remaining == 0)
    }

    fn is_running(&self) -> bool {
        self.remaining > 0
    }

    /// Takes a shortest way.
    fn oracle(&self) -> Vec<i64> {
        let distances = self.distances(self.goal);
        let ways = (0..4).filter_map(|action| {
            let next = self.moved(self.agent, action);
            distances[next].map(|distance| (distance, action))
        });
        vec![ways.min().map_or(0, |(_, action)| action)]
    }

    fn validate(&self) -> Result<(), String> {
        if !(SIZES[0]..=SIZES[1]).contains(&self.size) || self.walls.len() != self.cells() {
            return Err(format!(
                "{} cells are no maze of size {}",
                self.walls.len(),
                self.size
            ));
        }
        let is_free = |cell: usize| self.walls.get(cell) == Some(&false);
        if !is_free(self.agent) || !is_free(self.goal) {
            return Err("agent and goal are in free cells".to_owned());
        }
        if self.layout == Layout::TMaze {
            let mut plain = self.clone();
            plain.build_tmaze();
            if plain.walls != self.walls || !self.ends().contains(&self.goal) {
                return Err("the maze has no shape of a T".to_owned());
            }
        }
        if self.distances(self.goal)[self.agent].is_none() {
            return Err("no way leads to the goal".to_owned());
        }
        if self.remaining > self.limit() || (self.remaining > 0 && self.is_at_end()) {
            return Err(format!("{} actions cannot remain", self.remaining));
        }
        Ok(())
    }

    fn heap_bytes(&self) -> usize {
        vec_bytes(&self.walls)
    }
}

impl Pictured for GridMaze {
    fn picture(&self, seen: &Seen<'_, f32>) -> Picture {
        let number = |channel: usize, cell: usize| {
            let place = channel * self.cells() + cell;
            seen.observation.get(place).copied().unwrap_or(0.0)
        };
        let wall = || Cell::new("#").tone(Tone::Wall);
        let goal = |is_seen: bool| {
            let tone = if is_seen { Tone::Goal } else { Tone::Hidden };
            Cell::new("G").tone(tone)
        };
        let cells = (0..self.cells()).map(|cell| {
            let is_seen = (0..CHANNELS).any(|channel| number(channel, cell) > 0.0);
            let drawn = match cell {
                _ if cell == self.agent => Cell::new("A").tone(Tone::Agent),
                _ if cell == self.goal => goal(number(GOAL, cell) > 0.0),
                _ if self.walls[cell] => wall(),
                _ => Cell::default(),
            };
            drawn.seen(is_seen && self.view == View::Partial)
        });
        let (remaining, limit) = (u64::from(self.remaining), u64::from(self.limit()));
        let picture = Picture::new()
            .grid("", Grid::new(self.width(), cells))
            .bars("", [Bar::remaining("actions left", remaining, limit)])
            .key(Cell::new("A").tone(Tone::Agent), "agent")
            .key(goal(true), "goal")
            .key(goal(false), "goal, not drawn")
            .key(wall(), "wall");
        let picture = match seen.action {
            Some(&[action]) => {
                let heading = ["up", "right", "down", "left"][action as usize % 4];
                picture.note(Tone::Agent, &format!("action: {heading}"))
            }
            _ => picture,
        };
        match (seen.action, self.agent == self.goal) {
            (Some(_), true) => picture.note(Tone::Good, "reached the goal"),
            (Some(_), false) if self.is_at_end() => picture.note(Tone::Bad, "the wrong end"),
            (Some(_), false) if remaining == 0 => picture.note(Tone::Bad, "out of time"),
            _ => picture,
        }
    }
}

#[cfg(test)]
mod tests;
