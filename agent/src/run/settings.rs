//! The settings of a run that are given by flags or in a TOML file; the algorithm's defaults fill in the rest.
//!
//! ```toml
//! algorithm = "tracerl"
//! env = "MemoryTask-v0"
//! total_timesteps = 56000
//! seed = 0
//! env_draw = ["delay=4..16"]
//!
//! [env_args]
//! delay = 16
//!
//! [hyperparameters]
//! whole_episodes = true
//! ```
//! Keys are the flags' names with `_` for `-`. A run's folder holds such a file with everything filled in.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::algorithms;
use crate::algorithms::sections::Overrides;
use crate::env::selection::{EnvSelection, OptionDraw};
use crate::hyper::ConfigError;
use crate::run::config::TrainConfig;

/// Settings that were given; the others are `None` or empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Id of a row in the table of algorithms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// Spec id of the environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// Steps of all environments together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_timesteps: Option<u64>,
    /// Seed of everything that is drawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Reset options drawn anew for each rollout, as `name=low..high`.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        serialize_with = "draws_to_text",
        deserialize_with = "draws_from_text"
    )]
    pub env_draw: Vec<OptionDraw>,
    /// Arguments of the environment.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub env_args: Map<String, Value>,
    /// Hyper-parameters that differ from the algorithm's own.
    pub hyperparameters: Overrides,
}

impl Settings {
    /// Environment of a run that names none.
    pub const DEFAULT_ENV: &str = "MemoryTask-v0";
    /// Budget of a run that names none.
    pub const DEFAULT_TOTAL_TIMESTEPS: u64 = 100_000;

    /// Reads a TOML file.
    ///
    /// # Errors
    /// When there is no such file, or a key or value in it is wrong: with its line.
    pub fn load(path: &Path) -> Result<Self, SettingsError> {
        let text = std::fs::read_to_string(path).map_err(|source| SettingsError::Read {
            path: path.to_owned(),
            source,
        })?;
        toml::from_str(&text).map_err(|source| SettingsError::Parse {
            path: path.to_owned(),
            source: Box::new(source),
        })
    }

    /// A configuration in the words in which it would be asked for: loading them gives the same configuration.
    pub fn of(config: &TrainConfig) -> Self {
        Self {
            algorithm: Some(config.algorithm.clone()),
            env: Some(config.env.spec_id.clone()),
            total_timesteps: Some(config.total_timesteps),
            seed: Some(config.seed),
            env_draw: config.env.draws.clone(),
            env_args: config.env.kwargs.clone(),
            hyperparameters: serde_json::from_value(Value::Object(config.hyper.to_map()))
                .expect("the same names and types"),
        }
    }

    /// `self`, with what `stronger` says laid over it; environment arguments one by one.
    pub fn overlaid(self, stronger: Self) -> Self {
        let mut env_args = self.env_args;
        env_args.extend(stronger.env_args);
        Self {
            algorithm: stronger.algorithm.or(self.algorithm),
            env: stronger.env.or(self.env),
            total_timesteps: stronger.total_timesteps.or(self.total_timesteps),
            seed: stronger.seed.or(self.seed),
            env_draw: if stronger.env_draw.is_empty() {
                self.env_draw
            } else {
                stronger.env_draw
            },
            env_args,
            hyperparameters: self.hyperparameters.overlaid(&stronger.hyperparameters),
        }
    }

    /// The configuration of a run, with defaults for what was not said.
    ///
    /// # Errors
    /// No or an unknown algorithm; hyper-parameters that it does not have, out of range or in contradiction.
    pub fn resolve(&self) -> Result<TrainConfig, ConfigError> {
        let name = self.algorithm.as_deref();
        let name = name.ok_or_else(|| ConfigError::NoAlgorithm {
            known: algorithms::ids(),
        })?;
        TrainConfig::resolve(
            algorithms::find(name)?,
            &self.hyperparameters,
            EnvSelection {
                spec_id: self.env.clone().unwrap_or_else(|| Self::DEFAULT_ENV.into()),
                kwargs: self.env_args.clone(),
                draws: self.env_draw.clone(),
            },
            self.total_timesteps
                .unwrap_or(Self::DEFAULT_TOTAL_TIMESTEPS),
            self.seed.unwrap_or(0),
        )
    }

    /// As a TOML document.
    ///
    /// # Errors
    /// A value that TOML has no form for: `null`, or a whole number beyond 2⁶³ − 1.
    pub fn to_toml(&self) -> Result<String, SettingsError> {
        toml::to_string_pretty(self).map_err(SettingsError::Write)
    }

    /// Every single value that differs from `other`'s: its name, here, there. A value that is not there is `None`.
    pub fn differences(&self, other: &Self) -> Vec<(String, Option<Value>, Option<Value>)> {
        let (here, there) = (self.values(), other.values());
        let mut names: Vec<&String> = here.keys().chain(there.keys()).collect();
        names.sort();
        names.dedup();
        names
            .into_iter()
            .map(|name| {
                (
                    name.clone(),
                    here.get(name).cloned(),
                    there.get(name).cloned(),
                )
            })
            .filter(|(_, here, there)| here != there)
            .collect()
    }

    /// All values under their names; those of a table without the table's.
    fn values(&self) -> Map<String, Value> {
        let Ok(Value::Object(top)) = serde_json::to_value(self) else {
            unreachable!("settings are a plain struct")
        };
        let mut values = Map::new();
        for (name, value) in top {
            match value {
                Value::Object(table) => values.extend(table),
                value => drop(values.insert(name, value)),
            }
        }
        values
    }
}

/// A single value as a person writes it: text without quotes, real numbers without the noise of single precision.
pub fn written(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => number
            .as_f64()
            .map_or_else(String::new, |real| (real as f32).to_string()),
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(written).collect();
            if values.is_empty() {
                "none".into()
            } else {
                values.join(", ")
            }
        }
        other => other.to_string(),
    }
}

fn draws_to_text<S: Serializer>(draws: &[OptionDraw], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(draws.iter().map(ToString::to_string))
}

fn draws_from_text<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<OptionDraw>, D::Error> {
    let texts: Vec<String> = Vec::deserialize(deserializer)?;
    texts
        .iter()
        .map(|text| text.parse().map_err(serde::de::Error::custom))
        .collect()
}

/// Reasons why settings could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// Its content.
    #[error("{}: {source}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// The error and its line.
        source: Box<toml::de::Error>,
    },
    /// A value without a form in TOML.
    #[error("the configuration cannot be written as TOML: {0}")]
    Write(#[source] toml::ser::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::learner::ppo::PpoUpdate;

    fn parse(text: &str) -> Settings {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_resolved_configuration_reads_back_as_itself() {
        let settings = parse(
            "algorithm = 'tracerl'\ntotal_timesteps = 5000\nenv_draw = ['delay=4..16']\n\
             [env_args]\ndelay = 16\n[hyperparameters]\nlam = 0.9\naux_modules = ['cue']\n",
        );
        let config = settings.resolve().unwrap();
        assert_eq!(config.hyper.get::<PpoUpdate>().gae_lambda, 0.9);
        assert_eq!(config.env.draws[0].high, 16);
        let written = Settings::of(&config).to_toml().unwrap();
        assert!(written.contains("gae_lambda = 0.9\n"), "{written}");
        assert_eq!(parse(&written).resolve().unwrap(), config);
    }

    #[test]
    fn what_is_stronger_wins_and_arguments_join() {
        let weak = parse("algorithm = 'ppo'\nseed = 1\n[env_args]\ndelay = 4\ndifficulty = 1\n");
        let strong = parse("seed = 2\n[env_args]\ndelay = 8\n[hyperparameters]\ngamma = 0.5\n");
        let both = weak.overlaid(strong);
        assert_eq!(
            both,
            parse(
                "algorithm = 'ppo'\nseed = 2\n[env_args]\ndelay = 8\ndifficulty = 1\n\
                 [hyperparameters]\ngamma = 0.5\n"
            )
        );
    }

    #[test]
    fn differences_are_told_value_by_value() {
        let one = parse("seed = 1\n[env_args]\ndelay = 4\n");
        let other = parse("seed = 1\n[hyperparameters]\ngamma = 0.5\n");
        assert_eq!(
            one.differences(&other),
            [
                ("delay".to_owned(), Some(4.into()), None),
                ("gamma".to_owned(), None, Some(0.5.into())),
            ]
        );
    }

    #[test]
    fn a_wrong_key_is_an_error_that_names_it() {
        let error = toml::from_str::<Settings>("[hyperparameters]\ngama = 0.5\n").unwrap_err();
        assert!(error.to_string().contains("gama"), "{error}");
    }

    #[test]
    fn values_read_as_they_were_written() {
        let value = |real: f32| written(&serde_json::to_value(real).unwrap());
        assert_eq!((value(1e-3), value(0.99)), ("0.001".into(), "0.99".into()));
        assert_eq!(written(&serde_json::json!([])), "none");
        assert_eq!(written(&serde_json::json!(["cue", "b"])), "cue, b");
    }
}
