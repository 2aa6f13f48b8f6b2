//! Gymnasium's Pendulum-v1: swing a pendulum up, shown all of its state.
//!
//! The pendulum of this folder with observation `[cos θ, sin θ, θ̇]`. A step pays minus its cost.
//! Truncated after `max_episode_steps`, 200.
//!
//! Returns are measured: memoryless and best are the oracle's, which is our controller. Nothing is to
//! be remembered.
//!
//! Source: Gymnasium 1.4, `envs/classic_control/pendulum.py`, with actions of float32. Deviation: a
//! torque out of range is an error, where the original clips it, and so is a step after the end.

use env_protocol::Returns;

use super::motion::{MAX_SPEED, State};
use super::pendulum::{Pendulum, Variant};
use super::settings::{Settings, time_limit};
use crate::{Arguments, Catalogued, KwargsError, Profile};

/// Usual length of an episode.
const LENGTH: u32 = 200;

/// `Pendulum-v1`.
pub type FullPendulum = Pendulum<Everything>;

/// Shows the whole state.
#[derive(Clone, Debug, PartialEq)]
pub struct Everything;

impl Variant for Everything {
    const SHOWN: &'static str = "cosine, sine of the angle, angular velocity";
    const HIDDEN: &'static str = "";

    fn settings(arguments: &Arguments) -> Result<Settings, KwargsError> {
        Settings::with_time_limit(arguments)
    }

    fn most() -> Vec<f64> {
        vec![1.0, 1.0, MAX_SPEED]
    }

    #[inline]
    fn show(&[theta, speed]: &State, observation: &mut [f32]) {
        let numbers = [libm::cos(theta), libm::sin(theta), speed];
        observation.copy_from_slice(&numbers.map(|number| number as f32));
    }

    fn hidden(_state: &State) -> Vec<f64> {
        Vec::new()
    }

    #[inline]
    fn reward(cost: f64, _max_episode_length: u32) -> f64 {
        -cost
    }
}

impl Catalogued for FullPendulum {
    fn profile() -> Profile {
        Profile {
            id: "Pendulum-v1",
            description: "Swing a pendulum up with a torque, and keep it up, shown angle and velocity.",
            parameters: vec![time_limit(LENGTH)],
            remember: "nothing: the whole state is shown",
            source: "Pendulum-v1 of Gymnasium 1.4",
        }
    }

    fn reward_range(&self) -> [f64; 2] {
        self.rewards()
    }

    fn returns(&self) -> Returns {
        let is_usual = self.max_episode_length() == LENGTH;
        let best = is_usual.then_some(-138.7);
        Returns {
            random: is_usual.then_some(-1225.4),
            memoryless: best,
            best,
            oracle: best,
            note: "Measured with the usual length; best is the best known.".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{arguments, check_environment};
    use crate::{Draw, Environment, Script, Transition};
    use serde_json::json;

    #[test]
    fn keeps_the_contract() {
        for kwargs in [json!({}), json!({"max_episode_steps": 7})] {
            check_environment::<FullPendulum>(kwargs);
        }
    }

    /// Upright with velocity 1 and the torque −1: the velocity falls by 0.15, and the step costs
    /// 0.1 + 0.001, the latter in float32.
    #[test]
    fn a_step_from_the_top() {
        let kwargs = json!({"max_episode_steps": 1});
        let mut task = FullPendulum::new(&arguments::<FullPendulum>(kwargs)).unwrap();
        let mut draws = Script::new(vec![Draw::Number(0.0), Draw::Number(1.0f64.next_down())]);
        let mut seen = [9.0; 3];
        task.reset(&mut draws, &mut seen);
        assert_eq!(seen, [1.0, 0.0, 1.0]);
        let transition = task.step(&[-1.0], &mut draws, &mut seen);
        let expected = -(0.1 + f64::from(0.001f32));
        assert!((transition.reward - expected).abs() < 1e-15);
        assert_eq!(transition, Transition::new(transition.reward, false, true));
        assert_eq!(seen[2], 0.85);
        assert!((f64::from(seen[1]) - 0.0425f64.sin()).abs() < 1e-8);
        draws.finish().unwrap();
    }
}
