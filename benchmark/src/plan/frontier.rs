//! The suite that maps how many pairs are recalled past how many distractors. Its file has one task, and the numbers of pairs to
//! run it with.

use serde::Deserialize;

use super::agents::AgentRow;
use super::experiment::Experiment;

/// The suite's file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Numbers of pairs.
    pairs: Vec<u64>,
    /// Those of them that a quick run keeps.
    quick_pairs: Vec<u64>,
    /// Keys to draw from where there are fewer pairs.
    least_keys: u64,
    /// The task, without its numbers of pairs and keys. Its name begins the names of all.
    task: Experiment,
    agents: Vec<AgentRow>,
}

/// Reads the suite's rows and tasks: one task for each number of pairs.
///
/// # Errors
/// When the text is not a file of the suite's form.
pub(super) fn read(text: &str) -> Result<(Vec<AgentRow>, Vec<Experiment>), toml::de::Error> {
    let file: File = toml::from_str(text)?;
    let experiments = file.pairs.iter().map(|&pairs| {
        let mut task = file.task.clone();
        task.name = format!("{}-{pairs}", task.name);
        // An episode has a step for each pair, distractor and query.
        task.window = task.delay().map(|delay| delay + 2 * pairs);
        task.kwargs.insert("num_pairs".to_owned(), pairs.into());
        let keys = pairs.max(file.least_keys);
        task.kwargs.insert("num_keys".to_owned(), keys.into());
        if !file.quick_pairs.contains(&pairs) {
            task.quick_timesteps = None;
        }
        task
    });
    Ok((file.agents, experiments.collect()))
}

#[cfg(test)]
mod tests {
    use agent::algorithms;

    use crate::plan::{Plan, Suite};

    fn suite() -> Plan {
        Plan::suite(Suite::Frontier).unwrap()
    }

    #[test]
    fn the_tasks_differ_in_their_pairs_alone() {
        let plan = suite();
        let numbers = plan.experiments.iter().map(|task| {
            let number = |name: &str| task.kwargs[name].as_u64().unwrap();
            (number("num_pairs"), number("num_keys"), task.window)
        });
        assert_eq!(
            numbers.collect::<Vec<_>>(),
            [
                (1, 8, Some(258)),
                (2, 8, Some(260)),
                (4, 8, Some(264)),
                (8, 8, Some(272)),
                (16, 16, Some(288)),
                (32, 32, Some(320)),
                (64, 64, Some(384)),
            ]
        );
        for task in &plan.experiments {
            let instance = environments::registry::instance(&task.spec_id, &task.kwargs);
            instance.expect("a spec").expect("good arguments");
            assert_eq!(task.delay_range(), Some((8, 256)));
            assert!(!task.early_stop);
        }
    }

    #[test]
    fn the_longest_delay_is_judged_on_fewer_episodes() {
        let eval = suite().experiments.remove(0).eval;
        let episodes = eval.delays.iter().map(|&delay| eval.episodes_at(delay));
        assert_eq!(episodes.collect::<Vec<_>>(), [200, 200, 200, 200, 128, 8]);
    }

    #[test]
    fn every_row_is_an_algorithm_whose_slots_hold_the_most_pairs() {
        let plan = suite();
        let most = plan.experiments.last().unwrap().kwargs["num_pairs"].as_u64();
        for row in &plan.agents {
            let algorithm = algorithms::find(&row.algorithm).unwrap();
            if (algorithm.defaults)().to_map().contains_key("max_entries") {
                assert!(row.overrides["max_entries"].as_u64() > most, "{}", row.name);
            }
        }
    }

    #[test]
    fn a_quick_run_has_fewer_tasks_and_no_delay_that_takes_minutes() {
        let mut plan = suite();
        plan.settle_budgets(true);
        let names: Vec<&str> = plan.experiments.iter().map(|task| &task.name[..]).collect();
        assert_eq!(names, ["pairs-1", "pairs-4", "pairs-16"]);
        for task in &plan.experiments {
            assert_eq!(task.eval.delays, [8, 64, 1_024, 4_096]);
        }
        let mut plan = suite();
        plan.settle_budgets(false);
        assert_eq!(plan.experiments.len(), 7);
        assert_eq!(plan.experiments[0].eval.delays.last(), Some(&1_048_576));
    }
}
