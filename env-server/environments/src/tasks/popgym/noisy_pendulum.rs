//! POPGym's NoisyPositionOnlyPendulum: swing a pendulum up, shown its angle with noise.
//!
//! The [pendulum](crate::tasks::control) with observation `[cos θ, sin θ]`, each with normal noise of
//! deviation σ = `noise_sigma`, clipped to ±1. Rewards are those of
//! [PositionOnlyPendulum](super::position_only_pendulum), of the true state.
//!
//! Returns are measured at the levels: best and memoryless are those of the best known players, and
//! oracle that of our controller, which knows the state. The best player is a filter that knows the
//! physics. To remember: all of the past, with one's own torques, to tell
//! the state from the noise.
//!
//! Source: Morad et al. 2023, POPGym, arXiv:2303.01859; POPGym 1.0.7,
//! `envs/noisy_position_only_pendulum.py`. Deviation: a torque out of range is an error, where the
//! original clips it, and so is a step after the end.

use env_protocol::Returns;

use super::position_only_pendulum::{reward, show};
use crate::tasks::control::motion::State;
use crate::tasks::control::noise;
use crate::tasks::control::pendulum::{Original, Pendulum, Variant};
use crate::tasks::control::settings::{Settings, length_parameter};
use crate::tasks::popgym::levels::{self, Levels, at_level};
use crate::{Arguments, Catalogued, KwargsError, Profile};

/// Length at every level.
const LENGTH: u32 = 200;

/// `NoisyPositionOnlyPendulum-v0`.
pub type NoisyPositionOnlyPendulum = Pendulum<NoisyAngle>;

/// Shows cosine and sine of the angle with noise.
#[derive(Clone, Debug, PartialEq)]
pub struct NoisyAngle;

impl Variant for NoisyAngle {
    const IS_NOISY: bool = true;
    const SHOWN: &'static str = "cosine, sine of the angle, with noise";
    const HIDDEN: &'static str = "angle, angular velocity";

    fn settings(arguments: &Arguments) -> Result<Settings, KwargsError> {
        let levels = Levels::from_arguments(arguments);
        Ok(Settings {
            max_episode_length: levels.natural("max_episode_length", [LENGTH; 3])?,
            noise_sigma: Some(levels.number("noise_sigma", noise::SIGMAS)?),
        })
    }

    fn most() -> Vec<f64> {
        vec![1.0; 2]
    }

    #[inline]
    fn show(state: &State, observation: &mut [f32]) {
        show(state, observation);
    }

    fn hidden(state: &State) -> Vec<f64> {
        state.to_vec()
    }

    #[inline]
    fn reward(cost: f64, max_episode_length: u32) -> f64 {
        reward(cost, max_episode_length)
    }
}

impl Original for NoisyAngle {
    const REFERENCE_NAME: &'static str = "popgym/NoisyPositionOnlyPendulum";
}

impl Catalogued for NoisyPositionOnlyPendulum {
    fn profile() -> Profile {
        Profile {
            id: "NoisyPositionOnlyPendulum-v0",
            description: "Swing a pendulum up with a torque, and keep it up, shown the angle with \
                          noise.",
            parameters: vec![
                levels::parameter(),
                length_parameter("200 at every level"),
                noise::parameter(),
            ],
            remember: "all observations and actions, to tell the state from the noise",
            source: "POPGym 1.0.7, NoisyPositionOnlyPendulum (Morad et al. 2023, arXiv:2303.01859)",
        }
    }

    fn reward_range(&self) -> [f64; 2] {
        self.rewards()
    }

    fn returns(&self) -> Returns {
        let is_usual = self.max_episode_length() == LENGTH;
        let at_levels = |values| {
            let value = at_level(&self.noise_sigma(), &noise::SIGMAS, values);
            value.filter(|_| is_usual)
        };
        Returns {
            random: is_usual.then_some(0.246),
            memoryless: at_levels([0.3451, 0.3306, 0.3227]),
            best: at_levels([0.889, 0.714, 0.653]),
            oracle: is_usual.then_some(0.9150),
            note: "Measured at the levels. All but random are the best known.".to_owned(),
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
            json!({"max_episode_length": 7, "noise_sigma": 0.0}),
            json!({"max_episode_length": 7, "noise_sigma": 1e6}),
        ] {
            check_environment::<NoisyPositionOnlyPendulum>(kwargs);
        }
    }

    /// Upright at rest, where no torque keeps it: the noise is all that changes.
    #[test]
    fn noise_is_drawn_after_the_state_and_clipped() {
        let kwargs = json!({"max_episode_length": 2, "noise_sigma": 0.3});
        let arguments = arguments::<NoisyPositionOnlyPendulum>(kwargs);
        let mut task = NoisyPositionOnlyPendulum::new(&arguments).unwrap();
        let numbers = [0.0, 0.0, -0.25, 0.1, 0.5, -0.5, -3.0, 3.0];
        let mut draws = Script::new(numbers.map(Draw::Number).to_vec());
        let mut seen = [9.0; 2];
        task.reset(&mut draws, &mut seen);
        assert_eq!(seen, [0.75, 0.1]);
        for (expected, is_end) in [([1.0, -0.5], false), ([-1.0, 1.0], true)] {
            let transition = task.step(&[0.0], &mut draws, &mut seen);
            assert_eq!((seen, transition.reward), (expected, 0.5));
            assert_eq!(
                (transition.terminated, transition.truncated),
                (false, is_end)
            );
        }
        draws.finish().unwrap();
    }
}
