//! Fields that all `--json` lines share, named as in the benchmark's lines.

use agent::run::config::TrainConfig;
use serde::Serialize;
use serde_json::{Map, Value};

#[derive(Debug, Serialize)]
pub struct Row {
    agent: String,
    env: String,
    env_args: Map<String, Value>,
    delay: Option<u64>,
    /// `EASY` or `HARD`, of MemoryTask.
    mode: Option<&'static str>,
    difficulty: Option<u64>,
    seed: u64,
    trained_steps: u64,
}

impl Row {
    /// The row of an agent trained by `config`, on the environment of `kwargs`.
    pub fn new(config: &TrainConfig, kwargs: &Map<String, Value>, trained_steps: u64) -> Self {
        let number = |name: &str| kwargs.get(name).and_then(Value::as_u64);
        let difficulty = number("difficulty");
        Self {
            agent: config.algorithm.clone(),
            env: config.env.spec_id.clone(),
            env_args: kwargs.clone(),
            delay: number("delay"),
            mode: difficulty.and_then(|difficulty| match difficulty {
                0 => Some("EASY"),
                1 => Some("HARD"),
                _ => None,
            }),
            difficulty,
            seed: config.seed,
            trained_steps,
        }
    }
}

/// Returns the task for a title: `RepeatFirst-v0`, or with arguments `MemoryTask-v0 (delay=4, …)`.
pub fn task(spec_id: &str, kwargs: &Map<String, Value>) -> String {
    match kwargs.is_empty() {
        true => spec_id.to_owned(),
        false => format!("{spec_id} ({})", arguments(kwargs)),
    }
}

/// `name=value, …`, as they were or would be given.
fn arguments(kwargs: &Map<String, Value>) -> String {
    let pairs: Vec<String> = kwargs
        .iter()
        .map(|(name, value)| format!("{name}={}", agent::run::settings::written(value)))
        .collect();
    pairs.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_arguments_have_no_brackets() {
        let mut kwargs = Map::new();
        assert_eq!(task("RepeatFirst-v0", &kwargs), "RepeatFirst-v0");
        kwargs.insert("delay".into(), 4.into());
        assert_eq!(task("MemoryTask-v0", &kwargs), "MemoryTask-v0 (delay=4)");
    }
}
