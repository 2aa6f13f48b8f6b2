//! POPGym's VelocityOnlyCartPole: balance a pole, shown the velocities but not the positions.
//!
//! The [cart-pole](crate::tasks::control) with observation `[ẋ, θ̇]`, metres and radians per second;
//! but a reset shows `[x, θ]`, and nothing tells the two apart. Every step pays 1/H, H =
//! `max_episode_length`, including the one in which the pole falls.
//!
//! Returns: best and oracle 1. Random 22.4/H is measured on the original, where H ≥ 200. Memoryless
//! is measured: it pushes to the side of 0.6 ẋ + 2.2 θ̇, and the pole drifts away in the long run.
//! To remember: the first observation and the sum of the later ones, 0.02 times which are the
//! changes of x and θ.
//!
//! Source: Morad et al. 2023, POPGym, arXiv:2303.01859; POPGym 1.0.7,
//! `envs/velocity_only_cartpole.py`. Kept: the reset's positions, a slip of the original. Deviation:
//! a step after the end is an error, where the original pays −1.

use env_protocol::Returns;

use crate::tasks::control::cart_pole::{CartPole, Original, State, Variant};
use crate::tasks::control::settings::{Settings, length_parameter};
use crate::tasks::popgym::levels::{self, Levels, at_level};
use crate::{Arguments, Catalogued, KwargsError, Profile};

/// Lengths at the levels.
const LENGTHS: [u32; 3] = [200, 400, 600];

/// `VelocityOnlyCartPole-v0`.
pub type VelocityOnlyCartPole = CartPole<Velocities>;

/// Shows velocity and angular velocity, but position and angle at a reset.
#[derive(Clone, Debug, PartialEq)]
pub struct Velocities;

impl Variant for Velocities {
    const SHOWN: &'static str = "velocity, angular velocity (position, angle at a reset)";
    const HIDDEN: &'static str = "position, angle";
    const SHOWS_PLACE: bool = false;

    fn settings(arguments: &Arguments) -> Result<Settings, KwargsError> {
        let levels = Levels::from_arguments(arguments);
        Ok(Settings {
            max_episode_length: levels.natural("max_episode_length", LENGTHS)?,
            noise_sigma: None,
        })
    }

    fn most() -> Vec<f64> {
        vec![f64::INFINITY; 2]
    }

    #[inline]
    fn show(&[x, x_dot, theta, theta_dot]: &State, is_first: bool, observation: &mut [f32]) {
        let shown = if is_first {
            [x, theta]
        } else {
            [x_dot, theta_dot]
        };
        observation.copy_from_slice(&shown.map(|number| number as f32));
    }

    fn hidden(&[x, _, theta, _]: &State) -> Vec<f64> {
        vec![x, theta]
    }
}

impl Original for Velocities {
    const REFERENCE_NAME: &'static str = "popgym/VelocityOnlyCartPole";
}

impl Catalogued for VelocityOnlyCartPole {
    fn profile() -> Profile {
        Profile {
            id: "VelocityOnlyCartPole-v0",
            description: "Balance a pole on a cart, shown the velocities; the position and the angle \
                          are shown once, at the start.",
            parameters: vec![
                levels::parameter(),
                length_parameter("200, 400, 600 at easy, medium, hard"),
            ],
            remember: "the first observation, and the sum of the others",
            source: "POPGym 1.0.7, VelocityOnlyCartPole (Morad et al. 2023, arXiv:2303.01859)",
        }
    }

    fn reward_range(&self) -> [f64; 2] {
        self.rewards()
    }

    fn returns(&self) -> Returns {
        let length = self.max_episode_length();
        Returns {
            random: (length >= 200).then(|| 22.4 / f64::from(length)),
            memoryless: at_level(&length, &LENGTHS, [1.0, 0.9708, 0.7166]),
            best: Some(1.0),
            oracle: Some(1.0),
            note: "Random is measured on the original: 22.4 steps. Memoryless, the best known, is \
                   measured: it pushes to the side of 0.6 times the velocity plus 2.2 times the angular \
                   velocity."
                .to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{arguments, check_environment};
    use crate::{Draw, Environment, Script};
    use serde_json::json;

    #[test]
    fn keeps_the_contract() {
        for kwargs in [json!({}), json!({"max_episode_length": 7})] {
            check_environment::<VelocityOnlyCartPole>(kwargs);
        }
    }

    /// The reset shows x and θ. The step shows ẋ and θ̇; at θ = θ̇ = 0 the push to the right adds
    /// 0.02 (p − 0.05 s / 1.1) to ẋ, p = 10 / 1.1, and 0.02 s to θ̇, s = −p / (0.5 (4/3 − 0.1 / 1.1)).
    #[test]
    fn positions_are_shown_once() {
        let kwargs = json!({"max_episode_length": 4});
        let arguments = arguments::<VelocityOnlyCartPole>(kwargs);
        let mut task = VelocityOnlyCartPole::new(&arguments).unwrap();
        let mut draws = Script::new([0.03, 0.04, 0.0, 0.0].map(Draw::Number).to_vec());
        let mut seen = [9.0; 2];
        task.reset(&mut draws, &mut seen);
        assert_eq!(seen, [0.03, 0.0]);
        let transition = task.step(&[1], &mut draws, &mut seen);
        assert_eq!((transition.reward, transition.is_end()), (0.25, false));
        let push = 10.0 / 1.1;
        let swing = -push / (0.5 * (4.0 / 3.0 - 0.1 / 1.1));
        let velocity = 0.04 + 0.02 * (push - 0.05 * swing / 1.1);
        assert_eq!(seen, [velocity as f32, (0.02 * swing) as f32]);
        draws.finish().unwrap();
    }
}
