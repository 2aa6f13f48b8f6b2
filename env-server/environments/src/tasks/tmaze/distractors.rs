//! TMazeDistractors: Bakker's T-maze, with noise in the corridor.
//!
//! The agent starts at x = 0 of a corridor and chooses at the junction x = L = `corridor_length`.
//! Actions as in the other T-mazes: 0 = +x, 1 = +y, 2 = −x, 3 = −y. Three numbers are observed:
//! - at the start `[0, 1, 1]` if the goal is at +y, `[1, 1, 0]` if at −y;
//! - in the corridor `[a, 0, b]`, with a and b new at every observation: fair bits, uniform in [0,
//!   1), or always 1 (`noise` bits, uniform, none);
//! - at the junction `[0, 1, 0]`, and zeros after the choice.
//!
//! Standing still (a move into a wall) pays −0.1. At the junction actions 1 and 3 end the episode:
//! 4 for the goal's side, −0.1 for the other. Truncated after `max_episode_steps`.
//!
//! Returns: best and oracle 4, memoryless 1.95 (a walk and a guess), random computed. To remember:
//! one bit for L observations of noise.
//!
//! Source: Bakker 2001, Reinforcement Learning with Long Short-Term Memory (NIPS 14, published
//! 2002), section 4: rewards, observations and the noisy variant (`uniform`). Deviations: `bits` is
//! new and the default; the time limit is ours.

use env_protocol::{Bound, Dtype, Parameter, Returns, Space};
use serde::{Deserialize, Serialize};

use crate::kit::arguments::required;
use crate::render::{Bar, Picture, Seen, Tone};
use crate::tasks::tmaze::mazes::{self, Maze};
use crate::{
    Arguments, Catalogued, Draws, Environment, KwargsError, Pictured, Profile, Transition,
};

/// Longest corridor.
const MAX_LENGTH: u32 = 1_000_000;
/// Greatest time limit.
const MAX_STEPS: u32 = 10_000_000;
/// Longest corridor and time for which the random player's return is computed.
const MAX_COMPUTED: [u32; 2] = [1000, 10_000];
/// Reward of the right turn.
const GOAL: f64 = 4.0;
/// Reward of the wrong turn, and of standing still.
const PENALTY: f64 = -0.1;

/// Noise in the observations of the corridor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Noise {
    None,
    Bits,
    Uniform,
}

/// `TMazeDistractors-v0`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TMazeDistractors {
    corridor_length: u32,
    max_episode_steps: u32,
    noise: Noise,
    /// Whether the goal is at +y.
    is_goal_up: bool,
    x: u32,
    /// Actions until the time limit.
    remaining: u32,
}

impl TMazeDistractors {
    #[inline]
    fn noise(&self, draws: &mut impl Draws) -> f32 {
        match self.noise {
            Noise::None => 1.0,
            Noise::Bits => f32::from(u8::from(draws.bit())),
            Noise::Uniform => draws.unit_f32(),
        }
    }

    #[inline]
    fn observe(&self, draws: &mut impl Draws, observation: &mut [f32]) {
        let seen = match self.x {
            0 if self.is_goal_up => [0.0, 1.0, 1.0],
            0 => [1.0, 1.0, 0.0],
            x if x == self.corridor_length => [0.0, 1.0, 0.0],
            _ => [self.noise(draws), 0.0, self.noise(draws)],
        };
        observation.copy_from_slice(&seen);
    }

    /// Returns the cell that an action leads to, unless it is a turn at the junction.
    #[inline]
    fn moved(&self, x: u32, action: i64) -> u32 {
        match action {
            0 if x < self.corridor_length => x + 1,
            2 => x.saturating_sub(1),
            _ => x,
        }
    }

    /// Computes the expected return of random actions from the probability of each cell after each
    /// step.
    fn random_return(&self) -> f64 {
        let mut likely = vec![0.0; self.corridor_length as usize + 1];
        likely[0] = 1.0;
        let mut total = 0.0;
        for _ in 0..self.max_episode_steps {
            let mut next = vec![0.0; likely.len()];
            for (x, p) in likely.iter().enumerate() {
                let x = x as u32;
                for action in 0..4 {
                    let to = self.moved(x, action);
                    if x == self.corridor_length && action % 2 == 1 {
                        total += p / 4.0 * (GOAL + PENALTY) / 2.0;
                    } else {
                        total += if to == x { p / 4.0 * PENALTY } else { 0.0 };
                        next[to as usize] += p / 4.0;
                    }
                }
            }
            likely = next;
        }
        total
    }
}

impl Catalogued for TMazeDistractors {
    fn profile() -> Profile {
        Profile {
            id: "TMazeDistractors-v0",
            description: "The start shows the goal's side; walk a corridor of noise to its end and \
                          turn that way.",
            parameters: vec![
                Parameter::integer(
                    "corridor_length",
                    "Steps from the start to the junction.",
                    1,
                    i64::from(MAX_LENGTH),
                    Some(10),
                ),
                Parameter::choice(
                    "noise",
                    "What two of the three numbers in the corridor are: always 1, fair bits, or \
                     uniform in [0, 1).",
                    &["none", "bits", "uniform"],
                    Some("bits"),
                ),
                Parameter::integer(
                    "max_episode_steps",
                    "Steps after which an episode is truncated, more than `corridor_length`; 4 \
                     (`corridor_length` + 1) when left out.",
                    2,
                    i64::from(MAX_STEPS),
                    None,
                ),
            ],
            remember: "one bit for `corridor_length` observations of noise",
            source: "Bakker 2001, Reinforcement Learning with Long Short-Term Memory (NIPS 14)",
        }
    }

    fn reward_range(&self) -> [f64; 2] {
        [PENALTY, GOAL]
    }

    fn returns(&self) -> Returns {
        let [length, steps] = MAX_COMPUTED;
        let is_short = self.corridor_length <= length && self.max_episode_steps <= steps;
        Returns {
            random: is_short.then(|| self.random_return()),
            memoryless: Some((GOAL + PENALTY) / 2.0),
            best: Some(GOAL),
            oracle: Some(GOAL),
            note: format!(
                "Random is exact, for corridors of up to {length} and times of up to {steps}."
            ),
        }
    }
}

impl Environment for TMazeDistractors {
    type Element = f32;
    type Action = i64;

    fn new(arguments: &Arguments) -> Result<Self, KwargsError> {
        let corridor_length = required("corridor_length", arguments.natural("corridor_length")?)?;
        let steps = arguments.natural("max_episode_steps")?;
        let max_episode_steps = steps.unwrap_or(4 * (corridor_length + 1));
        if max_episode_steps <= corridor_length {
            let detail = format!("{max_episode_steps} is not more than corridor_length");
            return Err(KwargsError::new("max_episode_steps", detail));
        }
        Ok(TMazeDistractors {
            corridor_length,
            max_episode_steps,
            noise: match arguments.choice("noise") {
                Some("none") => Noise::None,
                Some("uniform") => Noise::Uniform,
                _ => Noise::Bits,
            },
            is_goal_up: false,
            x: 0,
            remaining: 0,
        })
    }

    fn observation_space(&self) -> Space {
        Space::Box {
            shape: vec![3],
            dtype: Dtype::Float32,
            low: Bound::All(0.0),
            high: Bound::All(1.0),
        }
    }

    fn action_space(&self) -> Space {
        Space::Discrete { n: 4, start: 0 }
    }

    /// Draws the goal's side.
    fn reset(&mut self, draws: &mut impl Draws, observation: &mut [f32]) {
        self.is_goal_up = draws.bit();
        self.x = 0;
        self.remaining = self.max_episode_steps;
        self.observe(draws, observation);
    }

    /// Draws the noise, in the corridor.
    #[inline]
    fn step(
        &mut self,
        action: &[i64],
        draws: &mut impl Draws,
        observation: &mut [f32],
    ) -> Transition {
        let action = action[0];
        if self.x == self.corridor_length && action % 2 == 1 {
            self.remaining = 0;
            observation.fill(0.0);
            let is_right = (action == 1) == self.is_goal_up;
            return Transition::terminal(if is_right { GOAL } else { PENALTY });
        }
        let to = self.moved(self.x, action);
        let reward = if to == self.x { PENALTY } else { 0.0 };
        self.x = to;
        self.observe(draws, observation);
        self.remaining -= 1;
        Transition::new(reward, false, self.remaining == 0)
    }

    fn oracle(&self) -> Vec<i64> {
        let turn = if self.is_goal_up { 1 } else { 3 };
        vec![if self.x == self.corridor_length {
            turn
        } else {
            0
        }]
    }

    fn validate(&self) -> Result<(), String> {
        let is_good = (1..=MAX_LENGTH).contains(&self.corridor_length)
            && (self.corridor_length + 1..=MAX_STEPS).contains(&self.max_episode_steps)
            && self.x <= self.corridor_length
            && self.remaining <= self.max_episode_steps;
        match is_good {
            true => Ok(()),
            false => Err(format!("no episode leads to {self:?}")),
        }
    }

    fn is_running(&self) -> bool {
        self.remaining > 0
    }
}

impl Pictured for TMazeDistractors {
    /// Shows the maze from above.
    fn picture(&self, seen: &Seen<'_, f32>) -> Picture {
        let is_sign_seen = self.x == 0;
        // The agent is at the junction with no time left only after a turn.
        let turn = match seen.action {
            Some(&[turn @ (1 | 3)]) if self.remaining == 0 && self.x == self.corridor_length => {
                Some(turn == 1)
            }
            _ => None,
        };
        let maze = Maze {
            end: self.corridor_length,
            agent: (self.x, turn.map_or(0, |is_up| if is_up { 1 } else { -1 })),
            is_goal_up: self.is_goal_up,
            is_shown: true,
            is_sign_seen,
        };
        let (remaining, most) = (self.remaining, self.max_episode_steps);
        // `remaining` is 0 after the end, whatever time was left.
        let steps = Bar::remaining("actions left", u64::from(remaining), u64::from(most));
        let picture = maze
            .picture()
            .grid("observation", seen.grid())
            .bars("", [steps]);
        let picture = mazes::acted(picture, seen.action);
        match turn {
            Some(is_up) => mazes::turned(picture, is_up == self.is_goal_up),
            None if remaining == 0 => picture.note(Tone::Bad, "out of time"),
            None if is_sign_seen => mazes::sign(picture, self.is_goal_up),
            None => picture,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{arguments, check_environment};
    use crate::{Draw, Script};
    use serde_json::{Value, json};

    fn maze(kwargs: Value) -> Result<TMazeDistractors, KwargsError> {
        TMazeDistractors::new(&arguments::<TMazeDistractors>(kwargs))
    }

    #[test]
    fn keeps_the_contract() {
        for kwargs in [
            json!({}),
            json!({"corridor_length": 1, "noise": "none"}),
            json!({"corridor_length": 4, "noise": "uniform", "max_episode_steps": 6}),
        ] {
            check_environment::<TMazeDistractors>(kwargs);
        }
    }

    #[test]
    fn noise_stands_between_the_sign_and_the_choice() {
        let mut maze = maze(json!({"corridor_length": 2})).unwrap();
        // The goal's side, then the noise of three observations in the corridor.
        let bits = [false, true, false, false, false, true, true];
        let mut draws = Script::new(bits.map(Draw::Bit).to_vec());
        let mut observation = [9.0; 3];
        maze.reset(&mut draws, &mut observation);
        assert_eq!(observation, [1.0, 1.0, 0.0]);
        for (action, seen, transition) in [
            (2, [1.0, 1.0, 0.0], Transition::running(-0.1)),
            (0, [1.0, 0.0, 0.0], Transition::running(0.0)),
            (3, [0.0, 0.0, 0.0], Transition::running(-0.1)),
            (0, [0.0, 1.0, 0.0], Transition::running(0.0)),
            (0, [0.0, 1.0, 0.0], Transition::running(-0.1)),
            (2, [1.0, 0.0, 1.0], Transition::running(0.0)),
            (0, [0.0, 1.0, 0.0], Transition::running(0.0)),
            (3, [0.0, 0.0, 0.0], Transition::terminal(4.0)),
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
    fn there_must_be_time_for_the_corridor() {
        let error = maze(json!({"corridor_length": 5, "max_episode_steps": 5})).unwrap_err();
        assert_eq!(
            error.to_string(),
            "max_episode_steps: 5 is not more than corridor_length"
        );
    }
}
