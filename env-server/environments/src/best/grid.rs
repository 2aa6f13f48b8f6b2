//! A player of mazes that are shown from above.

use env_protocol::Space;
use serde_json::json;

use super::{Claim, Player, Task, Who, claim, one};
use crate::tasks::grid::maze::GridMaze;

/// Channels of an observation.
const FREE: usize = 0;
const AGENT: usize = 1;
const GOAL: usize = 2;

/// A player's knowledge of a maze.
#[derive(Default)]
struct Map {
    width: usize,
    free: Vec<bool>,
    goal: Option<usize>,
    /// Whether the goal was shown at the first step.
    is_goal_known: bool,
    visited: Vec<bool>,
    /// Cells from the start to the agent.
    way: Vec<usize>,
}

impl Map {
    fn see(&mut self, seen: &[f64]) -> usize {
        let channel = |channel: usize| &seen[channel * self.free.len()..][..self.free.len()];
        let is_marked = |numbers: &[f64]| numbers.iter().position(|&x| x == 1.0);
        let agent = is_marked(channel(AGENT)).expect("the agent is drawn");
        let goal = is_marked(channel(GOAL));
        let free: Vec<bool> = channel(FREE).iter().map(|&x| x == 1.0).collect();
        for (known, free) in self.free.iter_mut().zip(free) {
            *known |= free;
        }
        self.goal = self.goal.or(goal);
        agent
    }

    /// The neighbours of a cell that are known to be free, with the actions that lead there.
    fn near(&self, cell: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
        let (column, width) = (cell % self.width, self.width);
        let cells = [
            cell.checked_sub(width),
            (column + 1 < width).then_some(cell + 1),
            Some(cell + width),
            (column > 0).then(|| cell - 1),
        ];
        let cells = cells.into_iter().enumerate();
        cells.filter_map(|(action, cell)| {
            let cell = cell.filter(|&cell| self.free.get(cell) == Some(&true))?;
            Some((action, cell))
        })
    }

    /// The first action of a shortest way from one cell to another.
    fn towards(&self, from: usize, to: usize) -> usize {
        let mut distances = vec![usize::MAX; self.free.len()];
        distances[to] = 0;
        let mut reached = vec![to];
        let mut next = 0;
        while let Some(&cell) = reached.get(next) {
            for (_, near) in self.near(cell) {
                if distances[near] == usize::MAX {
                    distances[near] = distances[cell] + 1;
                    reached.push(near);
                }
            }
            next += 1;
        }
        let ways = self.near(from).min_by_key(|&(_, near)| distances[near]);
        ways.expect("a free cell is near").0
    }

    /// Goes to the goal if it was shown at the first step; else searches depth first, a step at a time.
    fn act(&mut self, agent: usize) -> usize {
        if let Some(goal) = self.goal.filter(|_| self.is_goal_known) {
            return self.towards(agent, goal);
        }
        if self.way.last() != Some(&agent) {
            self.way.push(agent);
        }
        self.visited[agent] = true;
        let new = self.near(agent).filter(|&(_, cell)| !self.visited[cell]);
        // A goal that is near comes first.
        let new = new.max_by_key(|&(_, cell)| Some(cell) == self.goal);
        if let Some((action, _)) = new {
            return action;
        }
        self.way.pop();
        let back = self.way.last().copied();
        let mut near = self.near(agent);
        let back = near.find(|&(_, cell)| Some(cell) == back);
        back.expect("the goal is among the cells searched").0
    }
}

fn walker(task: &Task) -> Player {
    let Space::Box { shape, .. } = &task.observations else {
        panic!("observations of {:?}", task.observations);
    };
    let cells = shape[1] * shape[2];
    let mut map = Map {
        width: shape[2],
        free: vec![false; cells],
        visited: vec![false; cells],
        ..Map::default()
    };
    let mut is_first = true;
    Box::new(move |seen, _| {
        let agent = map.see(seen);
        map.is_goal_known |= std::mem::take(&mut is_first) && map.goal.is_some();
        one(map.act(agent))
    })
}

/// Sees the goal on screen, or takes a side of the T-maze.
fn memoryless(task: &Task) -> Player {
    let new = |task: &Task| walker(task);
    let task = Task {
        level: task.level,
        observations: task.observations.clone(),
        actions: task.actions.clone(),
    };
    Box::new(move |seen, rng| {
        let mut seen = seen.to_vec();
        let cells = seen.len() / 4;
        if !seen[GOAL * cells..][..cells].contains(&1.0) {
            // As if the goal were above the junction.
            let width = cells / 3;
            seen[GOAL * cells + width - 1] = 1.0;
        }
        new(&task)(&seen, rng)
    })
}

/// The claims about `GridMaze-v0`.
pub(super) fn claims() -> Vec<Claim> {
    let mut claims = Vec::new();
    for layout in ["walls", "tmaze", "labyrinth"] {
        for view in ["full", "start", "partial"] {
            let kwargs = json!({"layout": layout, "view": view});
            claims.push(claim::<GridMaze>(
                Who::Best,
                kwargs.clone(),
                0.0,
                [200, 10_000],
                walker,
            ));
            if layout == "tmaze" || view == "full" {
                let games = [200, 10_000];
                claims.push(claim::<GridMaze>(
                    Who::Memoryless,
                    kwargs,
                    0.0,
                    games,
                    memoryless,
                ));
            }
        }
    }
    let largest = json!({"size": 21, "layout": "labyrinth", "view": "partial"});
    claims.push(claim::<GridMaze>(
        Who::Best,
        largest,
        0.0,
        [20, 1_000],
        walker,
    ));
    claims
}
