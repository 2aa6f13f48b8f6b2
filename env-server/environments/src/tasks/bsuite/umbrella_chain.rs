//! bsuite's umbrella chain: the first action decides a reward that comes much later, past noise.
//!
//! Observation `[need, have, 1 − t/N, distractors…]`, N = `chain_length`. At the reset `need` and
//! `have` are fair bits, and every observation, the terminal one included, has new fair bits as
//! distractors. The first action becomes `have`; later ones do nothing. Step N pays +1 if `have`
//! equals `need` and −1 otherwise and ends the episode; each step before pays a random ±1.
//!
//! `need` stays on screen, so this asks for credit assignment and not for memory: nothing must be
//! remembered. Returns (expected; a single one is up to N − 1 away): random 0, memoryless, best
//! and oracle 1.
//!
//! Source: Osband et al. 2020, arXiv:1908.03568; bsuite 0.3.6, `environments/umbrella_chain.py`.
//! Deviations: rows are flat, not `(1, n)`; a step after the end does not reset.

use env_protocol::{Bound, Dtype, Parameter, Returns, Space};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kit::arguments::required;
use crate::kit::recording::{Bit, ensure, parse};
use crate::render::{Bar, Cell, Grid, Picture, Seen, Tone};
use crate::{
    Arguments, Catalogued, Draw, Draws, Environment, KwargsError, Pictured, Profile, Recorded,
    Transition,
};

/// Longest chain.
const MAX_LENGTH: u32 = 10_000_000;
/// Most distractors.
const MAX_DISTRACTORS: u32 = 1024;

/// `BsuiteUmbrellaChain-v0`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BsuiteUmbrellaChain {
    chain_length: u32,
    n_distractor: u32,
    need: bool,
    have: bool,
    /// Actions until the end of the episode.
    remaining: u32,
}

impl BsuiteUmbrellaChain {
    #[inline]
    fn observe(&self, draws: &mut impl Draws, observation: &mut [f32]) {
        let number = |bit: bool| f32::from(u8::from(bit));
        let t = self.chain_length - self.remaining;
        observation[0] = number(self.need);
        observation[1] = number(self.have);
        observation[2] = (1.0 - f64::from(t) / f64::from(self.chain_length)) as f32;
        for slots in observation[3..].chunks_mut(64) {
            let bits = draws.bits(slots.len() as u32);
            for (i, slot) in slots.iter_mut().enumerate() {
                *slot = number(bits >> i & 1 == 1);
            }
        }
    }
}

impl Catalogued for BsuiteUmbrellaChain {
    fn profile() -> Profile {
        Profile {
            id: "BsuiteUmbrellaChain-v0",
            description: "Take the umbrella, or not, with the first action; whether that was right \
                          is paid for `chain_length` steps later, past random rewards.",
            parameters: vec![
                Parameter::integer(
                    "chain_length",
                    "Steps of an episode.",
                    1,
                    i64::from(MAX_LENGTH),
                    Some(20),
                ),
                Parameter::integer(
                    "n_distractor",
                    "Random bits in each observation.",
                    0,
                    i64::from(MAX_DISTRACTORS),
                    Some(20),
                ),
            ],
            remember: "nothing: the task asks for credit assignment over `chain_length` steps",
            source: "bsuite 0.3.6, umbrella_chain (Osband et al. 2020, arXiv:1908.03568)",
        }
    }

    fn reward_range(&self) -> [f64; 2] {
        [-1.0, 1.0]
    }

    fn returns(&self) -> Returns {
        Returns {
            random: Some(0.0),
            memoryless: Some(1.0),
            best: Some(1.0),
            oracle: Some(1.0),
            note: "Expected; the random rewards add up to chain_length - 1 either way.".to_owned(),
        }
    }
}

impl Environment for BsuiteUmbrellaChain {
    type Element = f32;
    type Action = i64;

    fn new(arguments: &Arguments) -> Result<Self, KwargsError> {
        Ok(BsuiteUmbrellaChain {
            chain_length: required("chain_length", arguments.natural("chain_length")?)?,
            n_distractor: required("n_distractor", arguments.natural("n_distractor")?)?,
            need: false,
            have: false,
            remaining: 0,
        })
    }

    fn observation_space(&self) -> Space {
        Space::Box {
            shape: vec![3 + self.n_distractor as usize],
            dtype: Dtype::Float32,
            low: Bound::All(0.0),
            high: Bound::All(1.0),
        }
    }

    fn action_space(&self) -> Space {
        Space::Discrete { n: 2, start: 0 }
    }

    /// Draws need, have and the distractors.
    fn reset(&mut self, draws: &mut impl Draws, observation: &mut [f32]) {
        self.need = draws.bit();
        self.have = draws.bit();
        self.remaining = self.chain_length;
        self.observe(draws, observation);
    }

    /// Draws the random reward, where there is one, then the distractors.
    #[inline]
    fn step(
        &mut self,
        action: &[i64],
        draws: &mut impl Draws,
        observation: &mut [f32],
    ) -> Transition {
        if self.remaining == self.chain_length {
            self.have = action[0] == 1;
        }
        self.remaining -= 1;
        let is_last = self.remaining == 0;
        let is_good = match is_last {
            true => self.have == self.need,
            false => draws.bit(),
        };
        self.observe(draws, observation);
        Transition::new(if is_good { 1.0 } else { -1.0 }, is_last, false)
    }

    fn oracle(&self) -> Vec<i64> {
        vec![i64::from(self.need)]
    }

    fn validate(&self) -> Result<(), String> {
        let is_good = (1..=MAX_LENGTH).contains(&self.chain_length)
            && self.n_distractor <= MAX_DISTRACTORS
            && self.remaining <= self.chain_length;
        match is_good {
            true => Ok(()),
            false => Err(format!(
                "{} actions cannot remain of a chain of {} with {} distractors",
                self.remaining, self.chain_length, self.n_distractor
            )),
        }
    }

    fn is_running(&self) -> bool {
        self.remaining > 0
    }
}

impl Pictured for BsuiteUmbrellaChain {
    /// Shows whether an umbrella is needed, whether it was taken, and the time until the reward.
    fn picture(&self, seen: &Seen<'_, f32>) -> Picture {
        let (length, remaining) = (self.chain_length, self.remaining);
        let word = |yes: bool| Cell::new(if yes { "yes" } else { "no" }).seen(true);
        let has_chosen = remaining < length;
        let have = match has_chosen {
            false => Tone::Neutral,
            true if self.have == self.need => Tone::Good,
            true => Tone::Bad,
        };
        let cells = [
            word(self.need).tone(Tone::Cue),
            word(self.have)
                .tone(have)
                .chosen(seen.action.is_some() && remaining + 1 == length),
        ];
        let steps = Bar::remaining("steps left", u64::from(remaining), u64::from(length));
        let picture = Picture::new()
            .grid("umbrella", Grid::row(cells).column_labels(["need", "have"]))
            .grid("observation", seen.grid())
            .bars("", [steps]);
        match remaining {
            0 if self.have == self.need => picture.note(Tone::Good, "paid for the right choice"),
            0 => picture.note(Tone::Bad, "paid for the wrong choice"),
            _ if has_chosen => picture.note(
                Tone::Neutral,
                "rewards are random until the last step pays for the choice",
            ),
            _ => picture.note(Tone::Goal, "the next action takes it (1) or leaves it (0)"),
        }
    }
}

impl Recorded for BsuiteUmbrellaChain {
    const REFERENCE_NAME: &'static str = "bsuite/umbrella_chain";

    /// `{"need_umbrella", "initial_has_umbrella", "distractors": [a list an observation],
    /// "step_rewards": [±1, …]}`.
    fn script(&self, latent: &Value) -> Result<Vec<Draw>, String> {
        #[derive(Deserialize)]
        struct Latent {
            need_umbrella: Bit,
            initial_has_umbrella: Bit,
            distractors: Vec<Vec<Bit>>,
            step_rewards: Vec<f64>,
        }
        let latent: Latent = parse(latent)?;
        let n = self.n_distractor as usize;
        ensure(latent.distractors.iter().all(|row| row.len() == n), || {
            format!("not {n} distractors in each observation")
        })?;
        let mut draws = vec![
            latent.need_umbrella.into(),
            latent.initial_has_umbrella.into(),
        ];
        let mut rewards = latent.step_rewards.iter();
        for (t, row) in latent.distractors.into_iter().enumerate() {
            let reward = if t == 0 { None } else { rewards.next() };
            if let Some(&reward) = reward {
                ensure(reward.abs() == 1.0, || format!("{reward} as a reward"))?;
                draws.push(Draw::Bit(reward == 1.0));
            }
            draws.extend(row.into_iter().map(Draw::from));
        }
        let left = rewards.len();
        ensure(left == 0, || format!("{left} rewards too many"))?;
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
            json!({"chain_length": 1}),
            json!({"chain_length": 3, "n_distractor": 0}),
            json!({"chain_length": 20, "n_distractor": 2}),
        ] {
            check_environment::<BsuiteUmbrellaChain>(kwargs);
        }
    }

    #[test]
    fn the_first_action_decides_and_the_rest_is_noise() {
        let kwargs = json!({"chain_length": 2, "n_distractor": 1});
        let arguments = arguments::<BsuiteUmbrellaChain>(kwargs);
        let mut chain = BsuiteUmbrellaChain::new(&arguments).unwrap();
        // need, have, distractor; reward, distractor; distractor.
        let drawn = [true, false, true, false, false, true].map(Draw::Bit);
        let mut draws = Script::new(drawn.to_vec());
        let mut observation = [9.0; 4];
        chain.reset(&mut draws, &mut observation);
        assert_eq!(observation, [1.0, 0.0, 1.0, 1.0]);
        let first = chain.step(&[1], &mut draws, &mut observation);
        assert_eq!(first, Transition::running(-1.0));
        assert_eq!(observation, [1.0, 1.0, 0.5, 0.0]);
        let last = chain.step(&[0], &mut draws, &mut observation);
        assert_eq!(last, Transition::terminal(1.0));
        assert_eq!(observation, [1.0, 1.0, 0.0, 1.0]);
        draws.finish().unwrap();
    }
}
