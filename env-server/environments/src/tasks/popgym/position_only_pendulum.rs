//! POPGym's PositionOnlyPendulum: swing a pendulum up without being shown its velocity.
//!
//! The [pendulum](crate::tasks::control) with observation `[cos θ, sin θ]`. A step of cost c pays
//! (m − c) / m / H, m = 16.2736044 / 2 and H = `max_episode_length`: −1/H at the worst, 1/H upright
//! and at rest.
//!
//! Returns are measured at the levels: best and memoryless are those of the best known players, and
//! oracle that of our controller, which knows the state. To remember: the last observation, for the
//! velocity.
//!
//! Source: Morad et al. 2023, POPGym, arXiv:2303.01859; POPGym 1.0.7,
//! `envs/position_only_pendulum.py`. Deviation: a torque out of range is an error, where the
//! original clips it, and so is a step after the end.

use env_protocol::Returns;

use crate::tasks::control::motion::State;
use crate::tasks::control::pendulum::{Original, Pendulum, Variant};
use crate::tasks::control::settings::{Settings, length_parameter};
use crate::tasks::popgym::levels::{self, Levels, at_level};
use crate::{Arguments, Catalogued, KwargsError, Profile};

/// Lengths at the levels.
const LENGTHS: [u32; 3] = [200, 150, 100];
/// Half of the greatest cost, rounded as in the original.
const HALF_COST: f64 = 16.273_604_4 / 2.0;

/// `PositionOnlyPendulum-v0`.
pub type PositionOnlyPendulum = Pendulum<Angle>;

/// Shows cosine and sine of the angle.
#[derive(Clone, Debug, PartialEq)]
pub struct Angle;

/// Returns the reward of a step with this cost in POPGym.
#[inline]
pub(super) fn reward(cost: f64, max_episode_length: u32) -> f64 {
    (HALF_COST - cost) / HALF_COST / f64::from(max_episode_length)
}

/// Writes cosine and sine of the angle.
#[inline]
pub(super) fn show(&[theta, _]: &State, observation: &mut [f32]) {
    let numbers = [libm::cos(theta), libm::sin(theta)];
    observation.copy_from_slice(&numbers.map(|number| number as f32));
}

impl Variant for Angle {
    const SHOWN: &'static str = "cosine, sine of the angle";
    const HIDDEN: &'static str = "angular velocity";

    fn settings(arguments: &Arguments) -> Result<Settings, KwargsError> {
        let levels = Levels::from_arguments(arguments);
        Ok(Settings {
            max_episode_length: levels.natural("max_episode_length", LENGTHS)?,
            noise_sigma: None,
        })
    }

    fn most() -> Vec<f64> {
        vec![1.0; 2]
    }

    #[inline]
    fn show(state: &State, observation: &mut [f32]) {
        show(state, observation);
    }

    fn hidden(&[_, speed]: &State) -> Vec<f64> {
        vec![speed]
    }

    #[inline]
    fn reward(cost: f64, max_episode_length: u32) -> f64 {
        reward(cost, max_episode_length)
    }
}

impl Original for Angle {
    const REFERENCE_NAME: &'static str = "popgym/PositionOnlyPendulum";
}

impl Catalogued for PositionOnlyPendulum {
    fn profile() -> Profile {
        Profile {
            id: "PositionOnlyPendulum-v0",
            description: "Swing a pendulum up with a torque, and keep it up, shown the angle but not \
                          the velocity.",
            parameters: vec![
                levels::parameter(),
                length_parameter("200, 150, 100 at easy, medium, hard"),
            ],
            remember: "the last observation but one, for the velocity",
            source: "POPGym 1.0.7, PositionOnlyPendulum (Morad et al. 2023, arXiv:2303.01859)",
        }
    }

    fn reward_range(&self) -> [f64; 2] {
        self.rewards()
    }

    fn returns(&self) -> Returns {
        let at_levels = |values| at_level(&self.max_episode_length(), &LENGTHS, values);
        Returns {
            random: at_levels([0.247, 0.245, 0.244]),
            memoryless: at_levels([0.3675, 0.3671, 0.3658]),
            best: at_levels([0.9138, 0.8851, 0.8277]),
            oracle: at_levels([0.9150, 0.8869, 0.8303]),
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
        for kwargs in [json!({"level": "hard"}), json!({"max_episode_length": 1})] {
            check_environment::<PositionOnlyPendulum>(kwargs);
        }
    }

    /// Level at rest: gravity turns by 15 · 0.05 and the torque of 2 by 6 · 0.05 a second, so the
    /// velocity is 1.05 and the angle grows by 0.0525. The step costs (π/2)² + 0.004.
    #[test]
    fn a_step_from_a_level_pendulum() {
        let arguments = arguments::<PositionOnlyPendulum>(json!({"max_episode_length": 10}));
        let mut task = PositionOnlyPendulum::new(&arguments).unwrap();
        let level = std::f64::consts::FRAC_PI_2;
        let mut draws = Script::new(vec![Draw::Number(level), Draw::Number(0.0)]);
        let mut seen = [9.0; 2];
        task.reset(&mut draws, &mut seen);
        assert_eq!(seen, [level.cos() as f32, 1.0]);
        let transition = task.step(&[2.0], &mut draws, &mut seen);
        let angle = level + 0.0525;
        assert!((f64::from(seen[0]) - angle.cos()).abs() < 1e-7);
        assert!((f64::from(seen[1]) - angle.sin()).abs() < 1e-7);
        let cost = level * level + 0.004;
        assert!((transition.reward - (8.136_802_2 - cost) / 8.136_802_2 / 10.0).abs() < 1e-9);
        assert!(!transition.is_end());
        draws.finish().unwrap();
    }
}
