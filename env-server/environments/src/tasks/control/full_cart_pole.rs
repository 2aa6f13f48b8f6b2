//! Gymnasium's CartPole-v1: balance a pole on a cart, shown all of its state.
//!
//! The cart-pole of this folder with observation `[x, ẋ, θ, θ̇]`, metres, radians and seconds. Every
//! step pays 1, including the one in which the pole falls. Truncated after `max_episode_steps`, 500.
//!
//! Returns: memoryless, best and oracle pay all steps. Random 22.3 is measured, of 200 steps or more.
//! Nothing is to be remembered.
//!
//! Source: Barto, Sutton and Anderson 1983; Gymnasium 1.4, `envs/classic_control/cartpole.py`.
//! Deviation: a step after the end is an error.

use env_protocol::Returns;

use super::cart_pole::{CartPole, State, Variant, most_in_f32};
use super::settings::{Settings, time_limit};
use crate::{Arguments, Catalogued, KwargsError, Profile};

/// `CartPole-v1`.
pub type FullCartPole = CartPole<Everything>;

/// Shows the whole state.
#[derive(Clone, Debug, PartialEq)]
pub struct Everything;

impl Variant for Everything {
    const SHOWN: &'static str = "position, velocity, angle, angular velocity";
    const HIDDEN: &'static str = "";

    fn settings(arguments: &Arguments) -> Result<Settings, KwargsError> {
        Settings::with_time_limit(arguments)
    }

    fn most() -> Vec<f64> {
        let [x, theta] = most_in_f32();
        vec![x, f64::INFINITY, theta, f64::INFINITY]
    }

    #[inline]
    fn show(state: &State, _is_first: bool, observation: &mut [f32]) {
        observation.copy_from_slice(&state.map(|number| number as f32));
    }

    fn hidden(_state: &State) -> Vec<f64> {
        Vec::new()
    }

    fn reward(_max_episode_length: u32) -> f64 {
        1.0
    }
}

impl Catalogued for FullCartPole {
    fn profile() -> Profile {
        Profile {
            id: "CartPole-v1",
            description: "Balance a pole on a cart, shown positions and velocities.",
            parameters: vec![time_limit(500)],
            remember: "nothing: the whole state is shown",
            source: "Gymnasium 1.4, CartPole-v1 (Barto, Sutton and Anderson 1983)",
        }
    }

    fn reward_range(&self) -> [f64; 2] {
        self.rewards()
    }

    fn returns(&self) -> Returns {
        let length = f64::from(self.max_episode_length());
        Returns {
            random: (length >= 200.0).then_some(22.3),
            memoryless: Some(length),
            best: Some(length),
            oracle: Some(length),
            note: "Random is measured. The others are steps of a whole episode.".to_owned(),
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
            check_environment::<FullCartPole>(kwargs);
        }
    }

    /// From rest the pole falls over in nine steps of pushing to one side, and each pays.
    #[test]
    fn the_whole_state_is_shown_and_every_step_pays() {
        let mut task = FullCartPole::new(&arguments::<FullCartPole>(json!({}))).unwrap();
        let start = [0.03, -0.01, 0.02, -0.04];
        let mut draws = Script::new(start.map(Draw::Number).to_vec());
        let mut seen = [9.0; 4];
        task.reset(&mut draws, &mut seen);
        assert_eq!(seen, start.map(|number| number as f32));
        let first = task.step(&[1], &mut draws, &mut seen);
        assert_eq!(first, Transition::running(1.0));
        // Positions move with the velocities before the step.
        let moved = [0.03 + 0.02 * -0.01, 0.02 + 0.02 * -0.04];
        assert_eq!([seen[0], seen[2]], moved.map(|number| number as f32));
        assert!(seen[1] > 0.1 && seen[3] < -0.2);
        let mut total = 1.0;
        while task.is_running() {
            total += task.step(&[1], &mut draws, &mut seen).reward;
        }
        assert!(
            (8.0..=12.0).contains(&total) && seen[2].abs() > 0.2,
            "{total}"
        );
    }
}
