//! The environments of an evaluation: the task of training, with other arguments on request.

use serde_json::{Map, Value};

use crate::env::EnvError;
use crate::env::remote::{RemoteEnvConfig, RemoteVectorEnv, RetryPolicy, Token};
use crate::env::selection::EnvSelection;

/// Environments to evaluate in, and what is known of their task.
pub struct EvaluationEnv {
    /// One for each episode.
    pub env: RemoteVectorEnv,
    /// Step of the episode, from 0, whose action is the first to be judged, where the task tells.
    pub judged_step: Option<u64>,
    /// Episodes that share what is to be remembered, where the task tells; else 1.
    pub episodes_per_lifetime: usize,
    /// Whether what an episode shows first is its cue, a fair bit.
    pub shows_cue_first: bool,
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
        token: Option<&Token>,
        retry: RetryPolicy,
    ) -> Result<Self, EnvError> {
        let env = RemoteVectorEnv::connect(&RemoteEnvConfig {
            servers: servers.to_vec(),
            token: token.cloned(),
            spec_id: trained_on.spec_id.clone(),
            kwargs: evaluation_kwargs(&trained_on.kwargs, overrides),
            num_envs,
            retry,
        })?;
        Ok(Self {
            judged_step: judged_step(env.kwargs()),
            episodes_per_lifetime: episodes_per_lifetime(env.kwargs()),
            shows_cue_first: shows_cue_first(env.kwargs()),
            env,
        })
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

/// The step whose action is the first to be judged, where a task tells by its arguments: of `delay` actions the last
/// (`MemoryTask`, `PersistentRecall`), and the one after `memory_length` others (bsuite's memory tasks). With
/// `frame_skip` an action counts as so many of theirs.
pub fn judged_step(kwargs: &Map<String, Value>) -> Option<u64> {
    let number = |name: &str| kwargs.get(name).and_then(Value::as_u64);
    let after_delay = number("delay").map(|delay| delay.saturating_sub(1));
    let judged = after_delay.or_else(|| number("memory_length"))?;
    Some(judged / number("frame_skip").unwrap_or(1).max(1))
}

/// Whether the first number of an episode's first observation is its cue, a fair bit, where a task's arguments tell.
pub fn shows_cue_first(kwargs: &Map<String, Value>) -> bool {
    let moves = kwargs.get("cue_time").is_some_and(|at| at != "first");
    // That flag comes before all else in an observation.
    let is_flag = kwargs.get("is_first").is_some_and(|flag| flag == true);
    kwargs.contains_key("delay") && !moves && !is_flag
}

/// How many episodes a lifetime has, where a task's arguments tell.
pub fn episodes_per_lifetime(kwargs: &Map<String, Value>) -> usize {
    let told = kwargs.get("episodes_per_lifetime").and_then(Value::as_u64);
    told.and_then(|episodes| usize::try_from(episodes).ok())
        .unwrap_or(1)
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
        assert_eq!(episodes_per_lifetime(&kwargs), 1);
    }

    #[test]
    fn arguments_tell_whether_the_cue_comes_first() {
        let shows = |text| shows_cue_first(&serde_json::from_str(text).unwrap());
        assert!(shows(
            r#"{"delay": 4, "cue_time": "first", "is_first": false}"#
        ));
        assert!(!shows(r#"{"delay": 4, "cue_time": "random"}"#));
        assert!(!shows(r#"{"delay": 4, "is_first": true}"#));
        assert!(!shows(r#"{"memory_length": 4}"#));
    }

    #[test]
    fn arguments_tell_what_is_judged() {
        let map = |text: &str| serde_json::from_str::<Map<String, Value>>(text).unwrap();
        // L + 1 actions; the last is judged.
        let bsuite = map(r#"{"memory_length": 10, "num_bits": 1}"#);
        assert_eq!(judged_step(&bsuite), Some(10));
        assert_eq!(judged_step(&map(r#"{"level": "easy"}"#)), None);
        let lifetime = map(r#"{"delay": 4, "episodes_per_lifetime": 16}"#);
        assert_eq!(judged_step(&lifetime), Some(3));
        // The judged action, the ninth, is in the third of three.
        let skipping = map(r#"{"delay": 9, "frame_skip": 3}"#);
        assert_eq!(judged_step(&skipping), Some(2));
        assert_eq!(episodes_per_lifetime(&lifetime), 16);
    }
}
