//! Rewards to learn from besides the task's own: exploration bonuses and reward normalisation. All off by default.
//!
//! A bonus changes only the rewards that the learner sees. Reported returns and what a memory stores as an outcome are
//! the task's own.
//!
//! Deviation from Burda et al. 2019 (arXiv:1810.12894): bonus and reward share one critic. The paper gives the bonus a
//! critic of its own so that it can flow across episode ends and be discounted otherwise. Here both streams have the
//! same discount, and a bonus that crosses an episode's end would ask a critic that sees one episode's memory to
//! predict the next episode's novelty; with η small the bonus is a nudge, not a second objective.

mod bonuses;
mod counts;
mod moments;
mod reward_norm;
mod rnd;

use std::borrow::Cow;

use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use crate::experience::Rollout;
use crate::nn::NnError;

pub use self::bonuses::ExplorationBonuses;
pub use self::bonuses::ExplorationOverrides;
use counts::CountBonus;
use reward_norm::RewardNormalizer;
use rnd::{Rnd, RndState};

/// Shapes the rewards of a run by the experience so far.
pub struct Exploration {
    counts: Option<CountBonus>,
    rnd: Option<Rnd>,
    reward_norm: Option<RewardNormalizer>,
    eta: f32,
    gamma: f32,
}

/// The rewards to learn from a rollout.
pub struct LearningRewards<'a> {
    /// `[T*B]`.
    pub rewards: Cow<'a, [f32]>,
    /// Mean bonus from counts, if they are on.
    pub mean_count_bonus: Option<f64>,
    /// Mean bonus from random network distillation, if it is on.
    pub mean_rnd_bonus: Option<f64>,
}

/// The whole memory of [`Exploration`], for a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExplorationState {
    counts: Option<CountBonus>,
    rnd: Option<RndState>,
    reward_norm: Option<RewardNormalizer>,
}

impl Exploration {
    /// Builds the bonuses and the normalisation of the hyper-parameters; `gamma` discounts returns. Draws from `rng` only
    /// with `use_rnd`.
    pub fn new(
        hyper: &ExplorationBonuses,
        gamma: f32,
        observation_size: usize,
        num_envs: usize,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Self {
        Self {
            counts: hyper
                .intrinsic_expl
                .then(|| CountBonus::new(observation_size)),
            rnd: hyper
                .use_rnd
                .then(|| Rnd::new(hyper, observation_size, num_envs, rng)),
            reward_norm: hyper.reward_norm.then(|| RewardNormalizer::new(num_envs)),
            eta: hyper.intrinsic_eta,
            gamma,
        }
    }

    /// Learns from a rollout's observations, and returns the task's rewards, normalised where that is on, plus the
    /// bonuses. The novelty of an observation is judged before the predictor is trained on it.
    pub fn rewards<'a>(&mut self, rollout: &'a Rollout) -> LearningRewards<'a> {
        let mut rewards = Cow::Borrowed(&rollout.rewards[..]);
        if let Some(norm) = &mut self.reward_norm {
            rewards = Cow::Owned(norm.normalize(rollout, self.gamma));
        }
        let mut add = |bonuses: Vec<f32>| {
            let bonuses = bonuses.iter().map(|bonus| self.eta * bonus);
            let rewards = rewards.to_mut().iter_mut().zip(bonuses);
            let mut sum = 0.0;
            let n = rewards.len() as f64;
            for (reward, bonus) in rewards {
                *reward += bonus;
                sum += f64::from(bonus);
            }
            sum / n
        };
        let counts = self.counts.as_mut();
        let mean_count_bonus = counts.map(|counts| add(counts.bonuses(&rollout.next_observations)));
        let rnd = self.rnd.as_mut();
        let mean_rnd_bonus = rnd.map(|rnd| add(rnd.bonuses(&rollout.next_observations)));
        LearningRewards {
            rewards,
            mean_count_bonus,
            mean_rnd_bonus,
        }
    }

    /// Returns a copy of everything it remembers.
    pub fn export(&self) -> ExplorationState {
        ExplorationState {
            counts: self.counts.clone(),
            rnd: self.rnd.as_ref().map(Rnd::export),
            reward_norm: self.reward_norm.clone(),
        }
    }

    /// Continues from a saved state.
    ///
    /// # Errors
    /// A state that was saved for networks of other sizes.
    pub fn import(&mut self, state: ExplorationState) -> Result<(), NnError> {
        if let (Some(rnd), Some(saved)) = (&mut self.rnd, state.rnd) {
            rnd.import(saved)?;
        }
        if let (Some(counts), Some(saved)) = (&mut self.counts, state.counts) {
            *counts = saved;
        }
        if let (Some(norm), Some(saved)) = (&mut self.reward_norm, state.reward_norm) {
            *norm = saved;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::State;
    use crate::seeds::{self, Role};

    fn shaped(hyper: ExplorationBonuses) -> (Rollout, Vec<f32>, Exploration) {
        let mut exploration =
            Exploration::new(&hyper, 0.99, 1, 1, &mut seeds::generator(0, Role::Agent));
        let rollout = Rollout {
            rewards: vec![2.0, -2.0],
            starts: vec![true; 2],
            next_observations: vec![0.5, 0.5],
            ..Rollout::empty(1, State::new(1, Vec::new()))
        };
        let rewards = exploration.rewards(&rollout).rewards.into_owned();
        (rollout, rewards, exploration)
    }

    #[test]
    fn nothing_changes_by_default() {
        let (rollout, rewards, exploration) = shaped(ExplorationBonuses::default());
        assert_eq!(rewards, rollout.rewards);
        let nothing = ExplorationState {
            counts: None,
            rnd: None,
            reward_norm: None,
        };
        assert_eq!(exploration.export(), nothing);
    }

    /// The deviation of ±2 is 2; then η/√1 and η/√2 are added.
    #[test]
    fn bonuses_come_on_top_of_normalised_rewards() {
        let (rollout, rewards, _) = shaped(ExplorationBonuses {
            reward_norm: true,
            intrinsic_expl: true,
            intrinsic_eta: 0.5,
            ..ExplorationBonuses::default()
        });
        for (found, expected) in rewards.iter().zip([1.5, -1.0 + 0.5 / 2.0f32.sqrt()]) {
            assert!((found - expected).abs() < 1e-6, "{rewards:?}");
        }
        assert_eq!(rollout.rewards, [2.0, -2.0], "the task's own stay");
    }
}
