//! POPGym's LabyrinthEscape: find the way out of a maze, seeing what is next to the agent.
//!
//! The maze, the moves and the view are those of the labyrinths (`labyrinth.rs`). Every step pays −1/L,
//! L = `episode_length`; reaching the exit adds 1 and terminates. Truncated at step L − 1, one earlier
//! than the name says; both can be true.
//!
//! Returns are measured at the levels: memoryless with one hand on the right wall, best by a player
//! that keeps a map, and oracle on the shortest way. To remember: nothing is
//! necessary, since the wall leads out; a map spares dead ends.
//!
//! Source: Morad et al. 2023, POPGym, arXiv:2303.01859; POPGym 1.0.7, `envs/labyrinth_escape.py`, with
//! mazelib 0.9.16. Left out: the maze and the position in `info`. Deviation: a step after the end is an
//! error, where the original continues.

use env_protocol::{Returns, Space};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::labyrinth::{self, EXIT, LENGTH, SIZES, Walk};
use super::levels::{self, at_level};
use crate::render::{Picture, Seen, Tone};
use crate::{
    Arguments, Catalogued, Draw, Draws, Environment, KwargsError, Pictured, Profile, Recorded,
    Transition,
};

/// `LabyrinthEscape-v0`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabyrinthEscape {
    walk: Walk,
}

impl Catalogued for LabyrinthEscape {
    fn profile() -> Profile {
        let [dims, length] = labyrinth::parameters();
        Profile {
            id: "LabyrinthEscape-v0",
            description: "Find the way out of a maze, shown the 3 by 3 squares around the agent.",
            parameters: vec![levels::parameter(), dims, length],
            remember: "nothing is necessary; a map of the squares seen so far spares dead ends",
            source: "POPGym 1.0.7, LabyrinthEscape (Morad et al. 2023, arXiv:2303.01859)",
        }
    }

    fn reward_range(&self) -> [f64; 2] {
        let step = -1.0 / f64::from(self.walk.episode_length());
        [step, step + 1.0]
    }

    fn returns(&self) -> Returns {
        let is_usual = self.walk.episode_length() == LENGTH;
        let side = self.walk.side().filter(|_| is_usual).unwrap_or(0);
        let at_levels = |values| at_level(&side, &SIZES, values);
        Returns {
            random: at_levels([-0.423, -0.839, -0.955]),
            memoryless: at_levels([0.9594, 0.9185, 0.8612]),
            best: at_levels([0.9658, 0.9330, 0.8897]),
            oracle: at_levels([0.9788, 0.9650, 0.9491]),
            note: "Measured at the levels. Memoryless and best are the best known.".to_owned(),
        }
    }
}

impl Environment for LabyrinthEscape {
    type Element = i64;
    type Action = i64;

    fn new(arguments: &Arguments) -> Result<Self, KwargsError> {
        let walk = Walk::new(arguments)?;
        Ok(LabyrinthEscape { walk })
    }

    fn observation_space(&self) -> Space {
        labyrinth::observation_space()
    }

    fn action_space(&self) -> Space {
        labyrinth::action_space()
    }

    /// Draws the maze and its doors.
    fn reset(&mut self, draws: &mut impl Draws, observation: &mut [i64]) {
        self.walk.begin(true, draws);
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
        let terminated = self.walk.is_at_exit();
        self.walk.observe(observation);
        let mut reward = -1.0 / f64::from(self.walk.episode_length());
        if terminated {
            reward += 1.0;
        }
        if terminated || truncated {
            self.walk.end();
        }
        Transition::new(reward, terminated, truncated)
    }

    fn is_running(&self) -> bool {
        self.walk.is_running()
    }

    /// Takes the shortest way to the exit.
    fn oracle(&self) -> Vec<i64> {
        let ways = self.walk.ways();
        let way = self.walk.exit().and_then(|exit| ways[exit]);
        vec![way.map_or(0, |(_, action)| action as i64)]
    }

    fn validate(&self) -> Result<(), String> {
        self.walk.validate(true)?;
        match self.is_running() && self.walk.is_at_exit() {
            true => Err("the exit ends an episode".to_owned()),
            false => Ok(()),
        }
    }

    fn heap_bytes(&self) -> usize {
        self.walk.heap_bytes()
    }
}

impl Pictured for LabyrinthEscape {
    fn picture(&self, seen: &Seen<'_, i64>) -> Picture {
        let picture = self.walk.picture(seen, |_| None);
        let picture = picture.key(labyrinth::mark_of(EXIT, Tone::Hidden), "exit");
        match (seen.action, self.walk.is_at_exit(), self.is_running()) {
            (Some(_), true, _) => picture.note(Tone::Good, "out of the maze"),
            (Some(_), false, false) => picture.note(Tone::Bad, "out of time"),
            _ => picture,
        }
    }
}

impl Recorded for LabyrinthEscape {
    const REFERENCE_NAME: &'static str = "popgym/LabyrinthEscape";

    fn script(&self, latent: &Value) -> Result<Vec<Draw>, String> {
        self.walk.script(latent)
    }
}
