//! Where an agent is evaluated: the task it was trained on, with other arguments where somebody says so.

use serde_json::{Map, Value};

use crate::config::EnvSelection;
use crate::env::EnvError;
use crate::env::remote::{RemoteEnvConfig, RemoteVectorEnv, RetryPolicy};

/// Environments to evaluate in, and what is known of their task.
pub struct EvaluationEnv {
    /// One for each episode.
    pub env: RemoteVectorEnv,
    /// Step of the episode, from 0, whose action is the first to be judged, where the task tells.
    pub judged_step: Option<u64>,
}

impl EvaluationEnv {
    /// Creates environments of the task that was trained on: with training's arguments, less what only shapes
    /// training's distribution, and with `overrides` on top.
    ///
    /// # Errors
    /// What a server refused, or that it could not be reached.
    pub fn connect(
        trained_on: &EnvSelection,
        overrides: &Map<String, Value>,
        num_envs: usize,
        servers: &[String],
        retry: RetryPolicy,
    ) -> Result<Self, EnvError> {
        let env = RemoteVectorEnv::connect(&RemoteEnvConfig {
            servers: servers.to_vec(),
            spec_id: trained_on.spec_id.clone(),
            kwargs: evaluation_kwargs(&trained_on.kwargs, overrides),
            num_envs,
            retry,
        })?;
        let judged_step = judged_step(env.kwargs());
        Ok(Self { env, judged_step })
    }
}

/// The arguments to evaluate with: training's, less what only shapes its distribution, and `overrides` on top.
pub fn evaluation_kwargs(
    trained_with: &Map<String, Value>,
    overrides: &Map<String, Value>,
) -> Map<String, Value> {
    let mut kwargs = trained_with.clone();
    if !overrides.contains_key("delay_min") {
        kwargs.remove("delay_min");
    }
    kwargs.extend(overrides.clone());
    kwargs
}

/// The step whose action is judged, where a task tells by its arguments: `delay` actions are taken, the last is judged.
pub fn judged_step(kwargs: &Map<String, Value>) -> Option<u64> {
    kwargs
        .get("delay")
        .and_then(Value::as_u64)
        .map(|delay| delay.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evaluation_leaves_out_the_training_distribution() {
        let map = |text: &str| serde_json::from_str::<Map<String, Value>>(text).unwrap();
        let trained = map(r#"{"delay": 256, "delay_min": 4, "difficulty": 1}"#);
        let kwargs = evaluation_kwargs(&trained, &map(r#"{"delay": 4096}"#));
        assert_eq!(
            Value::Object(kwargs.clone()),
            serde_json::json!({"delay": 4096, "difficulty": 1})
        );
        assert_eq!(judged_step(&kwargs), Some(4095));
    }
}
