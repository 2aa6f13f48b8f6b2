//! The suite that compares memory systems. Its file lists tasks and changes of settings; the rows come from the table of
//! algorithms, so that a new algorithm is a new row.

use std::collections::BTreeMap;

use agent::algorithms::{self, Algorithm};
use serde::Deserialize;
use serde_json::Value;

use super::agents::{AgentRow, Shows, Variant};
use super::experiment::Experiment;

/// The suite's file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    changes: Vec<Change>,
    experiments: Vec<Experiment>,
}

/// A change of settings, made in turn to each algorithm that has these settings.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    /// Added to the algorithm's id, it names the row.
    name: String,
    /// What the difference shows.
    shows: Shows,
    /// The settings.
    #[serde(default)]
    overrides: BTreeMap<String, Value>,
    /// Length of a memory that is a window.
    window: Option<u64>,
    /// Experiments that the changed rows run.
    experiments: Vec<String>,
}

/// Reads the suite's rows and tasks: every algorithm that learns with its default settings, then the same with changes.
///
/// # Errors
/// When the text is not a file of the suite's form.
pub(super) fn read(text: &str) -> Result<(Vec<AgentRow>, Vec<Experiment>), toml::de::Error> {
    let File {
        changes,
        experiments,
    } = toml::from_str(text)?;
    let plain = algorithms::learners().map(|row| AgentRow::with_defaults(row.id));
    let mut agents: Vec<AgentRow> = plain.collect();
    for change in &changes {
        agents.extend(algorithms::learners().filter_map(|row| change.of(row)));
    }
    Ok((agents, experiments))
}

impl Change {
    /// Returns an algorithm's row with the change, if it has the settings.
    fn of(&self, algorithm: &Algorithm) -> Option<AgentRow> {
        let mut overrides = self.overrides.clone();
        if let Some(window) = self.window {
            overrides.insert(algorithm.window_setting()?.to_owned(), window.into());
        }
        let settings = (algorithm.defaults)().to_map();
        let has_all = overrides.keys().all(|name| settings.contains_key(name));
        has_all.then(|| AgentRow {
            name: format!("{}-{}", algorithm.id, self.name),
            overrides,
            experiments: self.experiments.clone(),
            variant: Some(Variant {
                of: algorithm.id.to_owned(),
                shows: self.shows,
            }),
            ..AgentRow::with_defaults(algorithm.id)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Plan, Suite};

    fn suite() -> Plan {
        Plan::suite(Suite::Systems).unwrap()
    }

    fn row<'a>(plan: &'a Plan, name: &str) -> &'a AgentRow {
        let mut rows = plan.agents.iter();
        rows.find(|row| row.name == name)
            .unwrap_or_else(|| panic!("no row {name}"))
    }

    #[test]
    fn every_algorithm_that_learns_is_a_row_once() {
        let plan = suite();
        let plain: Vec<&str> = plan
            .agents
            .iter()
            .filter(|row| row.variant.is_none())
            .map(|row| row.name.as_str())
            .collect();
        let learners: Vec<&str> = algorithms::learners().map(|row| row.id).collect();
        assert_eq!(plain, learners);
        for row in plan.agents.iter().filter(|row| row.variant.is_none()) {
            assert!(row.overrides.is_empty() && row.experiments.is_empty());
        }
    }

    #[test]
    fn a_change_is_made_where_the_settings_are() {
        let plan = suite();
        let changed = row(&plan, "tracerl-retention-off");
        assert_eq!(changed.algorithm, "tracerl");
        assert_eq!(changed.overrides["memory_learn_retention"], false);
        assert_eq!(changed.experiments, ["memory-32-hard"]);
        let variant = changed.variant.as_ref().unwrap();
        assert_eq!(
            (&variant.of[..], variant.shows),
            ("tracerl", Shows::Retention)
        );
        assert_eq!(
            row(&plan, "tracerl-lifetime").overrides["memory_scope"],
            "lifetime"
        );
        // A recurrent network has neither setting.
        let of = |name: &str| {
            plan.agents
                .iter()
                .filter(|row| row.algorithm == name)
                .count()
        };
        assert_eq!(of("recurrent-ppo"), 1);
    }

    #[test]
    fn the_tasks_are_those_of_the_comparison() {
        let plan = suite();
        let names: Vec<&str> = plan.experiments.iter().map(|task| &task.name[..]).collect();
        assert_eq!(
            names,
            [
                "memory-16-hard",
                "memory-32-hard",
                "memory-64-hard",
                "memory-256-hard",
                "random-cue-64-hard",
                "repeat-previous",
                "repeat-first",
                "tmaze-passive",
                "endless-tmaze",
                "persistent-recall",
            ]
        );
        for task in &plan.experiments {
            let instance = environments::registry::instance(&task.spec_id, &task.kwargs);
            instance.expect("a spec").expect("good arguments");
            assert!(task.window.is_some(), "{}", task.name);
            assert!(crate::plan::AgentRow::with_defaults("ppo").runs(task));
        }
        // Rows that run some experiments only name ones that exist.
        for name in plan.agents.iter().flat_map(|row| &row.experiments) {
            assert!(names.contains(&name.as_str()), "{name}");
        }
    }

    #[test]
    fn a_quick_run_has_one_task_of_each_kind_and_changed_rows_only_where_they_run() {
        let mut plan = suite();
        plan.settle_budgets(true);
        let steps: u64 = plan
            .experiments
            .iter()
            .map(|task| task.total_timesteps)
            .sum();
        assert!(steps <= 300_000, "{steps} steps of each row");
        let jobs = plan.agents.iter().flat_map(|row| {
            let tasks = plan.experiments.iter().filter(|task| row.runs(task));
            tasks.map(|task| (row.variant.is_some(), &task.name[..]))
        });
        let changed = jobs.filter(|(is_variant, _)| *is_variant).count();
        assert!(changed >= 2, "{changed}");
    }

    #[test]
    fn an_error_has_its_line() {
        let error = read("changes = []\nexperiment = []\n")
            .unwrap_err()
            .to_string();
        assert!(error.contains("line 2"), "{error}");
    }
}
