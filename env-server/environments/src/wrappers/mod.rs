//! An environment played through wrappers, which is an environment itself.
//!
//! The order from the inside out: the environment; `frame_skip`; `observation_noise`;
//! `previous_action`, `previous_reward` and `is_first`; `max_episode_steps`, which counts the
//! client's steps. With `previous_action`, `previous_reward` or `is_first`, an observation is a
//! `Dict` of `observation` and the requested extras. A client can flatten it with Gymnasium's
//! `FlattenObservation`.

pub mod parameters;

use std::collections::BTreeMap;

use env_protocol::{Bound, Dtype, Returns, Space};
use serde::{Deserialize, Serialize};

use crate::actions::{ActionRange, action_ranges};
use crate::kit::vec_bytes;
use crate::render::{Picture, Pictured, Seen};
use crate::{
    Arguments, Catalogued, Draws, Element, Environment, KwargsError, Profile, Transition, Wrappers,
};

/// `E` through wrappers. Its observations are rows of float64, which represents the numbers of
/// every element type.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound = "", deny_unknown_fields)]
pub struct Wrapped<E: Environment> {
    environment: E,
    wrappers: Wrappers,
    /// The client's steps in the episode if they are limited, else 0.
    steps: u32,
    /// Buffer for the observations of the environment.
    #[serde(skip)]
    row: Vec<E::Element>,
}

/// Values that wrappers add to an observation.
struct Extras<'a, A> {
    /// `None` at a reset.
    action: Option<&'a [A]>,
    reward: f64,
}

impl<E: Catalogued> Wrapped<E> {
    /// Count of numbers in the environment's own observation.
    fn own_size(&self) -> usize {
        self.environment.observation_space().flat_size()
    }

    /// Position of the environment's own observation in a row. A `Dict` is sorted by name, and only
    /// `is_first` comes before `observation`.
    fn own_start(&self) -> usize {
        usize::from(self.wrappers.is_first)
    }

    /// Lets the environment write into its buffer.
    fn with_row<T>(&mut self, write: impl FnOnce(&mut E, &mut [E::Element]) -> T) -> T {
        if self.row.is_empty() {
            self.row = vec![E::Element::default(); self.own_size()];
        }
        write(&mut self.environment, &mut self.row)
    }

    /// Writes the environment's row with noise and extras.
    fn show(
        &self,
        extras: &Extras<'_, E::Action>,
        draws: &mut impl Draws,
        observation: &mut [f64],
    ) {
        let mut place = 0;
        let mut put = |number: f64| {
            observation[place] = number;
            place += 1;
        };
        if self.wrappers.is_first {
            put(f64::from(u8::from(extras.action.is_none())));
        }
        if self.wrappers.observation_noise > 0.0 {
            for pair in self.row.chunks(2) {
                let noise = draws.normal_pair(self.wrappers.observation_noise);
                for (x, noise) in pair.iter().zip(noise) {
                    put(f64::from((x.to_f64() + noise) as f32));
                }
            }
        } else {
            self.row.iter().for_each(|x| put(x.to_f64()));
        }
        if self.wrappers.previous_action {
            match extras.action {
                Some(action) => action.iter().for_each(|number| put(number.to_f64())),
                None => {
                    let ranges = action_ranges(&self.environment.action_space());
                    ranges.iter().map(ActionRange::neutral).for_each(&mut put);
                }
            }
        }
        if self.wrappers.previous_reward {
            put(f64::from(extras.reward as f32));
        }
    }
}

/// Returns a bound of rewards that are observed as float32, rounded like the rewards.
fn as_observed(bound: f64) -> Bound {
    Bound::All(f64::from(bound as f32))
}

impl<E: Catalogued> Catalogued for Wrapped<E> {
    fn profile() -> Profile {
        E::profile()
    }

    /// The range of sums of one to `frame_skip` rewards, added in the order of a step.
    fn reward_range(&self) -> [f64; 2] {
        let [low, high] = self.environment.reward_range();
        let most = |bound: f64| (1..self.wrappers.frame_skip).fold(bound, |sum, _| sum + bound);
        [low.min(most(low)), high.max(most(high))]
    }

    /// The returns that wrappers do not change. Extras add nothing for a player that remembers its
    /// own actions, rewards and the start of the episode, but they help a memoryless player.
    fn returns(&self) -> Returns {
        let own = self.environment.returns();
        let note = "With wrappers: those that are known to be the same.";
        if self.wrappers.changes_episodes() {
            return Returns {
                note: note.to_owned(),
                ..Returns::default()
            };
        }
        let is_noisy = self.wrappers.observation_noise > 0.0;
        Returns {
            random: own.random,
            memoryless: None,
            best: own.best.filter(|_| !is_noisy),
            oracle: own.oracle,
            note: format!("{} {note}", own.note).trim_start().to_owned(),
        }
    }

    /// The threshold of the environment without wrappers, unless they change its returns.
    fn solved_threshold(&self) -> Option<f64> {
        let returns = self.returns();
        match returns.scale() == self.environment.returns().scale() {
            true => self.environment.solved_threshold(),
            false => returns.solved_threshold(),
        }
    }

    /// The same as without wrappers.
    fn needs_memory(&self) -> bool {
        self.environment.needs_memory()
    }
}

impl<E: Catalogued> Environment for Wrapped<E> {
    type Element = f64;
    type Action = E::Action;

    fn new(arguments: &Arguments) -> Result<Self, KwargsError> {
        let environment = E::new(arguments)?;
        let wrappers = Wrappers::from_arguments(arguments, &E::profile().parameters)?;
        if wrappers.observation_noise > 0.0 && !takes_noise(&environment.observation_space()) {
            let detail = "the observations are not real numbers; only a Box of float32 takes noise";
            return Err(KwargsError::new("observation_noise", detail));
        }
        Ok(Wrapped {
            environment,
            wrappers,
            steps: 0,
            row: Vec::new(),
        })
    }

    fn observation_space(&self) -> Space {
        let mut own = self.environment.observation_space();
        if let Space::Box { low, high, .. } = &mut own
            && self.wrappers.observation_noise > 0.0
        {
            *low = Bound::All(f64::NEG_INFINITY);
            *high = Bound::All(f64::INFINITY);
        }
        if !self.wrappers.has_extras() {
            return own;
        }
        let mut spaces = BTreeMap::from([("observation".to_owned(), own)]);
        let mut insert = |is_on, name: &str, space: &dyn Fn() -> Space| {
            if is_on {
                spaces.insert(name.to_owned(), space());
            }
        };
        insert(self.wrappers.previous_action, "previous_action", &|| {
            self.environment.action_space()
        });
        insert(self.wrappers.previous_reward, "previous_reward", &|| {
            let [low, high] = self.reward_range();
            Space::Box {
                shape: vec![1],
                dtype: Dtype::Float32,
                low: as_observed(low.min(0.0)),
                high: as_observed(high.max(0.0)),
            }
        });
        insert(self.wrappers.is_first, "is_first", &|| Space::Discrete {
            n: 2,
            start: 0,
        });
        Space::Dict { spaces }
    }

    fn action_space(&self) -> Space {
        self.environment.action_space()
    }

    fn inherit(&mut self, previous: &Self) {
        self.environment.inherit(&previous.environment);
    }

    fn reset(&mut self, draws: &mut impl Draws, observation: &mut [f64]) {
        self.with_row(|environment, row| environment.reset(draws, row));
        self.steps = 0;
        let extras = Extras {
            action: None,
            reward: 0.0,
        };
        self.show(&extras, draws, observation);
    }

    fn step(
        &mut self,
        action: &[E::Action],
        draws: &mut impl Draws,
        observation: &mut [f64],
    ) -> Transition {
        let frames = self.wrappers.frame_skip;
        let mut transition = self.with_row(|environment, row| {
            let mut transition = environment.step(action, draws, row);
            for _ in 1..frames {
                if transition.is_end() {
                    break;
                }
                let before = transition.reward;
                transition = environment.step(action, draws, row);
                transition.reward += before;
            }
            transition
        });
        if let Some(limit) = self.wrappers.max_episode_steps {
            self.steps += 1;
            transition.truncated |= self.steps >= limit;
        }
        let extras = Extras {
            action: Some(action),
            reward: transition.reward,
        };
        self.show(&extras, draws, observation);
        transition
    }

    /// The action of the environment's own oracle, which ignores frame skips and limits. With those
    /// it may not be the best action.
    fn oracle(&self) -> Vec<E::Action> {
        self.environment.oracle()
    }

    fn validate(&self) -> Result<(), String> {
        self.wrappers.validate()?;
        self.environment.validate()?;
        if self.wrappers.observation_noise > 0.0
            && !takes_noise(&self.environment.observation_space())
        {
            return Err("these observations take no noise".to_owned());
        }
        if self.steps > self.wrappers.max_episode_steps.unwrap_or(0) {
            return Err(format!("{} steps are more than an episode has", self.steps));
        }
        Ok(())
    }

    fn heap_bytes(&self) -> usize {
        self.environment.heap_bytes() + vec_bytes(&self.row)
    }

    fn is_running(&self) -> bool {
        let has_time = |limit| self.steps < limit;
        self.environment.is_running() && self.wrappers.max_episode_steps.is_none_or(has_time)
    }
}

impl<E: Pictured + Catalogued> Pictured for Wrapped<E> {
    fn picture(&self, seen: &Seen<'_, f64, E::Action>) -> Picture {
        let own = &seen.observation[self.own_start()..][..self.own_size()];
        let own: Vec<E::Element> = own
            .iter()
            .map(|&x| E::Element::from_f64(x).unwrap_or_default())
            .collect();
        self.environment.picture(&Seen {
            observation: &own,
            action: seen.action,
            played: seen.played,
        })
    }
}

/// Whether observations of a space can have noise.
fn takes_noise(space: &Space) -> bool {
    matches!(
        space,
        Space::Box {
            dtype: Dtype::Float32,
            ..
        }
    )
}

#[cfg(test)]
pub(crate) mod tests;
