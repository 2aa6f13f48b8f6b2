//! Imitation of successes: offline, from episodes of chance or from a dataset. Maximises the log-likelihood of the
//! actions in episodes with a positive return (behaviour cloning of the best, as in Chen et al. 2021, arXiv:2106.01345,
//! section 5.1).

use rand_xoshiro::Xoshiro256PlusPlus;

use crate::algorithms::algorithm::Algorithm;
use crate::algorithms::defaults::{no_check, only_choices};
use crate::algorithms::family::Family;
use crate::experience::{Behaviour, EpisodeBatch, Replay};
use crate::learner::settings::Optimiser;
use crate::learner::{
    Backup, Diverged, Experience, Group, Learner, LearnerContext, LearnerState, Metrics, StateError,
};
use crate::memory::feedforward::Feedforward;
use crate::memory::recurrent::cell::Recurrent;
use crate::memory::recurrent::lstm::LstmCell;
use crate::nn::{self, Adam, Graph, PpoBatch, PpoCoefficients, categorical};
use crate::policy::Policy;
use crate::policy::decider::Decider;
use crate::policy::outputs::Outputs;

pub const ROW: Algorithm = Algorithm {
    id: "proof-imitation",
    title: "Imitation of successes",
    family: Family::Recurrent,
    summary: "Does what earned a positive return in episodes of chance.",
    source: "Chen et al. 2021, arXiv:2106.01345, section 5.1",
    decider: Decider::Network,
    defaults: || super::short_rollouts(3e-3),
    check: no_check,
    plays: only_choices,
    core: |context| Box::new(Recurrent::new(LstmCell::new, context)),
    outputs: Outputs::ActorCritic,
    learner: |context| Box::new(Imitation::new(context)),
};

pub const CONTROL: Algorithm = Algorithm {
    id: "proof-imitation-control",
    core: |context| Box::new(Feedforward::new(context)),
    ..ROW
};

const REPLAY_BYTES: usize = 1 << 20;
/// Episodes of an update.
const BATCH: usize = 64;

struct Imitation {
    adam: Adam,
    learning_rate: f32,
    replay: Replay,
}

impl Imitation {
    fn new(context: &mut LearnerContext<'_>) -> Self {
        Self {
            adam: Adam::new(&context.policy.params),
            learning_rate: context.hyper.get::<Optimiser>().learning_rate,
            replay: Replay::new(usize::MAX, REPLAY_BYTES),
        }
    }
}

/// Returns 1 for the steps of episodes with a positive return, 0 for the others.
fn successes(batch: &EpisodeBatch) -> Vec<f32> {
    let lane_return = |lane| -> f32 {
        let rewards = batch.rewards[lane..].iter();
        rewards.step_by(batch.batch).sum()
    };
    let returns: Vec<f32> = (0..batch.batch).map(lane_return).collect();
    let rows = batch.weights.iter().enumerate();
    rows.map(|(row, &weight)| {
        if returns[row % batch.batch] > 0.0 {
            weight
        } else {
            0.0
        }
    })
    .collect()
}

/// Returns the log-probability of each row's action.
fn log_probs(sizes: &[usize], logits: &[f32], actions: &[u32]) -> Vec<f32> {
    let rows = logits.chunks_exact(sizes.iter().sum());
    let of_row = |(mut logits, actions): (&[f32], &[u32])| -> f32 {
        let components = sizes.iter().zip(actions);
        let log_prob = |(&size, &action): (&usize, &u32)| {
            let (own, others) = logits.split_at(size);
            logits = others;
            let mut own = own.to_vec();
            categorical::log_softmax(&mut own, size);
            own[action as usize]
        };
        components.map(log_prob).sum()
    };
    rows.zip(actions.chunks_exact(sizes.len()))
        .map(of_row)
        .collect()
}

impl Learner for Imitation {
    fn discount(&self) -> f32 {
        1.0
    }

    fn behaviour(&self, _progress: f64) -> Behaviour {
        Behaviour::Uniform
    }

    fn learn(
        &mut self,
        policy: &mut Policy,
        experience: &Experience<'_>,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Result<Option<Metrics>, Diverged> {
        self.replay.push(experience.rollout, experience.rewards);
        if self.replay.is_empty() {
            return Ok(None);
        }
        let state = policy.core.initial_state(BATCH);
        let batch = self.replay.sample(BATCH, state, rng);
        let before = Backup::new(policy, &self.adam);
        let mut graph = Graph::training(&policy.params);
        let seen = policy.evaluate(&mut graph, &batch.segment());
        let heads = policy.heads().kinds();
        let log_probs = log_probs(
            &policy.heads().sizes(),
            nn::values(&seen.logits),
            &batch.actions,
        );
        let ones = vec![1.0; log_probs.len()];
        // With ratios of 1 the gradient of the clipped surrogate is that of the log-likelihood.
        let likelihood = PpoBatch {
            heads: &heads,
            actions: &batch.actions,
            old_log_probs: &log_probs,
            advantages: &ones,
            returns: &batch.rewards,
            old_values: &batch.rewards,
            weights: &successes(&batch),
        };
        let coefficients = PpoCoefficients {
            clip_coef: 0.2,
            clip_vloss: false,
            ent_coef: 0.0,
            vf_coef: 0.0,
        };
        let (loss, _) = graph.ppo_loss(&seen.logits, &seen.values, &likelihood, &coefficients);
        let gradients = graph.backward(&loss);
        let params = &mut policy.params;
        let norm = self.adam.step(params, &gradients, self.learning_rate, None);
        if !norm.is_finite() {
            before.restore(policy, &mut self.adam);
            return Err(Diverged {
                loss: f64::from(nn::values(&loss)[0]),
                grad_norm: f64::from(norm),
            });
        }
        let mut metrics = Metrics::default();
        metrics.put(Group::Train, "grad_norm", f64::from(norm));
        Ok(Some(metrics))
    }

    fn export(&self) -> LearnerState {
        LearnerState {
            adam: self.adam.export(),
            replay: LearnerState::pack(&self.replay),
            ..LearnerState::default()
        }
    }

    fn import(&mut self, state: &LearnerState) -> Result<(), StateError> {
        self.adam.import(&state.adam)?;
        if let Some(replay) = state.unpack_replay()? {
            self.replay = replay;
        }
        Ok(())
    }
}
