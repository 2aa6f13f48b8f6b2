//! Gymnasium's cart-pole. Each variant shows a part of its state, or all.
//!
//! Action 1 pushes the cart right with 10 N, 0 left. The dynamics are those of CartPole-v1 (Barto,
//! Sutton and Anderson 1983): explicit Euler steps of 0.02 s in f64, gravity 9.8, cart 1 kg, pole
//! 0.1 kg and 2 · 0.5 m long. The four numbers (x, ẋ, θ, θ̇), metres and radians, start uniform in
//! [−0.05, 0.05). Terminated when the new state has |x| > 2.4 or |θ| > 12°; truncated after a number
//! of steps; both can be true.
//!
//! Sine and cosine are those of the `libm` crate, which computes the same bits on every machine, so
//! trajectories are the same everywhere. The functions of glibc may differ in the last bit, and the
//! upright pole amplifies a difference by about e⁴ a second: so recordings are compared step by
//! step from their states.

use std::fmt::Debug;
use std::marker::PhantomData;

use env_protocol::Space;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::noise;
use super::settings::{MAX_LENGTH, Settings, symmetric_box};
use super::states::{self, Latent};
use crate::render::{Bar, Picture, Scene, Seen, Shape, Tone};
use crate::{Arguments, Draw, Draws, Environment, KwargsError, Pictured, Recorded, Transition};

/// Greatest distance from the middle of the track, in metres.
const MAX_X: f64 = 2.4;
/// Greatest angle, in radians.
const MAX_THETA: f64 = 12.0 * 2.0 * std::f64::consts::PI / 360.0;
/// Greatest position and angle in an observation: twice the limits of an episode, as in Gymnasium.
pub(crate) const MOST: [f64; 2] = [2.0 * MAX_X, 2.0 * MAX_THETA];
/// The same in float32, which Gymnasium's spaces have.
pub(crate) fn most_in_f32() -> [f64; 2] {
    MOST.map(|bound| f64::from(bound as f32))
}

/// Speeds that no episode reaches, in metres and radians per second.
const IMPOSSIBLE_SPEEDS: [f64; 2] = [100.0, 8.0];

const GRAVITY: f64 = 9.8;
const CART_MASS: f64 = 1.0;
const POLE_MASS: f64 = 0.1;
const TOTAL_MASS: f64 = POLE_MASS + CART_MASS;
/// Half the pole's length.
const LENGTH: f64 = 0.5;
const POLE_MASS_LENGTH: f64 = POLE_MASS * LENGTH;
const FORCE: f64 = 10.0;
const TAU: f64 = 0.02;

/// x, ẋ, θ, θ̇.
pub(crate) type State = [f64; 4];

/// Observations and rewards of a variant.
pub trait Variant: Clone + Debug + PartialEq + Send + 'static {
    /// Whether an observation, of two numbers, has noise.
    const IS_NOISY: bool = false;
    /// Names of the numbers that are shown.
    const SHOWN: &'static str;
    /// Names of the numbers that are not; empty if there are none.
    const HIDDEN: &'static str;
    /// Whether one sees from an observation where cart and pole are.
    const SHOWS_PLACE: bool = true;

    /// Reads the arguments.
    ///
    /// # Errors
    /// When they do not fit together.
    fn settings(arguments: &Arguments) -> Result<Settings, KwargsError>;

    /// Greatest absolute value of each number that is shown.
    fn most() -> Vec<f64>;

    /// Writes the numbers that are shown, without noise. `is_first` says whether it is a reset.
    fn show(state: &State, is_first: bool, observation: &mut [f32]);

    /// Returns the numbers that are not shown.
    fn hidden(state: &State) -> Vec<f64>;

    /// Returns the reward of every step.
    fn reward(max_episode_length: u32) -> f64 {
        1.0 / f64::from(max_episode_length)
    }
}

/// A variant with recorded episodes.
pub trait Original: Variant {
    /// Name in files of recorded episodes.
    const REFERENCE_NAME: &'static str;
}

/// A cart-pole with the observations and rewards of variant `V`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound = "", deny_unknown_fields)]
pub struct CartPole<V> {
    max_episode_length: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    noise_sigma: Option<f64>,
    state: State,
    /// Number of steps in the episode.
    steps: u32,
    is_running: bool,
    #[serde(skip)]
    variant: PhantomData<V>,
}

impl<V: Variant> CartPole<V> {
    /// Steps after which an episode is truncated.
    pub(crate) fn max_episode_length(&self) -> u32 {
        self.max_episode_length
    }

    /// Standard deviation of the noise; 0 where there is none.
    pub(crate) fn noise_sigma(&self) -> f64 {
        self.noise_sigma.unwrap_or(0.0)
    }

    /// Least and greatest reward.
    pub(crate) fn rewards(&self) -> [f64; 2] {
        [0.0, V::reward(self.max_episode_length)]
    }

    #[inline]
    fn observe(&self, is_first: bool, draws: &mut impl Draws, observation: &mut [f32]) {
        V::show(&self.state, is_first, observation);
        if let Some(sigma) = self.noise_sigma {
            noise::add(sigma, MOST, draws, observation);
        }
    }

    fn has_fallen(&self) -> bool {
        self.state[0].abs() > MAX_X || self.state[2].abs() > MAX_THETA
    }
}

/// One Euler step. The order of the operations is the original's, to the last bit.
fn advance([x, x_dot, theta, theta_dot]: State, force: f64) -> State {
    let (sin, cos) = (libm::sin(theta), libm::cos(theta));
    let pushed = (force + POLE_MASS_LENGTH * (theta_dot * theta_dot) * sin) / TOTAL_MASS;
    let theta_acceleration = (GRAVITY * sin - cos * pushed)
        / (LENGTH * (4.0 / 3.0 - POLE_MASS * (cos * cos) / TOTAL_MASS));
    let acceleration = pushed - POLE_MASS_LENGTH * theta_acceleration * cos / TOTAL_MASS;
    [
        x + TAU * x_dot,
        x_dot + TAU * acceleration,
        theta + TAU * theta_dot,
        theta_dot + TAU * theta_acceleration,
    ]
}

/// Draws cart and pole on their track, the push on the cart, and the greatest angle of the pole.
/// The pole is drawn longer than it is.
fn scene(&[x, _, theta, _]: &State, push: Option<bool>) -> Scene {
    const METRE: f64 = 0.44 / MAX_X;
    const POLE: f64 = 0.3;
    const GROUND: f64 = 0.08;
    let at = 0.5 + METRE * x.clamp(-1.1 * MAX_X, 1.1 * MAX_X);
    let hinge = (at, GROUND + 0.065);
    let tip = |angle: f64| {
        let (sin, cos) = (libm::sin(angle), libm::cos(angle));
        (hinge.0 + POLE * sin, hinge.1 + POLE * cos)
    };
    let mut scene = Scene::new(0.5);
    let edges = [0.5 - METRE * MAX_X, 0.5 + METRE * MAX_X];
    let track = Shape::line((edges[0], GROUND), (edges[1], GROUND), 0.004);
    scene = scene.shape(track, Tone::Neutral);
    for edge in edges {
        let post = Shape::block((edge - 0.005, GROUND - 0.03), (edge + 0.005, GROUND + 0.03));
        scene = scene.shape(post, Tone::Wall);
    }
    for angle in [-MAX_THETA, MAX_THETA] {
        scene = scene.shape(Shape::line(hinge, tip(angle), 0.003), Tone::Hidden);
    }
    if let Some(is_right) = push {
        let to = if is_right { -0.06 } else { 0.06 };
        let from = (at + 2.0 * to, hinge.1 - 0.02);
        let push = Shape::line(from, (at + to, hinge.1 - 0.02), 0.012);
        scene = scene.shape(push, Tone::Agent);
    }
    let wheel = |dx: f64| Shape::disc((at + dx, GROUND + 0.018), 0.017);
    let cart = Shape::block((at - 0.055, GROUND + 0.02), (at + 0.055, hinge.1 + 0.01));
    scene
        .shape(cart, Tone::Wall)
        .shape(wheel(-0.032), Tone::Neutral)
        .shape(wheel(0.032), Tone::Neutral)
        .shape(Shape::line(hinge, tip(theta), 0.02), Tone::Cue)
        .shape(Shape::disc(hinge, 0.012), Tone::Agent)
}

impl<V: Variant> Environment for CartPole<V> {
    type Element = f32;
    type Action = i64;

    fn new(arguments: &Arguments) -> Result<Self, KwargsError> {
        let Settings {
            max_episode_length,
            noise_sigma,
        } = V::settings(arguments)?;
        Ok(CartPole {
            max_episode_length,
            noise_sigma,
            state: [0.0; 4],
            steps: 0,
            is_running: false,
            variant: PhantomData,
        })
    }

    fn observation_space(&self) -> Space {
        symmetric_box(V::most())
    }

    fn action_space(&self) -> Space {
        Space::Discrete { n: 2, start: 0 }
    }

    /// Draws the four numbers of the state, then the noise.
    fn reset(&mut self, draws: &mut impl Draws, observation: &mut [f32]) {
        self.state.fill_with(|| draws.uniform(-0.05, 0.05));
        self.steps = 0;
        self.is_running = true;
        self.observe(true, draws, observation);
    }

    #[inline]
    fn step(
        &mut self,
        action: &[i64],
        draws: &mut impl Draws,
        observation: &mut [f32],
    ) -> Transition {
        let force = if action[0] == 1 { FORCE } else { -FORCE };
        self.state = advance(self.state, force);
        self.steps += 1;
        self.observe(false, draws, observation);
        let terminated = self.has_fallen();
        let truncated = self.steps == self.max_episode_length;
        self.is_running = !(terminated || truncated);
        Transition::new(V::reward(self.max_episode_length), terminated, truncated)
    }

    /// Pushes to the side to which the pole leans or will lean.
    fn oracle(&self) -> Vec<i64> {
        let [x, x_dot, theta, theta_dot] = self.state;
        let lean = theta + 0.25 * theta_dot + 0.05 * x + 0.1 * x_dot;
        vec![i64::from(lean > 0.0)]
    }

    fn validate(&self) -> Result<(), String> {
        let [_, x_dot, _, theta_dot] = self.state;
        let is_possible = self.state.iter().all(|x| x.is_finite())
            && x_dot.abs() <= IMPOSSIBLE_SPEEDS[0]
            && theta_dot.abs() <= IMPOSSIBLE_SPEEDS[1];
        if !is_possible || (self.is_running && self.has_fallen()) {
            return Err(format!("no episode leads to {:?}", self.state));
        }
        let is_in_time = match self.is_running {
            true => self.steps < self.max_episode_length,
            false => self.steps <= self.max_episode_length,
        };
        if !(1..=MAX_LENGTH).contains(&self.max_episode_length) || !is_in_time {
            return Err(format!(
                "{} steps of {} cannot be taken",
                self.steps, self.max_episode_length
            ));
        }
        noise::validate(self.noise_sigma, V::IS_NOISY)
    }

    fn is_running(&self) -> bool {
        self.is_running
    }
}

impl<V: Variant> Pictured for CartPole<V> {
    /// Shows the cart from the side, and the numbers that the agent does not see.
    fn picture(&self, seen: &Seen<'_, f32>) -> Picture {
        let push = seen.action.map(|action| action[0] == 1);
        let scene = scene(&self.state, push).hidden(!V::SHOWS_PLACE);
        let (steps, most) = (self.steps, self.max_episode_length);
        let picture = Picture::new().scene("", scene).grid(V::SHOWN, seen.grid());
        let picture = states::show_hidden(picture, V::HIDDEN, V::hidden(&self.state));
        let picture = picture.bars(
            "",
            [Bar::remaining(
                "steps left",
                u64::from(most.saturating_sub(steps)),
                u64::from(most),
            )],
        );
        let picture = match push {
            Some(true) => picture.note(Tone::Agent, "pushed right"),
            Some(false) => picture.note(Tone::Agent, "pushed left"),
            None => picture,
        };
        match (self.is_running, self.has_fallen()) {
            (_, true) => picture.note(Tone::Bad, "fallen, or off the track"),
            (false, false) => picture.note(Tone::Good, "balanced to the end"),
            (true, false) => picture,
        }
    }
}

impl<V: Original> Recorded for CartPole<V> {
    const REFERENCE_NAME: &'static str = V::REFERENCE_NAME;

    const TOLERANCE_ULPS: u32 = 1;

    fn script(&self, latent: &Value) -> Result<Vec<Draw>, String> {
        Latent::<State>::script(latent, V::IS_NOISY)
    }

    fn step_scripts(&self, latent: &Value) -> Result<Vec<Vec<Draw>>, String> {
        Latent::<State>::step_scripts(latent, V::IS_NOISY)
    }

    fn recorded_states(&self, latent: &Value) -> Result<Option<Vec<Self>>, String> {
        let states = Latent::<State>::states(latent)?
            .into_iter()
            .zip(0..)
            .map(|(state, steps)| {
                let mut there = CartPole {
                    state,
                    steps,
                    ..self.clone()
                };
                there.is_running = !there.has_fallen() && steps < self.max_episode_length;
                there
            });
        Ok(Some(states.collect()))
    }

    fn agrees_with(&self, recorded: &Self) -> Result<(), String> {
        states::agree(&self.state, &recorded.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From rest, by hand: the push is 10/1.1 m/s², the pole swings the other way.
    #[test]
    fn one_push_from_rest() {
        let [x, x_dot, theta, theta_dot] = advance([0.0; 4], 10.0);
        let push = 10.0 / 1.1;
        let swing = -push / (0.5 * (4.0 / 3.0 - 0.1 / 1.1));
        assert_eq!([x, theta], [0.0, 0.0]);
        assert!((theta_dot - 0.02 * swing).abs() < 1e-15);
        assert!((x_dot - 0.02 * (push - 0.05 * swing / 1.1)).abs() < 1e-15);
    }

    /// The last bits of a long fall, which must be the same on every machine.
    #[test]
    fn trajectories_are_the_same_on_every_machine() {
        let mut state = [0.01, -0.02, 0.03, 0.04];
        for t in 0..50 {
            state = advance(state, if t % 3 == 0 { 10.0 } else { -10.0 });
        }
        let bits = state.map(f64::to_bits);
        let expected = [
            0xbff5808339563119,
            0xc005a855bf3012e9,
            0x401014554f854462,
            0x401be632910731a3,
        ];
        assert_eq!(bits, expected);
    }
}
