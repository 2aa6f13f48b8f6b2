//! Players of labyrinths. Directions are numbered as actions: left, right, up, down.

use std::collections::{BTreeMap, VecDeque};

use super::{Claim, Player, Task, Who, levels, one};
use crate::tasks::popgym::labyrinth_escape::LabyrinthEscape;
use crate::tasks::popgym::labyrinth_explore::LabyrinthExplore;

/// Codes of squares.
const WALL: i64 = 1;
const START: i64 = 2;
const EXIT: i64 = 3;
/// The direction to the right of each.
const RIGHT_OF: [usize; 4] = [2, 3, 1, 0];

/// A row and a column, counted from the start.
type Place = (i32, i32);

fn next((row, column): Place, direction: usize) -> Place {
    match direction {
        0 => (row, column - 1),
        1 => (row, column + 1),
        2 => (row - 1, column),
        _ => (row + 1, column),
    }
}

/// The squares of a view. The agent is in the middle, but at the start, which is then in view.
fn view(seen: &[f64]) -> (BTreeMap<Place, i64>, Place) {
    let codes = seen[..9].iter().zip(0..);
    let squares: BTreeMap<Place, i64> = codes
        .map(|(&code, at)| ((at / 3, at % 3), code as i64))
        .collect();
    let start = squares.iter().find(|&(_, &code)| code == START);
    let agent = match (seen[9] == 4.0, start) {
        (true, Some((&place, _))) => place,
        _ => (1, 1),
    };
    (squares, agent)
}

/// Keeps one hand on the right wall, unless the exit is next to it. The start counts as a wall.
fn right_hand(_: &Task) -> Player {
    Box::new(|seen, _| {
        let (squares, agent) = view(seen);
        let is_open = |direction: usize| {
            let code = squares.get(&next(agent, direction));
            code.is_some_and(|&code| code != WALL && code != START)
        };
        let Some(&ahead) = [0, 1, 2, 3].get(seen[9] as usize) else {
            let way = (0..4).find(|&direction| is_open(direction));
            return one(way.unwrap_or(0));
        };
        let right = RIGHT_OF[ahead];
        let left = opposite(right);
        let exit = (0..4).find(|&way| squares.get(&next(agent, way)) == Some(&EXIT));
        let ways = [exit.unwrap_or(right), right, ahead, left, opposite(ahead)];
        let way = ways.into_iter().find(|&direction| is_open(direction));
        one(way.unwrap_or(0))
    })
}

/// The direction opposite to this one.
fn opposite(direction: usize) -> usize {
    direction ^ 1
}

/// A player's map of the squares that it has seen.
struct Map {
    squares: BTreeMap<Place, i64>,
    visited: BTreeMap<Place, bool>,
    agent: Place,
    /// The direction from the start into the maze.
    inwards: usize,
}

impl Map {
    fn new() -> Self {
        Map {
            squares: BTreeMap::new(),
            visited: BTreeMap::new(),
            agent: (0, 0),
            inwards: 0,
        }
    }

    /// Records an observation. The start is never entered again. In the left or upper wall the view is
    /// not centred, and its last column or row is nothing but padding.
    fn see(&mut self, seen: &[f64]) {
        let (squares, middle) = view(seen);
        let (row, column) = (self.agent.0 - middle.0, self.agent.1 - middle.1);
        let is_padding =
            |&(row, column): &Place| (middle.0 == 0 && row == 2) || (middle.1 == 0 && column == 2);
        for (place, code) in squares.into_iter().filter(|(place, _)| !is_padding(place)) {
            let place = (place.0 + row, place.1 + column);
            self.squares.entry(place).or_insert(code);
        }
        self.visited.insert(self.agent, true);
        if seen[9] == 4.0 {
            let way = (0..4).find(|&direction| self.is_open(next(self.agent, direction)));
            self.inwards = way.unwrap_or(0);
        }
    }

    fn is_open(&self, place: Place) -> bool {
        let code = self.squares.get(&place);
        code.is_some_and(|&code| code != WALL && code != START)
    }

    /// The distance of each square that can be reached over seen ones, and the first step to it.
    fn ways(&self) -> Vec<(Place, i32, usize)> {
        let mut known = BTreeMap::from([(self.agent, ())]);
        let mut ways = Vec::new();
        let mut waiting = VecDeque::from([(self.agent, 0, None)]);
        while let Some((place, distance, first)) = waiting.pop_front() {
            for direction in 0..4 {
                let near = next(place, direction);
                if self.is_open(near) && known.insert(near, ()).is_none() {
                    let first = first.unwrap_or(direction);
                    ways.push((near, distance + 1, first));
                    waiting.push_back((near, distance + 1, Some(first)));
                }
            }
        }
        ways
    }

    /// Steps from the start towards the other side.
    fn progress(&self, (row, column): Place) -> i32 {
        match self.inwards {
            0 => -column,
            1 => column,
            2 => -row,
            _ => row,
        }
    }

    /// Whether a square next to this one has not been seen.
    fn is_edge(&self, place: Place) -> bool {
        (0..4).any(|direction| !self.squares.contains_key(&next(place, direction)))
    }

    fn go(&mut self, direction: Option<usize>) -> Vec<f64> {
        let direction = direction.unwrap_or(0);
        let near = next(self.agent, direction);
        if self.is_open(near) {
            self.agent = near;
        }
        one(direction)
    }
}

/// Goes to the exit once it is seen; before that to where something new will be seen, the sooner the
/// nearer it is and the nearer to the other side, where the exit must be.
fn leaving(_: &Task) -> Player {
    let mut map = Map::new();
    Box::new(move |seen, _| {
        map.see(seen);
        let ways = map.ways();
        let exit = ways.iter().find(|way| map.squares[&way.0] == EXIT);
        let edges = ways.iter().filter(|way| map.is_edge(way.0));
        let edge = edges.min_by_key(|way| way.1 - map.progress(way.0));
        let first = exit.or(edge).map(|way| way.2);
        map.go(first)
    })
}

/// Goes to the nearest square that was seen and not visited.
fn visiting(_: &Task) -> Player {
    let mut map = Map::new();
    Box::new(move |seen, _| {
        map.see(seen);
        let ways = map.ways();
        let new = ways.iter().find(|way| !map.visited.contains_key(&way.0));
        let first = new.map(|way| way.2);
        map.go(first)
    })
}

/// The claims about the labyrinths.
pub(super) fn claims() -> Vec<Claim> {
    let games = [[100, 10_000]; 3];
    [
        levels::<LabyrinthEscape>(Who::Best, 0.0005, games, leaving),
        levels::<LabyrinthEscape>(Who::Memoryless, 0.0005, games, right_hand),
        levels::<LabyrinthExplore>(Who::Best, 0.0005, games, visiting),
        levels::<LabyrinthExplore>(Who::Memoryless, 0.0005, games, right_hand),
    ]
    .into_iter()
    .flatten()
    .collect()
}
