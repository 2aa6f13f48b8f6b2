//! How lanes are played while learning.

use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use crate::policy::Policy;
use crate::policy::greediness::{any, epsilon_greedy};
use crate::spaces::actions::Choice;

/// How lanes are played while learning. The memory moves on in all of them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Behaviour {
    /// By actions drawn from the policy.
    Policy,
    /// By any action with this probability, 0 to 1, and by the likeliest action otherwise.
    EpsilonGreedy(f32),
    /// By any action, all equally likely. Returns are those of chance and say nothing about the policy.
    Uniform,
    /// By a trained agent that plays in the policy's place. Returns are its own.
    Guest,
}

impl Behaviour {
    /// Returns whether the policy chooses actions, so that returns say how good it is.
    pub fn is_of_policy(self) -> bool {
        matches!(self, Self::Policy | Self::EpsilonGreedy(_))
    }

    /// Appends an action to `actions`, given a row of logits; returns its log-probability under this behaviour.
    pub(super) fn choose(
        self,
        policy: &Policy,
        logits: &[f32],
        rng: &mut Xoshiro256PlusPlus,
        actions: &mut Vec<Choice>,
    ) -> f32 {
        let heads = policy.heads();
        match self {
            // The policy of who plays.
            Self::Policy | Self::Guest => policy.draw(logits, rng, actions),
            Self::EpsilonGreedy(epsilon) => epsilon_greedy(heads, epsilon, logits, rng, actions),
            Self::Uniform => {
                heads.random(rng, actions);
                any(heads).ln()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithms;
    use crate::env::VectorEnv;
    use crate::env::test_task::TestTask;
    use crate::policy::inputs::InputEncoder;
    use crate::seeds::{self, Role};
    use crate::spaces::actions::number;

    /// Between finite bounds chance draws evenly, whatever the network's deviations. Its policy has no weights.
    #[test]
    fn chance_plays_any_number_within_finite_bounds() {
        let env = TestTask::of_numbers(1, 1);
        let row = algorithms::find("random").unwrap();
        let hyper = (row.defaults)();
        let spaces = (env.observation_space(), env.action_space());
        let encoder = InputEncoder::new(spaces.0, spaces.1, &hyper, false).unwrap();
        let mut rng = seeds::generator(0, Role::Agent);
        let policy = row.policy(&hyper, &encoder, &mut rng);
        let mut quarters = [0; 4];
        for _ in 0..8_000 {
            let mut action = Vec::new();
            Behaviour::Policy.choose(&policy, &[0.0, 0.0], &mut rng, &mut action);
            quarters[(2.0 * (number(action[0]) + 1.0)) as usize] += 1;
        }
        // Five standard deviations of a count of 2,000 are 194.
        let is_even = |count: &i32| count.abs_diff(2_000) < 194;
        assert!(quarters.iter().all(is_even), "{quarters:?}");
    }

    /// Six actions; (1, 2) is the likeliest. ε-greedy with ε ½ plays it with ½ + ½/6, others with ½/6 each.
    #[test]
    fn log_probabilities_are_those_of_the_behaviour() {
        let env = TestTask::of_pairs(1, 1);
        let row = algorithms::find("ppo").unwrap();
        let hyper = (row.defaults)();
        let spaces = (env.observation_space(), env.action_space());
        let encoder = InputEncoder::new(spaces.0, spaces.1, &hyper, false).unwrap();
        let mut rng = seeds::generator(0, Role::Agent);
        let policy = row.policy(&hyper, &encoder, &mut rng);
        let logits = [0.0, 1.0, 0.0, 0.0, 9.0];
        for (behaviour, greedy, other) in [
            (Behaviour::EpsilonGreedy(0.5), 7.0 / 12.0, 1.0 / 12.0),
            (Behaviour::EpsilonGreedy(0.0), 1.0, 0.0),
            (Behaviour::Uniform, 1.0 / 6.0, 1.0 / 6.0),
        ] {
            let mut likeliest = 0;
            for _ in 0..12_000 {
                let mut action = Vec::new();
                let log_prob = behaviour.choose(&policy, &logits, &mut rng, &mut action);
                let is_likeliest = action == [1, 2];
                likeliest += i32::from(is_likeliest);
                let expected: f32 = if is_likeliest { greedy } else { other };
                assert!((log_prob.exp() - expected).abs() < 1e-6, "{behaviour:?}");
            }
            // The deviation of the count is at most 55.
            let expected = greedy * 12_000.0;
            assert!((likeliest as f32 - expected).abs() < 275.0, "{behaviour:?}");
        }
    }
}
