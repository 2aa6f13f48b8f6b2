//! POPGym's LabyrinthExplore: walk on every square of a maze, seeing what is next to the agent.
//!
//! The maze, the moves and the view are those of the labyrinths (`labyrinth.rs`). A square that was not
//! visited before pays 1/F, F free squares without the start; any other step pays −1/L, L =
//! `episode_length`. Terminated when all are visited, truncated at step L − 1; both can be true. The
//! exit stays a wall, and nothing shows which squares were visited.
//!
//! Returns are measured at the levels: memoryless with one hand on the right wall, best by a player
//! that keeps a map. Oracle visits all squares in the fewest steps. To remember: nothing is necessary, since the wall leads everywhere; a map spares ways
//! back.
//!
//! Source: Morad et al. 2023, POPGym, arXiv:2303.01859; POPGym 1.0.7, `envs/labyrinth_explore.py`, with
//! mazelib 0.9.16. Left out: the maze and the position in `info`. Deviation: a step after the end is an
//! error, where the original continues.

use env_protocol::{Returns, Space};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::labyrinth::{self, LENGTH, SIZES, Walk};
use super::levels::{self, at_level};
use crate::kit::vec_bytes;
use crate::render::{Bar, Cell, Picture, Seen, Tone};
use crate::{
    Arguments, Catalogued, Draw, Draws, Environment, KwargsError, Pictured, Profile, Recorded,
    Transition,
};

/// `LabyrinthExplore-v0`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabyrinthExplore {
    walk: Walk,
    /// Whether each square was visited.
    visited: Vec<bool>,
    /// Free squares without the start.
    free: u32,
    /// Those of them that were not visited.
    left: u32,
}

impl LabyrinthExplore {
    /// Notes that nothing was visited but the agent's square.
    fn forget(&mut self) {
        self.visited.clear();
        self.visited.resize(self.walk.squares(), false);
        self.visited[self.walk.agent()] = true;
        self.free = self.walk.num_open();
        self.left = self.free;
    }
}

impl Catalogued for LabyrinthExplore {
    fn profile() -> Profile {
        let [dims, length] = labyrinth::parameters();
        Profile {
            id: "LabyrinthExplore-v0",
            description: "Walk on every square of a maze, shown the 3 by 3 squares around the agent.",
            parameters: vec![levels::parameter(), dims, length],
            remember: "nothing is necessary; a map of the visited squares spares ways back",
            source: "POPGym 1.0.7, LabyrinthExplore (Morad et al. 2023, arXiv:2303.01859)",
        }
    }

    /// A maze has at least one free square.
    fn reward_range(&self) -> [f64; 2] {
        [-1.0 / f64::from(self.walk.episode_length()), 1.0]
    }

    fn returns(&self) -> Returns {
        let is_usual = self.walk.episode_length() == LENGTH;
        let side = self.walk.side().filter(|_| is_usual).unwrap_or(0);
        let at_levels = |values| at_level(&side, &SIZES, values);
        Returns {
            random: at_levels([-0.356, -0.616, -0.741]),
            memoryless: at_levels([0.9683, 0.9254, 0.8643]),
            best: at_levels([0.9687, 0.9267, 0.8666]),
            oracle: at_levels([0.9825, 0.9573, 0.9191]),
            note: "Measured at the levels. Memoryless and best are the best known.".to_owned(),
        }
    }
}

impl Environment for LabyrinthExplore {
    type Element = i64;
    type Action = i64;

    fn new(arguments: &Arguments) -> Result<Self, KwargsError> {
        let walk = Walk::new(arguments)?;
        let mut task = LabyrinthExplore {
            walk,
            visited: Vec::new(),
            free: 0,
            left: 0,
        };
        task.forget();
        Ok(task)
    }

    fn observation_space(&self) -> Space {
        labyrinth::observation_space()
    }

    fn action_space(&self) -> Space {
        labyrinth::action_space()
    }

    /// Draws the maze and its doors. The exit stays closed.
    fn reset(&mut self, draws: &mut impl Draws, observation: &mut [i64]) {
        self.walk.begin(false, draws);
        self.forget();
        self.walk.observe(observation);
    }

    #[inline]
    fn step(
        &mut self,
        action: &[i64],
        _draws: &mut impl Draws,
        observation: &mut [i64],
    ) -> Transition {
        let truncated = self.walk.step(action[0]);
        let was_visited = std::mem::replace(&mut self.visited[self.walk.agent()], true);
        let reward = match was_visited {
            true => -1.0 / f64::from(self.walk.episode_length()),
            false => 1.0 / f64::from(self.free),
        };
        self.left -= u32::from(!was_visited);
        let terminated = self.left == 0;
        self.walk.observe(observation);
        if terminated || truncated {
            self.walk.end();
        }
        Transition::new(reward, terminated, truncated)
    }

    fn is_running(&self) -> bool {
        self.walk.is_running()
    }

    /// Visits the shallowest branch first and the deepest last, from where it need not come back.
    fn oracle(&self) -> Vec<i64> {
        let mut depths = [None; 4];
        for (way, &was_visited) in self.walk.ways().into_iter().zip(&self.visited) {
            if let (Some((distance, action)), false) = (way, was_visited) {
                let depth: &mut Option<u32> = &mut depths[action];
                *depth = (*depth).max(Some(distance));
            }
        }
        let branches = depths.into_iter().zip(0..);
        let branches = branches.filter_map(|(depth, action)| Some((depth?, action)));
        vec![branches.min().map_or(0, |(_, action)| action)]
    }

    fn validate(&self) -> Result<(), String> {
        self.walk.validate(false)?;
        let fits = self.visited.len() == self.walk.squares();
        let visited = || {
            self.visited
                .iter()
                .enumerate()
                .filter(|(_, visited)| **visited)
        };
        if !fits
            || visited().any(|(square, _)| !self.walk.is_open(square))
            || !self.visited[self.walk.agent()]
            || !self.visited[self.walk.start()]
            || self.free != self.walk.num_open()
            || u64::from(self.left) + visited().count() as u64 != u64::from(self.free) + 1
            || (self.is_running() && self.left == 0)
        {
            return Err(format!(
                "no walk leaves {} of {} squares",
                self.left, self.free
            ));
        }
        Ok(())
    }

    fn heap_bytes(&self) -> usize {
        self.walk.heap_bytes() + vec_bytes(&self.visited)
    }
}

impl Pictured for LabyrinthExplore {
    fn picture(&self, seen: &Seen<'_, i64>) -> Picture {
        let trace = || Cell::new("+").tone(Tone::Good);
        let mark = |square: usize| self.visited[square].then(trace);
        let (left, free) = (u64::from(self.left), u64::from(self.free));
        let picture = self.walk.picture(seen, mark).key(trace(), "visited").bars(
            "squares",
            [Bar::remaining("not visited", left, free).tone(Tone::Hidden)],
        );
        match (seen.action, self.left, self.is_running()) {
            (Some(_), 0, _) => picture.note(Tone::Good, "all squares visited"),
            (Some(_), _, false) => picture.note(Tone::Bad, "out of time"),
            _ => picture,
        }
    }
}

impl Recorded for LabyrinthExplore {
    const REFERENCE_NAME: &'static str = "popgym/LabyrinthExplore";

    fn script(&self, latent: &Value) -> Result<Vec<Draw>, String> {
        self.walk.script(latent)
    }
}
