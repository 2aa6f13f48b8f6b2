//! Whole runs with a contender of known results: resuming, stopping, failing, and the files that
//! remain.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use agent::evaluate::Mode;
use benchmark::plan::{AgentRow, Experiment, Job, Plan};
use benchmark::records::config::{RunConfig, RunInfo};
use benchmark::records::directory::RunDirectory;
use benchmark::records::outcome::{EvaluationRecord, Outcome};
use benchmark::records::{RowResult, read_records};
use benchmark::run::contender::{Contender, JobError};
use benchmark::run::progress::{Display, JobProgress};
use benchmark::run::runner::{Ending, Event, Runner};

const PLAN: &str = r#"
    [[agents]]
    name = "ppo"
    algorithm = "ppo"
    [[agents]]
    name = "tracerl"
    algorithm = "tracerl"
    [[experiments]]
    name = "short"
    env = "MemoryTask-v0"
    total_timesteps = 100
    env_args = { delay = 4, difficulty = 1 }
    [[experiments]]
    name = "long"
    env = "MemoryTask-v0"
    total_timesteps = 200
    env_args = { delay = 8, difficulty = 1 }
"#;

/// A contender that behaves according to its table of jobs and records which of them ran.
#[derive(Default)]
struct Scripted {
    /// `agent experiment seed` of every job that ran, in order.
    ran: Mutex<Vec<String>>,
    servers: Mutex<Vec<String>>,
    behaviour: BTreeMap<&'static str, Behaviour>,
    /// `agent experiment` of the tasks that an agent cannot play.
    refused: Vec<&'static str>,
}

#[derive(Clone, Copy)]
enum Behaviour {
    Fails,
    Panics,
    NoNumber,
    /// Sets `stop` as Ctrl-C would, and obeys it.
    IsStopped,
    /// Works until `stop` is set.
    WaitsForStop,
}

impl Contender for Scripted {
    fn refusal(&self, experiment: &Experiment, agent: &AgentRow) -> Option<String> {
        let name = format!("{} {}", agent.name, experiment.name);
        let is_refused = self.refused.contains(&name.as_str());
        is_refused.then(|| "the task has no grid".to_owned())
    }

    fn run(&self, job: &Job, _: &JobProgress, stop: &AtomicBool) -> Result<Outcome, JobError> {
        let name = format!("{} {} {}", job.agent.name, job.experiment.name, job.seed);
        assert!(job.directory.is_dir());
        self.ran.lock().unwrap().push(name.clone());
        self.servers.lock().unwrap().push(job.server.clone());
        let mut outcome = outcome(job);
        match self.behaviour.get(name.as_str()) {
            None => Ok(outcome),
            Some(Behaviour::Fails) => Err(JobError::Failed("the server went away".to_owned())),
            Some(Behaviour::Panics) => panic!("index out of bounds"),
            Some(Behaviour::NoNumber) => {
                outcome.evaluations[0].mean_return = f64::NAN;
                Ok(outcome)
            }
            Some(Behaviour::IsStopped) => {
                stop.store(true, Ordering::Relaxed);
                Err(JobError::Stopped)
            }
            Some(Behaviour::WaitsForStop) => {
                let begin = Instant::now();
                while !stop.load(Ordering::Relaxed) && begin.elapsed() < Duration::from_secs(30) {
                    std::thread::yield_now();
                }
                Err(JobError::Stopped)
            }
        }
    }
}

fn outcome(job: &Job) -> Outcome {
    let evaluations = Mode::ALL.map(|mode| EvaluationRecord {
        delay: job.experiment.delay(),
        mode,
        mean_return: 1.0,
        std_return: 0.0,
        episodes: job.experiment.eval.episodes,
    });
    Outcome {
        trained_steps: job.experiment.total_timesteps,
        steps_per_s: 1000.0,
        train_duration_s: 0.1,
        solved_at: Some(50),
        solved_threshold: Some(0.95),
        training: None,
        parameters: Some(10),
        memory_bytes: Some(512),
        hyperparameters: BTreeMap::new(),
        learning_curve: vec![(50, 1.0)],
        evaluations: evaluations.to_vec(),
        memory_view: None,
        cue_attention: None,
        notes: Vec::new(),
    }
}

fn config(seeds: u64) -> RunConfig {
    let run = RunInfo {
        name: "test".into(),
        seeds,
        command: "benchmark".into(),
        commit: "abc".into(),
        started_at: "2026-01-02T03:04:05Z".into(),
        earlier: Vec::new(),
    };
    RunConfig {
        run,
        plan: Plan::from_toml(PLAN, Path::new("plan.toml")).unwrap(),
    }
}

/// Runs on one worker and returns the events in words.
fn run(
    directory: &RunDirectory,
    config: &RunConfig,
    contender: &Scripted,
) -> (Ending, Vec<String>) {
    let _lock = directory.lock().unwrap();
    let mut events = Vec::new();
    let runner = Runner {
        config,
        directory,
        contender,
        servers: &["http://a".to_owned(), "http://b".to_owned()],
        workers: 1,
        commit: "abc",
        stop: &AtomicBool::new(false),
        display: &Display::hidden(),
    };
    let ending = runner
        .run(&mut |event| {
            events.push(match event {
                Event::Row(record) => format!(
                    "{} {} {}",
                    record.agent.name, record.experiment.name, record.seed
                ),
                Event::Experiment { summary, .. } => format!("table {}", summary.experiment.name),
            });
            Ok(())
        })
        .unwrap();
    (ending, events)
}

#[test]
fn a_run_goes_experiment_by_experiment() {
    let root = tempfile::tempdir().unwrap();
    let contender = Scripted::default();
    let (ending, events) = run(&RunDirectory::new(root.path()), &config(2), &contender);
    assert_eq!(
        events,
        [
            "ppo short 0",
            "tracerl short 0",
            "ppo short 1",
            "tracerl short 1",
            "table short",
            "ppo long 0",
            "tracerl long 0",
            "ppo long 1",
            "tracerl long 1",
            "table long"
        ]
    );
    assert_eq!((ending.records.len(), ending.remaining), (8, 0));
    assert_eq!(
        contender.servers.into_inner().unwrap()[..3],
        ["http://a", "http://b", "http://a"]
    );
}

#[test]
fn an_interrupted_run_resumes_where_it_stopped() {
    let root = tempfile::tempdir().unwrap();
    let directory = RunDirectory::new(root.path());
    let stopped = Scripted {
        behaviour: BTreeMap::from([("tracerl short 0", Behaviour::IsStopped)]),
        ..Scripted::default()
    };
    let (ending, events) = run(&directory, &config(1), &stopped);
    assert_eq!(events, ["ppo short 0"]);
    assert_eq!(ending.remaining, 3);

    let contender = Scripted::default();
    let (ending, events) = run(&directory, &config(1), &contender);
    assert_eq!(
        contender.ran.into_inner().unwrap(),
        ["tracerl short 0", "ppo long 0", "tracerl long 0"]
    );
    assert_eq!(
        events,
        [
            "ppo short 0",
            "tracerl short 0",
            "table short",
            "ppo long 0",
            "tracerl long 0",
            "table long"
        ],
        "what is shown does not depend on the interruption"
    );
    assert_eq!(ending.remaining, 0);

    let idle = Scripted::default();
    let (_, events) = run(&directory, &config(1), &idle);
    assert!(idle.ran.into_inner().unwrap().is_empty());
    assert_eq!(
        events.len(),
        6,
        "a finished run shows its tables again and runs nothing"
    );
}

#[test]
fn failures_are_rows_and_are_tried_again() {
    let root = tempfile::tempdir().unwrap();
    let directory = RunDirectory::new(root.path());
    let failing = Scripted {
        behaviour: BTreeMap::from([
            ("ppo short 0", Behaviour::Fails),
            ("tracerl short 0", Behaviour::Panics),
            ("ppo long 0", Behaviour::NoNumber),
        ]),
        ..Scripted::default()
    };
    let (ending, events) = run(&directory, &config(1), &failing);
    let reasons: Vec<_> = ending
        .records
        .iter()
        .map(|record| record.failure())
        .collect();
    assert_eq!(
        reasons,
        [
            Some("the server went away"),
            Some("the agent panicked: index out of bounds"),
            Some("the greedy evaluation gave a return that is not a number"),
            None
        ]
    );
    assert_eq!(
        events
            .iter()
            .filter(|event| event.starts_with("table"))
            .count(),
        2
    );
    assert_eq!(ending.remaining, 0);

    let contender = Scripted::default();
    let (ending, _) = run(&directory, &config(1), &contender);
    assert_eq!(
        contender.ran.into_inner().unwrap(),
        ["ppo short 0", "tracerl short 0", "ppo long 0"]
    );
    assert!(
        ending
            .records
            .iter()
            .all(|record| matches!(record.result, RowResult::Finished(_)))
    );
    assert_eq!(
        read_records(&directory.records()).unwrap().len(),
        4,
        "the later row of a job counts"
    );
}

#[test]
fn a_task_that_an_agent_cannot_play_is_a_row_before_anything_runs() {
    let root = tempfile::tempdir().unwrap();
    let directory = RunDirectory::new(root.path());
    let refusing = || Scripted {
        refused: vec!["tracerl short"],
        ..Scripted::default()
    };
    let contender = refusing();
    let (ending, events) = run(&directory, &config(1), &contender);
    assert_eq!(
        events,
        [
            "tracerl short 0",
            "ppo short 0",
            "table short",
            "ppo long 0",
            "tracerl long 0",
            "table long"
        ]
    );
    let ran = contender.ran.into_inner().unwrap();
    assert_eq!(ran, ["ppo short 0", "ppo long 0", "tracerl long 0"]);
    let refused = &ending.records[0];
    assert_eq!(refused.not_applicable(), Some("the task has no grid"));
    assert!(refused.failure().is_none() && refused.outcome().is_none());
    let resumed = refusing();
    let (ending, _) = run(&directory, &config(1), &resumed);
    assert!(resumed.ran.into_inner().unwrap().is_empty());
    assert_eq!(ending.records.len(), 4);
}

#[test]
fn a_row_can_run_some_experiments_only() {
    let root = tempfile::tempdir().unwrap();
    let mut config = config(2);
    config.plan.agents[1].experiments = vec!["long".to_owned()];
    let contender = Scripted::default();
    run(&RunDirectory::new(root.path()), &config, &contender);
    let ran = contender.ran.into_inner().unwrap();
    assert!(ran.contains(&"tracerl long 1".to_owned()));
    assert!(!ran.iter().any(|job| job.starts_with("tracerl short")));
    assert_eq!(ran.len(), 6);
}

#[test]
fn more_seeds_run_only_what_is_new() {
    let root = tempfile::tempdir().unwrap();
    let directory = RunDirectory::new(root.path());
    run(&directory, &config(1), &Scripted::default());
    let contender = Scripted::default();
    run(&directory, &config(2), &contender);
    assert!(
        contender
            .ran
            .into_inner()
            .unwrap()
            .iter()
            .all(|job| job.ends_with('1'))
    );
}

#[test]
fn results_that_cannot_be_recorded_end_the_run() {
    let root = tempfile::tempdir().unwrap();
    let directory = RunDirectory::new(root.path());
    let _lock = directory.lock().unwrap();
    let contender = Scripted {
        behaviour: BTreeMap::from([("tracerl short 0", Behaviour::WaitsForStop)]),
        ..Scripted::default()
    };
    let runner = Runner {
        config: &config(1),
        directory: &directory,
        contender: &contender,
        servers: &["http://a".to_owned()],
        workers: 1,
        commit: "abc",
        stop: &AtomicBool::new(false),
        display: &Display::hidden(),
    };
    let full = || benchmark::Error::Encode {
        what: "a test",
        reason: "the disk is full".to_owned(),
    };
    let error = runner.run(&mut |_| Err(full())).unwrap_err();
    assert_eq!(error.to_string(), full().to_string());
    let ran = contender.ran.into_inner().unwrap();
    assert_eq!(
        ran,
        ["ppo short 0", "tracerl short 0"],
        "the rest of the queue is left"
    );
}
