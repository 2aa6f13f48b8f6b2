//! What a training run is told: the table of hyper-parameters, and how defaults, file and flags become one.
//!
//! The table below is the only list. The command line's help, the TOML file's keys, the checkpoint's metadata and
//! the documentation are made from it.

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::algorithms::Algorithm;
use crate::memory::{episodic_transformer, lifetime};

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

            fn apply(&self, to: &mut Hyperparameters) {
                $(if let Some(value) = &self.$name { to.$name = value.clone(); })+
            }

            fn set(&self) -> Vec<(&'static str, Part)> {
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

/// Which environment is played, as the server knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnvSelection {
    /// Spec id, e.g. `MemoryTask-v0`.
    pub spec_id: String,
    /// The spec's arguments.
    pub kwargs: Map<String, Value>,
    /// Reset options drawn anew, log-uniformly over whole numbers, once for each rollout: all environments of a
    /// rollout share the draw. Needs `whole_episodes`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub draws: Vec<OptionDraw>,
}

/// A reset option drawn once a rollout: `name=low..high`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OptionDraw {
    /// The option's name.
    pub name: String,
    /// Smallest value.
    pub low: u64,
    /// Largest value.
    pub high: u64,
}

impl std::str::FromStr for OptionDraw {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("`{text}` is not of the form NAME=LOW..HIGH, e.g. delay=4..256");
        let (name, range) = text.split_once('=').ok_or_else(expected)?;
        let (low, high) = range.split_once("..").ok_or_else(expected)?;
        let low: u64 = low.parse().map_err(|_| expected())?;
        let high: u64 = high.parse().map_err(|_| expected())?;
        if name.is_empty() || low == 0 || low > high {
            return Err(format!("`{text}`: it needs a name and 1 <= LOW <= HIGH"));
        }
        Ok(Self {
            name: name.into(),
            low,
            high,
        })
    }
}

impl fmt::Display for OptionDraw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}..{}", self.name, self.low, self.high)
    }
}

/// Everything that decides what a training run computes. Two runs with equal configurations on machines of one class
/// end with the same weights, bit for bit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainConfig {
    /// Id of a row in the table of algorithms.
    pub algorithm: String,
    /// What is played.
    pub env: EnvSelection,
    /// Steps of all environments together; the run ends with the first update at or beyond it.
    pub total_timesteps: u64,
    /// Seed of weights, actions, memory noise and environments.
    pub seed: u64,
    /// All hyper-parameters, resolved.
    pub hyper: Hyperparameters,
}

impl TrainConfig {
    /// The algorithm's defaults with what was set laid over them.
    ///
    /// # Errors
    /// A hyper-parameter out of range, of a part that the algorithm does not have, or one that contradicts another.
    pub fn resolve(
        algorithm: &Algorithm,
        overrides: &Overrides,
        env: EnvSelection,
        total_timesteps: u64,
        seed: u64,
    ) -> Result<Self, ConfigError> {
        for (name, part) in overrides.set() {
            if !algorithm.parts.contains(&part) {
                return Err(ConfigError::Unused {
                    name,
                    algorithm: algorithm.id,
                });
            }
        }
        let mut hyper = (algorithm.defaults)();
        overrides.apply(&mut hyper);
        hyper.validate()?;
        if hyper.her {
            return Err(ConfigError::Her {
                algorithm: algorithm.id,
            });
        }
        let heads = if algorithm.parts.contains(&Part::Episodes) {
            episodic_transformer::HEADS
        } else if hyper.memory_scope != MemoryScope::Episode {
            lifetime::HEADS
        } else {
            1
        };
        if !hyper.mem_dim.is_multiple_of(heads) {
            return Err(ConfigError::Heads {
                mem_dim: hyper.mem_dim,
                heads,
            });
        }
        if algorithm.parts.contains(&Part::Steps) && hyper.memory_scope == MemoryScope::Lifetime {
            // The algorithm's own value gives way; a value that somebody set may not silently do nothing.
            if overrides.memory_score_coef.is_some_and(|coef| coef > 0.0) {
                return Err(ConfigError::ScoreWithoutSteps {
                    memory_score_coef: hyper.memory_score_coef,
                });
            }
            hyper.memory_score_coef = 0.0;
        }
        if algorithm.parts.contains(&Part::Steps) && hyper.recent_entries > hyper.max_entries {
            return Err(ConfigError::MoreRecentThanSlots {
                recent_entries: hyper.recent_entries,
                max_entries: hyper.max_entries,
            });
        }
        if hyper.num_minibatches > hyper.num_envs {
            return Err(ConfigError::MoreMinibatchesThanEnvs {
                num_minibatches: hyper.num_minibatches,
                num_envs: hyper.num_envs,
            });
        }
        if total_timesteps < hyper.num_envs as u64 {
            return Err(ConfigError::TooFewTimesteps {
                total_timesteps,
                num_envs: hyper.num_envs,
            });
        }
        if !env.draws.is_empty() && !hyper.whole_episodes {
            return Err(ConfigError::DrawsNeedWholeEpisodes);
        }
        Ok(Self {
            algorithm: algorithm.id.into(),
            env,
            total_timesteps,
            seed,
            hyper,
        })
    }
}

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum ConfigError {
    /// A value outside its range.
    #[error("{name} = {value} is out of range: it must be {range}")]
    OutOfRange {
        /// The hyper-parameter.
        name: &'static str,
        /// What it was set to.
        value: String,
        /// What it may be.
        range: &'static str,
    },
    /// A hyper-parameter that would do nothing.
    #[error(
        "{algorithm} has nothing that {name} would change: leave it out (`agent list {algorithm}` shows what it has)"
    )]
    Unused {
        /// The hyper-parameter.
        name: &'static str,
        /// The algorithm.
        algorithm: &'static str,
    },
    /// `her` was switched on.
    #[error(
        "her: hindsight experience replay relabels goals in an off-policy learner's replay (Andrychowicz et al. 2017); \
         {algorithm} learns on-policy and its environments have no goals. Leave it off"
    )]
    Her {
        /// The algorithm.
        algorithm: &'static str,
    },
    /// The heads of an attention share an embedding's numbers out evenly.
    #[error(
        "mem_dim = {mem_dim} cannot be shared out to the {heads} heads of the attention: it must be a multiple of {heads}"
    )]
    Heads {
        /// As set.
        mem_dim: usize,
        /// The memory's.
        heads: usize,
    },
    /// The score-function term is on the keeping of steps.
    #[error(
        "memory_score_coef = {memory_score_coef} would do nothing: with memory_scope = lifetime no steps are kept, only \
         whole episodes. Leave it out, or take memory_scope = both"
    )]
    ScoreWithoutSteps {
        /// As set.
        memory_score_coef: f32,
    },
    /// The latest steps are in the memory's own slots.
    #[error(
        "recent_entries = {recent_entries} is more than max_entries = {max_entries}: they are some of the memory's slots"
    )]
    MoreRecentThanSlots {
        /// As set.
        recent_entries: usize,
        /// As set.
        max_entries: usize,
    },
    /// Minibatches are made of whole environments.
    #[error(
        "num_minibatches = {num_minibatches} is more than num_envs = {num_envs}: a minibatch holds whole environments"
    )]
    MoreMinibatchesThanEnvs {
        /// As set.
        num_minibatches: usize,
        /// As set.
        num_envs: usize,
    },
    /// Not one step.
    #[error(
        "total_timesteps = {total_timesteps} is not one step in each of num_envs = {num_envs} environments"
    )]
    TooFewTimesteps {
        /// As set.
        total_timesteps: u64,
        /// As set.
        num_envs: usize,
    },
    /// Options are given at resets, and a rollout can begin with one only where episodes are whole.
    #[error("an option drawn for each rollout needs whole_episodes: set --whole-episodes")]
    DrawsNeedWholeEpisodes,
    /// Nobody said which algorithm.
    #[error("which algorithm? Name one of them with --algorithm: {known}")]
    NoAlgorithm {
        /// The ids there are.
        known: String,
    },
    /// No such algorithm.
    #[error("there is no algorithm `{name}`{meant}: there are {known}")]
    UnknownAlgorithm {
        /// As given.
        name: String,
        /// A hint at the id that was probably meant.
        meant: String,
        /// The ids there are.
        known: String,
    },
}
