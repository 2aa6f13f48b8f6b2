//! POPGym's StatelessCartPole: balance a pole without being shown velocities.
//!
//! Observation `[x, θ]`, metres and radians; action 1 pushes the cart right with 10 N, 0 left. The
//! dynamics are Gymnasium's CartPole-v1 (Barto, Sutton and Anderson 1983): explicit Euler steps of
//! 0.02 s in f64, gravity 9.8, cart 1 kg, pole 0.1 kg and 2 · 0.5 m long. The four numbers (x, ẋ,
//! θ, θ̇) start uniform in [−0.05, 0.05). Every step pays 1/H, H = `max_episode_length`, including
//! the one in which the pole falls. Terminated when the new state has |x| > 2.4 or |θ| > 12°;
//! truncated at step H; both can be true.
//!
//! Sine and cosine are those of the `libm` crate, which computes the same bits on every machine, so
//! trajectories are the same everywhere. The functions of glibc may differ in the last bit, and the
//! upright pole amplifies a difference by about e⁴ a second: so recordings are compared step by
//! step from their states.
//!
//! Returns: best and oracle 1. Random 22.4/H and memoryless 50.8/H are measured, where H ≥ 200;
//! memoryless pushes to the side to which the pole leans, more often the more it leans, and is not
//! proven to be the best. To remember: one earlier observation, for the velocities.
//!
//! Source: Morad et al. 2023, POPGym, arXiv:2303.01859; POPGym 1.0.7,
//! `envs/position_only_cartpole.py` (called StatelessCartPole in the paper). Deviation: a step
//! after the end is an error, where the original pays −1.

use env_protocol::{Bound, Dtype, Parameter, Returns, Space};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kit::recording::{ensure, parse};
use crate::render::{Bar, Cell, Grid, Picture, Scene, Seen, Shape, Tone};
use crate::tasks::popgym::levels::{self, Levels};
use crate::{
    Arguments, Catalogued, Draw, Draws, Environment, KwargsError, Pictured, Profile, Recorded,
    Transition,
};

/// Longest episode.
const MAX_LENGTH: u32 = 10_000_000;
/// Greatest distance from the middle of the track, in metres.
const MAX_X: f64 = 2.4;
/// Greatest angle, in radians.
const MAX_THETA: f64 = 12.0 * 2.0 * std::f64::consts::PI / 360.0;
/// Speeds that no episode reaches, in metres and radians per second.
const IMPOSSIBLE_SPEEDS: [f64; 2] = [100.0, 8.0];
/// Greatest difference between a recorded state and ours that a different sine may cause.
const STATE_TOLERANCE: f64 = 1e-12;

const GRAVITY: f64 = 9.8;
const CART_MASS: f64 = 1.0;
const POLE_MASS: f64 = 0.1;
const TOTAL_MASS: f64 = POLE_MASS + CART_MASS;
/// Half the pole's length.
const LENGTH: f64 = 0.5;
const POLE_MASS_LENGTH: f64 = POLE_MASS * LENGTH;
const FORCE: f64 = 10.0;
const TAU: f64 = 0.02;

/// `StatelessCartPole-v0`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatelessCartPole {
    max_episode_length: u32,
    /// x, ẋ, θ, θ̇.
    state: [f64; 4],
    /// Number of steps in the episode.
    steps: u32,
    is_running: bool,
}

impl StatelessCartPole {
    fn observe(&self, observation: &mut [f32]) {
        observation.copy_from_slice(&[self.state[0] as f32, self.state[2] as f32]);
    }

    fn has_fallen(&self) -> bool {
        self.state[0].abs() > MAX_X || self.state[2].abs() > MAX_THETA
    }
}

/// One Euler step. The order of the operations is the original's, to the last bit.
fn advance([x, x_dot, theta, theta_dot]: [f64; 4], force: f64) -> [f64; 4] {
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
fn scene(&[x, _, theta, _]: &[f64; 4], push: Option<bool>) -> Scene {
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

#[derive(Deserialize)]
struct Latent {
    initial_state: [f64; 4],
    states: Vec<[f64; 4]>,
}

impl Catalogued for StatelessCartPole {
    fn profile() -> Profile {
        Profile {
            id: "StatelessCartPole-v0",
            description: "Balance a pole on a cart, shown the position and the angle but not the \
                          velocities.",
            parameters: vec![
                levels::parameter(),
                Parameter::integer(
                    "max_episode_length",
                    "Steps after which an episode is truncated; 200, 400, 600 at easy, medium, \
                     hard.",
                    1,
                    i64::from(MAX_LENGTH),
                    None,
                ),
            ],
            remember: "the last observation but one, for the velocities",
            source: "POPGym 1.0.7, PositionOnlyCartPole (Morad et al. 2023, arXiv:2303.01859)",
        }
    }

    fn reward_range(&self) -> [f64; 2] {
        [0.0, 1.0 / f64::from(self.max_episode_length)]
    }

    fn returns(&self) -> Returns {
        let length = self.max_episode_length;
        Returns {
            random: (length >= 200).then(|| 22.4 / f64::from(length)),
            memoryless: (length >= 200).then(|| 50.8 / f64::from(length)),
            best: Some(1.0),
            oracle: Some(1.0),
            note: "Random is measured on the original: 22.4 steps. Memoryless, the best known, is \
                   measured: 50.8 steps, pushing to the side to which the pole leans, the more \
                   often the more it leans."
                .to_owned(),
        }
    }
}

impl Environment for StatelessCartPole {
    type Element = f32;
    type Action = i64;

    fn new(arguments: &Arguments) -> Result<Self, KwargsError> {
        let levels = Levels::from_arguments(arguments);
        Ok(StatelessCartPole {
            max_episode_length: levels.natural("max_episode_length", [200, 400, 600])?,
            state: [0.0; 4],
            steps: 0,
            is_running: false,
        })
    }

    /// Bounds are twice the limits of an episode, as in Gymnasium.
    fn observation_space(&self) -> Space {
        let most = vec![2.0 * MAX_X, 2.0 * MAX_THETA];
        Space::Box {
            shape: vec![2],
            dtype: Dtype::Float32,
            low: Bound::Each(most.iter().map(|x| -x).collect()),
            high: Bound::Each(most),
        }
    }

    fn action_space(&self) -> Space {
        Space::Discrete { n: 2, start: 0 }
    }

    /// Draws the four numbers of the state.
    fn reset(&mut self, draws: &mut impl Draws, observation: &mut [f32]) {
        self.state.fill_with(|| draws.uniform(-0.05, 0.05));
        self.steps = 0;
        self.is_running = true;
        self.observe(observation);
    }

    #[inline]
    fn step(
        &mut self,
        action: &[i64],
        _draws: &mut impl Draws,
        observation: &mut [f32],
    ) -> Transition {
        let force = if action[0] == 1 { FORCE } else { -FORCE };
        self.state = advance(self.state, force);
        self.steps += 1;
        self.observe(observation);
        let terminated = self.has_fallen();
        let truncated = self.steps == self.max_episode_length;
        self.is_running = !(terminated || truncated);
        let reward = 1.0 / f64::from(self.max_episode_length);
        Transition::new(reward, terminated, truncated)
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
        Ok(())
    }

    fn is_running(&self) -> bool {
        self.is_running
    }
}

impl Pictured for StatelessCartPole {
    /// Shows the cart from the side, and the velocities, which the agent does not see.
    fn picture(&self, seen: &Seen<'_, f32>) -> Picture {
        let [_, x_dot, _, theta_dot] = self.state;
        let velocities = [x_dot, theta_dot].map(|v| Cell::number(v).tone(Tone::Hidden));
        let push = seen.action.map(|action| action[0] == 1);
        let (steps, most) = (self.steps, self.max_episode_length);
        let picture = Picture::new()
            .scene("", scene(&self.state, push))
            .grid("position, angle", seen.grid())
            .grid("velocity, angular velocity", Grid::row(velocities))
            .bars(
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

impl Recorded for StatelessCartPole {
    const REFERENCE_NAME: &'static str = "popgym/PositionOnlyCartPole";

    const TOLERANCE_ULPS: u32 = 1;

    /// `{"initial_state": [4], "states": [[4] an observation]}`.
    fn script(&self, latent: &Value) -> Result<Vec<Draw>, String> {
        let Latent { initial_state, .. } = parse(latent)?;
        Ok(initial_state.map(Draw::Number).to_vec())
    }

    fn recorded_states(&self, latent: &Value) -> Result<Option<Vec<Self>>, String> {
        let Latent {
            initial_state,
            states,
        } = parse(latent)?;
        ensure(states.first() == Some(&initial_state), || {
            "the first state is not the initial one".to_owned()
        })?;
        let states = states.into_iter().zip(0..).map(|(state, steps)| {
            let mut there = StatelessCartPole {
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
        let (ours, theirs) = (self.state, recorded.state);
        let is_close = |(a, b): (&f64, &f64)| (a - b).abs() <= STATE_TOLERANCE * (1.0 + b.abs());
        match ours.iter().zip(&theirs).all(is_close) {
            true => Ok(()),
            false => Err(format!(
                "the state is {ours:?} here and {theirs:?} in the recording"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{arguments, check_environment};
    use crate::{Rng, Script};
    use serde_json::json;

    fn task(kwargs: Value) -> StatelessCartPole {
        StatelessCartPole::new(&arguments::<StatelessCartPole>(kwargs)).unwrap()
    }

    #[test]
    fn keeps_the_contract() {
        for kwargs in [json!({}), json!({"max_episode_length": 7})] {
            check_environment::<StatelessCartPole>(kwargs);
        }
    }

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

    #[test]
    fn falling_and_time_can_end_together() {
        let mut draws = Script::new([0.0; 4].map(Draw::Number).to_vec());
        let mut task = task(json!({}));
        task.reset(&mut draws, &mut [0.0; 2]);
        let mut last = Transition::running(0.0);
        while task.is_running() {
            last = task.step(&[1], &mut draws, &mut [0.0; 2]);
        }
        assert_eq!(last, Transition::new(1.0 / 200.0, true, false));
        let fallen_at = task.steps;
        let mut draws = Script::new([0.0; 4].map(Draw::Number).to_vec());
        task.max_episode_length = fallen_at;
        task.reset(&mut draws, &mut [0.0; 2]);
        while task.is_running() {
            last = task.step(&[1], &mut draws, &mut [0.0; 2]);
        }
        assert!(last.terminated && last.truncated);
    }

    /// A player that sees the last two observations keeps the pole up.
    #[test]
    fn one_earlier_observation_is_enough() {
        let mut rng = Rng::from_seed(1);
        let mut task = task(json!({"level": "hard"}));
        for _ in 0..100 {
            let mut now = [0.0; 2];
            task.reset(&mut rng, &mut now);
            let mut before = now;
            let mut total = 0.0;
            while task.is_running() {
                let speeds = [now[0] - before[0], now[1] - before[1]].map(|d| d / 0.02);
                let lean = now[1] + 0.25 * speeds[1] + 0.05 * now[0] + 0.1 * speeds[0];
                before = now;
                total += task
                    .step(&[i64::from(lean > 0.0)], &mut rng, &mut now)
                    .reward;
            }
            assert!(total > 0.999, "{total}");
        }
    }
}
