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
    /// Steps of an episode, where the task tells.
    pub episode_steps: Option<u64>,
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
            episode_steps: episode_steps(env.kwargs()),
            episodes_per_lifetime: episodes_per_lifetime(env.kwargs()),
            shows_cue_first: shows_cue_first(&trained_on.spec_id, env.kwargs()),
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
/// (`MemoryTask`, `PersistentRecall`; of `num_bits` the first to be given back), the one after `memory_length` others
/// (bsuite's memory tasks), and that of the first query (`AssociativeRecall`). With `frame_skip` an action counts as so
/// many of theirs. `None` where episodes draw their delay.
pub fn judged_step(kwargs: &Map<String, Value>) -> Option<u64> {
    let [before, _] = actions(kwargs)?;
    Some(before / frame_skip(kwargs))
}

/// The steps of an episode, where a task tells by its arguments: those of [`judged_step`].
pub fn episode_steps(kwargs: &Map<String, Value>) -> Option<u64> {
    let [before, judged] = actions(kwargs)?;
    Some((before + judged).div_ceil(frame_skip(kwargs)))
}

fn frame_skip(kwargs: &Map<String, Value>) -> u64 {
    let skip = kwargs.get("frame_skip").and_then(Value::as_u64);
    skip.unwrap_or(1).max(1)
}

/// The numbers of actions before the first judged one, and from it on, where a task's arguments tell.
fn actions(kwargs: &Map<String, Value>) -> Option<[u64; 2]> {
    let number = |name: &str| kwargs.get(name).and_then(Value::as_u64);
    if let Some(length) = number("memory_length") {
        return Some([length, 1]);
    }
    let delay = number("delay")?;
    if number("delay_min").is_some_and(|shortest| shortest < delay) {
        return None;
    }
    let Some(pairs) = number("num_pairs") else {
        return Some([delay.saturating_sub(1), number("num_bits").unwrap_or(1)]);
    };
    let among = number("rewrites").unwrap_or(0) + number("spread").unwrap_or(0);
    let queries = number("num_queries").unwrap_or(pairs);
    Some([pairs + among + delay, queries])
}

/// Whether the first number of an episode's first observation is its cue, a fair bit, where a task's arguments tell.
pub fn shows_cue_first(spec_id: &str, kwargs: &Map<String, Value>) -> bool {
    // That flag comes before all else in an observation.
    let is_flag = kwargs.get("is_first").is_some_and(|flag| flag == true);
    begins_with_cue(spec_id, kwargs) && !is_flag
}

/// The step whose observation is the cue, where a task's arguments tell that it is the same in all episodes.
pub fn cue_step(spec_id: &str, kwargs: &Map<String, Value>) -> Option<u32> {
    let is_first = begins_with_cue(spec_id, kwargs) || kwargs.contains_key("memory_length");
    is_first.then_some(0)
}

/// Whether a task with a delay shows first what it asks for after it, a bit. `AssociativeRecall` shows pairs.
fn begins_with_cue(spec_id: &str, kwargs: &Map<String, Value>) -> bool {
    let moves = kwargs.get("cue_time").is_some_and(|at| at != "first");
    kwargs.contains_key("delay") && !moves && spec_id != "AssociativeRecall-v0"
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
        let of_task = |task, text| shows_cue_first(task, &serde_json::from_str(text).unwrap());
        let shows = |text| of_task("MemoryTask-v0", text);
        assert!(!of_task("AssociativeRecall-v0", r#"{"delay": 4}"#));
        assert!(shows(
            r#"{"delay": 4, "cue_time": "first", "is_first": false}"#
        ));
        assert!(!shows(r#"{"delay": 4, "cue_time": "random"}"#));
        assert!(!shows(r#"{"delay": 4, "is_first": true}"#));
        assert!(!shows(r#"{"memory_length": 4}"#));
        let step = |task, text| cue_step(task, &serde_json::from_str(text).unwrap());
        assert_eq!(
            step("BsuiteMemoryLen-v0", r#"{"memory_length": 4}"#),
            Some(0)
        );
        assert_eq!(
            step("MemoryTask-v0", r#"{"delay": 4, "is_first": true}"#),
            Some(0)
        );
        assert_eq!(
            step("MemoryTask-v0", r#"{"delay": 4, "cue_time": "random"}"#),
            None
        );
        assert_eq!(step("AssociativeRecall-v0", r#"{"delay": 4}"#), None);
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
        // Episodes that draw their delay do not tell where they end.
        assert_eq!(judged_step(&map(r#"{"delay": 9, "delay_min": 2}"#)), None);
        assert_eq!(
            judged_step(&map(r#"{"delay": 9, "delay_min": 9}"#)),
            Some(8)
        );
        assert_eq!(episodes_per_lifetime(&lifetime), 16);
    }

    #[test]
    fn all_queries_are_judged() {
        let told = |text: &str| {
            let kwargs = serde_json::from_str::<Map<String, Value>>(text).unwrap();
            (judged_step(&kwargs), episode_steps(&kwargs))
        };
        // 4 pairs, 2 of them again, 5 distractors among them, 16 after them; 7 queries.
        let kwargs =
            r#"{"num_pairs": 4, "rewrites": 2, "spread": 5, "delay": 16, "num_queries": 7}"#;
        assert_eq!(told(kwargs), (Some(27), Some(34)));
        // Every key is asked for once by default.
        let kwargs = r#"{"num_pairs": 3, "rewrites": 0, "spread": 0, "delay": 2}"#;
        assert_eq!(told(kwargs), (Some(5), Some(8)));
        // Seven actions come before the answer, which is in the third step of three actions.
        let kwargs = r#"{"num_pairs": 3, "delay": 4, "num_queries": 1, "frame_skip": 3}"#;
        assert_eq!(told(kwargs), (Some(2), Some(3)));
        assert_eq!(told(r#"{"delay": 4, "num_bits": 3}"#), (Some(3), Some(6)));
        assert_eq!(told(r#"{"memory_length": 4}"#), (Some(4), Some(5)));
    }
}
