//! What a training run is told, resolved: defaults, file and flags as one.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::algorithms::{self, Algorithm};
use crate::env::selection::EnvSelection;
use crate::hyper::{ConfigError, Hyperparameters, MemoryScope, Overrides, Part};
use crate::memory::{attention::episodic_transformer, episodes};

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
    /// Returns the values of the hyper-parameters that the algorithm has, by name. A single-precision
    /// 0.003 is 0.003 here: by way of text, since its value is 0.003000000026077032.
    pub fn hyperparameters(&self) -> Map<String, Value> {
        let text = serde_json::to_string(&self.hyper).expect("hyper-parameters are plain data");
        let mut all: Map<String, Value> =
            serde_json::from_str(&text).expect("the text was written as an object");
        let own = algorithms::find(&self.algorithm).map(Algorithm::hyperparameters);
        let own: Vec<&str> = own.into_iter().flatten().map(|row| row.name).collect();
        all.retain(|name, _| own.contains(&name.as_str()));
        all
    }

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
            episodes::HEADS
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
