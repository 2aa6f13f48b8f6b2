//! The tasks of a plan and how agents are judged on them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One task with its training budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// What the experiment is called; unique in its plan.
    pub name: String,
    /// The environment's spec id, such as `MemoryTask-v0`.
    #[serde(rename = "env")]
    pub spec_id: String,
    /// Environment steps to train for, at most (a learner may stop early when it has solved the task).
    pub total_timesteps: u64,
    /// The same for `--quick`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quick_timesteps: Option<u64>,
    /// Whether learners may stop before the budget is spent, once the task is solved: not where all of training is judged.
    #[serde(default = "default_early_stop", skip_serializing_if = "is_true")]
    pub early_stop: bool,
    /// The environment's arguments (`delay`, `difficulty`, `delay_min`, …).
    #[serde(rename = "env_args", default)]
    pub kwargs: BTreeMap<String, Value>,
    /// Reset options that training draws anew for each rollout, log-uniformly between these bounds: all lanes then
    /// share, say, a delay, and longer and shorter episodes are mixed over time.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub draws: BTreeMap<String, (u64, u64)>,
    /// How the trained agent is judged.
    #[serde(rename = "evaluation", default)]
    pub eval: EvalPlan,
}

/// How a trained agent is judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvalPlan {
    /// Episodes an evaluation at the experiment's own delay takes; even, half of them for each cue.
    #[serde(default = "default_episodes")]
    pub episodes: u64,
    /// Further delays to evaluate at, for success against delay.
    #[serde(default)]
    pub delays: Vec<u64>,
    /// Episodes an evaluation at each further delay takes; even.
    #[serde(default = "default_delay_episodes")]
    pub delay_episodes: u64,
}

impl Default for EvalPlan {
    fn default() -> Self {
        Self {
            episodes: default_episodes(),
            delays: Vec::new(),
            delay_episodes: default_delay_episodes(),
        }
    }
}

fn default_episodes() -> u64 {
    1000
}

fn default_delay_episodes() -> u64 {
    200
}

fn default_early_stop() -> bool {
    true
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature serde's skip_serializing_if asks for"
)]
fn is_true(flag: &bool) -> bool {
    *flag
}

impl Experiment {
    /// The delay trained on (the longest, when episodes draw theirs), for tasks that have one.
    pub fn delay(&self) -> Option<u64> {
        self.kwargs.get("delay").and_then(Value::as_u64)
    }

    /// The shortest and longest delay trained on.
    pub fn delay_range(&self) -> Option<(u64, u64)> {
        if let Some(&drawn) = self.draws.get("delay") {
            return Some(drawn);
        }
        let longest = self.delay()?;
        let shortest = self.kwargs.get("delay_min").and_then(Value::as_u64);
        Some((shortest.unwrap_or(longest), longest))
    }

    /// Whether the first number of the first observation is the cue, a fair bit: then as many episodes of each are judged.
    pub fn shows_cue_first(&self) -> bool {
        agent::evaluate::shows_cue_first(&self.kwargs.clone().into_iter().collect())
    }

    /// The step whose observation is the cue, where all episodes have it at the same.
    pub fn cue_step(&self) -> Option<u32> {
        let is_first = self.shows_cue_first() || self.kwargs.contains_key("memory_length");
        is_first.then_some(0)
    }

    /// The task's difficulty: 0 or 1, for tasks that have one.
    pub fn difficulty(&self) -> Option<u64> {
        self.kwargs.get("difficulty").and_then(Value::as_u64)
    }

    /// The notebook's name of the difficulty: `EASY` for 0, `HARD` for 1.
    pub fn mode(&self) -> Option<&'static str> {
        match self.difficulty()? {
            0 => Some("EASY"),
            1 => Some("HARD"),
            _ => None,
        }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        if self.total_timesteps == 0 || self.quick_timesteps == Some(0) {
            return Err("total_timesteps and quick_timesteps must be at least 1".to_owned());
        }
        for (key, episodes) in [
            ("episodes", self.eval.episodes),
            ("delay_episodes", self.eval.delay_episodes),
        ] {
            if episodes == 0 || episodes % 2 == 1 {
                return Err(format!(
                    "evaluation.{key} must be even and at least 2, half for each cue; it is {episodes}"
                ));
            }
        }
        if let Some((name, (low, high))) = self
            .draws
            .iter()
            .find(|(_, (low, high))| *low == 0 || low > high)
        {
            return Err(format!(
                "draws.{name} must be [low, high] with 1 <= low <= high; it is [{low}, {high}]"
            ));
        }
        if self.eval.delays.contains(&0) {
            return Err("evaluation.delays must be at least 1; one is 0".to_owned());
        }
        Ok(())
    }
}
