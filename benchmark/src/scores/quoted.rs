//! Published results on POPGym, quoted with their sources, so that our rows can be laid beside them.

use std::sync::LazyLock;

use serde::Deserialize;

/// All that is quoted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quoted {
    /// The numbers.
    pub results: Vec<QuotedResult>,
    /// Where they are from.
    pub sources: Vec<Source>,
}

/// One published number.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuotedResult {
    /// Name of the experiment in the suite `popgym`.
    pub task: String,
    /// Id of the source.
    pub source: String,
    /// Its measure.
    pub kind: Kind,
    /// The agent, as the source calls it.
    pub agent: String,
    /// Whether it is a recurrent network.
    pub recurrent: bool,
    /// Mean return.
    pub value: f64,
    /// Standard deviation over trials.
    pub deviation: Option<f64>,
}

/// What a published number is a measure of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The largest mean return of an epoch of training.
    Mmer,
    /// The mean return of a policy.
    Final,
}

/// Where numbers are from.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Id in [`QuotedResult::source`].
    pub id: String,
    /// Authors, title, table, and what was measured.
    pub title: String,
    /// How the numbers were read.
    pub note: String,
}

/// Returns all that is quoted.
///
/// # Panics
/// Never: a test reads the committed file.
pub fn quoted() -> &'static Quoted {
    static QUOTED: LazyLock<Quoted> = LazyLock::new(|| {
        toml::from_str(include_str!("../../quoted/popgym.toml")).expect("the committed file")
    });
    &QUOTED
}

impl Quoted {
    /// Returns what is quoted of a task.
    pub fn of_task<'a>(&'a self, task: &'a str) -> impl Iterator<Item = &'a QuotedResult> {
        self.results
            .iter()
            .filter(move |result| result.task == task)
    }

    /// Returns the best recurrent network of a task, whatever was measured of it; of equals the first.
    pub fn best_recurrent(&self, task: &str) -> Option<&QuotedResult> {
        let latest_first = self.results.iter().rev();
        let recurrent = latest_first.filter(|result| result.recurrent && result.task == task);
        // Of equals `max_by` returns the one that comes last.
        recurrent.max_by(|one, other| one.value.total_cmp(&other.value))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::plan::{Plan, Suite};

    #[test]
    fn every_number_is_of_a_task_of_the_suite_and_has_a_source() {
        let plan = Plan::suite(Suite::Popgym).unwrap();
        let tasks: BTreeSet<&str> = plan.experiments.iter().map(|task| &task.name[..]).collect();
        let sources: BTreeSet<&str> = quoted()
            .sources
            .iter()
            .map(|source| &source.id[..])
            .collect();
        for result in &quoted().results {
            assert!(tasks.contains(&result.task[..]), "{result:?}");
            assert!(sources.contains(&result.source[..]), "{result:?}");
            assert!((-1.5..=1.0).contains(&result.value), "{result:?}");
        }
        for task in tasks {
            assert!(quoted().best_recurrent(task).is_some(), "{task}");
        }
    }

    #[test]
    fn the_best_recurrent_network_is_found() {
        let best = quoted().best_recurrent("count-recall-easy").unwrap();
        assert_eq!((&best.agent[..], best.value), ("LSTM", 0.509));
        let best = quoted().best_recurrent("autoencode-easy").unwrap();
        assert_eq!((&best.agent[..], best.value), ("PPO with GRU", -0.26));
        let best = quoted().best_recurrent("repeat-first-easy").unwrap();
        assert_eq!((&best.agent[..], best.kind), ("GRU", Kind::Mmer));
    }
}
