//! Gymnasium's pendulum: swing it up and keep it there. Each variant shows a part of its state, or all.
//!
//! The state is the angle θ, 0 upright and never wrapped, and the angular velocity θ̇. They start
//! uniform in [−π, π) and [−1, 1). An action is a torque, a float32 from −2 to 2; [`motion`](super::motion)
//! has the equations of a step and its cost. Truncated after a number of steps, never terminated.
//!
//! Sine and cosine are those of the `libm` crate. The functions of glibc may differ in the last bit,
//! `pow` included, which squares in the original: so recordings are compared step by step from their
//! states.

use std::f64::consts::PI;
use std::fmt::Debug;
use std::marker::PhantomData;

use env_protocol::{Bound, Dtype, Space};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::motion::{DT, MAX_SPEED, MAX_TORQUE, State, advance, cost};
use super::noise;
use super::settings::{MAX_LENGTH, Settings, symmetric_box};
use super::states::{self, Latent};
use super::swing_up;
use crate::render::{Bar, Picture, Scene, Seen, Shape, Tone};
use crate::{Arguments, Draw, Draws, Environment, KwargsError, Pictured, Recorded, Transition};

/// Observations and rewards of a variant.
pub trait Variant: Clone + Debug + PartialEq + Send + 'static {
    /// Whether an observation, of two numbers, has noise.
    const IS_NOISY: bool = false;
    /// Names of the numbers that are shown.
    const SHOWN: &'static str;
    /// Names of the numbers that are not; empty if there are none.
    const HIDDEN: &'static str;

    /// Reads the arguments.
    ///
    /// # Errors
    /// When they do not fit together.
    fn settings(arguments: &Arguments) -> Result<Settings, KwargsError>;

    /// Greatest absolute value of each number that is shown.
    fn most() -> Vec<f64>;

    /// Writes the numbers that are shown, without noise.
    fn show(state: &State, observation: &mut [f32]);

    /// Returns the numbers that are not shown.
    fn hidden(state: &State) -> Vec<f64>;

    /// Returns the reward of a step with this cost.
    fn reward(cost: f64, max_episode_length: u32) -> f64;
}

/// A variant with recorded episodes.
pub trait Original: Variant {
    /// Name in files of recorded episodes.
    const REFERENCE_NAME: &'static str;
}

/// A pendulum with the observations and rewards of variant `V`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound = "", deny_unknown_fields)]
pub struct Pendulum<V> {
    max_episode_length: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    noise_sigma: Option<f64>,
    state: State,
    /// Actions left in the episode; 0 before a reset and after the end.
    remaining: u32,
    #[serde(skip)]
    variant: PhantomData<V>,
}

impl<V: Variant> Pendulum<V> {
    /// Steps after which an episode is truncated.
    pub(crate) fn max_episode_length(&self) -> u32 {
        self.max_episode_length
    }

    /// Standard deviation of the noise; 0 where there is none.
    pub(crate) fn noise_sigma(&self) -> f64 {
        self.noise_sigma.unwrap_or(0.0)
    }

    /// Least and greatest reward: hanging down at the greatest speed with the greatest torque, and
    /// upright at rest.
    pub(crate) fn rewards(&self) -> [f64; 2] {
        let worst = cost([-PI, MAX_SPEED], MAX_TORQUE);
        [worst, 0.0].map(|cost| V::reward(cost, self.max_episode_length))
    }

    #[inline]
    fn observe(&self, draws: &mut impl Draws, observation: &mut [f32]) {
        V::show(&self.state, observation);
        if let Some(sigma) = self.noise_sigma {
            noise::add(sigma, [1.0, 1.0], draws, observation);
        }
    }
}

/// Draws the pendulum, the upright position, and the torque as a mark on the side that it pushes to.
fn scene(theta: f64, torque: Option<f32>) -> Scene {
    const CENTRE: (f64, f64) = (0.5, 0.25);
    const ROD: f64 = 0.19;
    let at = |angle: f64, radius: f64| {
        let (sin, cos) = libm::sincos(angle);
        // Angles grow counterclockwise, as in Gymnasium.
        (CENTRE.0 - radius * sin, CENTRE.1 + radius * cos)
    };
    let target = Shape::line(at(0.0, ROD + 0.02), at(0.0, ROD + 0.05), 0.006);
    let mut scene = Scene::new(0.5)
        .shape(target, Tone::Goal)
        .shape(Shape::line(CENTRE, at(theta, ROD), 0.04), Tone::Cue)
        .shape(Shape::disc(CENTRE, 0.012), Tone::Wall);
    if let Some(torque) = torque {
        let turn = f64::from(torque / MAX_TORQUE);
        let arc = |part: f64| at(theta + 0.9 * turn * part, 0.6 * ROD);
        for i in 0..6 {
            let [from, to] = [i, i + 1].map(|i| arc(f64::from(i) / 6.0));
            scene = scene.shape(Shape::line(from, to, 0.012), Tone::Agent);
        }
    }
    scene
}

impl<V: Variant> Environment for Pendulum<V> {
    type Element = f32;
    type Action = f32;

    fn new(arguments: &Arguments) -> Result<Self, KwargsError> {
        let Settings {
            max_episode_length,
            noise_sigma,
        } = V::settings(arguments)?;
        Ok(Pendulum {
            max_episode_length,
            noise_sigma,
            state: [0.0; 2],
            remaining: 0,
            variant: PhantomData,
        })
    }

    fn observation_space(&self) -> Space {
        symmetric_box(V::most())
    }

    fn action_space(&self) -> Space {
        let most = f64::from(MAX_TORQUE);
        Space::Box {
            shape: vec![1],
            dtype: Dtype::Float32,
            low: Bound::All(-most),
            high: Bound::All(most),
        }
    }

    /// Draws angle and velocity, then the noise.
    fn reset(&mut self, draws: &mut impl Draws, observation: &mut [f32]) {
        self.state = [PI, 1.0].map(|most| draws.uniform(-most, most));
        self.remaining = self.max_episode_length;
        self.observe(draws, observation);
    }

    #[inline]
    fn step(
        &mut self,
        action: &[f32],
        draws: &mut impl Draws,
        observation: &mut [f32],
    ) -> Transition {
        let cost = cost(self.state, action[0]);
        self.state = advance(self.state, action[0]);
        self.remaining -= 1;
        self.observe(draws, observation);
        let reward = V::reward(cost, self.max_episode_length);
        Transition::new(reward, false, self.remaining == 0)
    }

    fn is_running(&self) -> bool {
        self.remaining > 0
    }

    /// Swings up by a table of costs.
    fn oracle(&self) -> Vec<f32> {
        vec![swing_up::torque(self.state)]
    }

    fn validate(&self) -> Result<(), String> {
        let length = self.max_episode_length;
        if !(1..=MAX_LENGTH).contains(&length) || self.remaining > length {
            return Err(format!(
                "{} steps of {length} cannot remain",
                self.remaining
            ));
        }
        let [theta, speed] = self.state;
        let farthest = PI + MAX_SPEED * DT * f64::from(length - self.remaining);
        if theta.abs() <= farthest * (1.0 + 1e-9) && speed.abs() <= MAX_SPEED {
            return noise::validate(self.noise_sigma, V::IS_NOISY);
        }
        Err(format!("no episode leads to {:?}", self.state))
    }
}

impl<V: Variant> Pictured for Pendulum<V> {
    /// Shows the pendulum from the side, and the numbers that the agent does not see.
    fn picture(&self, seen: &Seen<'_, f32, f32>) -> Picture {
        let torque = seen.action.map(|action| action[0]);
        let scene = scene(self.state[0], torque).hidden(V::IS_NOISY);
        let picture = Picture::new().scene("", scene).grid(V::SHOWN, seen.grid());
        let picture = states::show_hidden(picture, V::HIDDEN, V::hidden(&self.state));
        let (remaining, most) = (self.remaining, self.max_episode_length);
        let left = Bar::remaining("steps left", u64::from(remaining), u64::from(most));
        let picture = picture.bars("", [left]);
        match torque {
            Some(torque) => picture.note(Tone::Agent, &format!("torque {torque:.2}")),
            None => picture,
        }
    }
}

impl<V: Original> Recorded for Pendulum<V> {
    const REFERENCE_NAME: &'static str = V::REFERENCE_NAME;

    const TOLERANCE_ULPS: u32 = 1;

    /// The original squares with C's `pow`, whose last bit may be another.
    const REWARD_TOLERANCE: f64 = 1e-12;

    fn script(&self, latent: &Value) -> Result<Vec<Draw>, String> {
        Latent::<State>::script(latent, V::IS_NOISY)
    }

    fn step_scripts(&self, latent: &Value) -> Result<Vec<Vec<Draw>>, String> {
        Latent::<State>::step_scripts(latent, V::IS_NOISY)
    }

    fn recorded_states(&self, latent: &Value) -> Result<Option<Vec<Self>>, String> {
        let states = Latent::<State>::states(latent)?.into_iter().zip(0..);
        let states = states.map(|(state, steps)| Pendulum {
            state,
            remaining: self.max_episode_length.saturating_sub(steps),
            ..self.clone()
        });
        Ok(Some(states.collect()))
    }

    fn agrees_with(&self, recorded: &Self) -> Result<(), String> {
        states::agree(&self.state, &recorded.state)
    }
}
