//! ReachCell: walk to one cell of an empty grid, where only that cell pays.
//!
//! `size` by `size` cells without walls. The places of agent and goal are drawn at reset, and differ.
//! Actions: 0 up, 1 right, 2 down, 3 left; at the border the agent stays. Each step pays −1, but the one
//! that reaches the goal pays 0 and ends the episode; after 2 · `size` steps it is truncated.
//!
//! Observation: a `Dict` of `observation` and `achieved_goal`, which are the agent's row and column divided by
//! `size` − 1, and `desired_goal`, those of the goal, as in Gymnasium's goal environments.
//!
//! Returns: from a distance of d steps the best is −(d − 1). Best, memoryless and oracle are its mean over the
//! draws. Random is computed from the chances of each cell after each step, up to size 12. Nothing is to be
//! remembered.
//!
//! Source: this project, a grid for goal-conditioned agents after Andrychowicz et al. 2017, Hindsight
//! Experience Replay (arXiv:1707.01495).

use env_protocol::{Parameter, Returns, Space};
use serde::{Deserialize, Serialize};

use crate::kit::arguments::required;
use crate::render::{Bar, Cell, Grid, Picture, Seen, Tone};
use crate::tasks::goals::goal;
use crate::{
    Arguments, Catalogued, Draws, Environment, KwargsError, Pictured, Profile, Transition,
};

/// Least and greatest size.
const SIZES: [u32; 2] = [2, 100];

/// Greatest size for which the random player's return is computed.
const MAX_COMPUTED: u32 = 12;

/// A cell: row and column.
type Place = [u32; 2];

/// `ReachCell-v0`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReachCell {
    size: u32,
    agent: Place,
    goal: Place,
    /// Actions until the time limit; 0 before a reset and after the end.
    remaining: u32,
}

impl ReachCell {
    fn limit(&self) -> u32 {
        2 * self.size
    }

    fn place(&self, cell: u64) -> Place {
        let cell = cell as u32;
        [cell / self.size, cell % self.size]
    }

    /// Returns the cell that an action leads to.
    #[inline]
    fn moved(&self, [row, column]: Place, action: i64) -> Place {
        let last = self.size - 1;
        match action {
            0 => [row.saturating_sub(1), column],
            1 => [row, (column + 1).min(last)],
            2 => [(row + 1).min(last), column],
            _ => [row, column.saturating_sub(1)],
        }
    }

    #[inline]
    fn observe(&self, observation: &mut [f32]) {
        let scale = 1.0 / (self.size - 1) as f32;
        let places = goal::parts(self.agent, self.goal);
        for (number, at) in observation.iter_mut().zip(places.iter().flatten()) {
            *number = *at as f32 * scale;
        }
    }

    /// Returns the mean distance of two different cells, less the step that pays 0. Along an axis the mean distance of any
    /// two places is (n² − 1) / 3n, and a share of 1 − 1/n² of the pairs differs.
    fn best_return(&self) -> f64 {
        let n = f64::from(self.size);
        let mean = 2.0 * (n * n - 1.0) / (3.0 * n);
        1.0 - mean / (1.0 - 1.0 / (n * n))
    }
}

impl ReachCell {
    /// Returns the mean return of random steps.
    fn random_return(&self) -> f64 {
        let cells = (self.size * self.size) as usize;
        let mut total = 0.0;
        for goal in 0..cells {
            let mut likely = vec![1.0 / (cells - 1) as f64; cells];
            likely[goal] = 0.0;
            for _ in 0..self.limit() {
                let mut next = vec![0.0; cells];
                for (cell, p) in likely.iter().enumerate() {
                    for action in 0..4 {
                        let [row, column] = self.moved(self.place(cell as u64), action);
                        next[(row * self.size + column) as usize] += p / 4.0;
                    }
                }
                next[goal] = 0.0;
                total -= next.iter().sum::<f64>();
                likely = next;
            }
        }
        total / cells as f64
    }
}

impl Catalogued for ReachCell {
    fn profile() -> Profile {
        let [least, most] = SIZES.map(i64::from);
        Profile {
            id: "ReachCell-v0",
            description: "Walk to one cell of an empty grid; only that cell pays.",
            parameters: vec![Parameter::integer(
                "size",
                "Rows and columns.",
                least,
                most,
                Some(10),
            )],
            remember: "nothing: goals are shown, and hard to meet by chance",
            source: "this project, after Andrychowicz et al. 2017 (arXiv:1707.01495)",
        }
    }

    fn reward_range(&self) -> [f64; 2] {
        goal::REWARDS
    }

    fn returns(&self) -> Returns {
        let best = self.best_return();
        Returns {
            random: (self.size <= MAX_COMPUTED).then(|| self.random_return()),
            memoryless: Some(best),
            best: Some(best),
            oracle: Some(best),
            note: format!(
                "Means over the draws of places; all are exact. Random is given up to size {MAX_COMPUTED}."
            ),
        }
    }
}

impl Environment for ReachCell {
    type Element = f32;
    type Action = i64;

    fn new(arguments: &Arguments) -> Result<Self, KwargsError> {
        Ok(ReachCell {
            size: required("size", arguments.natural("size")?)?,
            agent: [0, 0],
            goal: [0, 1],
            remaining: 0,
        })
    }

    fn observation_space(&self) -> Space {
        goal::space(2)
    }

    fn action_space(&self) -> Space {
        Space::Discrete { n: 4, start: 0 }
    }

    /// Draws the agent's cell, then the goal's among the others.
    fn reset(&mut self, draws: &mut impl Draws, observation: &mut [f32]) {
        let cells = u64::from(self.size * self.size);
        let agent = draws.below(cells);
        let goal = draws.below(cells - 1);
        self.agent = self.place(agent);
        self.goal = self.place(goal + u64::from(goal >= agent));
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
        self.observe(observation);
        let is_reached = self.agent == self.goal;
        goal::transition(&mut self.remaining, is_reached)
    }

    fn is_running(&self) -> bool {
        self.remaining > 0
    }

    /// Walks to the goal's row, then along it.
    fn oracle(&self) -> Vec<i64> {
        let [[row, column], [to_row, to_column]] = [self.agent, self.goal];
        vec![match () {
            () if row > to_row => 0,
            () if row < to_row => 2,
            () if column < to_column => 1,
            () => 3,
        }]
    }

    fn validate(&self) -> Result<(), String> {
        let places = self.agent.iter().chain(&self.goal);
        let is_good = (SIZES[0]..=SIZES[1]).contains(&self.size)
            && places.into_iter().all(|&at| at < self.size)
            && self.remaining <= self.limit()
            && (self.remaining == 0 || self.agent != self.goal);
        match is_good {
            true => Ok(()),
            false => Err(format!("no episode leads to {self:?}")),
        }
    }
}

impl Pictured for ReachCell {
    fn picture(&self, seen: &Seen<'_, f32>) -> Picture {
        let agent = || Cell::new("A").tone(Tone::Agent);
        let goal = || Cell::new("G").tone(Tone::Goal);
        let cells = (0..u64::from(self.size * self.size)).map(|cell| match self.place(cell) {
            place if place == self.agent => agent(),
            place if place == self.goal => goal(),
            _ => Cell::default(),
        });
        let (remaining, limit) = (u64::from(self.remaining), u64::from(self.limit()));
        let picture = Picture::new()
            .grid("", Grid::new(self.size as usize, cells))
            .bars("", [Bar::remaining("actions left", remaining, limit)])
            .key(agent(), "agent")
            .key(goal(), "goal");
        let picture = match seen.action {
            Some(&[action]) => {
                let heading = ["up", "right", "down", "left"][action as usize % 4];
                picture.note(Tone::Agent, &format!("action: {heading}"))
            }
            _ => picture,
        };
        let is_reached = self.agent == self.goal;
        goal::with_end(picture, seen.action.is_some(), is_reached, self.remaining)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_return_is_the_mean_over_all_pairs() {
        let task = ReachCell {
            size: 4,
            agent: [0, 0],
            goal: [0, 1],
            remaining: 0,
        };
        let places = || (0..16).map(|cell| task.place(cell));
        let pairs = places().flat_map(|a| places().map(move |b| (a, b)));
        let distances = pairs.map(|(a, b)| a[0].abs_diff(b[0]) + a[1].abs_diff(b[1]));
        let apart: Vec<u32> = distances.filter(|&d| d > 0).collect();
        let sum: f64 = apart.iter().map(|&d| 1.0 - f64::from(d)).sum();
        assert!((task.best_return() - sum / apart.len() as f64).abs() < 1e-12);
    }

    #[test]
    fn borders_hold() {
        let task = ReachCell {
            size: 3,
            agent: [0, 0],
            goal: [0, 1],
            remaining: 0,
        };
        let moves = [0, 1, 2, 3].map(|action| task.moved([0, 2], action));
        assert_eq!(moves, [[0, 2], [0, 2], [1, 2], [0, 1]]);
    }
}
