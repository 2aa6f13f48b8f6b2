//! Parity: bits are shown one after the other; say whether the number of ones is odd.
//!
//! Observation `[bit, 1 at the last bit]`. The action taken at the last bit is the answer, 1 for odd
//! and 0 for even: it pays 1 if it is right and -1 if it is wrong. Other actions have no effect. An
//! episode has `length` steps.
//!
//! Returns: random 0; memoryless 0, but 1 at length 1, where the only bit is the answer; best and
//! oracle 1. To remember: one bit, for `length` - 1 steps.
//!
//! Source: this project.

use env_protocol::{Parameter, Returns, Space};
use environments::kit::arguments::required;
use environments::render::{Bar, Cell, Grid, Picture, Seen, Tone};
use environments::{
    Arguments, Catalogued, Draws, Environment, KwargsError, Pictured, Profile, Transition,
};
use serde::{Deserialize, Serialize};

/// Most bits in an episode.
const MAX_LENGTH: u32 = 1_000_000;

/// `Parity-v0`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parity {
    length: u32,
    /// Whether the number of ones shown so far is odd.
    is_odd: bool,
    /// Actions left in the episode; 0 before a reset and after the end.
    remaining: u32,
}

impl Parity {
    /// Draws a bit and writes the observation that shows it.
    fn show(&mut self, draws: &mut impl Draws, observation: &mut [i64]) {
        let bit = draws.bit();
        self.is_odd ^= bit;
        let is_last = self.remaining == 1;
        observation.copy_from_slice(&[i64::from(bit), i64::from(is_last)]);
    }
}

impl Catalogued for Parity {
    fn profile() -> Profile {
        let about = "Bits shown in an episode.";
        let length = Parameter::integer("length", about, 1, MAX_LENGTH.into(), Some(8));
        Profile {
            id: "Parity-v0",
            description: "Bits are shown one after the other. At the last one, say whether the \
                          number of ones is odd.",
            parameters: vec![length],
            remember: "one bit, for `length` - 1 steps",
            source: "this project",
        }
    }

    fn reward_range(&self) -> [f64; 2] {
        [-1.0, 1.0]
    }

    fn returns(&self) -> Returns {
        Returns {
            random: Some(0.0),
            memoryless: Some(if self.length == 1 { 1.0 } else { 0.0 }),
            best: Some(1.0),
            oracle: Some(1.0),
            note: String::new(),
        }
    }
}

impl Environment for Parity {
    type Element = i64;
    type Action = i64;

    fn new(arguments: &Arguments) -> Result<Self, KwargsError> {
        Ok(Parity {
            length: required("length", arguments.natural("length")?)?,
            is_odd: false,
            remaining: 0,
        })
    }

    fn observation_space(&self) -> Space {
        Space::MultiDiscrete { nvec: vec![2, 2] }
    }

    fn action_space(&self) -> Space {
        Space::Discrete { n: 2, start: 0 }
    }

    fn reset(&mut self, draws: &mut impl Draws, observation: &mut [i64]) {
        self.remaining = self.length;
        self.is_odd = false;
        self.show(draws, observation);
    }

    fn step(
        &mut self,
        action: &[i64],
        draws: &mut impl Draws,
        observation: &mut [i64],
    ) -> Transition {
        self.remaining -= 1;
        if self.remaining > 0 {
            self.show(draws, observation);
            return Transition::running(0.0);
        }
        observation.fill(0);
        let is_right = (action[0] == 1) == self.is_odd;
        Transition::terminal(if is_right { 1.0 } else { -1.0 })
    }

    fn is_running(&self) -> bool {
        self.remaining > 0
    }

    fn oracle(&self) -> Vec<i64> {
        vec![i64::from(self.is_odd)]
    }

    fn validate(&self) -> Result<(), String> {
        let is_good = (1..=MAX_LENGTH).contains(&self.length) && self.remaining <= self.length;
        match is_good {
            true => Ok(()),
            false => Err(format!("no episode leads to {self:?}")),
        }
    }
}

impl Pictured for Parity {
    fn picture(&self, seen: &Seen<'_, i64>) -> Picture {
        let parity = Cell::new(if self.is_odd { "odd" } else { "even" }).tone(Tone::Cue);
        let (remaining, length) = (self.remaining.into(), self.length.into());
        let picture = Picture::new()
            .grid("ones so far", Grid::row([parity]))
            .grid("bit, is the last", seen.grid())
            .bars("", [Bar::remaining("actions left", remaining, length)]);
        match (self.remaining, seen.action) {
            (1, _) => picture.note(Tone::Goal, "the next action is the answer"),
            (0, Some(&[answer])) => {
                let is_right = (answer == 1) == self.is_odd;
                picture.judged(&format!("answered {answer}"), is_right)
            }
            _ => picture,
        }
    }
}

/// Checks the contract of the task.
pub fn main() {
    environments::check::check_environment::<Parity>(serde_json::json!({"length": 3}));
    println!("Parity-v0 keeps the contract");
}
