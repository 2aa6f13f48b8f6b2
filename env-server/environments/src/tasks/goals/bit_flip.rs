//! BitFlip: flip bits, one at a time, until they are those of the goal.
//!
//! `bits` bits, and as many of a goal; both are drawn at reset, and differ. Action i flips bit i. Each
//! step pays −1, but the one that reaches the goal pays 0 and ends the episode; after `bits` steps it is
//! truncated.
//!
//! Observation: a `Dict` of `observation` and `achieved_goal`, which are the bits, and `desired_goal`,
//! as in Gymnasium's goal environments.
//!
//! Returns: from a distance of d bits the best is −(d − 1). Best, memoryless and oracle are its mean over
//! the draws. Random is computed from the chances of each distance after each step. Nothing is to be
//! remembered; what is hard is that random play never meets the goal of many bits.
//!
//! Source: Andrychowicz et al. 2017, Hindsight Experience Replay (arXiv:1707.01495), section 3.1.
//! Deviations: there an episode has no other end than its last step, and the goal may be met at once.

use env_protocol::{Parameter, Returns, Space};
use serde::{Deserialize, Serialize};

use crate::kit::arguments::required;
use crate::render::{Bar, Cell, Grid, Picture, Seen, Tone};
use crate::tasks::goals::goal;
use crate::{
    Arguments, Catalogued, Draws, Environment, KwargsError, Pictured, Profile, Transition,
};

/// Most bits.
const MAX_BITS: u32 = 60;

/// `BitFlip-v0`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BitFlip {
    bits: u32,
    /// Bit i is action i's.
    state: u64,
    goal: u64,
    /// Actions until the time limit; 0 before a reset and after the end.
    remaining: u32,
}

impl BitFlip {
    fn distance(&self) -> u32 {
        (self.state ^ self.goal).count_ones()
    }

    fn mask(&self) -> u64 {
        (1 << self.bits) - 1
    }

    #[inline]
    fn observe(&self, observation: &mut [f32]) {
        let bits = self.bits as usize;
        let parts = goal::parts(self.state, self.goal).into_iter();
        for (part, numbers) in parts.zip(observation.chunks_exact_mut(bits)) {
            for (i, number) in numbers.iter_mut().enumerate() {
                *number = (part >> i & 1) as f32;
            }
        }
    }

    /// Returns the chances of the distances 0 to `bits` at reset: binomial, without 0.
    fn distances(&self) -> Vec<f64> {
        let bits = f64::from(self.bits);
        let mut chances = vec![0.0; self.bits as usize + 1];
        let mut ways = 1.0;
        for (d, chance) in chances.iter_mut().enumerate().skip(1) {
            ways *= (bits - d as f64 + 1.0) / d as f64;
            *chance = ways / (bits.exp2() - 1.0);
        }
        chances
    }

    /// Returns the mean return of the shortest ways.
    fn best_return(&self) -> f64 {
        let distances = self.distances().into_iter().enumerate();
        distances
            .skip(1)
            .map(|(d, chance)| chance * (1.0 - d as f64))
            .sum()
    }

    /// Returns the mean return of random flips.
    fn random_return(&self) -> f64 {
        let bits = self.bits as usize;
        let mut chances = self.distances();
        let mut total = 0.0;
        for _ in 0..bits {
            let mut next = vec![0.0; bits + 1];
            for d in 1..=bits {
                let nearer = d as f64 / bits as f64;
                next[d - 1] += chances[d] * nearer;
                if d < bits {
                    next[d + 1] += chances[d] * (1.0 - nearer);
                }
            }
            total -= next[1..].iter().sum::<f64>();
            chances = next;
        }
        total
    }
}

impl Catalogued for BitFlip {
    fn profile() -> Profile {
        Profile {
            id: "BitFlip-v0",
            description: "Flip bits, one at a time, until they are those of the goal.",
            parameters: vec![Parameter::integer(
                "bits",
                "Bits of a state, and steps after which an episode is truncated.",
                2,
                i64::from(MAX_BITS),
                Some(8),
            )],
            remember: "nothing: goals are shown, and hard to meet by chance",
            source: "Andrychowicz et al. 2017, Hindsight Experience Replay (arXiv:1707.01495)",
        }
    }

    fn reward_range(&self) -> [f64; 2] {
        goal::REWARDS
    }

    fn returns(&self) -> Returns {
        let best = self.best_return();
        Returns {
            random: Some(self.random_return()),
            memoryless: Some(best),
            best: Some(best),
            oracle: Some(best),
            note: "Means over the draws of states and goals; all are exact.".to_owned(),
        }
    }
}

impl Environment for BitFlip {
    type Element = f32;
    type Action = i64;

    fn new(arguments: &Arguments) -> Result<Self, KwargsError> {
        Ok(BitFlip {
            bits: required("bits", arguments.natural("bits")?)?,
            state: 0,
            goal: 1,
            remaining: 0,
        })
    }

    fn observation_space(&self) -> Space {
        goal::space(self.bits as usize)
    }

    fn action_space(&self) -> Space {
        Space::Discrete {
            n: i64::from(self.bits),
            start: 0,
        }
    }

    /// Draws the state, then the way from there to the goal, which is not zero.
    fn reset(&mut self, draws: &mut impl Draws, observation: &mut [f32]) {
        self.state = draws.below(self.mask() + 1);
        self.goal = self.state ^ (1 + draws.below(self.mask()));
        self.remaining = self.bits;
        self.observe(observation);
    }

    #[inline]
    fn step(
        &mut self,
        action: &[i64],
        _draws: &mut impl Draws,
        observation: &mut [f32],
    ) -> Transition {
        self.state ^= 1 << action[0];
        self.observe(observation);
        let is_reached = self.distance() == 0;
        goal::transition(&mut self.remaining, is_reached)
    }

    fn is_running(&self) -> bool {
        self.remaining > 0
    }

    /// Flips the first bit that differs.
    fn oracle(&self) -> Vec<i64> {
        let differing = self.state ^ self.goal;
        vec![i64::from(differing.trailing_zeros() % self.bits)]
    }

    fn validate(&self) -> Result<(), String> {
        let is_good = (2..=MAX_BITS).contains(&self.bits)
            && self.state <= self.mask()
            && self.goal <= self.mask()
            && self.remaining <= self.bits
            && (self.remaining == 0 || self.distance() > 0);
        match is_good {
            true => Ok(()),
            false => Err(format!("no episode leads to {self:?}")),
        }
    }
}

impl Pictured for BitFlip {
    fn picture(&self, seen: &Seen<'_, f32>) -> Picture {
        let row = |bits: u64, tone: fn(bool) -> Tone| {
            let cells = (0..self.bits).map(move |i| {
                let is_same = (self.state ^ self.goal) >> i & 1 == 0;
                let bit = if bits >> i & 1 == 1 { "1" } else { "0" };
                Cell::new(bit).tone(tone(is_same))
            });
            Grid::new(self.bits as usize, cells)
        };
        let of_state = |is_same| if is_same { Tone::Good } else { Tone::Bad };
        let (remaining, limit) = (u64::from(self.remaining), u64::from(self.bits));
        let picture = Picture::new()
            .grid("state", row(self.state, of_state))
            .grid("goal", row(self.goal, |_| Tone::Goal))
            .bars("", [Bar::remaining("actions left", remaining, limit)]);
        let picture = match seen.action {
            Some(&[bit]) => picture.note(Tone::Agent, &format!("action: flip bit {bit}")),
            _ => picture,
        };
        let is_reached = self.distance() == 0;
        goal::with_end(picture, seen.action.is_some(), is_reached, self.remaining)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three bits: distances 1, 2, 3 with chances 3/7, 3/7, 1/7.
    #[test]
    fn returns_by_hand() {
        let task = BitFlip {
            bits: 3,
            state: 0,
            goal: 1,
            remaining: 0,
        };
        let close = |a: f64, b: f64| (a - b).abs() < 1e-12;
        let chances = task.distances();
        for (found, expected) in chances.iter().zip([0.0, 3.0 / 7.0, 3.0 / 7.0, 1.0 / 7.0]) {
            assert!(close(*found, expected), "{chances:?}");
        }
        assert!(close(task.best_return(), -(3.0 * 1.0 + 1.0 * 2.0) / 7.0));
        // Not reached after 1, 2 and 3 steps, from distance 1: 2/3, 2/3·1/3 + … by the chain below.
        // d=1: after 1 step at 2 with 2/3. d=2: at 1 with 2/3, at 3 with 1/3. d=3: at 2.
        let after = |start: usize| -> f64 {
            let mut p = [0.0; 4];
            p[start] = 1.0;
            let mut sum = 0.0;
            for _ in 0..3 {
                p = [0.0, p[2] * 2.0 / 3.0, p[1] * 2.0 / 3.0 + p[3], p[2] / 3.0];
                sum += p[1] + p[2] + p[3];
            }
            sum
        };
        let expected = -(3.0 * after(1) + 3.0 * after(2) + after(3)) / 7.0;
        assert!(close(task.random_return(), expected));
    }
}
