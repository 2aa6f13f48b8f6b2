//! A learner of your own: REINFORCE (Williams 1992) in one file.
//!
//! `cargo run -p agent --example custom_learner`

use std::error::Error;
use std::sync::atomic::AtomicBool;

use agent::algorithms::{self, Algorithm, Family};
use agent::env::remote::{RemoteEnvConfig, RemoteVectorEnv, RetryPolicy};
use agent::env::selection::EnvSelection;
use agent::experience::Collection;
use agent::hyper::Hyperparameters;
use agent::learner::advantage::{self, AdvantageInputs};
use agent::learner::{
    Backup, Diverged, Experience, Group, Learner, LearnerContext, LearnerState, Metrics, StateError,
};
use agent::memory::feedforward::Feedforward;
use agent::nn::{self, Adam, Graph, PpoBatch, PpoCoefficients};
use agent::overrides;
use agent::policy::Policy;
use agent::policy::decider::Decider;
use agent::policy::outputs::Outputs;
use agent::run::config::TrainConfig;
use agent::run::train::{TrainOptions, Trained, train};
use agent::views::monitor::Silent;
use rand_xoshiro::Xoshiro256PlusPlus;

#[path = "shared/server.rs"]
mod server;

/// The row: the name of the algorithm, and the parts that it is made of.
static REINFORCE: Algorithm = Algorithm {
    id: "reinforce",
    title: "REINFORCE",
    family: Family::Control,
    summary: "The policy gradient with returns to go.",
    source: "Williams 1992, Machine Learning 8, 229-256",
    decider: Decider::Network,
    defaults: || {
        Hyperparameters::new().with(Collection {
            num_envs: 8,
            num_steps: 16,
            whole_episodes: true,
        })
    },
    check: |_, _| Ok(()),
    plays: |_| Ok(()),
    core: |context| Box::new(Feedforward::new(context)),
    outputs: Outputs::ActorCritic,
    learner: |context| Box::new(Reinforce::new(context)),
};

const GAMMA: f32 = 0.99;
const LEARNING_RATE: f32 = 0.003;

/// The learner. All that it remembers is its optimiser.
struct Reinforce {
    adam: Adam,
}

impl Reinforce {
    fn new(context: &mut LearnerContext<'_>) -> Self {
        // A learner with parameters of its own adds them to `context.policy.params` first.
        Self {
            adam: Adam::new(&context.policy.params),
        }
    }
}

impl Learner for Reinforce {
    fn discount(&self) -> f32 {
        GAMMA
    }

    fn learn(
        &mut self,
        policy: &mut Policy,
        experience: &Experience<'_>,
        _rng: &mut Xoshiro256PlusPlus,
    ) -> Result<Option<Metrics>, Diverged> {
        let Experience {
            rollout, rewards, ..
        } = experience;
        let zeros = vec![0.0; rewards.len()];
        // Without values the advantage with λ = 1 is the discounted return to go.
        let inputs = AdvantageInputs {
            batch: rollout.batch,
            rewards,
            values: &zeros,
            next_values: &zeros,
            ends: &rollout.ends,
        };
        let mut returns = advantage::gae(&inputs, GAMMA, 1.0);
        advantage::normalize(&mut returns);

        let before = Backup::new(policy, &self.adam);
        let mut graph = Graph::training(&policy.params);
        let seen = policy.evaluate(&mut graph, &rollout.segment(&returns));
        // At the first step after acting, the gradient of PPO's loss is that of R·ln π.
        let batch = PpoBatch {
            heads: &policy.heads().kinds(),
            actions: &rollout.actions,
            old_log_probs: &rollout.log_probs,
            advantages: &returns,
            returns: &returns,
            old_values: &zeros,
            weights: &vec![1.0; rewards.len()],
        };
        let coefficients = PpoCoefficients {
            clip_coef: 0.2,
            clip_vloss: false,
            ent_coef: 0.01,
            vf_coef: 0.0,
        };
        let (loss, stats) = graph.ppo_loss(&seen.logits, &seen.values, &batch, &coefficients);
        let gradients = graph.backward(&loss);
        let norm = self
            .adam
            .step(&mut policy.params, &gradients, LEARNING_RATE, None);
        if !norm.is_finite() {
            before.restore(policy, &mut self.adam);
            let loss = f64::from(nn::values(&loss)[0]);
            return Err(Diverged {
                loss,
                grad_norm: f64::from(norm),
            });
        }
        let mut metrics = Metrics::default();
        metrics
            .put(Group::Rollout, "policy_entropy", f64::from(stats.entropy))
            .put(Group::Train, "grad_norm", f64::from(norm));
        Ok(Some(metrics))
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

/// Trains it on MemoryTask with a delay of 1: the cue is on screen when it is asked for.
pub(crate) fn run(total_timesteps: u64) -> Result<Trained, Box<dyn Error>> {
    // A program's own row. One that belongs to the project stands in the table instead.
    algorithms::add(&REINFORCE);
    let task = EnvSelection {
        spec_id: "MemoryTask-v0".into(),
        kwargs: serde_json::from_str(r#"{"delay": 1}"#)?,
        draws: Vec::new(),
    };
    let mut env = RemoteVectorEnv::connect(&RemoteEnvConfig {
        servers: vec![server::start()?],
        token: None,
        spec_id: task.spec_id.clone(),
        kwargs: task.kwargs.clone(),
        num_envs: 8,
        retry: RetryPolicy::default(),
    })?;
    let config = TrainConfig::resolve(&REINFORCE, &overrides! {}, task, total_timesteps, 0)?;
    let options = TrainOptions {
        out: None,
        checkpoint_interval: None,
        resume: None,
        stop: &AtomicBool::new(false),
    };
    Ok(train(&config, &mut env, options, &mut Silent)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let trained = run(10_000)?;
    let returns = trained.checkpoint.run.statistics.recent_return();
    println!("mean and deviation of the last returns: {returns:?}");
    Ok(())
}
