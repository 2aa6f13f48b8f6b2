//! Joining runs of one plan that were run apart: what they say of themselves, and one record for
//! each job. Reads and writes no files.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Display;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::plan::{Plan, job_title};
use crate::records::config::{RunConfig, RunInfo};
use crate::records::{Record, configuration_hash};

/// Fields of a result that differ between two runs of the same job.
const TIMES: [&str; 2] = ["steps_per_s", "train_duration_s"];

/// The records of the whole.
#[derive(Debug, Default, PartialEq)]
pub struct Merged {
    /// One record for each job, in the plan's order. Rows that the plan does not list come last.
    pub rows: Vec<Row>,
    /// Jobs with different results in two runs.
    pub conflicts: Vec<Conflict>,
}

/// The record that is kept of a job.
#[derive(Debug, PartialEq)]
pub struct Row {
    /// Index of the run that it comes from.
    pub run: usize,
    /// The record.
    pub record: Record,
}

/// A job with different results in two runs.
#[derive(Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The job, in words.
    pub job: String,
    /// Index of the run whose record is kept.
    pub kept: usize,
    /// Index of the other run.
    pub other: usize,
    /// Names of the fields that differ.
    pub fields: Vec<String>,
}

/// Returns in words where two plans first differ; `None` if they are equal. `names` are those of
/// their runs.
pub fn first_difference(plans: [&Plan; 2], names: [&str; 2]) -> Option<String> {
    let [left, right] = plans;
    let experiments = [left, right].map(|plan| plan.experiments.as_slice());
    let agents = [left, right].map(|plan| plan.agents.as_slice());
    difference("experiment", experiments, names, |row| &row.name)
        .or_else(|| difference("agent", agents, names, |row| &row.name))
}

fn difference<T: PartialEq>(
    what: &str,
    [left, right]: [&[T]; 2],
    [first, second]: [&str; 2],
    name: impl Fn(&T) -> &str,
) -> Option<String> {
    let mut indices = 0..left.len().max(right.len());
    let index = indices.find(|&index| left.get(index) != right.get(index))?;
    let only = |row: &T, with: &str, without: &str| {
        let name = name(row);
        format!("the {what} {name:?} of {with} is not in {without}")
    };
    Some(match (left.get(index), right.get(index)) {
        (Some(one), Some(other)) if name(one) == name(other) => {
            let name = name(one);
            format!("the {what} {name:?} is not the same in {first} and {second}")
        }
        (Some(one), Some(other)) => {
            let (place, one, other) = (index + 1, name(one), name(other));
            format!("{what} {place} is {one:?} in {first} and {other:?} in {second}")
        }
        (Some(row), None) => only(row, first, second),
        (None, Some(row)) => only(row, second, first),
        (None, None) => unreachable!("rows that are both missing do not differ"),
    })
}

/// Returns what the whole says of itself: the most seeds, and the commands of all runs by the time
/// at which they started. There is at least one run.
pub fn merge_info(name: String, runs: &[&RunInfo]) -> RunInfo {
    let mut commands = Vec::new();
    for command in runs.iter().flat_map(|run| run.commands()) {
        if !commands.contains(&command) {
            commands.push(command);
        }
    }
    commands.sort_by_key(|command| time(&command.started_at));
    let latest = commands.pop().expect("a run has a command");
    RunInfo {
        name,
        seeds: runs.iter().map(|run| run.seeds).max().unwrap_or(1),
        shard: None,
        command: latest.command,
        commit: latest.commit,
        started_at: latest.started_at,
        earlier: commands,
    }
}

/// Keeps one record of each job, the latest that did not fail. Results of a job should be equal but
/// for times: where they differ, the first run's record is kept. `config` is that of the whole,
/// `runs` are the records of each run.
pub fn merge_records(config: &RunConfig, runs: Vec<Vec<Record>>) -> Merged {
    let mut merged = Merged::default();
    let mut index_of = HashMap::new();
    for (run, records) in runs.into_iter().enumerate() {
        for record in records {
            let row = Row { run, record };
            let hash = &row.record.configuration_hash;
            match index_of.get(hash) {
                Some(&index) => merged.add(index, row),
                None => {
                    index_of.insert(hash.clone(), merged.rows.len());
                    merged.rows.push(row);
                }
            }
        }
    }
    let jobs = config.jobs().enumerate();
    let place_of: HashMap<String, usize> = jobs
        .map(|(place, job)| {
            let hash = configuration_hash(job.experiment, job.agent, job.seed);
            (hash, place)
        })
        .collect();
    let place = |row: &Row| place_of.get(&row.record.configuration_hash).copied();
    merged
        .rows
        .sort_by_key(|row| place(row).unwrap_or(usize::MAX));
    merged
}

impl Merged {
    /// Adds another record of a job that has a row.
    fn add(&mut self, index: usize, other: Row) {
        let kept = &mut self.rows[index];
        let has_failed = |row: &Row| row.record.failure().is_some();
        if !has_failed(kept) && !has_failed(&other) {
            let fields = different_fields(&kept.record, &other.record);
            if !fields.is_empty() {
                let Record {
                    agent,
                    experiment,
                    seed,
                    ..
                } = &kept.record;
                self.conflicts.push(Conflict {
                    job: job_title(agent, experiment, *seed),
                    kept: kept.run,
                    other: other.run,
                    fields,
                });
                return;
            }
        }
        let rank = |row: &Row| (!has_failed(row), time(&row.record.finished_at));
        if rank(&other) > rank(kept) {
            *kept = other;
        }
    }
}

impl Conflict {
    /// Returns a warning; `names` are those of the runs.
    pub fn warning(&self, names: &[impl Display]) -> impl Display {
        let (kept, other) = (&names[self.kept], &names[self.other]);
        let (job, fields) = (&self.job, self.fields.join(", "));
        format!(
            "the results of {job} in {kept} and in {other} differ in {fields}; {kept}'s is kept. \
             On the same kind of processor, an agent's configuration and seed decide its result"
        )
    }
}

/// Returns the names of the result's fields that differ, other than times.
fn different_fields(left: &Record, right: &Record) -> Vec<String> {
    let [left, right] = [left, right].map(fields_of);
    let names: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    names
        .into_iter()
        .filter(|name| !TIMES.contains(&name.as_str()) && left.get(*name) != right.get(*name))
        .cloned()
        .collect()
}

fn fields_of(record: &Record) -> Map<String, Value> {
    match serde_json::to_value(&record.result) {
        Ok(Value::Object(fields)) => fields,
        other => unreachable!("a result is an object in JSON, not {other:?}"),
    }
}

/// Returns a time to compare. Other text comes first.
fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use crate::records::RowResult;

    fn at(mut record: Record, finished_at: &str) -> Record {
        record.finished_at = finished_at.to_owned();
        record
    }

    const NOON: &str = "2026-01-02T12:00:00Z";
    const LATER: &str = "2026-01-02T12:00:01Z";

    /// Merges the records of a job in two runs, and returns the run whose record is kept and
    /// the fields that differ.
    fn keep(first: Record, second: Record) -> (usize, Vec<String>) {
        let merged = merge_records(&fixtures::config(), vec![vec![first], vec![second]]);
        let [row] = merged.rows.as_slice() else {
            panic!("a job has one row")
        };
        let conflicts = merged.conflicts.into_iter();
        (
            row.run,
            conflicts.flat_map(|conflict| conflict.fields).collect(),
        )
    }

    #[test]
    fn a_finished_record_beats_a_failed_one_and_a_later_one_an_earlier() {
        let finished = || fixtures::record("ppo", 4, 0, 0);
        let failed = || fixtures::failed_record("ppo", 4, 0, 0, "no server");
        let none = Vec::<String>::new();
        let cases = [
            (at(failed(), LATER), at(finished(), NOON), 1),
            (at(finished(), NOON), at(failed(), LATER), 0),
            (at(finished(), NOON), at(finished(), LATER), 1),
            (at(finished(), LATER), at(finished(), NOON), 0),
            (at(finished(), NOON), at(finished(), NOON), 0),
            (at(failed(), NOON), at(failed(), LATER), 1),
        ];
        for (first, second, kept) in cases {
            assert_eq!(keep(first, second), (kept, none.clone()));
        }
    }

    #[test]
    fn times_may_differ_and_results_may_not() {
        let first = || at(fixtures::record("ppo", 4, 0, 0), NOON);
        let change = |change: &dyn Fn(&mut crate::records::outcome::Outcome)| {
            let mut record = at(first(), LATER);
            record.commit = "another".to_owned();
            if let RowResult::Finished(outcome) = &mut record.result {
                change(outcome);
            }
            record
        };
        let slower = change(&|outcome| {
            outcome.train_duration_s += 1.0;
            outcome.steps_per_s /= 2.0;
        });
        assert_eq!(keep(first(), slower), (1, Vec::new()));
        let other = change(&|outcome| {
            outcome.trained_steps += 1;
            outcome.evaluations[0].mean_return -= 0.5;
        });
        let fields = ["evaluations", "trained_steps"].map(str::to_owned);
        assert_eq!(keep(first(), other.clone()), (0, fields.to_vec()));
        let merged = merge_records(&fixtures::config(), vec![vec![first()], vec![other]]);
        let warning = merged.conflicts[0]
            .warning(&["runs/a", "runs/b"])
            .to_string();
        assert!(
            warning.starts_with(
                "the results of ppo delay-4-easy seed 0 in runs/a and in runs/b differ in \
                 evaluations, trained_steps; runs/a's is kept."
            ),
            "{warning}"
        );
        let refused = Record {
            result: RowResult::NotApplicable {
                reason: "no grid".to_owned(),
            },
            ..first()
        };
        let (kept, fields) = keep(first(), refused);
        assert_eq!(kept, 0);
        assert!(fields.contains(&"status".to_owned()), "{fields:?}");
    }

    #[test]
    fn rows_are_in_the_order_of_the_plan() {
        let record = fixtures::record;
        let runs = vec![
            vec![record("tracerl", 16, 1, 0), record("ppo", 4, 1, 0)],
            vec![record("tracerl", 4, 0, 1), record("tracerl", 4, 0, 0)],
            vec![record("ppo", 4, 0, 1)],
        ];
        let merged = merge_records(&fixtures::config(), runs);
        let rows: Vec<String> = merged
            .rows
            .iter()
            .map(|Row { run, record }| {
                let (agent, task) = (&record.agent.name, &record.experiment.name);
                format!("{agent} {task} {} of {run}", record.seed)
            })
            .collect();
        assert_eq!(
            rows,
            [
                "tracerl delay-4-easy 0 of 1",
                "ppo delay-4-easy 1 of 2",
                "tracerl delay-4-easy 1 of 1",
                "ppo delay-4-hard 0 of 0",
                "tracerl delay-16-hard 0 of 0",
            ]
        );
        assert!(merged.conflicts.is_empty());
    }

    #[test]
    fn the_first_difference_of_plans_is_named() {
        let told = |change: &dyn Fn(&mut Plan)| {
            let (plan, mut other) = (fixtures::plan(), fixtures::plan());
            change(&mut other);
            let there = first_difference([&plan, &other], ["a", "b"]);
            let back = first_difference([&other, &plan], ["b", "a"]);
            assert_eq!(there.is_none(), back.is_none());
            there
        };
        assert_eq!(told(&|_| ()), None);
        type Change<'a> = &'a dyn Fn(&mut Plan);
        let cases: [(Change<'_>, &str); 5] = [
            (
                &|plan| plan.experiments[1].total_timesteps += 1,
                "the experiment \"delay-4-hard\" is not the same in a and b",
            ),
            (
                &|plan| plan.experiments.reverse(),
                "experiment 1 is \"delay-4-easy\" in a and \"delay-4-hard\" in b",
            ),
            (
                &|plan| plan.experiments.truncate(1),
                "the experiment \"delay-4-hard\" of a is not in b",
            ),
            (
                &|plan| plan.agents.push(fixtures::agent("mine")),
                "the agent \"mine\" of b is not in a",
            ),
            (
                &|plan| plan.agents[0].tuned = true,
                "the agent \"ppo\" is not the same in a and b",
            ),
        ];
        for (change, message) in cases {
            assert_eq!(told(change).as_deref(), Some(message));
        }
    }

    #[test]
    fn the_whole_has_all_commands_by_their_time_and_merging_again_adds_none() {
        let run = |command: &str, started_at: &str, seeds| RunInfo {
            seeds,
            command: command.into(),
            started_at: started_at.into(),
            shard: Some("1/2".parse().unwrap()),
            ..fixtures::config().run
        };
        let first = run("c", "2026-01-03T00:00:00Z", 1).after(run("a", "2026-01-01T00:00:00Z", 1));
        let second = run("b", "2026-01-02T00:00:00Z", 3);
        let whole = merge_info("whole".into(), &[&first, &second]);
        let commands = |run: &RunInfo| -> Vec<String> {
            let commands = run.commands().into_iter();
            commands.map(|command| command.command).collect()
        };
        assert_eq!(commands(&whole), ["a", "b", "c"]);
        assert_eq!((whole.seeds, whole.shard), (3, None));
        assert_eq!(whole.name, "whole");
        assert_eq!(
            merge_info("whole".into(), &[&whole, &first, &second]),
            whole
        );
    }
}
