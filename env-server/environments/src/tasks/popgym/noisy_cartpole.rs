//! POPGym's NoisyPositionOnlyCartPole: balance a pole, shown noisy positions.
//!
//! The [cart-pole](crate::tasks::control) with observation `[x, θ]`, metres and radians, each with
//! normal noise of deviation σ = `noise_sigma`, clipped to ±4.8 and ±24°. Every step pays 1/H, H =
//! `max_episode_length`, including the one in which the pole falls; the true state ends the episode.
//!
//! Returns: oracle 1. Random 22.4/H is measured, where H ≥ 200. Memoryless and best are measured at
//! the levels; best is a filter that knows the physics, and neither is proven to be the best. To
//! remember: all of the past, with one's own pushes, to tell the state from the noise.
//!
//! Source: Morad et al. 2023, POPGym, arXiv:2303.01859; POPGym 1.0.7,
//! `envs/noisy_position_only_cartpole.py`. Deviation: a step after the end is an error, where the
//! original pays −1.

use env_protocol::Returns;

use crate::tasks::control::cart_pole::{CartPole, Original, State, Variant, most_in_f32};
use crate::tasks::control::noise;
use crate::tasks::control::settings::{Settings, length_parameter};
use crate::tasks::popgym::levels::{self, Levels, at_level};
use crate::{Arguments, Catalogued, KwargsError, Profile};

/// Length at every level.
const LENGTH: u32 = 200;

/// `NoisyPositionOnlyCartPole-v0`.
pub type NoisyPositionOnlyCartPole = CartPole<NoisyPositions>;

/// Shows position and angle with noise.
#[derive(Clone, Debug, PartialEq)]
pub struct NoisyPositions;

impl Variant for NoisyPositions {
    const IS_NOISY: bool = true;
    const SHOWN: &'static str = "position, angle, with noise";
    const HIDDEN: &'static str = "position, velocity, angle, angular velocity";
    const SHOWS_PLACE: bool = false;

    fn settings(arguments: &Arguments) -> Result<Settings, KwargsError> {
        let levels = Levels::from_arguments(arguments);
        Ok(Settings {
            max_episode_length: levels.natural("max_episode_length", [LENGTH; 3])?,
            noise_sigma: Some(levels.number("noise_sigma", noise::SIGMAS)?),
        })
    }

    fn most() -> Vec<f64> {
        most_in_f32().to_vec()
    }

    #[inline]
    fn show(&[x, _, theta, _]: &State, _is_first: bool, observation: &mut [f32]) {
        observation.copy_from_slice(&[x as f32, theta as f32]);
    }

    fn hidden(state: &State) -> Vec<f64> {
        state.to_vec()
    }
}

impl Original for NoisyPositions {
    const REFERENCE_NAME: &'static str = "popgym/NoisyPositionOnlyCartPole";
}

impl Catalogued for NoisyPositionOnlyCartPole {
    fn profile() -> Profile {
        Profile {
            id: "NoisyPositionOnlyCartPole-v0",
            description: "Balance a pole on a cart, shown the position and the angle, both with noise.",
            parameters: vec![
                levels::parameter(),
                length_parameter("200 at every level"),
                noise::parameter(),
            ],
            remember: "all observations and actions, to tell the state from the noise",
            source: "POPGym 1.0.7, NoisyPositionOnlyCartPole (Morad et al. 2023, arXiv:2303.01859)",
        }
    }

    fn reward_range(&self) -> [f64; 2] {
        self.rewards()
    }

    fn returns(&self) -> Returns {
        let length = self.max_episode_length();
        let at_levels = |values| {
            let value = at_level(&self.noise_sigma(), &noise::SIGMAS, values);
            value.filter(|_| length == LENGTH)
        };
        Returns {
            random: (length >= LENGTH).then(|| 22.4 / f64::from(length)),
            memoryless: at_levels([0.2487, 0.2004, 0.1679]),
            best: at_levels([0.997, 0.652, 0.381]),
            oracle: Some(1.0),
            note: "Random is measured on the original: 22.4 steps. Memoryless and best are those of the \
                   best known players, measured at the levels."
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
        for kwargs in [
            json!({}),
            json!({"level": "hard"}),
            json!({"max_episode_length": 7, "noise_sigma": 0.0}),
            json!({"max_episode_length": 7, "noise_sigma": 1e6}),
        ] {
            check_environment::<NoisyPositionOnlyCartPole>(kwargs);
        }
    }

    /// Two numbers of noise after the four of the state and after each step; the greatest angle shown
    /// is 24°, and the angle itself does not change.
    #[test]
    fn noise_is_drawn_after_the_state_and_clipped() {
        let arguments = arguments::<NoisyPositionOnlyCartPole>(json!({"level": "easy"}));
        let mut task = NoisyPositionOnlyCartPole::new(&arguments).unwrap();
        let numbers = [0.03, 0.0, 0.01, 0.0, 0.125, 0.5, -0.25, -0.25];
        let mut draws = Script::new(numbers.map(Draw::Number).to_vec());
        let mut seen = [9.0; 2];
        task.reset(&mut draws, &mut seen);
        assert_eq!(seen, [0.03f32 + 0.125, 0.418_879_03]);
        let transition = task.step(&[0], &mut draws, &mut seen);
        // Velocities are still 0 in the first step, so the positions have not changed.
        assert_eq!(seen, [0.03f32 - 0.25, 0.01f32 - 0.25]);
        assert!(!transition.is_end());
        draws.finish().unwrap();
    }
}
