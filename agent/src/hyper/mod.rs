//! What a training run is told: the table of hyper-parameters, and how defaults, file and flags become one.
//!
//! The table below is the only list. The command line's help, the TOML file's keys, the checkpoint's metadata and
//! the documentation are made from it.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

mod error;

pub use self::error::ConfigError;

/// The part of an agent that a hyper-parameter belongs to. An algorithm names the parts it has; setting a
/// hyper-parameter of a part that it lacks is an error, not a silent no-op.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What the agent is shown.
    Inputs,
    /// How experience is collected.
    Collection,
    /// PPO's update.
    Learner,
    /// Width of hidden layers.
    Network,
    /// Memory entries with learned retention.
    Slots,
    /// Memory entries that are steps of an episode, and what may stand beside them.
    Steps,
    /// Memory of whole episodes.
    Episodes,
    /// Auxiliary losses, exploration bonuses, reward normalisation.
    Extras,
}

/// Auxiliary prediction tasks that share the memory's features (the reference notebook's `aux_modules`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum AuxModule {
    /// Classify the first observation of the episode (rounded) from every later step's features.
    Cue,
    /// Predict the probability that the episode ends with a positive return.
    Confidence,
    /// Predict the next observation.
    NextObservation,
}

/// What a memory of slots holds, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum MemoryScope {
    /// Entries are steps; cleared when an episode begins.
    Episode,
    /// Entries are whole episodes with their outcome, kept across episodes; within one nothing is remembered.
    Lifetime,
    /// Both, side by side.
    Both,
}

macro_rules! hyperparameters {
    ($($(#[doc = $doc:literal])+ $(#[arg($($arg:tt)*)])? $(#[serde($($serde:tt)*)])? $part:ident $name:ident: $type:ty = $base:expr, $valid:expr, $valid_text:literal;)+) => {
        /// Every hyper-parameter of every algorithm, with a value.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct Hyperparameters {
            $($(#[doc = $doc])+ pub $name: $type,)+
        }

        impl Hyperparameters {
            /// The values that an algorithm starts from; its row in the table changes what it wants otherwise.
            pub fn base() -> Self {
                Self { $($name: $base,)+ }
            }

            /// Checks every range.
            ///
            /// # Errors
            /// Names the first hyper-parameter that is out of its range, and the range.
            pub fn validate(&self) -> Result<(), ConfigError> {
                $(
                    let valid: fn(&$type) -> bool = $valid;
                    if !valid(&self.$name) {
                        return Err(ConfigError::OutOfRange {
                            name: stringify!($name),
                            value: format!("{:?}", self.$name),
                            range: $valid_text,
                        });
                    }
                )+
                Ok(())
            }

            /// Name, part, range and documentation of each, in the table's order.
            pub fn table() -> Vec<HyperparameterRow> {
                let base = Self::base();
                vec![$(HyperparameterRow {
                    name: stringify!($name),
                    part: Part::$part,
                    range: $valid_text,
                    doc: concat!($($doc),+).trim(),
                    base: format!("{:?}", base.$name),
                },)+]
            }
        }

        /// Hyper-parameters that somebody set, in a TOML file or by flags; the others stay as the algorithm has them.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, clap::Args)]
        #[serde(deny_unknown_fields, default)]
        #[command(next_help_heading = "Hyper-parameters (defaults: `agent list ALGORITHM`)")]
        pub struct Overrides {
            $(
                $(#[doc = $doc])+
                $(#[serde($($serde)*)])?
                #[serde(skip_serializing_if = "Option::is_none")]
                #[arg(long, $($($arg)*)?)]
                pub $name: Option<$type>,
            )+
        }

        impl Overrides {
            /// `self`, with what `stronger` sets laid over it.
            pub fn overlaid(mut self, stronger: &Self) -> Self {
                $(if stronger.$name.is_some() { self.$name = stronger.$name.clone(); })+
                self
            }

            /// Writes the values that are set into `to`.
            pub fn apply(&self, to: &mut Hyperparameters) {
                $(if let Some(value) = &self.$name { to.$name = value.clone(); })+
            }

            /// Name and part of each hyper-parameter that is set.
            pub fn set(&self) -> Vec<(&'static str, Part)> {
                let mut set = Vec::new();
                $(if self.$name.is_some() { set.push((stringify!($name), Part::$part)); })+
                set
            }
        }
    };
}

/// One row of the table of hyper-parameters, for help and documents.
pub struct HyperparameterRow {
    /// Its name, as in the TOML file; the flag has `-` for `_`.
    pub name: &'static str,
    /// The part of an agent that it belongs to.
    pub part: Part,
    /// Its range, in words.
    pub range: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// The value before the algorithm's own defaults.
    pub base: String,
}

hyperparameters! {
    /// Show the agent its previous action (one-hot, zeros at the first step).
    #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    Inputs previous_action: bool = false, |_| true, "true or false";
    /// Show the agent its previous reward.
    #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    Inputs previous_reward: bool = false, |_| true, "true or false";
    /// Show the agent how many steps it has taken in the episode, as t/(t+100).
    #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    Inputs step_counter: bool = false, |_| true, "true or false";

    /// Environments played side by side.
    Collection num_envs: usize = 32, |&v| (1..=65_536).contains(&v), "1 to 65536";
    /// Steps of each environment between two updates; the longest, with `whole_episodes`.
    Collection num_steps: usize = 128, |&v| (1..=1_000_000).contains(&v), "1 to 1000000";
    /// Update as soon as every environment has ended an episode, instead of after `num_steps`.
    #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    Collection whole_episodes: bool = false, |_| true, "true or false";
    /// Adam's step size.
    Learner learning_rate: f32 = 1e-3, |&v| v > 0.0 && v <= 1.0, "above 0, at most 1";
    /// Let the step size fall linearly to 0 over the run.
    #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    Learner anneal_lr: bool = false, |_| true, "true or false";
    /// Passes over each rollout.
    Learner update_epochs: usize = 4, |&v| (1..=1_000).contains(&v), "1 to 1000";
    /// Parts that the environments of a rollout are dealt into, each an optimiser step.
    Learner num_minibatches: usize = 4, |&v| (1..=65_536).contains(&v), "1 to 65536, at most num_envs";
    /// Discount of future rewards.
    Learner gamma: f32 = 0.99, |&v| (0.0..=1.0).contains(&v), "0 to 1";
    /// λ of generalised advantage estimation (Schulman et al. 2016, arXiv:1506.02438). The notebook's name: `lam`.
    #[arg(alias = "lam")]
    #[serde(alias = "lam")]
    Learner gae_lambda: f32 = 0.95, |&v| (0.0..=1.0).contains(&v), "0 to 1";
    /// Share m of the one-step advantage: A = m·norm(A[λ=0]) + (1−m)·norm(A[λ=gae_lambda]). 0 is plain PPO.
    Learner advantage_mix: f32 = 0.0, |&v| (0.0..=1.0).contains(&v), "0 to 1";
    /// Normalise advantages to mean 0 and deviation 1.
    #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    Learner norm_adv: bool = true, |_| true, "true or false";
    /// PPO's clipping range ε of the probability ratio.
    Learner clip_coef: f32 = 0.2, |&v| v > 0.0 && v <= 10.0, "above 0, at most 10";
    /// Clip the value loss as well.
    #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    Learner clip_vloss: bool = false, |_| true, "true or false";
    /// Weight of the entropy bonus.
    Learner ent_coef: f32 = 0.01, |&v| (0.0..=10.0).contains(&v), "0 to 10";
    /// Weight of the value loss.
    Learner vf_coef: f32 = 0.5, |&v| (0.0..=100.0).contains(&v), "0 to 100";
    /// Longest gradient (norm over all parameters); 0 does not clip.
    Learner max_grad_norm: f32 = 0.5, |&v| (0.0..=1e6).contains(&v), "0 to 1000000";
    /// Leave out the remaining epochs of an update once the approximate KL divergence passes this; 0 never does.
    Learner target_kl: f32 = 0.0, |&v| (0.0..=100.0).contains(&v), "0 to 100";
    /// Stop once each of the last 100 episodes has reached the return from which the task counts as solved.
    #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    Learner early_stop: bool = true, |_| true, "true or false";

    /// Width of the hidden layers; of the LSTM, its number of units.
    Network hidden_size: usize = 64, |&v| (1..=4_096).contains(&v), "1 to 4096";

    /// Width of an embedded entry of the memory.
    Slots mem_dim: usize = 32, |&v| (1..=1_024).contains(&v), "1 to 1024";
    /// Slots of the memory.
    Slots max_entries: usize = 16, |&v| (1..=1_024).contains(&v), "1 to 1024";
    /// How many of the slots always hold the latest steps. What leaves them competes for the others.
    Steps recent_entries: usize = 4, |&v| v <= 1_024, "0 to max_entries";
    /// Attend by how long ago an entry was written, too.
    #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    Steps relative_age: bool = true, |_| true, "true or false";
    /// What the memory holds: `episode` (steps), `lifetime` (whole episodes with their outcome, and nothing within an episode), `both`.
    #[arg(value_name = "SCOPE")]
    Steps memory_scope: MemoryScope = MemoryScope::Episode, |_| true, "episode, lifetime or both";
    /// Learn what to keep: the retention score gates attention. Off, steps are kept at random and episodes by age.
    #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    Slots memory_learn_retention: bool = true, |_| true, "true or false";
    /// Weight of the usefulness regression `(u − attention·return)²`.
    Slots memory_retention_coef: f32 = 0.01, |&v| (0.0..=100.0).contains(&v), "0 to 100";
    /// Weight of the score-function term on keeping and dropping steps; 0 is off, and it is 0 where `memory_scope` is `lifetime`.
    Steps memory_score_coef: f32 = 0.0, |&v| (0.0..=100.0).contains(&v), "0 to 100";

    /// Longest part of an episode, in steps from its beginning, that a transformer over episodes can see.
    Episodes context_length: usize = 1024, |&v| (1..=16_384).contains(&v), "1 to 16384";

    /// Auxiliary losses, by comma: `cue`, `confidence`, `next-observation`.
    #[arg(value_enum, value_delimiter = ',', num_args = 0..)]
    Extras aux_modules: Vec<AuxModule> = Vec::new(), |_| true, "cue, confidence, next-observation";
    /// Weight of each auxiliary loss.
    Extras aux_coef: f32 = 0.1, |&v| (0.0..=100.0).contains(&v), "0 to 100";
    /// Divide rewards by the running deviation of the discounted return.
    #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    Extras reward_norm: bool = false, |_| true, "true or false";
    /// Add a count bonus η/√n on the observation, rounded to 2 places, to what is learned from (never to what is reported).
    #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    Extras intrinsic_expl: bool = false, |_| true, "true or false";
    /// η of the count bonus, and weight of the RND bonus.
    Extras intrinsic_eta: f32 = 0.01, |&v| (0.0..=100.0).contains(&v), "0 to 100";
    /// Add a bonus by random network distillation (Burda et al. 2019, arXiv:1810.12894).
    #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    Extras use_rnd: bool = false, |_| true, "true or false";
    /// Width of RND's embedding.
    Extras rnd_emb_dim: usize = 32, |&v| (1..=1_024).contains(&v), "1 to 1024";
    /// Step size of RND's predictor.
    Extras rnd_lr: f32 = 1e-3, |&v| v > 0.0 && v <= 1.0, "above 0, at most 1";
    /// Hindsight experience replay. It needs goals and an off-policy learner, which no algorithm here has: an error that says so.
    #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    Extras her: bool = false, |_| true, "true or false";
}
