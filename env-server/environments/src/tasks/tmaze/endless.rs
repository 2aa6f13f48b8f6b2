//! EndlessTMaze: T-mazes one after the other, each with a new cue that replaces the last.
//!
//! Observation `[is at the junction, cue]`; the cue, ±1, is shown on arrival in a corridor, and 0
//! everywhere else, also when the agent comes back there. Actions as in the other T-mazes: 0 = +x,
//! 1 = +y, 2 = −x, 3 = −y; a move into a wall leaves the agent in place. At the junction, x = L =
//! `corridor_length`, actions 1 and 3 turn: the side of the corridor's cue pays 1/n, n =
//! `num_corridors`, the other −1/n, and either way the agent arrives in the next corridor.
//! Terminated after the n-th turn; truncated after n(L + 1) steps, which is just enough.
//!
//! Returns: random 0, best and oracle 1. Memoryless is computed: 1/2 for one corridor, and hardly
//! above 0 for more. The player always turns up and waits a step where the cue says down, so that
//! the time may run out before a turn that it would lose. To remember: one bit for L observations,
//! and then the next bit instead of it.
//!
//! Source: this project, after the T-mazes of Bakker (2001) and Ni et al. (2023, arXiv:2307.03864).

use env_protocol::{Bound, Dtype, Parameter, Returns, Space};
use serde::{Deserialize, Serialize};

use crate::kit::arguments::required;
use crate::render::{Bar, Picture, Seen};
use crate::tasks::tmaze::mazes::{self, Maze};
use crate::{
    Arguments, Catalogued, Draws, Environment, KwargsError, Pictured, Profile, Transition,
};

/// Longest corridor.
const MAX_LENGTH: u32 = 10_000;
/// Most corridors for which the memoryless player's return is computed.
const MAX_COMPUTED: u32 = 1000;
/// Most corridors.
const MAX_CORRIDORS: u32 = 10_000;

/// `EndlessTMaze-v0`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndlessTMaze {
    corridor_length: u32,
    num_corridors: u32,
    /// Whether the corridor's cue is +1.
    is_cue_up: bool,
    x: u32,
    /// Turns until the end.
    corridors_left: u32,
    /// Actions until the time limit.
    remaining: u32,
}

impl EndlessTMaze {
    fn limit(&self) -> u32 {
        self.num_corridors * (self.corridor_length + 1)
    }

    fn most(&self) -> f64 {
        1.0 / f64::from(self.num_corridors)
    }

    /// Computes the return of a player that always turns up and waits a step where the cue says
    /// down. Each turn is right with probability 1/2, except one: the turn at which earlier waits
    /// have used up the time of all later corridors, so that a wait ends the episode. There it
    /// earns 1/n where the cue says up, and loses nothing where it says down. Waits are fair bits,
    /// one a corridor.
    fn memoryless_return(&self) -> f64 {
        let n = self.num_corridors;
        let likely = |later: u32| {
            let (before, waits) = (n - 1 - later, later * (self.corridor_length + 1));
            let ways = |ways: f64, i: u32| ways * f64::from(before - i) / f64::from(i + 1);
            let is_possible = waits <= before;
            is_possible.then(|| (0..waits).fold(0.5f64.powi(before as i32), ways))
        };
        let least = (0..n).map_while(likely).sum::<f64>();
        least / 2.0 * self.most()
    }

    #[inline]
    fn arrive(&mut self, draws: &mut impl Draws, observation: &mut [f32]) {
        self.x = 0;
        self.is_cue_up = draws.bit();
        let cue = if self.is_cue_up { 1.0 } else { -1.0 };
        observation.copy_from_slice(&[0.0, cue]);
    }
}

impl Catalogued for EndlessTMaze {
    fn profile() -> Profile {
        Profile {
            id: "EndlessTMaze-v0",
            description: "T-mazes one after the other: each shows a new cue on arrival, which is \
                          the side to turn to at its end.",
            parameters: vec![
                Parameter::integer(
                    "corridor_length",
                    "Steps from a corridor's start to its junction.",
                    1,
                    i64::from(MAX_LENGTH),
                    Some(5),
                ),
                Parameter::integer(
                    "num_corridors",
                    "Corridors of an episode.",
                    1,
                    i64::from(MAX_CORRIDORS),
                    Some(10),
                ),
            ],
            remember: "one bit for `corridor_length` observations, `num_corridors` times: each new \
                       one replaces the last",
            source: "this project, after the T-mazes of Bakker (2001) and Ni et al. \
                     (arXiv:2307.03864)",
        }
    }

    fn reward_range(&self) -> [f64; 2] {
        [-self.most(), self.most()]
    }

    fn returns(&self) -> Returns {
        Returns {
            random: Some(0.0),
            memoryless: (self.num_corridors <= MAX_COMPUTED).then(|| self.memoryless_return()),
            best: Some(1.0),
            oracle: Some(1.0),
            note: format!(
                "Memoryless, the best known, turns up and waits a step where the cue says down, so \
                 that the time may be over before a turn it would lose; exact, for up to \
                 {MAX_COMPUTED} corridors."
            ),
        }
    }
}

impl Environment for EndlessTMaze {
    type Element = f32;
    type Action = i64;

    fn new(arguments: &Arguments) -> Result<Self, KwargsError> {
        Ok(EndlessTMaze {
            corridor_length: required("corridor_length", arguments.natural("corridor_length")?)?,
            num_corridors: required("num_corridors", arguments.natural("num_corridors")?)?,
            is_cue_up: false,
            x: 0,
            corridors_left: 0,
            remaining: 0,
        })
    }

    fn observation_space(&self) -> Space {
        Space::Box {
            shape: vec![2],
            dtype: Dtype::Float32,
            low: Bound::Each(vec![0.0, -1.0]),
            high: Bound::All(1.0),
        }
    }

    fn action_space(&self) -> Space {
        Space::Discrete { n: 4, start: 0 }
    }

    /// Draws the first cue.
    fn reset(&mut self, draws: &mut impl Draws, observation: &mut [f32]) {
        self.corridors_left = self.num_corridors;
        self.remaining = self.limit();
        self.arrive(draws, observation);
    }

    /// Draws the next cue after a turn that is not the last.
    #[inline]
    fn step(
        &mut self,
        action: &[i64],
        draws: &mut impl Draws,
        observation: &mut [f32],
    ) -> Transition {
        self.remaining -= 1;
        let is_at_junction = self.x == self.corridor_length;
        let mut reward = 0.0;
        match action[0] {
            turn @ (1 | 3) if is_at_junction => {
                let is_right = (turn == 1) == self.is_cue_up;
                reward = if is_right { self.most() } else { -self.most() };
                self.corridors_left -= 1;
                if self.corridors_left > 0 {
                    self.arrive(draws, observation);
                    return Transition::new(reward, false, self.remaining == 0);
                }
            }
            0 if !is_at_junction => self.x += 1,
            2 => self.x = self.x.saturating_sub(1),
            _ => {}
        }
        let is_over = self.corridors_left == 0;
        let is_at_junction = self.x == self.corridor_length && !is_over;
        observation.copy_from_slice(&[f32::from(u8::from(is_at_junction)), 0.0]);
        let truncated = self.remaining == 0 && !is_over;
        if is_over {
            self.remaining = 0;
        }
        Transition::new(reward, is_over, truncated)
    }

    fn oracle(&self) -> Vec<i64> {
        let turn = if self.is_cue_up { 1 } else { 3 };
        let is_at_junction = self.x == self.corridor_length;
        vec![if is_at_junction { turn } else { 0 }]
    }

    fn validate(&self) -> Result<(), String> {
        let is_good = (1..=MAX_LENGTH).contains(&self.corridor_length)
            && (1..=MAX_CORRIDORS).contains(&self.num_corridors)
            && self.x <= self.corridor_length
            && self.corridors_left <= self.num_corridors
            && self.remaining <= self.limit()
            && (self.remaining == 0 || self.corridors_left > 0);
        match is_good {
            true => Ok(()),
            false => Err(format!("no episode leads to {self:?}")),
        }
    }

    fn is_running(&self) -> bool {
        self.remaining > 0
    }
}

impl Pictured for EndlessTMaze {
    /// Shows the present corridor and the number of corridors left.
    fn picture(&self, seen: &Seen<'_, f32>) -> Picture {
        let turn = seen.action.map(|action| action[0]);
        let is_over = self.corridors_left == 0;
        let y = match turn {
            Some(1) if is_over => 1,
            Some(3) if is_over => -1,
            _ => 0,
        };
        let is_sign_seen = seen.observation[1] != 0.0;
        let maze = Maze {
            end: self.corridor_length,
            agent: (self.x, y),
            is_goal_up: self.is_cue_up,
            is_shown: true,
            is_sign_seen,
        };
        let (left, all) = (self.corridors_left, self.num_corridors);
        let (remaining, limit) = (u64::from(self.remaining), u64::from(self.limit()));
        let bars = [
            Bar::remaining("corridors left", u64::from(left), u64::from(all)),
            Bar::remaining("actions left", remaining, limit),
        ];
        let picture = maze
            .picture()
            .grid("at the junction, cue", seen.grid())
            .bars("", bars);
        let mut picture = mazes::acted(picture, seen.action);
        // Only turns have rewards, and the picture shows the corridor after the turn.
        let reward = seen.played.map_or(0.0, |played| played.reward);
        if reward != 0.0 {
            picture = mazes::turned(picture, reward > 0.0);
        }
        match is_sign_seen {
            true => mazes::sign(picture, self.is_cue_up),
            false => picture,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{arguments, check_environment};
    use crate::{Draw, Script};
    use serde_json::{Value, json};

    fn maze(kwargs: Value) -> EndlessTMaze {
        EndlessTMaze::new(&arguments::<EndlessTMaze>(kwargs)).unwrap()
    }

    #[test]
    fn keeps_the_contract() {
        for kwargs in [
            json!({}),
            json!({"corridor_length": 1, "num_corridors": 1}),
            json!({"corridor_length": 3, "num_corridors": 2}),
        ] {
            check_environment::<EndlessTMaze>(kwargs);
        }
    }

    #[test]
    fn each_cue_counts_for_its_own_corridor() {
        let mut maze = maze(json!({"corridor_length": 1, "num_corridors": 2}));
        let mut draws = Script::new(vec![Draw::Bit(true), Draw::Bit(false)]);
        let mut observation = [9.0; 2];
        maze.reset(&mut draws, &mut observation);
        assert_eq!(observation, [0.0, 1.0]);
        for (action, seen, transition) in [
            (0, [1.0, 0.0], Transition::running(0.0)),
            (1, [0.0, -1.0], Transition::running(0.5)),
            (0, [1.0, 0.0], Transition::running(0.0)),
            (1, [0.0, 0.0], Transition::terminal(-0.5)),
        ] {
            assert_eq!(
                maze.step(&[action], &mut draws, &mut observation),
                transition
            );
            assert_eq!(observation, seen);
        }
        draws.finish().unwrap();
    }

    #[test]
    fn a_cue_is_shown_once_and_time_runs_out() {
        let mut maze = maze(json!({"corridor_length": 2, "num_corridors": 1}));
        let mut draws = Script::new(vec![Draw::Bit(true)]);
        let mut observation = [9.0; 2];
        maze.reset(&mut draws, &mut observation);
        maze.step(&[0], &mut draws, &mut observation);
        maze.step(&[2], &mut draws, &mut observation);
        assert_eq!(observation, [0.0, 0.0]);
        let last = maze.step(&[1], &mut draws, &mut observation);
        assert_eq!(last, Transition::new(0.0, false, true));
    }
}
