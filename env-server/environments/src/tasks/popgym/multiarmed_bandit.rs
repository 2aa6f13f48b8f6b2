//! POPGym's MultiarmedBandit: find the arm that pays most often, within an episode.
//!
//! Each reset draws a probability, uniform in [0, 1) as float32, for each of `num_bandits` arms. A
//! step draws a uniform number u, and the arm pays if u, rounded to float32, is below its
//! probability: observation 1 and reward 1/`episode_length`; else observation 0 and the negative of
//! that (the original's documentation says zero). The reset shows 0. Never terminated; truncated at
//! step `episode_length`. The observation does not say which arm was pulled.
//!
//! Returns: random 0, oracle 2K/(K + 1) − 1 for K arms (in expectation). The others are measured at
//! the three levels, and not proven to be the best. Memoryless pulls one arm after a pull that
//! paid, else any other: so it stays longer with that arm the more it pays. Best pulls the arm with
//! the highest index, which approximates the Gittins index. To remember: pulls and payments of each
//! arm, over the whole episode.
//!
//! Source: Morad et al. 2023, POPGym, arXiv:2303.01859; POPGym 1.0.7, `envs/multiarmed_bandit.py`.
//! Left out: the probabilities in the reset's `info`.

use env_protocol::{Parameter, Returns, Space};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kit::recording::{ensure, parse};
use crate::kit::vec_bytes;
use crate::render::{Bar, Picture, Seen, Tone, window};
use crate::tasks::popgym::levels::{self, Levels, at_level};
use crate::{
    Arguments, Catalogued, Draw, Draws, Environment, KwargsError, Pictured, Profile, Recorded,
    Transition,
};

/// Greatest number of arms.
const MAX_BANDITS: u32 = 1024;
/// Longest episode.
const MAX_LENGTH: u32 = 10_000_000;
/// Arms in a picture.
const MAX_SHOWN: usize = 30;
/// Arms and lengths at the levels.
const LEVELS: [(usize, u32); 3] = [(10, 200), (20, 400), (30, 600)];

/// `MultiarmedBandit-v0`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MultiarmedBandit {
    episode_length: u32,
    payouts: Vec<f32>,
    /// Actions until the end of the episode.
    remaining: u32,
}

impl MultiarmedBandit {
    fn most(&self) -> f64 {
        1.0 / f64::from(self.episode_length)
    }
}

impl Catalogued for MultiarmedBandit {
    fn profile() -> Profile {
        Profile {
            id: "MultiarmedBandit-v0",
            description: "Find the arm that pays most often. The observation says whether the last \
                          pull paid, not which arm it was.",
            parameters: vec![
                levels::parameter(),
                Parameter::integer(
                    "num_bandits",
                    "Arms; 10, 20, 30 at easy, medium, hard.",
                    1,
                    i64::from(MAX_BANDITS),
                    None,
                ),
                Parameter::integer(
                    "episode_length",
                    "Steps of an episode; 200, 400, 600 at easy, medium, hard.",
                    1,
                    i64::from(MAX_LENGTH),
                    None,
                ),
            ],
            remember: "what was pulled and what it paid, over the whole episode",
            source: "POPGym 1.0.7, MultiarmedBandit (Morad et al. 2023, arXiv:2303.01859)",
        }
    }

    fn reward_range(&self) -> [f64; 2] {
        [-self.most(), self.most()]
    }

    fn returns(&self) -> Returns {
        let arms = self.payouts.len();
        let here = (arms, self.episode_length);
        Returns {
            random: Some(0.0),
            memoryless: match arms {
                1 => Some(0.0),
                _ => at_level(&here, &LEVELS, [0.0890, 0.0934, 0.0953]),
            },
            best: match arms {
                1 => Some(0.0),
                _ => at_level(&here, &LEVELS, [0.725, 0.824, 0.863]),
            },
            oracle: Some(2.0 * arms as f64 / (arms as f64 + 1.0) - 1.0),
            note: "Memoryless and best, the best known, are measured at the three levels. \
                   Memoryless pulls one arm after a pull that paid, else any other; best pulls \
                   the arm of the highest index, like Gittins's."
                .to_owned(),
        }
    }
}

impl Environment for MultiarmedBandit {
    type Element = i64;
    type Action = i64;

    fn new(arguments: &Arguments) -> Result<Self, KwargsError> {
        let levels = Levels::from_arguments(arguments);
        let num_bandits = levels.natural("num_bandits", [10, 20, 30])?;
        Ok(MultiarmedBandit {
            episode_length: levels.natural("episode_length", [200, 400, 600])?,
            payouts: vec![0.0; num_bandits as usize],
            remaining: 0,
        })
    }

    fn observation_space(&self) -> Space {
        Space::Discrete { n: 2, start: 0 }
    }

    fn action_space(&self) -> Space {
        Space::Discrete {
            n: self.payouts.len() as i64,
            start: 0,
        }
    }

    /// Draws each arm's probability.
    fn reset(&mut self, draws: &mut impl Draws, observation: &mut [i64]) {
        self.payouts.fill_with(|| draws.unit_f32());
        self.remaining = self.episode_length;
        observation[0] = 0;
    }

    /// Draws whether the arm pays.
    #[inline]
    fn step(
        &mut self,
        action: &[i64],
        draws: &mut impl Draws,
        observation: &mut [i64],
    ) -> Transition {
        let is_paid = (draws.uniform(0.0, 1.0) as f32) < self.payouts[action[0] as usize];
        observation[0] = i64::from(is_paid);
        self.remaining -= 1;
        let reward = if is_paid { self.most() } else { -self.most() };
        Transition::new(reward, false, self.remaining == 0)
    }

    fn oracle(&self) -> Vec<i64> {
        let arms = self.payouts.iter().enumerate();
        let best = arms.max_by(|a, b| a.1.total_cmp(b.1));
        vec![best.map_or(0, |(arm, _)| arm as i64)]
    }

    fn validate(&self) -> Result<(), String> {
        let arms = self.payouts.len();
        if !(1..=MAX_BANDITS as usize).contains(&arms) {
            return Err(format!("there cannot be {arms} arms"));
        }
        if let Some(payout) = self.payouts.iter().find(|p| !(0.0..1.0).contains(*p)) {
            return Err(format!("{payout} is no probability below 1"));
        }
        if !(1..=MAX_LENGTH).contains(&self.episode_length) || self.remaining > self.episode_length
        {
            return Err(format!(
                "{} actions cannot remain of {}",
                self.remaining, self.episode_length
            ));
        }
        Ok(())
    }

    fn heap_bytes(&self) -> usize {
        vec_bytes(&self.payouts)
    }

    fn is_running(&self) -> bool {
        self.remaining > 0
    }
}

impl Pictured for MultiarmedBandit {
    /// Shows the probability of each arm. Of many arms, shows those near the last one pulled.
    fn picture(&self, seen: &Seen<'_, i64>) -> Picture {
        let num_arms = self.payouts.len();
        let pulled = seen.action.map(|action| action[0] as usize);
        let best = self.oracle()[0] as usize;
        let shown = window(num_arms, pulled.unwrap_or(0), MAX_SHOWN);
        let heading = match shown.len() < num_arms {
            true => format!(
                "how often arms pay: {} to {} of {num_arms}",
                shown.start,
                shown.end - 1
            ),
            false => "how often each arm pays".to_owned(),
        };
        let percent = |arm: usize| format!("{:.0} %", 100.0 * self.payouts[arm]);
        let bars = shown.map(|arm| {
            Bar::new(&arm.to_string(), f64::from(self.payouts[arm]))
                .note(&percent(arm))
                .tone(if arm == best {
                    Tone::Goal
                } else {
                    Tone::Hidden
                })
                .chosen(pulled == Some(arm))
        });
        let (remaining, length) = (u64::from(self.remaining), u64::from(self.episode_length));
        let picture = Picture::new()
            .bars(&heading, bars)
            .grid("observation", seen.grid())
            .bars("", [Bar::remaining("actions left", remaining, length)])
            .note(
                Tone::Hidden,
                &format!("the best is arm {best}: {}", percent(best)),
            );
        match pulled {
            Some(arm) if seen.observation[0] == 1 => {
                picture.note(Tone::Good, &format!("arm {arm} paid"))
            }
            Some(arm) => picture.note(Tone::Bad, &format!("arm {arm} did not pay")),
            None => picture,
        }
    }
}

impl Recorded for MultiarmedBandit {
    const REFERENCE_NAME: &'static str = "popgym/MultiarmedBandit";

    /// `{"payouts": [float32 an arm], "uniforms": [a number a step]}`.
    fn script(&self, latent: &Value) -> Result<Vec<Draw>, String> {
        #[derive(Deserialize)]
        struct Latent {
            payouts: Vec<f64>,
            uniforms: Vec<f64>,
        }
        let Latent { payouts, uniforms } = parse(latent)?;
        let arms = self.payouts.len();
        ensure(payouts.len() == arms, || {
            format!("{} payouts for {arms} arms", payouts.len())
        })?;
        let numbers = payouts.into_iter().chain(uniforms);
        Ok(numbers.map(Draw::Number).collect())
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
            json!({}),
            json!({"level": "hard"}),
            json!({"num_bandits": 1, "episode_length": 3}),
        ] {
            check_environment::<MultiarmedBandit>(kwargs);
        }
    }

    #[test]
    fn a_miss_is_negative_and_time_runs_out() {
        let kwargs = json!({"num_bandits": 2, "episode_length": 3});
        let mut task = MultiarmedBandit::new(&arguments::<MultiarmedBandit>(kwargs)).unwrap();
        let latent = json!({"payouts": [0.25, 0.75], "uniforms": [0.5, 0.5, 0.75]});
        let mut draws = Script::new(task.script(&latent).unwrap());
        let mut observation = [9];
        task.reset(&mut draws, &mut observation);
        assert_eq!(observation, [0]);
        let third = 1.0 / 3.0;
        for (action, paid, reward, truncated) in [
            (0, 0, -third, false),
            (1, 1, third, false),
            (1, 0, -third, true),
        ] {
            let transition = task.step(&[action], &mut draws, &mut observation);
            assert_eq!(transition, Transition::new(reward, false, truncated));
            assert_eq!(observation, [paid]);
        }
        draws.finish().unwrap();
    }
}
