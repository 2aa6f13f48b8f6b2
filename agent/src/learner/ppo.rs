//! Proximal policy optimisation (Schulman et al. 2017, arXiv:1707.06347) with the details of Huang et al. 2022, over any
//! memory core: minibatches are whole lanes, unrolled from the state at which acting began them.

use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::experience::Rollout;
use crate::hyper::section::section;
use crate::learner::advantage::{self, AdvantageInputs};
use crate::learner::auxiliary::{Auxiliary, AuxiliaryLosses};
use crate::learner::settings::{Discount, Optimiser};
use crate::learner::{
    Backup, Diverged, Experience, Group, Learner, LearnerContext, LearnerState, Metrics, StateError,
};
use crate::nn::{Adam, Graph, PpoBatch, PpoCoefficients, PpoStats};
use crate::policy::Policy;

section! {
    /// PPO's update.
    pub struct PpoUpdate, overridden by PpoOverrides {
        /// Passes over each rollout.
        update_epochs: usize = 4, |&v| (1..=1_000).contains(&v), "1 to 1000";
        /// Parts that the environments of a rollout are dealt into, each an optimiser step.
        num_minibatches: usize = 4, |&v| (1..=65_536).contains(&v), "1 to 65536, at most num_envs";
        /// λ of generalised advantage estimation (Schulman et al. 2016, arXiv:1506.02438). The notebook's name: `lam`.
        #[arg(alias = "lam")]
        #[alias = "lam"]
        gae_lambda: f32 = 0.95, |&v| (0.0..=1.0).contains(&v), "0 to 1";
        /// Share m of the one-step advantage: A = m·norm(A[λ=0]) + (1−m)·norm(A[λ=gae_lambda]). 0 is plain PPO.
        advantage_mix: f32 = 0.0, |&v| (0.0..=1.0).contains(&v), "0 to 1";
        /// Normalise advantages to mean 0 and deviation 1.
        #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
        norm_adv: bool = true, |_| true, "true or false";
        /// PPO's clipping range ε of the probability ratio.
        clip_coef: f32 = 0.2, |&v| v > 0.0 && v <= 10.0, "above 0, at most 10";
        /// Clip the value loss as well.
        #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
        clip_vloss: bool = false, |_| true, "true or false";
        /// Weight of the entropy bonus.
        ent_coef: f32 = 0.01, |&v| (0.0..=10.0).contains(&v), "0 to 10";
        /// Share of the run, at its end, over which the weight of the entropy bonus falls linearly to 0; 0 keeps it.
        ent_anneal: f32 = 0.0, |&v| (0.0..=1.0).contains(&v), "0 to 1";
        /// Weight of the value loss.
        vf_coef: f32 = 0.5, |&v| (0.0..=100.0).contains(&v), "0 to 100";
        /// Leave out the remaining epochs of an update once the approximate KL divergence passes this; 0 never does.
        target_kl: f32 = 0.0, |&v| (0.0..=100.0).contains(&v), "0 to 100";
    }
}

/// The optimiser, the auxiliary losses and the settings of PPO.
pub struct Ppo {
    adam: Adam,
    auxiliary: Auxiliary,
    optimiser: Optimiser,
    hyper: PpoUpdate,
    gamma: f32,
    aux_coef: f32,
}

/// Sums over the optimiser steps of an update, and their means in the end.
#[derive(Default)]
struct UpdateMetrics {
    /// All losses together, weighted.
    loss: f64,
    /// Clipped surrogate, to be minimised.
    policy_loss: f64,
    /// Half the mean squared error of the values.
    value_loss: f64,
    /// Mean entropy of the policy, in nats.
    entropy: f64,
    /// E[(ρ − 1) − ln ρ].
    approx_kl: f64,
    /// Share of probability ratios outside the clipping range.
    clip_fraction: f64,
    /// Length of the gradient before clipping.
    grad_norm: f64,
    /// 1 − Var(R − V)/Var(R) of the values that acting predicted; `None` where returns did not vary.
    explained_variance: Option<f64>,
    /// Mean of the advantages before normalisation.
    advantage_mean: f64,
    /// Deviation of the advantages before normalisation.
    advantage_std: f64,
    /// Mean of the auxiliary losses, unweighted; `None` without any.
    aux_loss: Option<f64>,
    /// The memory's own losses, unweighted.
    losses: Vec<(&'static str, f64)>,
    /// Step size of this update.
    learning_rate: f64,
    /// Optimiser steps taken.
    optimizer_steps: usize,
}

/// Settings that change from update to update.
#[derive(Clone, Copy)]
struct Rates {
    /// Adam's step size.
    learning: f32,
    /// Weight of the entropy bonus.
    entropy: f32,
}

impl PpoUpdate {
    /// Returns the weight of the entropy bonus when this share of the run is over, 0 to 1.
    fn entropy_weight(&self, progress: f64) -> f32 {
        let left = (1.0 - progress.min(1.0)) as f32;
        match left < self.ent_anneal {
            true => self.ent_coef * left / self.ent_anneal,
            false => self.ent_coef,
        }
    }
}

/// Targets of a rollout, constants for the gradient.
struct Targets {
    advantages: Vec<f32>,
    returns: Vec<f32>,
}

impl Ppo {
    /// Returns a learner for the context's policy. The parameters of auxiliary losses come after the policy's, so that
    /// the weights that act are the same with and without them.
    pub fn new(context: &mut LearnerContext<'_>) -> Self {
        let LearnerContext {
            policy,
            encoder,
            hyper,
            rng,
        } = context;
        let feature_size = policy.core.feature_size();
        let auxiliary = Auxiliary::new(hyper, encoder, feature_size, &mut policy.params, rng);
        Self {
            adam: Adam::new(&policy.params),
            auxiliary,
            optimiser: hyper.get(),
            hyper: hyper.get(),
            gamma: hyper.get::<Discount>().gamma,
            aux_coef: hyper.get::<AuxiliaryLosses>().aux_coef,
        }
    }

    fn update(
        &mut self,
        policy: &mut Policy,
        experience: &Experience<'_>,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Result<UpdateMetrics, Diverged> {
        let Experience {
            rollout,
            rewards,
            progress,
        } = *experience;
        let hyper = self.hyper.clone();
        let mut metrics = UpdateMetrics {
            aux_loss: (!self.auxiliary.is_empty()).then_some(0.0),
            ..UpdateMetrics::default()
        };
        let targets = targets(&hyper, self.gamma, rollout, rewards, &mut metrics);
        let rates = Rates {
            learning: self.optimiser.rate(progress),
            entropy: hyper.entropy_weight(progress),
        };
        metrics.learning_rate = f64::from(rates.learning);
        let mut lanes: Vec<usize> = (0..rollout.batch).collect();
        for _ in 0..hyper.update_epochs {
            if hyper.num_minibatches == 1 {
                self.minibatch(policy, rollout, &targets, rates, &mut metrics)?;
            } else {
                lanes.shuffle(rng);
                for part in deal(&lanes, hyper.num_minibatches) {
                    let minibatch = rollout.lanes(part);
                    let targets = targets.lanes(rollout, part);
                    self.minibatch(policy, &minibatch, &targets, rates, &mut metrics)?;
                }
            }
            let mean_kl = metrics.approx_kl / metrics.optimizer_steps as f64;
            if hyper.target_kl > 0.0 && mean_kl > f64::from(hyper.target_kl) {
                break;
            }
        }
        metrics.average();
        Ok(metrics)
    }

    fn minibatch(
        &mut self,
        policy: &mut Policy,
        rollout: &Rollout,
        targets: &Targets,
        rates: Rates,
        metrics: &mut UpdateMetrics,
    ) -> Result<(), Diverged> {
        let hyper = &self.hyper;
        let mut advantages = targets.advantages.clone();
        if hyper.norm_adv && hyper.advantage_mix == 0.0 {
            advantage::normalize(&mut advantages);
        }
        let mut graph = Graph::training(&policy.params);
        let seen = policy.evaluate(&mut graph, &rollout.segment(&targets.returns));
        let weights = vec![1.0; advantages.len()];
        let heads = policy.heads().kinds();
        let batch = PpoBatch {
            heads: &heads,
            actions: &rollout.actions,
            old_log_probs: &rollout.log_probs,
            advantages: &advantages,
            returns: &targets.returns,
            old_values: &rollout.values,
            weights: &weights,
        };
        let coefficients = PpoCoefficients {
            clip_coef: hyper.clip_coef,
            clip_vloss: hyper.clip_vloss,
            ent_coef: rates.entropy,
            vf_coef: hyper.vf_coef,
        };
        let auxiliary = self.auxiliary.losses(&mut graph, &seen.features, rollout);
        let (ppo_loss, stats) = graph.ppo_loss(&seen.logits, &seen.values, &batch, &coefficients);
        let mut losses = vec![(1.0, &ppo_loss)];
        losses.extend(seen.losses.iter().map(|(_, weight, loss)| (*weight, loss)));
        losses.extend(auxiliary.iter().map(|loss| (self.aux_coef, loss)));
        let loss = graph.total(&losses);
        let value = f64::from(crate::nn::values(&loss)[0]);
        let gradients = graph.backward(&loss);
        let longest = self.optimiser.longest();
        let grad_norm = self
            .adam
            .step(&mut policy.params, &gradients, rates.learning, longest);
        if !grad_norm.is_finite() || !value.is_finite() {
            return Err(Diverged {
                loss: value,
                grad_norm: f64::from(grad_norm),
            });
        }
        let own = seen
            .losses
            .iter()
            .map(|(name, _, loss)| (*name, f64::from(crate::nn::values(loss)[0])));
        metrics.add(value, &stats, f64::from(grad_norm), own);
        let number = |loss| f64::from(crate::nn::values(loss)[0]);
        if let Some(sum) = &mut metrics.aux_loss {
            *sum += auxiliary.iter().map(number).sum::<f64>() / auxiliary.len() as f64;
        }
        Ok(())
    }
}

impl Learner for Ppo {
    fn discount(&self) -> f32 {
        self.gamma
    }

    fn learn(
        &mut self,
        policy: &mut Policy,
        experience: &Experience<'_>,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Result<Option<Metrics>, Diverged> {
        let before = Backup::new(policy, &self.adam);
        match self.update(policy, experience, rng) {
            Ok(metrics) => Ok(Some(metrics.rows())),
            Err(diverged) => {
                before.restore(policy, &mut self.adam);
                Err(diverged)
            }
        }
    }

    fn export(&self) -> LearnerState {
        LearnerState {
            adam: self.adam.export(),
            ..LearnerState::default()
        }
    }

    fn import(&mut self, state: &LearnerState) -> Result<(), StateError> {
        Ok(self.adam.import(&state.adam)?)
    }
}

/// Advantages and return targets. With `advantage_mix` m > 0 the advantages are m·norm(A[λ=0]) + (1−m)·norm(A[λ]):
/// recall wants a short λ (a long one spreads the last step's noise over all earlier actions), acting through time a
/// long one. Return targets are A[λ] + V.
fn targets(
    hyper: &PpoUpdate,
    gamma: f32,
    rollout: &Rollout,
    rewards: &[f32],
    metrics: &mut UpdateMetrics,
) -> Targets {
    let inputs = AdvantageInputs {
        batch: rollout.batch,
        rewards,
        values: &rollout.values,
        next_values: &rollout.next_values,
        ends: &rollout.ends,
    };
    let mut advantages = advantage::gae(&inputs, gamma, hyper.gae_lambda);
    let returns: Vec<f32> = advantages
        .iter()
        .zip(&rollout.values)
        .map(|(a, v)| a + v)
        .collect();
    let n = advantages.len() as f64;
    metrics.advantage_mean = advantages.iter().map(|&a| f64::from(a)).sum::<f64>() / n;
    metrics.advantage_std = (advantages
        .iter()
        .map(|&a| (f64::from(a) - metrics.advantage_mean).powi(2))
        .sum::<f64>()
        / n)
        .sqrt();
    metrics.explained_variance = advantage::explained_variance(&rollout.values, &returns);
    let mix = hyper.advantage_mix;
    if mix > 0.0 {
        let mut one_step = advantage::gae(&inputs, gamma, 0.0);
        if hyper.norm_adv {
            advantage::normalize(&mut one_step);
            advantage::normalize(&mut advantages);
        }
        advantages
            .iter_mut()
            .zip(&one_step)
            .for_each(|(a, one)| *a = mix * one + (1.0 - mix) * *a);
    }
    Targets {
        advantages,
        returns,
    }
}

impl Targets {
    fn lanes(&self, rollout: &Rollout, lanes: &[usize]) -> Self {
        let take = |column: &[f32]| {
            (0..rollout.steps)
                .flat_map(|t| {
                    lanes
                        .iter()
                        .map(move |&lane| column[t * rollout.batch + lane])
                })
                .collect()
        };
        Self {
            advantages: take(&self.advantages),
            returns: take(&self.returns),
        }
    }
}

/// Deals lanes into `parts` runs whose sizes differ by at most one.
fn deal(lanes: &[usize], parts: usize) -> impl Iterator<Item = &[usize]> {
    (0..parts).map(move |i| &lanes[i * lanes.len() / parts..(i + 1) * lanes.len() / parts])
}

impl UpdateMetrics {
    fn add(
        &mut self,
        loss: f64,
        stats: &PpoStats,
        grad_norm: f64,
        own: impl Iterator<Item = (&'static str, f64)>,
    ) {
        self.loss += loss;
        self.policy_loss += f64::from(stats.policy_loss);
        self.value_loss += f64::from(stats.value_loss);
        self.entropy += f64::from(stats.entropy);
        self.approx_kl += f64::from(stats.approx_kl);
        self.clip_fraction += f64::from(stats.clip_fraction);
        self.grad_norm += grad_norm;
        self.optimizer_steps += 1;
        for (name, value) in own {
            match self.losses.iter_mut().find(|(known, _)| *known == name) {
                Some((_, sum)) => *sum += value,
                None => self.losses.push((name, value)),
            }
        }
    }

    fn average(&mut self) {
        let n = self.optimizer_steps as f64;
        let sums = [
            &mut self.loss,
            &mut self.policy_loss,
            &mut self.value_loss,
            &mut self.entropy,
            &mut self.approx_kl,
            &mut self.clip_fraction,
            &mut self.grad_norm,
        ];
        sums.into_iter()
            .chain(&mut self.aux_loss)
            .chain(self.losses.iter_mut().map(|(_, sum)| sum))
            .for_each(|sum| *sum /= n);
    }

    fn rows(&self) -> Metrics {
        let mut rows = Metrics::default();
        rows.put(Group::Rollout, "policy_entropy", self.entropy)
            .put(Group::Rollout, "advantage_mean", self.advantage_mean)
            .put(Group::Rollout, "advantage_std", self.advantage_std)
            .put_known(Group::Rollout, "aux_loss_mean", self.aux_loss)
            .put(Group::Train, "loss", self.loss)
            .put(Group::Train, "policy_loss", self.policy_loss)
            .put(Group::Train, "value_loss", self.value_loss)
            .put_known(Group::Train, "explained_variance", self.explained_variance)
            .put(Group::Train, "approx_kl", self.approx_kl)
            .put(Group::Train, "clip_fraction", self.clip_fraction)
            .put(Group::Train, "grad_norm", self.grad_norm)
            .put(Group::Train, "learning_rate", self.learning_rate);
        for (name, value) in &self.losses {
            rows.put(Group::Memory, name, *value);
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entropy_bonus_falls_if_it_is_to() {
        let steady = PpoUpdate::default();
        let falling = |ent_anneal| PpoUpdate {
            ent_anneal,
            ..steady.clone()
        };
        assert_eq!(steady.entropy_weight(0.75), 0.01);
        assert_eq!(falling(1.0).entropy_weight(0.75), 0.0025);
        assert_eq!(falling(0.5).entropy_weight(0.5), 0.01);
        assert_eq!(falling(0.5).entropy_weight(0.75), 0.005);
        assert_eq!(falling(0.5).entropy_weight(1.5), 0.0);
    }

    #[test]
    fn minibatches_partition_the_lanes() {
        let lanes: Vec<usize> = (0..10).collect();
        let parts: Vec<&[usize]> = deal(&lanes, 4).collect();
        assert_eq!(
            parts.iter().map(|part| part.len()).collect::<Vec<_>>(),
            [2, 3, 2, 3]
        );
        assert_eq!(parts.concat(), lanes);
    }
}
