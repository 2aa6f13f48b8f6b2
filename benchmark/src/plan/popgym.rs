//! The suite of all of POPGym. Its file lists tasks, levels, and what all of them share.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::agents::AgentRow;
use super::experiment::{EvalPlan, Experiment};

/// The argument that is POPGym's level.
pub(super) const LEVEL: &str = "level";

/// The suite's file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    levels: Vec<String>,
    protocol: Protocol,
    /// Names of the tasks, and the environments' spec ids.
    tasks: BTreeMap<String, String>,
    agents: Vec<AgentRow>,
}

/// What all tasks share.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Protocol {
    total_timesteps: u64,
    quick_timesteps: u64,
    env_args: BTreeMap<String, Value>,
    evaluation: EvalPlan,
}

/// Reads the suite's rows and tasks: every task at the first level, then at the next.
///
/// # Errors
/// When the text is not a file of the suite's form.
pub(super) fn read(text: &str) -> Result<(Vec<AgentRow>, Vec<Experiment>), toml::de::Error> {
    let file: File = toml::from_str(text)?;
    let tasks = &file.tasks;
    let pairs = file
        .levels
        .iter()
        .flat_map(|level| tasks.iter().map(move |task| (level, task)));
    let experiments = pairs.map(|(level, (name, spec_id))| {
        let mut kwargs = file.protocol.env_args.clone();
        kwargs.insert(LEVEL.to_owned(), level.as_str().into());
        Experiment {
            name: format!("{name}-{level}"),
            spec_id: spec_id.clone(),
            total_timesteps: file.protocol.total_timesteps,
            quick_timesteps: Some(file.protocol.quick_timesteps),
            early_stop: false,
            kwargs,
            draws: BTreeMap::new(),
            window: None,
            eval: file.protocol.evaluation.clone(),
        }
    });
    Ok((file.agents, experiments.collect()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::plan::{Plan, Suite};

    #[test]
    fn every_task_of_popgym_is_run_at_every_level_under_one_protocol() {
        let plan = Plan::suite(Suite::Popgym).unwrap();
        let names: BTreeSet<&str> = plan.experiments.iter().map(|task| &task.name[..]).collect();
        assert_eq!((plan.experiments.len(), names.len()), (48, 48));
        let specs = environments::registry::specs().iter();
        let specs = specs.filter(|spec| spec.source.starts_with("POPGym"));
        let specs: BTreeSet<String> = specs.map(|spec| spec.id.clone()).collect();
        let played = plan.experiments.iter().map(|task| task.spec_id.clone());
        assert_eq!(played.collect::<BTreeSet<String>>(), specs);
        for task in &plan.experiments {
            let instance = environments::registry::instance(&task.spec_id, &task.kwargs);
            instance.expect("a spec").expect("good arguments");
            assert_eq!(task.kwargs["previous_action"], true);
            assert_eq!(task.kwargs["is_first"], true);
            assert!(!task.early_stop);
        }
    }

    #[test]
    fn levels_can_be_chosen() {
        let mut plan = Plan::suite(Suite::Popgym).unwrap();
        plan.select_levels(&["hard".to_owned()]).unwrap();
        assert_eq!(plan.experiments.len(), 16);
        assert!(
            plan.experiments
                .iter()
                .all(|task| task.kwargs["level"] == "hard")
        );
        let refusal = |mut plan: Plan| {
            let error = plan.select_levels(&["easy".to_owned()]).unwrap_err();
            error.to_string()
        };
        let there_are = refusal(plan);
        assert!(
            there_are.ends_with("\"easy\"; there are: hard"),
            "{there_are}"
        );
        let none = refusal(Plan::suite(Suite::Notebook).unwrap());
        assert!(
            none.ends_with("no levels of difficulty. Leave it out"),
            "{none}"
        );
    }
}
