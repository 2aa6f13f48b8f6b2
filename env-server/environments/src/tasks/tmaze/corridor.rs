//! The T-mazes of Ni et al.: see which side the goal is on, walk a corridor, turn that way.
//!
//! Cells: the corridor (x, 0) for x = 0 … o + L, with L = `corridor_length`, and two goal cells
//! (o + L, ±1). The agent starts at (o, 0); o is 0 in the passive maze and 1 in the active one, where
//! the sign stands one cell behind the start. Actions: 0 = +x, 1 = +y, 2 = −x, 3 = −y; a move into
//! anything else leaves the agent in place. Observation `[is at the end, y or the sign]`:
//! - at x = o + L: `[1, y]`;
//! - at x = 0: `[0, goal side]` the first time in the episode, `[0, 0]` later;
//! - elsewhere `[0, 0]`: corridor, start of the active maze and revisited sign look the same.
//!
//! With `position` an observation is a `Dict` of these two numbers (`observation`) and the agent's cell
//! `[x, y]` (`position`), for memories that are maps.
//!
//! An episode has exactly T = L + 1 + 2o steps, and reaching a goal cell earlier ends nothing. Step
//! t < T pays `penalty` if x < t − o after the move, plus `distract_reward` if x = 0; step T pays
//! `goal_reward` on the goal cell of the right side and else 0, with no penalty. The end counts as
//! terminated, as the original's configuration has it.
//!
//! Returns (for penalties of at most 0 and no distracting reward): best and oracle `goal_reward`,
//! memoryless half of it (a perfect walk and a guess); random is computed from the arguments. To
//! remember: one bit for L observations (L + 1 in the active maze).
//!
//! Source: Ni et al. 2023, When Do Transformers Shine in RL? Decoupling Memory from Credit
//! Assignment, arXiv:2307.03864; twni2016/Memory-RL `envs/tmaze.py`, commit c9b8b39. The default
//! penalty, −1/L, is the one of the paper's configuration.

use std::cmp::Ordering;

use env_protocol::{Bound, Dtype, Parameter, Returns, Space};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kit::arguments::required;
use crate::kit::recording::{ensure, parse};
use crate::render::{Bar, Picture, Seen, Tone};
use crate::tasks::tmaze::mazes::{self, Maze};
use crate::{
    Arguments, Catalogued, Draw, Draws, Environment, KwargsError, Pictured, Profile, Recorded,
    Transition,
};

/// Longest corridor.
const MAX_LENGTH: u32 = 1_000_000;
/// Longest corridor for which the random player's return is computed.
const MAX_COMPUTED: u32 = 1000;
/// Greatest reward or penalty.
const MAX_REWARD: f64 = 1e6;

/// `TMazePassive-v0`.
pub type TMazePassive = TMaze<0>;
/// `TMazeActive-v0`.
pub type TMazeActive = TMaze<1>;

/// A maze whose sign is `ORACLE` cells behind the start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TMaze<const ORACLE: u32> {
    corridor_length: u32,
    goal_reward: f64,
    penalty: f64,
    distract_reward: f64,
    /// Whether the agent is shown where it is.
    #[serde(default)]
    shows_position: bool,
    /// Whether the goal is at y = +1.
    is_goal_up: bool,
    x: u32,
    y: i8,
    has_seen_sign: bool,
    /// Actions until the end of the episode.
    remaining: u32,
}

impl<const ORACLE: u32> TMaze<ORACLE> {
    const fn end(&self) -> u32 {
        ORACLE + self.corridor_length
    }

    const fn length(&self) -> u32 {
        self.corridor_length + 1 + 2 * ORACLE
    }

    fn goal_y(&self) -> i8 {
        if self.is_goal_up { 1 } else { -1 }
    }

    #[inline]
    fn observe(&mut self, observation: &mut [f32]) {
        let seen = if self.x == self.end() {
            [1.0, f32::from(self.y)]
        } else if self.x == 0 && !self.has_seen_sign {
            self.has_seen_sign = true;
            [0.0, f32::from(self.goal_y())]
        } else {
            [0.0, 0.0]
        };
        let (own, position) = observation.split_at_mut(seen.len());
        own.copy_from_slice(&seen);
        if self.shows_position {
            position.copy_from_slice(&[self.x as f32, f32::from(self.y)]);
        }
    }

    /// Returns the cell that an action leads to.
    #[inline]
    fn moved(&self, (x, y): (u32, i8), action: i64) -> (u32, i8) {
        match action {
            0 if y == 0 && x < self.end() => (x + 1, 0),
            2 if y == 0 && x > 0 => (x - 1, 0),
            1 if x == self.end() && y < 1 => (x, y + 1),
            3 if x == self.end() && y > -1 => (x, y - 1),
            _ => (x, y),
        }
    }

    /// Returns the reward of being at this cell after `t` steps, before the last step.
    #[inline]
    fn on_the_way(&self, x: u32, t: u32) -> f64 {
        let is_late = i64::from(x) < i64::from(t) - i64::from(ORACLE);
        let penalty = if is_late { self.penalty } else { 0.0 };
        penalty + if x == 0 { self.distract_reward } else { 0.0 }
    }

    /// Computes the expected return of random actions from the probability of each cell after each
    /// step.
    fn random_return(&self) -> f64 {
        let end = self.end();
        // Cells of the corridor in order, then the two goal cells.
        let cell = |i: usize| match (i as u32).checked_sub(end + 1) {
            None => (i as u32, 0),
            Some(0) => (end, 1),
            Some(_) => (end, -1),
        };
        let index = |(x, y): (u32, i8)| match y {
            0 => x as usize,
            1 => end as usize + 1,
            _ => end as usize + 2,
        };
        let mut likely = vec![0.0; end as usize + 3];
        likely[ORACLE as usize] = 1.0;
        let mut total = 0.0;
        for t in 1..=self.length() {
            let mut next = vec![0.0; likely.len()];
            for (i, p) in likely.iter().enumerate().filter(|(_, p)| **p > 0.0) {
                for action in 0..4 {
                    next[index(self.moved(cell(i), action))] += p / 4.0;
                }
            }
            likely = next;
            if t < self.length() {
                let cells = likely.iter().enumerate();
                total += cells
                    .map(|(i, p)| p * self.on_the_way(cell(i).0, t))
                    .sum::<f64>();
            }
        }
        total + self.goal_reward * likely[index((end, 1))]
    }
}

impl<const ORACLE: u32> Catalogued for TMaze<ORACLE> {
    fn profile() -> Profile {
        let (id, description, remember) = match ORACLE {
            0 => (
                "TMazePassive-v0",
                "The first observation shows the goal's side; walk to the end of the corridor and \
                 turn that way.",
                "one bit for `corridor_length` observations",
            ),
            _ => (
                "TMazeActive-v0",
                "A sign one step behind the start shows the goal's side; look, walk to the end of \
                 the corridor and turn that way.",
                "one bit for `corridor_length` + 1 observations",
            ),
        };
        let reward = |name, description, default| {
            Parameter::number(name, description, -MAX_REWARD, MAX_REWARD, default)
        };
        Profile {
            id,
            description,
            parameters: vec![
                Parameter::integer(
                    "corridor_length",
                    "Steps from the start to the junction.",
                    1,
                    i64::from(MAX_LENGTH),
                    Some(10),
                ),
                reward("goal_reward", "For ending on the goal's cell.", Some(1.0)),
                reward(
                    "penalty",
                    "Added for each step behind time; -1 / `corridor_length` when left out.",
                    None,
                ),
                reward(
                    "distract_reward",
                    "Added for each step spent where the sign is.",
                    Some(0.0),
                ),
                Parameter::boolean(
                    "position",
                    "Observations are Dicts, with the agent's cell (x, y) as `position`.",
                ),
            ],
            remember,
            source: "Ni et al. 2023 (arXiv:2307.03864), twni2016/Memory-RL envs/tmaze.py",
        }
    }

    fn reward_range(&self) -> [f64; 2] {
        let both = self.penalty + self.distract_reward;
        let rewards = [self.penalty, self.distract_reward, both, self.goal_reward];
        let least = rewards.into_iter().fold(0.0, f64::min);
        [least, rewards.into_iter().fold(0.0, f64::max)]
    }

    fn returns(&self) -> Returns {
        let is_plain =
            self.penalty <= 0.0 && self.distract_reward == 0.0 && self.goal_reward >= 0.0;
        let known = |value: f64| is_plain.then_some(value);
        let is_short = self.corridor_length <= MAX_COMPUTED;
        Returns {
            random: is_short.then(|| self.random_return()),
            memoryless: known(self.goal_reward / 2.0),
            best: known(self.goal_reward),
            oracle: known(self.goal_reward),
            note: format!(
                "Random is exact, for corridors of up to {MAX_COMPUTED}; the others hold for \
                 penalties of at most 0 and no distract_reward."
            ),
        }
    }
}

impl<const ORACLE: u32> Environment for TMaze<ORACLE> {
    type Element = f32;
    type Action = i64;

    fn new(arguments: &Arguments) -> Result<Self, KwargsError> {
        let corridor_length = required("corridor_length", arguments.natural("corridor_length")?)?;
        let penalty = arguments.number("penalty");
        Ok(TMaze {
            corridor_length,
            goal_reward: required("goal_reward", arguments.number("goal_reward"))?,
            penalty: penalty.unwrap_or(-1.0 / f64::from(corridor_length)),
            distract_reward: required("distract_reward", arguments.number("distract_reward"))?,
            shows_position: arguments.flag("position") == Some(true),
            is_goal_up: false,
            x: ORACLE,
            y: 0,
            has_seen_sign: false,
            remaining: 0,
        })
    }

    fn observation_space(&self) -> Space {
        let pair = |low, high| Space::Box {
            shape: vec![2],
            dtype: Dtype::Float32,
            low,
            high,
        };
        let own = pair(Bound::All(-1.0), Bound::All(1.0));
        if !self.shows_position {
            return own;
        }
        let (low, high) = (vec![0.0, -1.0], vec![f64::from(self.end()), 1.0]);
        let position = pair(Bound::Each(low), Bound::Each(high));
        let spaces = [("observation", own), ("position", position)];
        Space::Dict {
            spaces: spaces.map(|(name, space)| (name.to_owned(), space)).into(),
        }
    }

    fn action_space(&self) -> Space {
        Space::Discrete { n: 4, start: 0 }
    }

    /// Draws the goal's side.
    fn reset(&mut self, draws: &mut impl Draws, observation: &mut [f32]) {
        self.is_goal_up = draws.bit();
        (self.x, self.y) = (ORACLE, 0);
        self.has_seen_sign = false;
        self.remaining = self.length();
        self.observe(observation);
    }

    #[inline]
    fn step(
        &mut self,
        action: &[i64],
        _draws: &mut impl Draws,
        observation: &mut [f32],
    ) -> Transition {
        (self.x, self.y) = self.moved((self.x, self.y), action[0]);
        self.observe(observation);
        self.remaining -= 1;
        if self.remaining > 0 {
            let t = self.length() - self.remaining;
            return Transition::running(self.on_the_way(self.x, t));
        }
        let is_right = self.y == self.goal_y();
        Transition::terminal(if is_right { self.goal_reward } else { 0.0 })
    }

    /// Walks to the end, turns, and then pushes against the wall.
    fn oracle(&self) -> Vec<i64> {
        vec![match self.y.cmp(&self.goal_y()) {
            _ if self.x < self.end() => 0,
            Ordering::Less => 1,
            Ordering::Greater => 3,
            Ordering::Equal => 0,
        }]
    }

    fn validate(&self) -> Result<(), String> {
        let rewards = [self.goal_reward, self.penalty, self.distract_reward];
        if !(1..=MAX_LENGTH).contains(&self.corridor_length) || self.remaining > self.length() {
            return Err(format!(
                "{} actions cannot remain in a corridor of {}",
                self.remaining, self.corridor_length
            ));
        }
        if !rewards.iter().all(|r| r.abs() <= MAX_REWARD) {
            return Err(format!("rewards are at most {MAX_REWARD}"));
        }
        if self.x > self.end() || self.y.abs() > 1 || (self.y != 0 && self.x != self.end()) {
            return Err(format!("({}, {}) is no cell", self.x, self.y));
        }
        Ok(())
    }

    fn is_running(&self) -> bool {
        self.remaining > 0
    }
}

impl<const ORACLE: u32> Pictured for TMaze<ORACLE> {
    /// Shows the maze from above.
    fn picture(&self, seen: &Seen<'_, f32>) -> Picture {
        let is_sign_seen = self.x == 0 && seen.observation[1] != 0.0;
        let maze = Maze {
            end: self.end(),
            agent: (self.x, self.y),
            is_goal_up: self.is_goal_up,
            is_shown: self.has_seen_sign,
            is_sign_seen,
        };
        let (remaining, length) = (u64::from(self.remaining), u64::from(self.length()));
        let steps = Bar::remaining("actions left", remaining, length);
        let numbers = match self.shows_position {
            true => "at the end, y or the sign; x and y",
            false => "at the end, y or the sign",
        };
        let picture = maze.picture().grid(numbers, seen.grid()).bars("", [steps]);
        let picture = mazes::acted(picture, seen.action);
        match (self.remaining, self.y == self.goal_y()) {
            (0, true) => picture.note(Tone::Good, "ended on the goal"),
            (0, false) => picture.note(Tone::Bad, "did not end on the goal"),
            _ if is_sign_seen => mazes::sign(picture, self.is_goal_up),
            _ => picture,
        }
    }
}

impl<const ORACLE: u32> Recorded for TMaze<ORACLE> {
    const REFERENCE_NAME: &'static str = match ORACLE {
        0 => "tmaze_passive",
        _ => "tmaze_active",
    };

    /// `{"goal_y": ±1}`.
    fn script(&self, latent: &Value) -> Result<Vec<Draw>, String> {
        #[derive(Deserialize)]
        struct Latent {
            goal_y: i64,
        }
        let Latent { goal_y } = parse(latent)?;
        ensure(goal_y.abs() == 1, || format!("{goal_y} as the goal's side"))?;
        Ok(vec![Draw::Bit(goal_y == 1)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Script;
    use crate::check::{arguments, check_environment};
    use serde_json::json;

    fn play<const ORACLE: u32>(kwargs: Value, actions: &[i64]) -> (Vec<[f32; 2]>, Vec<f64>) {
        let mut maze = TMaze::<ORACLE>::new(&arguments::<TMaze<ORACLE>>(kwargs)).unwrap();
        let mut draws = Script::new(vec![Draw::Bit(false)]);
        let mut observation = [9.0; 2];
        maze.reset(&mut draws, &mut observation);
        let mut seen = vec![observation];
        let mut rewards = Vec::new();
        for (i, &action) in actions.iter().enumerate() {
            let transition = maze.step(&[action], &mut draws, &mut observation);
            assert_eq!(transition.terminated, i + 1 == actions.len());
            seen.push(observation);
            rewards.push(transition.reward);
        }
        draws.finish().unwrap();
        (seen, rewards)
    }

    #[test]
    fn keeps_the_contract() {
        for kwargs in [
            json!({"corridor_length": 1}),
            json!({"corridor_length": 3, "penalty": 0}),
            json!({"corridor_length": 9, "goal_reward": 4, "distract_reward": 0.5}),
            json!({"corridor_length": 3, "position": true}),
        ] {
            check_environment::<TMazePassive>(kwargs.clone());
            check_environment::<TMazeActive>(kwargs);
        }
    }

    #[test]
    fn the_passive_sign_is_shown_once_and_lateness_costs() {
        // A step back against the wall, then right, right, down.
        let (seen, rewards) = play::<0>(json!({"corridor_length": 3}), &[2, 0, 0, 3]);
        let corridor = [0.0, 0.0];
        let sign = [0.0, -1.0];
        assert_eq!(seen, [sign, corridor, corridor, corridor, corridor]);
        let late = -1.0 / 3.0;
        assert_eq!(rewards, [late, late, late, 0.0]);
    }

    #[test]
    fn the_position_is_shown_if_asked_for() {
        let kwargs = json!({"corridor_length": 2, "position": true});
        let arguments = arguments::<TMazeActive>(kwargs);
        let mut maze = TMazeActive::new(&arguments).unwrap();
        let mut draws = Script::new(vec![Draw::Bit(true)]);
        let mut observation = [9.0; 4];
        maze.reset(&mut draws, &mut observation);
        assert_eq!(observation, [0.0, 0.0, 1.0, 0.0]);
        let mut seen = Vec::new();
        for action in [2, 0, 0, 0, 1] {
            maze.step(&[action], &mut draws, &mut observation);
            seen.push(observation);
        }
        let expected = [
            [0.0, 1.0, 0.0, 0.0],
            [0.0, 0.0, 1.0, 0.0],
            [0.0, 0.0, 2.0, 0.0],
            [1.0, 0.0, 3.0, 0.0],
            [1.0, 1.0, 3.0, 1.0],
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn the_active_sign_is_behind_the_start_and_looking_is_free() {
        let kwargs = json!({"corridor_length": 2});
        let (seen, rewards) = play::<1>(kwargs.clone(), &[2, 0, 0, 0, 3]);
        let corridor = [0.0, 0.0];
        let junction = [1.0, 0.0];
        let expected = [
            corridor,
            [0.0, -1.0],
            corridor,
            corridor,
            junction,
            [1.0, -1.0],
        ];
        assert_eq!(seen, expected);
        assert_eq!(rewards, [0.0, 0.0, 0.0, 0.0, 1.0]);
        // Staying at the sign costs from the third step on, and the sign is shown once.
        let (seen, rewards) = play::<1>(kwargs, &[2, 2, 2, 2, 2]);
        assert_eq!(seen[1..4], [[0.0, -1.0], corridor, corridor]);
        assert_eq!(rewards, [0.0, -0.5, -0.5, -0.5, 0.0]);
    }

    #[test]
    fn random_returns_are_those_measured_on_the_original() {
        // Means and standard errors of recorded random episodes of the originals.
        let random = |returns: Returns| returns.random.unwrap();
        for (length, passive, active) in [
            (2, (-0.8286, 0.0025), (-0.8711, 0.0044)),
            (5, (-0.9335, 0.0010), (-0.9469, 0.0018)),
            (20, (-0.9835, 0.0005), (-0.9868, 0.0010)),
        ] {
            let kwargs = json!({"corridor_length": length});
            let maze = TMazePassive::new(&arguments::<TMazePassive>(kwargs.clone())).unwrap();
            assert!((random(maze.returns()) - passive.0).abs() < 4.0 * passive.1);
            let maze = TMazeActive::new(&arguments::<TMazeActive>(kwargs)).unwrap();
            assert!((random(maze.returns()) - active.0).abs() < 4.0 * active.1);
        }
    }
}
