//! The configuration of a training run, resolved: defaults, file and flags as one.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::algorithms::sections::{self, Overrides};
use crate::algorithms::{self, Algorithm};
use crate::env::selection::EnvSelection;
use crate::experience::Collection;
use crate::hyper::{ConfigError, Hyperparameters};
use crate::learner::exploration::ExplorationBonuses;
use crate::learner::ppo::PpoUpdate;
use crate::learner::q_learning::Hindsight;
use crate::learner::sequence::{Imitation, Play};

/// Everything that decides what a training run computes. Two runs with equal configurations on machines of one class
/// end with the same weights, bit for bit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrainConfig {
    /// Id of a row in the table of algorithms.
    pub algorithm: String,
    /// The environment that is played.
    pub env: EnvSelection,
    /// Steps of all environments together; the run ends with the first update at or beyond it.
    pub total_timesteps: u64,
    /// Seed of weights, actions, memory noise and environments.
    pub seed: u64,
    /// The algorithm's hyper-parameters, resolved.
    pub hyper: Hyperparameters,
}

impl TrainConfig {
    /// Returns the values of the hyper-parameters that the algorithm has, by name. A single-precision
    /// 0.003 is 0.003 here: by way of text, since its value is 0.003000000026077032.
    pub fn hyperparameters(&self) -> Map<String, Value> {
        let text = serde_json::to_string(&self.hyper).expect("hyper-parameters are plain data");
        serde_json::from_str(&text).expect("the text was written as an object")
    }

    /// Returns the algorithm's defaults, replaced by overrides where there are any.
    ///
    /// # Errors
    /// A hyper-parameter out of range, or that the algorithm does not have, or that contradicts another.
    pub fn resolve(
        algorithm: &Algorithm,
        overrides: &Overrides,
        env: EnvSelection,
        total_timesteps: u64,
        seed: u64,
    ) -> Result<Self, ConfigError> {
        let mut hyper = (algorithm.defaults)();
        if overrides.imitation.dataset.is_some() && !hyper.has::<Imitation>() {
            return Err(ConfigError::Plays {
                algorithm: algorithm.id,
            });
        }
        overrides.apply(algorithm.id, &mut hyper)?;
        hyper.validate()?;
        (algorithm.check)(&mut hyper, overrides)?;
        let config = Self {
            algorithm: algorithm.id.into(),
            env,
            total_timesteps,
            seed,
            hyper,
        };
        config.check(algorithm)?;
        Ok(config)
    }

    /// Checks the budget, the environment, and sections against each other; rows of the table know nothing of these.
    fn check(&self, algorithm: &Algorithm) -> Result<(), ConfigError> {
        let Collection {
            num_envs,
            whole_episodes,
            ..
        } = self.hyper.get();
        if self.hyper.get::<ExplorationBonuses>().her && !self.hyper.has::<Hindsight>() {
            return Err(ConfigError::Her {
                algorithm: algorithm.id,
            });
        }
        self.check_dataset(algorithm)?;
        let num_minibatches = self.hyper.get::<PpoUpdate>().num_minibatches;
        if self.hyper.has::<PpoUpdate>() && num_minibatches > num_envs {
            return Err(ConfigError::MoreMinibatchesThanEnvs {
                num_minibatches,
                num_envs,
            });
        }
        if self.total_timesteps < num_envs as u64 {
            return Err(ConfigError::TooFewTimesteps {
                total_timesteps: self.total_timesteps,
                num_envs,
            });
        }
        if !self.env.draws.is_empty() && !whole_episodes {
            return Err(ConfigError::DrawsNeedWholeEpisodes);
        }
        Ok(())
    }
}

/// Returns whether an algorithm learns from what its own policy plays, unless it is told otherwise.
fn algorithm_plays(algorithm: &Algorithm) -> bool {
    (algorithm.defaults)().get::<Imitation>().behaviour == Play::Policy
}

impl TrainConfig {
    /// Checks that nothing would have to be played where episodes are read from a dataset.
    fn check_dataset(&self, algorithm: &Algorithm) -> Result<(), ConfigError> {
        let imitation = self.hyper.get::<Imitation>();
        if imitation.dataset.is_empty() {
            return Ok(());
        }
        if algorithm_plays(algorithm) {
            return Err(ConfigError::Plays {
                algorithm: algorithm.id,
            });
        }
        let reason = if imitation.behaviour == Play::Policy {
            "its episodes are played back, so behaviour = policy would do nothing. Leave one of them out"
        } else if !imitation.behaviour_checkpoint.is_empty() {
            "its episodes are played back, so behaviour_checkpoint would do nothing. Leave one of them out"
        } else if !self.env.draws.is_empty() {
            "its episodes are played back, so env_draw would do nothing. Leave one of them out"
        } else {
            return Ok(());
        };
        Err(ConfigError::Dataset { reason })
    }
}

/// A configuration as it stands in a file.
#[derive(Deserialize)]
struct Written {
    algorithm: String,
    env: EnvSelection,
    total_timesteps: u64,
    seed: u64,
    hyper: Map<String, Value>,
}

/// Reads a configuration that this or an earlier program wrote. A hyper-parameter that the file lacks has its default. A
/// hyper-parameter of other algorithms is left out: programs before the sections wrote all of them. An unknown
/// hyper-parameter is an error.
impl<'de> Deserialize<'de> for TrainConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(deserializer)?;
        let algorithm = algorithms::find(&written.algorithm).map_err(D::Error::custom)?;
        let mut hyper = (algorithm.defaults)().defaults();
        for (name, value) in &written.hyper {
            let is_set = hyper
                .set(name, value)
                .map_err(|error| D::Error::custom(format!("hyper-parameter `{name}`: {error}")))?;
            if !is_set && !sections::rows().any(|row| row.name == name) {
                return Err(D::Error::custom(format!(
                    "unknown hyper-parameter `{name}`"
                )));
            }
        }
        Ok(Self {
            algorithm: written.algorithm,
            env: written.env,
            total_timesteps: written.total_timesteps,
            seed: written.seed,
            hyper,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overrides;

    fn read(algorithm: &str, hyper: &str) -> Result<TrainConfig, String> {
        let text = format!(
            r#"{{"algorithm":"{algorithm}","env":{{"spec_id":"MemoryTask-v0","kwargs":{{}}}},
                "total_timesteps":9,"seed":1,"hyper":{hyper}}}"#
        );
        serde_json::from_str(&text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_holds_the_algorithms_own_hyper_parameters_only() {
        for row in algorithms::ALGORITHMS {
            let config = read(row.id, "{}").unwrap();
            let text = serde_json::to_string(&config).unwrap();
            let written: Value = serde_json::from_str(&text).unwrap();
            let names: Vec<_> = written["hyper"].as_object().unwrap().keys().collect();
            let own = (row.defaults)();
            assert_eq!(names.len(), own.rows().count(), "{}", row.id);
            assert_eq!(serde_json::from_str::<TrainConfig>(&text).unwrap(), config);
        }
    }

    #[test]
    fn a_dataset_is_for_algorithms_that_do_not_play() {
        let resolve = |algorithm: &str, mut overrides: Overrides, draws: &[&str]| {
            overrides.imitation.dataset = Some("chance".into());
            let env = EnvSelection {
                spec_id: "MemoryTask-v0".into(),
                kwargs: Map::new(),
                draws: draws.iter().map(|draw| draw.parse().unwrap()).collect(),
            };
            let algorithm = algorithms::find(algorithm).unwrap();
            TrainConfig::resolve(algorithm, &overrides, env, 1_000, 0)
                .map(|config| config.hyper.get::<Imitation>().dataset)
                .map_err(|error| error.to_string())
        };
        assert_eq!(
            resolve("dt", Overrides::default(), &[]),
            Ok("chance".into())
        );
        for algorithm in ["ppo", "odt"] {
            let error = resolve(algorithm, Overrides::default(), &[]).unwrap_err();
            assert!(error.contains("learns from what it plays"), "{error}");
            assert!(error.ends_with("learns from them: dt"), "{error}");
        }
        let guest = overrides! { behaviour_checkpoint: "other" };
        let error = resolve("dt", guest, &[]).unwrap_err();
        assert!(
            error.contains("behaviour_checkpoint would do nothing"),
            "{error}"
        );
        let whole = overrides! { whole_episodes: true };
        let error = resolve("dt", whole, &["delay=1..4"]).unwrap_err();
        assert!(error.contains("env_draw would do nothing"), "{error}");
    }

    #[test]
    fn a_hyper_parameter_that_a_file_lacks_has_its_default() {
        let config = read("ppo", r#"{"num_envs": 3}"#).unwrap();
        let expected = Collection {
            num_envs: 3,
            ..Collection::default()
        };
        assert_eq!(config.hyper.get::<Collection>(), expected);
        assert_eq!(config.hyper.get::<PpoUpdate>(), PpoUpdate::default());
    }

    #[test]
    fn those_of_other_algorithms_are_left_out_and_unknown_ones_refused() {
        let config = read("random", r#"{"num_envs": 3, "gamma": 0.5}"#).unwrap();
        assert!(!config.hyper.has::<PpoUpdate>());
        let error = read("ppo", r#"{"num_envs": 3, "novelty": 1}"#).unwrap_err();
        assert!(
            error.contains("unknown hyper-parameter `novelty`"),
            "{error}"
        );
        let error = read("ppo", r#"{"num_envs": "many"}"#).unwrap_err();
        assert!(
            error.contains("hyper-parameter `num_envs`: invalid type"),
            "{error}"
        );
    }
}
