//! PersistentRecall: a cue shown in the first episode of a lifetime, asked for in all later ones.
//!
//! Observation `[cue, is asked]`. A lifetime is `episodes_per_lifetime` k episodes, each of `delay`
//! steps. The first episode begins with a cue, ±1, in the first slot, pays 0 and asks for nothing.
//! Every later one shows zeros, except for a 1 in the second slot where its last action is chosen;
//! that action pays +1 if it names the cue (1 for +1, 0 for −1) and else −1. Then the next lifetime
//! begins, with a new cue.
//!
//! Lifetimes are counted in the environment, one for each lane: an episode belongs to the same
//! lifetime as the one before it, whether it began by an autoreset or by a reset of the client, and
//! whether the one before was played to its end. A reset with a seed, and only that, begins a new
//! lifetime early.
//!
//! Returns, as a mean over the episodes of a lifetime: random, memoryless, and any player whose
//! memory ends with the episode 0; best and oracle (k − 1)/k. To remember: one bit for up to k ·
//! `delay` observations and across k − 1 ends of episodes.
//!
//! Source: this project.

use env_protocol::{Bound, Dtype, Parameter, Returns, Space};
use serde::{Deserialize, Serialize};

use crate::kit::arguments::required;
use crate::render::{Bar, Cell, Grid, Picture, Seen, Tone};
use crate::{
    Arguments, Catalogued, Draws, Environment, KwargsError, Pictured, Profile, Transition,
};

/// Longest delay.
const MAX_DELAY: u32 = 10_000_000;
/// Most episodes of a lifetime.
const MAX_EPISODES: u32 = 10_000_000;

/// `PersistentRecall-v0`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersistentRecall {
    delay: u32,
    episodes_per_lifetime: u32,
    /// Whether the lifetime's cue is +1.
    is_cue_up: bool,
    /// Episodes of this lifetime that have begun; 0 before the first one.
    episode: u32,
    /// Actions until the end of the episode.
    remaining: u32,
}

impl PersistentRecall {
    fn asks(&self) -> bool {
        self.episode > 1
    }

    fn observe(&self, cue: f32, observation: &mut [f32]) {
        let is_asked = self.asks() && self.remaining == 1;
        observation.copy_from_slice(&[cue, f32::from(u8::from(is_asked))]);
    }
}

impl Catalogued for PersistentRecall {
    fn profile() -> Profile {
        Profile {
            id: "PersistentRecall-v0",
            description: "A cue is shown in the first episode of a lifetime only, and asked for in \
                          the later ones: only a memory that outlives episodes scores.",
            parameters: vec![
                Parameter::integer(
                    "delay",
                    "Steps of an episode.",
                    1,
                    i64::from(MAX_DELAY),
                    Some(4),
                ),
                Parameter::integer(
                    "episodes_per_lifetime",
                    "Episodes that share a cue, one after the other in a lane; a seed begins a new \
                     lifetime.",
                    2,
                    i64::from(MAX_EPISODES),
                    Some(16),
                ),
            ],
            remember: "one bit across `episodes_per_lifetime` - 1 ends of episodes",
            source: "this project",
        }
    }

    fn reward_range(&self) -> [f64; 2] {
        [-1.0, 1.0]
    }

    fn returns(&self) -> Returns {
        let best = 1.0 - 1.0 / f64::from(self.episodes_per_lifetime);
        Returns {
            random: Some(0.0),
            memoryless: Some(0.0),
            best: Some(best),
            oracle: Some(best),
            note: "A mean over the episodes of a lifetime, of which the first pays nothing. A \
                   memory that ends with the episode scores 0."
                .to_owned(),
        }
    }
}

impl Environment for PersistentRecall {
    type Element = f32;
    type Action = i64;

    fn new(arguments: &Arguments) -> Result<Self, KwargsError> {
        let episodes = arguments.natural("episodes_per_lifetime")?;
        Ok(PersistentRecall {
            delay: required("delay", arguments.natural("delay")?)?,
            episodes_per_lifetime: required("episodes_per_lifetime", episodes)?,
            is_cue_up: false,
            episode: 0,
            remaining: 0,
        })
    }

    fn observation_space(&self) -> Space {
        Space::Box {
            shape: vec![2],
            dtype: Dtype::Float32,
            low: Bound::Each(vec![-1.0, 0.0]),
            high: Bound::All(1.0),
        }
    }

    fn action_space(&self) -> Space {
        Space::Discrete { n: 2, start: 0 }
    }

    fn inherit(&mut self, previous: &Self) {
        if self.episodes_per_lifetime == previous.episodes_per_lifetime {
            self.episode = previous.episode;
            self.is_cue_up = previous.is_cue_up;
        }
    }

    /// Draws the cue, in the first episode of a lifetime.
    fn reset(&mut self, draws: &mut impl Draws, observation: &mut [f32]) {
        self.remaining = self.delay;
        let mut cue = 0.0;
        if self.episode == 0 || self.episode == self.episodes_per_lifetime {
            self.episode = 0;
            self.is_cue_up = draws.bit();
            cue = if self.is_cue_up { 1.0 } else { -1.0 };
        }
        self.episode += 1;
        self.observe(cue, observation);
    }

    #[inline]
    fn step(
        &mut self,
        action: &[i64],
        _draws: &mut impl Draws,
        observation: &mut [f32],
    ) -> Transition {
        self.remaining -= 1;
        self.observe(0.0, observation);
        if self.remaining > 0 {
            return Transition::running(0.0);
        }
        let is_right = (action[0] == 1) == self.is_cue_up;
        Transition::terminal(match self.asks() {
            false => 0.0,
            true if is_right => 1.0,
            true => -1.0,
        })
    }

    fn oracle(&self) -> Vec<i64> {
        vec![i64::from(self.is_cue_up)]
    }

    fn validate(&self) -> Result<(), String> {
        let is_good = (1..=MAX_DELAY).contains(&self.delay)
            && (2..=MAX_EPISODES).contains(&self.episodes_per_lifetime)
            && self.episode <= self.episodes_per_lifetime
            && self.remaining <= self.delay
            && (self.episode > 0 || self.remaining == 0);
        match is_good {
            true => Ok(()),
            false => Err(format!("no episode leads to {self:?}")),
        }
    }

    fn is_running(&self) -> bool {
        self.remaining > 0
    }
}

impl Pictured for PersistentRecall {
    /// Shows the lifetime's cue, and the place of the agent in the lifetime and in the episode.
    fn picture(&self, seen: &Seen<'_, f32>) -> Picture {
        let cue = Cell::new(if self.is_cue_up { "+1" } else { "-1" });
        let cue = cue.tone(Tone::Cue).seen(seen.observation[0] != 0.0);
        let (episode, episodes) = (self.episode, self.episodes_per_lifetime);
        let (remaining, delay) = (u64::from(self.remaining), u64::from(self.delay));
        let bars = [
            Bar::new("episode", f64::from(episode) / f64::from(episodes))
                .note(&format!("{episode} of {episodes}")),
            Bar::remaining("actions left", remaining, delay),
        ];
        let picture = Picture::new()
            .grid("the lifetime's cue", Grid::row([cue]))
            .grid("cue, is asked", seen.grid())
            .bars("lifetime", bars);
        match (self.asks(), self.remaining, seen.action) {
            (false, ..) => picture.note(Tone::Neutral, "the first episode asks for nothing"),
            (true, 0, Some(&[answer])) => {
                let is_right = (answer == 1) == self.is_cue_up;
                picture.judged(&format!("answered {answer}"), is_right)
            }
            (true, 1, _) => picture.note(Tone::Goal, "the next action is the answer"),
            _ => picture,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{arguments, check_environment};
    use crate::vector::{Reset, VectorEnvironment, VectorOf};
    use crate::{Draw, Script};
    use env_protocol::{AutoresetMode, Seed};
    use serde_json::json;

    #[test]
    fn keeps_the_contract() {
        for kwargs in [
            json!({}),
            json!({"delay": 1, "episodes_per_lifetime": 2}),
            json!({"delay": 7, "episodes_per_lifetime": 3}),
        ] {
            check_environment::<PersistentRecall>(kwargs);
        }
    }

    #[test]
    fn the_cue_is_shown_once_a_lifetime_and_asked_for_afterwards() {
        let kwargs = json!({"delay": 2, "episodes_per_lifetime": 3});
        let arguments = arguments::<PersistentRecall>(kwargs);
        let mut task = PersistentRecall::new(&arguments).unwrap();
        let mut draws = Script::new(vec![Draw::Bit(true), Draw::Bit(false)]);
        let mut episode = |action| {
            let mut seen = [[9.0; 2]; 3];
            task.reset(&mut draws, &mut seen[0]);
            task.step(&[0], &mut draws, &mut seen[1]);
            let last = task.step(&[action], &mut draws, &mut seen[2]);
            (seen, last)
        };
        let zeros = [0.0, 0.0];
        let asked = [zeros, [0.0, 1.0], zeros];
        let shown = |cue| [[cue, 0.0], zeros, zeros];
        assert_eq!(episode(1), (shown(1.0), Transition::terminal(0.0)));
        assert_eq!(episode(1), (asked, Transition::terminal(1.0)));
        assert_eq!(episode(0), (asked, Transition::terminal(-1.0)));
        assert_eq!(episode(0), (shown(-1.0), Transition::terminal(0.0)));
        assert_eq!(episode(0), (asked, Transition::terminal(1.0)));
        draws.finish().unwrap();
    }

    #[test]
    fn a_lifetime_survives_resets_without_a_seed() {
        let kwargs = json!({"delay": 1, "episodes_per_lifetime": 3});
        let arguments = arguments::<PersistentRecall>(kwargs);
        let mode = AutoresetMode::Disabled;
        let seed = Seed::First(1);
        let mut vector = VectorOf::<PersistentRecall>::new(&arguments, 1, mode, &seed).unwrap();
        let mut shows_cue = |seed: Option<Seed>| {
            let reset = Reset {
                seed,
                ..Reset::default()
            };
            let observations = vector.reset(&reset).unwrap();
            observations.as_array().unwrap().to_f64s()[0] != 0.0
        };
        let shown = [None, None, None, None, None, Some(seed), None].map(&mut shows_cue);
        assert_eq!(shown, [true, false, false, true, false, true, false]);
    }
}
