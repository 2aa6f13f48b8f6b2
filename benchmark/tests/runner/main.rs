//! Whole runs with a contender of known results: resuming, stopping, failing, shards, and the files
//! that remain.

mod scripted;
mod shards;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use benchmark::records::directory::RunDirectory;
use benchmark::records::{RowResult, read_records};
use benchmark::run::progress::Display;
use benchmark::run::runner::Runner;

use scripted::{Behaviour, Scripted, config, run};

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
