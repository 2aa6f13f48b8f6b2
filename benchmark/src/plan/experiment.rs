//! Experiments: the tasks of a plan, and how agents are judged on them.

use std::collections::BTreeMap;

use agent::evaluate::Mode;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One task with its training budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Name of the experiment, unique in its plan.
    pub name: String,
    /// The environment's spec id, such as `MemoryTask-v0`.
    #[serde(rename = "env")]
    pub spec_id: String,
    /// Training budget in environment steps; a learner that has solved the task may stop earlier.
    pub total_timesteps: u64,
    /// Training budget for `--quick`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quick_timesteps: Option<u64>,
    /// Whether learners may stop early once they have solved the task. Off where all of training is
    /// judged.
    #[serde(default = "default_early_stop", skip_serializing_if = "is_true")]
    pub early_stop: bool,
    /// The environment's arguments (`delay`, `difficulty`, `delay_min`, …).
    #[serde(rename = "env_args", default)]
    pub kwargs: BTreeMap<String, Value>,
    /// Reset options that training draws again for each rollout, log-uniformly between these
    /// bounds. All lanes of a rollout share the value, so that, for example, short and long delays
    /// are mixed over time.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub draws: BTreeMap<String, (u64, u64)>,
    /// Steps that a window must cover to hold what the task asks for. Algorithms whose memory is a
    /// window of a set length get this length, unless their row sets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<u64>,
    /// How trained agents are judged.
    #[serde(rename = "evaluation", default)]
    pub eval: EvalPlan,
}

/// How trained agents are judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvalPlan {
    /// Episodes of an evaluation at the experiment's own delay; even, half of them for each cue.
    #[serde(default = "default_episodes")]
    pub episodes: u64,
    /// Further delays to evaluate at, for success against delay.
    #[serde(default)]
    pub delays: Vec<u64>,
    /// Episodes of an evaluation at each further delay; even.
    #[serde(default = "default_delay_episodes")]
    pub delay_episodes: u64,
    /// Most steps of an evaluation at each further delay, an episode counted as its delay: where
    /// `delay_episodes` would take more, fewer are played.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_steps: Option<u64>,
    /// Modes of the evaluations at further delays.
    #[serde(
        default = "default_delay_modes",
        skip_serializing_if = "is_default_delay_modes"
    )]
    pub delay_modes: Vec<Mode>,
    /// Least greedy return with which longer delays are judged as well; `None` judges all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_floor: Option<f64>,
}

impl EvalPlan {
    /// Returns the episodes of an evaluation at a further delay; even and at least 2.
    pub fn episodes_at(&self, delay: u64) -> u64 {
        let Some(steps) = self.delay_steps else {
            return self.delay_episodes;
        };
        let pairs = steps / delay / 2;
        self.delay_episodes.min(2 * pairs.max(1))
    }
}

impl Default for EvalPlan {
    fn default() -> Self {
        Self {
            episodes: default_episodes(),
            delays: Vec::new(),
            delay_episodes: default_delay_episodes(),
            delay_steps: None,
            delay_modes: default_delay_modes(),
            delay_floor: None,
        }
    }
}

fn default_episodes() -> u64 {
    1000
}

fn default_delay_episodes() -> u64 {
    200
}

fn default_delay_modes() -> Vec<Mode> {
    vec![Mode::Greedy, Mode::Scrambled]
}

fn is_default_delay_modes(modes: &[Mode]) -> bool {
    modes == default_delay_modes()
}

fn default_early_stop() -> bool {
    true
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde's skip_serializing_if needs"
)]
fn is_true(flag: &bool) -> bool {
    *flag
}

impl Experiment {
    /// Returns the delay trained on, or the longest when episodes draw theirs; `None` for a task
    /// without a delay.
    pub fn delay(&self) -> Option<u64> {
        self.kwargs.get("delay").and_then(Value::as_u64)
    }

    /// Returns the shortest and the longest delay trained on.
    pub fn delay_range(&self) -> Option<(u64, u64)> {
        if let Some(&drawn) = self.draws.get("delay") {
            return Some(drawn);
        }
        let longest = self.delay()?;
        let shortest = self.kwargs.get("delay_min").and_then(Value::as_u64);
        Some((shortest.unwrap_or(longest), longest))
    }

    /// Returns whether the first number of the first observation is the cue, a fair bit.
    /// Evaluations then play as many episodes with each cue.
    pub fn shows_cue_first(&self) -> bool {
        agent::evaluate::shows_cue_first(&self.spec_id, &self.kwargs.clone().into_iter().collect())
    }

    /// Returns the step whose observation is the cue, if it is the same in all episodes.
    pub fn cue_step(&self) -> Option<u32> {
        agent::evaluate::cue_step(&self.spec_id, &self.kwargs.clone().into_iter().collect())
    }

    /// Returns the task's difficulty, 0 or 1; `None` for a task without one.
    pub fn difficulty(&self) -> Option<u64> {
        self.kwargs.get("difficulty").and_then(Value::as_u64)
    }

    /// Returns the notebook's name of the difficulty: `EASY` for 0, `HARD` for 1.
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
        if self.eval.delay_modes.is_empty() {
            return Err("evaluation.delay_modes must name at least one mode".to_owned());
        }
        if self.eval.delays.contains(&0) {
            return Err("evaluation.delays must be at least 1; one is 0".to_owned());
        }
        Ok(())
    }
}
