//! POPGym's StatelessCartPole: balance a pole without being shown velocities.
//!
//! The [cart-pole](crate::tasks::control) with observation `[x, θ]`, metres and radians. Every step
//! pays 1/H, H = `max_episode_length`, including the one in which the pole falls.
//!
//! Returns: best and oracle 1. Random 22.4/H and memoryless 50.8/H are measured, where H ≥ 200;
//! memoryless pushes to the side to which the pole leans, more often the more it leans, and is not
//! proven to be the best. To remember: one earlier observation, for the velocities.
//!
//! Source: Morad et al. 2023, POPGym, arXiv:2303.01859; POPGym 1.0.7,
//! `envs/position_only_cartpole.py` (called StatelessCartPole in the paper). Deviation: a step
//! after the end is an error, where the original pays −1.

use env_protocol::Returns;

use crate::tasks::control::cart_pole::{CartPole, MOST, Original, State, Variant};
use crate::tasks::control::settings::{Settings, length_parameter};
use crate::tasks::popgym::levels::{self, Levels};
use crate::{Arguments, Catalogued, KwargsError, Profile};

/// `StatelessCartPole-v0`.
pub type StatelessCartPole = CartPole<Positions>;

/// Shows position and angle.
#[derive(Clone, Debug, PartialEq)]
pub struct Positions;

impl Variant for Positions {
    const SHOWN: &'static str = "position, angle";
    const HIDDEN: &'static str = "velocity, angular velocity";

    fn settings(arguments: &Arguments) -> Result<Settings, KwargsError> {
        let levels = Levels::from_arguments(arguments);
        Ok(Settings {
            max_episode_length: levels.natural("max_episode_length", [200, 400, 600])?,
            noise_sigma: None,
        })
    }

    fn most() -> Vec<f64> {
        MOST.to_vec()
    }

    #[inline]
    fn show(&[x, _, theta, _]: &State, _is_first: bool, observation: &mut [f32]) {
        observation.copy_from_slice(&[x as f32, theta as f32]);
    }

    fn hidden(&[_, x_dot, _, theta_dot]: &State) -> Vec<f64> {
        vec![x_dot, theta_dot]
    }
}

impl Original for Positions {
    const REFERENCE_NAME: &'static str = "popgym/PositionOnlyCartPole";
}

impl Catalogued for StatelessCartPole {
    fn profile() -> Profile {
        Profile {
            id: "StatelessCartPole-v0",
            description: "Balance a pole on a cart, shown the position and the angle but not the \
                          velocities.",
            parameters: vec![
                levels::parameter(),
                length_parameter("200, 400, 600 at easy, medium, hard"),
            ],
            remember: "the last observation but one, for the velocities",
            source: "POPGym 1.0.7, PositionOnlyCartPole (Morad et al. 2023, arXiv:2303.01859)",
        }
    }

    fn reward_range(&self) -> [f64; 2] {
        self.rewards()
    }

    fn returns(&self) -> Returns {
        let length = self.max_episode_length();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{arguments, check_environment};
    use crate::{Draw, Environment, Rng, Script, Transition};
    use serde_json::{Value, json};

    fn task(kwargs: Value) -> StatelessCartPole {
        StatelessCartPole::new(&arguments::<StatelessCartPole>(kwargs)).unwrap()
    }

    #[test]
    fn keeps_the_contract() {
        for kwargs in [json!({}), json!({"max_episode_length": 7})] {
            check_environment::<StatelessCartPole>(kwargs);
        }
    }

    #[test]
    fn falling_and_time_can_end_together() {
        let mut draws = Script::new([0.0; 4].map(Draw::Number).to_vec());
        let mut steps = 0;
        let mut whole = task(json!({}));
        whole.reset(&mut draws, &mut [0.0; 2]);
        let mut last = Transition::running(0.0);
        while whole.is_running() {
            last = whole.step(&[1], &mut draws, &mut [0.0; 2]);
            steps += 1;
        }
        assert_eq!(last, Transition::new(1.0 / 200.0, true, false));
        let mut draws = Script::new([0.0; 4].map(Draw::Number).to_vec());
        let mut task = task(json!({"max_episode_length": steps}));
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
