//! Plans: experiments (a task and a budget) × agents (an algorithm and its settings) × seeds.
//!
//! A plan is a TOML file. The plans of the suites are compiled in; the first is the reference
//! notebook's, with five experiments. `--experiments` reads other files of the same form.

mod agents;
mod experiment;
mod frontier;
mod job;
mod popgym;
mod shard;
mod suites;
mod systems;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Error;

pub use agents::{AgentRow, External, Shows, Variant};
pub use experiment::{EvalPlan, Experiment};
pub use job::{Job, PlannedJob, job_title};
pub use shard::Shard;
pub use suites::Suite;

/// Experiments that `--quick` keeps of a plan without quick budgets.
const QUICK_EXPERIMENTS: usize = 3;

/// Most episodes that an evaluation takes under a quick budget.
const QUICK_EPISODES: u64 = 200;

/// Longest further delay that is judged under a quick budget.
const QUICK_DELAY: u64 = 4_096;

/// Training budget of an environment that is in no suite.
const DEFAULT_TIMESTEPS: u64 = 1_000_000;

/// Experiments and agents; every agent runs every experiment once for each seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The rows of the comparison. A plan file may have none: command-line arguments can add
    /// external programs.
    #[serde(default)]
    pub agents: Vec<AgentRow>,
    /// The tasks, in the order in which they run and appear in results.
    pub experiments: Vec<Experiment>,
}

impl Plan {
    /// Returns a suite's plan. The rows are those of its file, optional ones included; of
    /// [`Suite::Systems`] they are all algorithms that learn.
    ///
    /// # Errors
    /// Never for the committed files, which tests read.
    pub fn suite(suite: Suite) -> Result<Self, Error> {
        let (path, text) = suite.file();
        let path = Path::new(path);
        let read = match suite {
            Suite::Systems => systems::read,
            Suite::Popgym => popgym::read,
            Suite::Frontier => frontier::read,
            Suite::Notebook | Suite::Classic | Suite::Bsuite => {
                return Self::from_toml(text, path);
            }
        };
        let (agents, experiments) = read(text).map_err(syntax_error(path))?;
        let plan = Self {
            agents,
            experiments,
        };
        plan.check()?;
        Ok(plan)
    }

    /// Makes a plan of single environments with these arguments, for the agents of the classic
    /// suite. Without `total_timesteps` each environment has its budget from that suite.
    ///
    /// # Errors
    /// When an environment is given twice.
    pub fn from_environments(
        spec_ids: &[String],
        kwargs: &BTreeMap<String, Value>,
        total_timesteps: Option<u64>,
    ) -> Result<Self, Error> {
        let classic = Self::suite(Suite::Classic)?;
        let experiment = |spec_id: &String| {
            let mut known = classic.experiments.iter();
            let known = known.find(|experiment| experiment.spec_id == *spec_id);
            let (usual, quick) = known.map_or((DEFAULT_TIMESTEPS, None), |known| {
                (known.total_timesteps, known.quick_timesteps)
            });
            Experiment {
                name: spec_id.clone(),
                spec_id: spec_id.clone(),
                total_timesteps: total_timesteps.unwrap_or(usual),
                // An explicit budget holds for quick runs too.
                quick_timesteps: total_timesteps.or(quick),
                early_stop: true,
                kwargs: kwargs.clone(),
                draws: BTreeMap::new(),
                window: None,
                eval: EvalPlan::default(),
            }
        };
        let plan = Self {
            experiments: spec_ids.iter().map(experiment).collect(),
            agents: classic.agents,
        };
        plan.check()?;
        Ok(plan)
    }

    /// Reads a plan from a file.
    ///
    /// # Errors
    /// When the file cannot be read or is not a valid plan.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(Error::read(path))?;
        Self::from_toml(&text, path)
    }

    /// Parses and checks a plan; `path` is named in errors.
    ///
    /// Accepts a run's own `config.toml` too, and ignores its `[run]` table.
    ///
    /// # Errors
    /// When the text is not TOML of a plan's form, or the plan is not valid.
    pub fn from_toml(text: &str, path: &Path) -> Result<Self, Error> {
        let syntax = syntax_error(path);
        let mut table: toml::Table = toml::from_str(text).map_err(&syntax)?;
        let plan: Self = match table.remove("run") {
            Some(_) => table.try_into().map_err(&syntax)?,
            // Parsed from the text, so that errors give the line and column.
            None => toml::from_str(text).map_err(&syntax)?,
        };
        plan.check_rows()?;
        Ok(plan)
    }

    /// Returns the jobs with the seeds `0..seeds`, experiment by experiment. Within an experiment all
    /// agents come before the next seed, so that an interrupted run has whole comparisons.
    pub fn jobs(&self, seeds: u64) -> impl Iterator<Item = PlannedJob<'_>> {
        let experiments = self.experiments.iter().enumerate();
        experiments.flat_map(move |(experiment_index, experiment)| {
            (0..seeds).flat_map(move |seed| {
                let agents = self.agents.iter().filter(|agent| agent.runs(experiment));
                agents.map(move |agent| PlannedJob {
                    experiment_index,
                    experiment,
                    agent,
                    seed,
                })
            })
        })
    }

    /// Chooses between the budgets for quick and full runs, and leaves one for each experiment.
    ///
    /// A quick run keeps the experiments that have a quick budget. If none has one, it keeps the
    /// first few, which are the shortest. An experiment whose quick budget is the full one is the
    /// same in both kinds of run, and so are its rows.
    pub fn settle_budgets(&mut self, quick: bool) {
        let has_quick = |experiment: &Experiment| experiment.quick_timesteps.is_some();
        match self.experiments.iter().any(has_quick) {
            true if quick => self.experiments.retain(has_quick),
            false if quick => self.experiments.truncate(QUICK_EXPERIMENTS),
            _ => {}
        }
        for experiment in &mut self.experiments {
            let timesteps = experiment.quick_timesteps.take().filter(|_| quick);
            if let Some(timesteps) = timesteps.filter(|&fewer| fewer < experiment.total_timesteps) {
                experiment.total_timesteps = timesteps;
                experiment.eval.episodes = experiment.eval.episodes.min(QUICK_EPISODES);
                experiment.eval.delays.retain(|&delay| delay <= QUICK_DELAY);
            }
        }
    }

    /// Keeps the experiments at these levels of difficulty, POPGym's; all of them, if there are none.
    ///
    /// # Errors
    /// When the plan has no experiment at one of the levels.
    pub fn select_levels(&mut self, levels: &[String]) -> Result<(), Error> {
        let level_of = |task: &Experiment| task.kwargs.get(popgym::LEVEL).cloned();
        let mut known: Vec<String> = Vec::new();
        for level in self.experiments.iter().filter_map(level_of) {
            let level = level.as_str().map_or(level.to_string(), str::to_owned);
            if !known.contains(&level) {
                known.push(level);
            }
        }
        if let Some(level) = levels.iter().find(|level| !known.contains(level)) {
            let reason = match known.is_empty() {
                true => "the plan has no levels of difficulty. Leave it out".to_owned(),
                false => format!(
                    "no experiment has the level {level:?}; there are: {}",
                    known.join(", ")
                ),
            };
            let place = "--levels".to_owned();
            return Err(Error::PlanContent { place, reason });
        }
        let is_wanted = |task: &Experiment| {
            let level = level_of(task);
            levels
                .iter()
                .any(|wanted| level.as_ref().is_some_and(|found| found == wanted.as_str()))
        };
        self.experiments
            .retain(|task| levels.is_empty() || is_wanted(task));
        Ok(())
    }

    /// Adds external programs as further rows.
    ///
    /// # Errors
    /// When a name is taken or a command is empty.
    pub fn add(&mut self, rows: &[AgentRow]) -> Result<(), Error> {
        self.agents.extend_from_slice(rows);
        self.check()
    }

    /// Keeps the rows that `names` lists, in that order. A name that is an algorithm's id instead
    /// of a row becomes a row with the algorithm's defaults. Without names, the rows that are not
    /// optional stay.
    ///
    /// # Errors
    /// When a name is neither.
    pub fn select_agents(&mut self, names: &[String], algorithms: &[&str]) -> Result<(), Error> {
        if names.is_empty() {
            self.agents.retain(|agent| !agent.optional);
            return Ok(());
        }
        let mut selected = Vec::with_capacity(names.len());
        for name in names {
            let row = self
                .agents
                .iter()
                .find(|agent| agent.name == *name)
                .cloned();
            let default_row = || {
                algorithms
                    .contains(&name.as_str())
                    .then(|| AgentRow::with_defaults(name))
            };
            let row = row
                .or_else(default_row)
                .ok_or_else(|| self.unknown_agent(name, algorithms))?;
            // A row given by name is no longer optional: the run's configuration must repeat it.
            selected.push(AgentRow {
                optional: false,
                ..row
            });
        }
        self.agents = selected;
        self.check()
    }

    fn unknown_agent(&self, name: &str, algorithms: &[&str]) -> Error {
        let mut known: Vec<&str> = self
            .agents
            .iter()
            .map(|agent| agent.name.as_str())
            .collect();
        known.extend(
            algorithms
                .iter()
                .filter(|id| !self.agents.iter().any(|agent| agent.name == **id)),
        );
        Error::UnknownAgent {
            name: name.to_owned(),
            meant: env_protocol::hint(name, known.iter().copied()),
            known: known.join(", "),
        }
    }

    fn check(&self) -> Result<(), Error> {
        self.check_rows()?;
        check_some("agents", &self.agents)
    }

    /// As [`Plan::check`], for a plan that may still have no rows.
    fn check_rows(&self) -> Result<(), Error> {
        check_some("experiments", &self.experiments)?;
        check_names(
            "agents",
            self.agents.iter().map(|agent| agent.name.as_str()),
        )?;
        check_names(
            "experiments",
            self.experiments
                .iter()
                .map(|experiment| experiment.name.as_str()),
        )?;
        for (index, agent) in self.agents.iter().enumerate() {
            agent.check().map_err(|reason| Error::PlanContent {
                place: format!("agents[{index}] {:?}", agent.name),
                reason,
            })?;
        }
        for (index, experiment) in self.experiments.iter().enumerate() {
            experiment.check().map_err(|reason| Error::PlanContent {
                place: format!("experiments[{index}] {:?}", experiment.name),
                reason,
            })?;
        }
        Ok(())
    }
}

/// Makes an error for `map_err` after parsing the file at `path`.
fn syntax_error(path: &Path) -> impl Fn(toml::de::Error) -> Error {
    move |error| Error::PlanSyntax {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}

fn check_some<T>(list: &str, rows: &[T]) -> Result<(), Error> {
    match rows.is_empty() {
        true => Err(Error::PlanContent {
            place: list.to_owned(),
            reason: "the plan has none".to_owned(),
        }),
        false => Ok(()),
    }
}

fn check_names<'a>(list: &str, names: impl Iterator<Item = &'a str>) -> Result<(), Error> {
    let mut seen = HashSet::new();
    for (index, name) in names.enumerate() {
        let problem = |reason: &str| {
            Err(Error::PlanContent {
                place: format!("{list}[{index}] {name:?}"),
                reason: reason.to_owned(),
            })
        };
        if name.is_empty()
            || !name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        {
            return problem("a name is made of letters, digits, '-', '_' and '.'");
        }
        if !seen.insert(name) {
            return problem("the name is taken by an earlier entry; names are unique");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use agent::evaluate::Mode;
    use agent::memory::slots::RetentionRule;
    use clap::ValueEnum;

    use super::*;

    fn parse(text: &str) -> Result<Plan, Error> {
        Plan::from_toml(text, Path::new("plan.toml"))
    }

    const SMALL: &str = r#"
        [[agents]]
        name = "ppo"
        algorithm = "ppo"
        [[agents]]
        name = "wide"
        algorithm = "ppo"
        optional = true
        overrides = { hidden_size = 128 }
        [[experiments]]
        name = "short"
        env = "MemoryTask-v0"
        total_timesteps = 10
        env_args = { delay = 8, delay_min = 2, difficulty = 1 }
    "#;

    #[test]
    fn environments_without_a_file() {
        let names = ["RepeatFirst-v0".to_owned(), "Elsewhere-v0".to_owned()];
        let kwargs = BTreeMap::from([("level".to_owned(), "hard".into())]);
        let plan = Plan::from_environments(&names, &kwargs, None).unwrap();
        let classic = Plan::suite(Suite::Classic).unwrap();
        let known = |experiment: &&Experiment| experiment.spec_id == "RepeatFirst-v0";
        let known = classic.experiments.iter().find(known).unwrap();
        assert_eq!(plan.experiments[0].total_timesteps, known.total_timesteps);
        assert_eq!(plan.experiments[0].quick_timesteps, known.quick_timesteps);
        assert_eq!(plan.experiments[0].kwargs, kwargs);
        assert_eq!(plan.experiments[1].total_timesteps, DEFAULT_TIMESTEPS);
        assert_eq!(plan.agents, classic.agents);
        let plan = Plan::from_environments(&names, &kwargs, Some(5_000)).unwrap();
        let first = &plan.experiments[0];
        assert_eq!(
            (first.total_timesteps, first.quick_timesteps),
            (5_000, Some(5_000))
        );
        assert!(
            Plan::from_environments(&[names[0].clone(), names[0].clone()], &kwargs, None).is_err()
        );
    }

    #[test]
    fn notebook_has_the_five_experiments_and_the_three_agents() {
        let mut plan = Plan::suite(Suite::Notebook).unwrap();
        let experiments: Vec<_> = plan
            .experiments
            .iter()
            .map(|e| (e.delay().unwrap(), e.mode().unwrap(), e.total_timesteps))
            .collect();
        assert_eq!(
            experiments,
            [
                (4, "EASY", 10_000),
                (4, "HARD", 14_000),
                (16, "EASY", 56_000),
                (32, "HARD", 160_000),
                (256, "EASY", 2_560_000)
            ]
        );
        assert!(plan.experiments.iter().all(|e| e.eval.episodes == 1000));
        plan.select_agents(&[], &[]).unwrap();
        let agents: Vec<_> = plan
            .agents
            .iter()
            .map(|agent| agent.name.as_str())
            .collect();
        assert_eq!(agents, ["ppo", "recurrent-ppo", "tracerl"]);
    }

    #[test]
    fn length_trains_on_a_range_and_judges_far_beyond_it() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/length.toml");
        let plan = Plan::read(&path).unwrap();
        assert_eq!(plan.experiments[0].delay_range(), Some((4, 256)));
        assert_eq!(plan.experiments[0].eval.delays.last(), Some(&65_536));
    }

    #[test]
    fn recurrent_has_a_tuned_row_with_settings_of_its_own() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/recurrent.toml");
        let plan = Plan::read(&path).unwrap();
        assert!(plan.agents[0].tuned && !plan.agents[0].overrides.is_empty());
        assert_eq!(plan.experiments[1].total_timesteps, 150_000);
    }

    #[test]
    fn retention_has_every_rule_and_a_scale_for_each_task() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/retention.toml");
        let plan = Plan::read(&path).unwrap();
        let rules = |agent: &AgentRow| agent.overrides["retention_rule"].clone();
        let planned: Vec<Value> = plan.agents.iter().map(rules).collect();
        let all = RetentionRule::value_variants().iter();
        let all: Vec<Value> = all
            .map(|rule| rule.to_possible_value().unwrap().get_name().into())
            .collect();
        assert_eq!(planned, all);
        assert_eq!(plan.experiments.len(), 12);
        for experiment in &plan.experiments {
            let reference = crate::scores::reference::Reference::from_experiment(experiment);
            assert!(reference.is_some(), "{}", experiment.name);
            assert!(experiment.quick_timesteps.is_some(), "{}", experiment.name);
        }
    }

    #[test]
    fn classic_has_twenty_environments_once_and_a_scale_for_each() {
        let plan = Plan::suite(Suite::Classic).unwrap();
        let mut planned: Vec<&str> = plan
            .experiments
            .iter()
            .map(|experiment| experiment.spec_id.as_str())
            .collect();
        // New environments come last in the catalogue, and do not change what the suite measures.
        let mut first: Vec<&str> = environments::registry::specs()[..20]
            .iter()
            .map(|spec| spec.id.as_str())
            .collect();
        planned.sort_unstable();
        first.sort_unstable();
        assert_eq!(planned, first);
        for experiment in &plan.experiments {
            let reference = crate::scores::reference::Reference::from_experiment(experiment);
            assert!(reference.is_some(), "{}", experiment.name);
            assert!(experiment.quick_timesteps.is_some(), "{}", experiment.name);
        }
        // All tasks share the algorithms' default settings.
        for agent in plan.agents.iter().filter(|agent| !agent.optional) {
            assert!(agent.overrides.is_empty(), "{}", agent.name);
        }
    }

    #[test]
    fn quick_budgets_replace_the_others_where_there_are_any() {
        let with_quick = SMALL.replace(
            "timesteps = 10",
            "timesteps = 10\n        quick_timesteps = 4",
        );
        let settled = |quick: bool| {
            let mut plan = parse(&with_quick).unwrap();
            plan.settle_budgets(quick);
            let experiment = &plan.experiments[0];
            assert_eq!(experiment.quick_timesteps, None);
            (experiment.total_timesteps, experiment.eval.episodes)
        };
        assert_eq!(settled(false), (10, 1000));
        assert_eq!(settled(true), (4, 200));
    }

    #[test]
    fn a_quick_notebook_has_a_delay_that_fills_the_slots() {
        let whole = Plan::suite(Suite::Notebook).unwrap();
        let mut quick = whole.clone();
        quick.settle_budgets(true);
        let names: Vec<&str> = quick.experiments.iter().map(|e| e.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "delay-4-easy",
                "delay-4-hard",
                "delay-16-easy",
                "delay-32-hard"
            ]
        );
        // Rows match those of a full run, so each kind of run can continue the other.
        let mut settled = whole;
        settled.settle_budgets(false);
        assert_eq!(quick.experiments, settled.experiments[..4]);
    }

    #[test]
    fn cues_at_random_steps_are_not_balanced() {
        let first = parse(SMALL).unwrap().experiments.remove(0);
        assert!(first.shows_cue_first() && first.cue_step() == Some(0));
        let random = SMALL.replace("difficulty = 1", "difficulty = 1, cue_time = \"random\"");
        let random = parse(&random).unwrap().experiments.remove(0);
        assert!(!random.shows_cue_first() && random.cue_step().is_none());
    }

    #[test]
    fn defaults_and_ranges() {
        let plan = parse(SMALL).unwrap();
        let experiment = &plan.experiments[0];
        assert_eq!(experiment.delay_range(), Some((2, 8)));
        let drawn = parse(&(SMALL.to_owned() + "draws = { delay = [4, 6] }")).unwrap();
        assert_eq!(drawn.experiments[0].delay_range(), Some((4, 6)));
        assert_eq!(experiment.mode(), Some("HARD"));
        assert_eq!(
            experiment.eval,
            EvalPlan {
                episodes: 1000,
                delays: vec![],
                delay_episodes: 200,
                delay_steps: None,
                delay_modes: vec![Mode::Greedy, Mode::Scrambled],
                delay_floor: None,
            }
        );
        assert_eq!(plan.agents[1].overrides["hidden_size"], Value::from(128));
    }

    #[test]
    fn agents_are_selected_by_row_or_algorithm() {
        let mut plan = parse(SMALL).unwrap();
        plan.select_agents(&["tracerl".into(), "wide".into()], &["ppo", "tracerl"])
            .unwrap();
        let names: Vec<_> = plan
            .agents
            .iter()
            .map(|agent| agent.name.as_str())
            .collect();
        assert_eq!(names, ["tracerl", "wide"]);
        let error = plan
            .select_agents(&["dqn".into()], &["ppo", "tracerl"])
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "no agent is called \"dqn\"; there are: tracerl, wide, ppo"
        );
    }

    #[test]
    fn an_external_program_is_a_row() {
        let mut plan = parse(SMALL).unwrap();
        let row = AgentRow::from_command("mine", "python3 'my agent.py' --fast");
        plan.add(std::slice::from_ref(&row)).unwrap();
        let text = toml::to_string(&plan).unwrap();
        assert_eq!(parse(&text).unwrap(), plan);
        let words = row.external.as_ref().unwrap().words().unwrap();
        assert_eq!(words, ["python3", "my agent.py", "--fast"]);
        let refused = |row: AgentRow| {
            let mut plan = parse(SMALL).unwrap();
            plan.add(&[row]).unwrap_err().to_string()
        };
        for (command, reason) in [("", "\"\""), ("sh -c 'x", "\"sh -c 'x\"")] {
            assert_eq!(
                refused(AgentRow::from_command("mine", command)),
                format!("agents[2] \"mine\": {reason} is not a command")
            );
        }
        assert!(refused(AgentRow::from_command("ppo", "true")).contains("the name is taken"));
        let both = AgentRow {
            algorithm: "ppo".to_owned(),
            ..row.clone()
        };
        assert!(refused(both).contains("takes neither algorithm nor overrides"));
        let neither = AgentRow {
            external: None,
            ..row
        };
        assert!(refused(neither).contains("it needs an algorithm, or external"));
    }

    #[test]
    fn a_run_configuration_is_a_plan() {
        let text = format!("[run]\nname = \"x\"\n{SMALL}");
        assert_eq!(parse(&text).unwrap(), parse(SMALL).unwrap());
    }

    #[test]
    fn errors_name_the_place() {
        let odd = SMALL.to_owned() + "evaluation = { episodes = 7 }";
        assert_eq!(
            parse(&odd).unwrap_err().to_string(),
            "experiments[0] \"short\": evaluation.episodes must be even and at least 2, half for each cue; it is 7"
        );
        let unseen = SMALL.to_owned() + "evaluation = { delay_modes = [] }";
        assert_eq!(
            parse(&unseen).unwrap_err().to_string(),
            "experiments[0] \"short\": evaluation.delay_modes must name at least one mode"
        );
        let twice = SMALL.replace("\"wide\"", "\"ppo\"");
        assert_eq!(
            parse(&twice).unwrap_err().to_string(),
            "agents[1] \"ppo\": the name is taken by an earlier entry; names are unique"
        );
        let upside_down = SMALL.to_owned() + "draws = { delay = [256, 4] }";
        assert_eq!(
            parse(&upside_down).unwrap_err().to_string(),
            "experiments[0] \"short\": draws.delay must be [low, high] with 1 <= low <= high; it is [256, 4]"
        );
        let path = SMALL.replace("\"short\"", "\"../short\"");
        assert!(
            parse(&path)
                .unwrap_err()
                .to_string()
                .starts_with("experiments[0] \"../short\": a name is made of")
        );
        let typo = SMALL.replace("total_timesteps", "timesteps");
        let message = parse(&typo).unwrap_err().to_string();
        assert!(
            message.contains("line 13") && message.contains("timesteps"),
            "{message}"
        );
        assert_eq!(
            parse("experiments = []").unwrap_err().to_string(),
            "experiments: the plan has none"
        );
    }
}
