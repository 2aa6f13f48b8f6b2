//! bsuite's memory chain: bits are shown at the start, and one of them is asked for at the end.
//!
//! Let ob(t) = `[1 − t/L, query if t = L − 1 else 0, ±1 for each bit if t = 0 else zeros]`, with
//! L = `memory_length`. The reset shows ob(0), the i-th step ob(i − 1): the bits are seen twice,
//! the terminal observation is all zeros, and an episode has L + 1 steps. The last action is paid
//! +1 if it equals the bit whose index the query is, else −1; it is chosen while the query is on
//! screen, L − 1 observations after the bits were last seen. At L = 1 bits and query are on screen
//! together and nothing must be remembered.
//!
//! bsuite has two families of it: `memory_len` varies L for one bit, `memory_size` varies the
//! number of bits at L = 2. Here each takes both arguments.
//!
//! Returns: random 0, memoryless 0 (1 at L = 1), best and oracle 1. To remember: `num_bits` bits
//! for `memory_length` − 1 observations.
//!
//! Source: Osband et al. 2020, Behaviour Suite for Reinforcement Learning, arXiv:1908.03568;
//! bsuite 0.3.6, `environments/memory_chain.py`. Deviations: rows are flat, not `(1, n)`; a step
//! after the end does not reset.

use env_protocol::{Bound, Dtype, Parameter, Returns, Space};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kit::arguments::required;
use crate::kit::recording::{Bit, parse};
use crate::kit::vec_bytes;
use crate::render::{Bar, Cell, Grid, Picture, Seen, Tone};
use crate::{
    Arguments, Catalogued, Draw, Draws, Environment, KwargsError, Pictured, Profile, Recorded,
    Transition,
};

/// Longest memory.
const MAX_LENGTH: u32 = 10_000_000;
/// Most bits.
const MAX_BITS: u32 = 1024;

/// `BsuiteMemoryLen-v0`.
pub type BsuiteMemoryLen = MemoryChain<false>;
/// `BsuiteMemorySize-v0`.
pub type BsuiteMemorySize = MemoryChain<true>;

/// The task. `IS_SIZE` selects the family that varies the number of bits, else the length varies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryChain<const IS_SIZE: bool> {
    memory_length: u32,
    context: Vec<bool>,
    query: u32,
    /// Actions until the end of the episode.
    remaining: u32,
}

impl<const IS_SIZE: bool> MemoryChain<IS_SIZE> {
    fn observe(&self, t: u32, observation: &mut [f32]) {
        let length = self.memory_length;
        observation.fill(0.0);
        observation[0] = (1.0 - f64::from(t) / f64::from(length)) as f32;
        if t == length - 1 {
            observation[1] = self.query as f32;
        }
        if t == 0 {
            for (slot, &bit) in observation[2..].iter_mut().zip(&self.context) {
                *slot = if bit { 1.0 } else { -1.0 };
            }
        }
    }
}

impl<const IS_SIZE: bool> Catalogued for MemoryChain<IS_SIZE> {
    fn profile() -> Profile {
        let (id, description, length, bits) = match IS_SIZE {
            true => (
                "BsuiteMemorySize-v0",
                "Remember the bits shown first and answer with the one that the query points to.",
                2,
                3,
            ),
            false => (
                "BsuiteMemoryLen-v0",
                "Remember the bit shown first and answer with it when the time is up.",
                10,
                1,
            ),
        };
        Profile {
            id,
            description,
            parameters: vec![
                Parameter::integer(
                    "memory_length",
                    "Observations from the cue's to the query's, which ends the episode.",
                    1,
                    i64::from(MAX_LENGTH),
                    Some(length),
                ),
                Parameter::integer(
                    "num_bits",
                    "Bits that are shown; one of them is asked for.",
                    1,
                    i64::from(MAX_BITS),
                    Some(bits),
                ),
            ],
            remember: "`num_bits` bits for `memory_length` - 1 observations",
            source: "bsuite 0.3.6, memory_chain (Osband et al. 2020, arXiv:1908.03568)",
        }
    }

    fn reward_range(&self) -> [f64; 2] {
        [-1.0, 1.0]
    }

    fn returns(&self) -> Returns {
        let memoryless = if self.memory_length == 1 { 1.0 } else { 0.0 };
        Returns {
            random: Some(0.0),
            memoryless: Some(memoryless),
            best: Some(1.0),
            oracle: Some(1.0),
            note: "Memoryless: 1 at memory_length 1, where cue and query are on screen together."
                .to_owned(),
        }
    }
}

impl<const IS_SIZE: bool> Environment for MemoryChain<IS_SIZE> {
    type Element = f32;
    type Action = i64;

    fn new(arguments: &Arguments) -> Result<Self, KwargsError> {
        let num_bits = required("num_bits", arguments.natural("num_bits")?)?;
        Ok(MemoryChain {
            memory_length: required("memory_length", arguments.natural("memory_length")?)?,
            context: vec![false; num_bits as usize],
            query: 0,
            remaining: 0,
        })
    }

    fn observation_space(&self) -> Space {
        let bits = self.context.len();
        let with = |head: [f64; 2], bit: f64| {
            let bits = std::iter::repeat_n(bit, bits);
            Bound::Each(head.into_iter().chain(bits).collect())
        };
        Space::Box {
            shape: vec![bits + 2],
            dtype: Dtype::Float32,
            low: with([0.0, 0.0], -1.0),
            high: with([1.0, bits as f64 - 1.0], 1.0),
        }
    }

    fn action_space(&self) -> Space {
        Space::Discrete { n: 2, start: 0 }
    }

    /// Draws the bits, then the query.
    fn reset(&mut self, draws: &mut impl Draws, observation: &mut [f32]) {
        self.context.fill_with(|| draws.bit());
        self.query = draws.below(self.context.len() as u64) as u32;
        self.remaining = self.memory_length + 1;
        self.observe(0, observation);
    }

    #[inline]
    fn step(
        &mut self,
        action: &[i64],
        _draws: &mut impl Draws,
        observation: &mut [f32],
    ) -> Transition {
        self.observe(self.memory_length + 1 - self.remaining, observation);
        self.remaining -= 1;
        if self.remaining > 0 {
            return Transition::running(0.0);
        }
        let is_right = action[0] == i64::from(self.context[self.query as usize]);
        Transition::terminal(if is_right { 1.0 } else { -1.0 })
    }

    fn oracle(&self) -> Vec<i64> {
        vec![i64::from(self.context[self.query as usize])]
    }

    fn validate(&self) -> Result<(), String> {
        let bits = self.context.len();
        if !(1..=MAX_LENGTH).contains(&self.memory_length) {
            return Err(format!("memory_length cannot be {}", self.memory_length));
        }
        if !(1..=MAX_BITS as usize).contains(&bits) || self.query as usize >= bits {
            return Err(format!("query {} of {bits} bits", self.query));
        }
        if self.remaining > self.memory_length + 1 {
            return Err(format!("{} actions cannot remain", self.remaining));
        }
        Ok(())
    }

    fn heap_bytes(&self) -> usize {
        vec_bytes(&self.context)
    }

    fn is_running(&self) -> bool {
        self.remaining > 0
    }
}

impl<const IS_SIZE: bool> Pictured for MemoryChain<IS_SIZE> {
    /// Shows the bits, the queried bit, and the time until the answer.
    fn picture(&self, seen: &Seen<'_, f32>) -> Picture {
        let (length, query) = (self.memory_length, self.query as usize);
        // Bits are in the observations of the reset and of the first step.
        let are_seen = self.remaining >= length;
        let bits = self.context.iter().enumerate().map(|(i, &bit)| {
            let tone = if i == query { Tone::Goal } else { Tone::Cue };
            Cell::bit(bit).tone(tone).seen(are_seen)
        });
        let columns = if self.context.len() <= 100 { 10 } else { 32 };
        let columns = columns.min(self.context.len());
        let mut grid = Grid::new(columns, bits);
        if self.context.len() > 1 {
            grid = grid.column_labels(0..columns);
        }
        if self.context.len() > columns {
            grid = grid.row_labels((0..self.context.len()).step_by(columns));
        }
        let (remaining, all) = (u64::from(self.remaining), u64::from(length) + 1);
        let picture = Picture::new()
            .grid("bits", grid)
            .grid("observation", seen.grid())
            .bars("", [Bar::remaining("actions left", remaining, all)])
            .key(Cell::default().tone(Tone::Goal), "asked for");
        match (self.remaining, seen.action) {
            (0, Some(&[answer])) => {
                let is_right = answer == i64::from(self.context[query]);
                picture.judged(&format!("answered {answer}"), is_right)
            }
            (1, _) => {
                let text = format!("the next action is the answer: bit {query}");
                picture.note(Tone::Goal, &text)
            }
            _ => picture.note(Tone::Hidden, &format!("bit {query} will be asked for")),
        }
    }
}

impl<const IS_SIZE: bool> Recorded for MemoryChain<IS_SIZE> {
    const REFERENCE_NAME: &'static str = match IS_SIZE {
        true => "bsuite/memory_size",
        false => "bsuite/memory_len",
    };

    /// `{"context": [bits], "query"}`.
    fn script(&self, latent: &Value) -> Result<Vec<Draw>, String> {
        #[derive(Deserialize)]
        struct Latent {
            context: Vec<Bit>,
            query: u64,
        }
        let Latent { context, query } = parse(latent)?;
        let mut draws: Vec<Draw> = context.into_iter().map(Draw::from).collect();
        draws.push(Draw::Integer(query));
        Ok(draws)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Script;
    use crate::check::{arguments, check_environment};
    use serde_json::json;

    #[test]
    fn keeps_the_contract() {
        for kwargs in [
            json!({"memory_length": 1}),
            json!({"memory_length": 7, "num_bits": 5}),
        ] {
            check_environment::<BsuiteMemoryLen>(kwargs.clone());
            check_environment::<BsuiteMemorySize>(kwargs);
        }
    }

    #[test]
    fn shows_the_cue_twice_and_nothing_at_the_end() {
        let kwargs = json!({"memory_length": 2, "num_bits": 2});
        let mut chain = BsuiteMemorySize::new(&arguments::<BsuiteMemorySize>(kwargs)).unwrap();
        let drawn = vec![Draw::Bit(true), Draw::Bit(false), Draw::Integer(1)];
        let mut draws = Script::new(drawn);
        let mut seen = [[9.0; 4]; 4];
        chain.reset(&mut draws, &mut seen[0]);
        let steps = seen[1..].iter_mut();
        let transitions: Vec<Transition> = steps
            .map(|observation| chain.step(&[0], &mut draws, observation))
            .collect();
        let cue = [1.0, 0.0, 1.0, -1.0];
        assert_eq!(seen, [cue, cue, [0.5, 1.0, 0.0, 0.0], [0.0; 4]]);
        let running = Transition::running(0.0);
        assert_eq!(transitions, [running, running, Transition::terminal(1.0)]);
        draws.finish().unwrap();
    }
}
