//! ε-greedy play: any action with probability ε, else the likeliest.

use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::hyper::section::section;
use crate::spaces::actions::{ActionHeads, Choice};

section! {
    /// ε-greedy play.
    pub struct Greediness, overridden by GreedinessOverrides {
        /// Share ε of random actions, once it has fallen to it; `sampled` evaluation plays with it.
        epsilon: f32 = 0.02, |&v| (0.0..=1.0).contains(&v), "0 to 1";
        /// Share of the run over which ε falls linearly from 1.
        epsilon_fraction: f32 = 0.2, |&v| (0.0..=1.0).contains(&v), "0 to 1";
    }
}

impl Greediness {
    /// Returns ε when this share of the run is over, 0 to 1.
    pub fn at(&self, progress: f64) -> f32 {
        if self.epsilon_fraction <= 0.0 {
            return self.epsilon;
        }
        let fallen = (progress as f32 / self.epsilon_fraction).min(1.0);
        1.0 + (self.epsilon - 1.0) * fallen
    }
}

/// Appends any action to `actions` with probability `epsilon`, else the likeliest; returns its log-probability. For actions
/// that are choices.
pub fn epsilon_greedy(
    heads: &ActionHeads,
    epsilon: f32,
    logits: &[f32],
    rng: &mut Xoshiro256PlusPlus,
    actions: &mut Vec<Choice>,
) -> f32 {
    let first = actions.len();
    if rng.random::<f32>() < epsilon {
        heads.random(rng, actions);
    } else {
        heads.likeliest(logits, actions);
    }
    let mut likeliest = Vec::with_capacity(heads.components());
    heads.likeliest(logits, &mut likeliest);
    let greedy = f32::from(u8::from(actions[first..] == likeliest[..]));
    (epsilon * any(heads) + (1.0 - epsilon) * greedy).ln()
}

/// Returns the probability of an action of chance. For actions that are choices.
pub fn any(heads: &ActionHeads) -> f32 {
    let sizes = heads.sizes().into_iter();
    1.0 / sizes.map(|size| size as f32).product::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epsilon_falls_and_then_stays() {
        let greediness = Greediness {
            epsilon: 0.1,
            epsilon_fraction: 0.5,
        };
        let at = [0.0, 0.25, 0.5, 1.0].map(|progress| greediness.at(progress));
        for (found, expected) in at.iter().zip([1.0, 0.55, 0.1, 0.1]) {
            assert!((found - expected).abs() < 1e-6, "{at:?}");
        }
        let at_once = Greediness {
            epsilon_fraction: 0.0,
            ..greediness
        };
        assert_eq!(at_once.at(0.0), 0.1);
    }
}
