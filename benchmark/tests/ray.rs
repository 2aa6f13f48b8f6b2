//! Jobs on a Ray cluster (`--pool ray`): what is refused before a run has a directory, and equal
//! results, also when workers, the relay or the caller are lost.
#![cfg(target_os = "linux")]

#[path = "../../env-server/workers/tests/support/children.rs"]
mod children;
#[path = "../../env-server/workers/tests/support/ray.rs"]
mod cluster;
#[path = "workplace/processes.rs"]
mod processes;
#[path = "workplace/results.rs"]
mod results;
mod workplace;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command};

use children::{children, kill};
use cluster::{is_worker, python, turn, with_ray, workers};
use processes::{PLAN, checkpoint, sorted_results, wait_for_checkpoint};
use workplace::{Finished, Workplace, interrupt};

const RUN: [&str; 4] = ["--experiments", "plan.toml", "--pool", "ray"];

/// The program with a Ray of its own.
fn command(place: &Workplace, python: &Path, arguments: &[&str]) -> Command {
    let mut command = place.command(arguments);
    with_ray(&mut command, python);
    command
}

fn run(place: &Workplace, python: &Path, arguments: &[&str]) -> Finished {
    Finished::of(command(place, python, arguments).output().unwrap())
}

fn spawn(place: &Workplace, python: &Path, name: &str) -> Child {
    let arguments = [&RUN[..], &["--name", name]].concat();
    command(place, python, &arguments).spawn().unwrap()
}

/// Runs the plan in one process, whose results all others must have.
fn alone(place: &Workplace) {
    let alone = place.run(&[
        "--experiments",
        "plan.toml",
        "--jobs",
        "1",
        "--name",
        "alone",
    ]);
    assert_eq!(alone.code, Some(0), "{}", alone.stderr);
}

fn assert_equal_to_alone(place: &Workplace, run: &str) {
    assert_eq!(sorted_results(place, run), sorted_results(place, "alone"));
    assert_eq!(checkpoint(place, run), checkpoint(place, "alone"));
}

#[test]
fn what_is_missing_is_said_before_a_run_has_a_directory() {
    let place = Workplace::new(PLAN);
    let script = |name: &str, text: &str| {
        let path = place.path(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        path
    };
    // Pythons without the relay, and with a relay that ends at once.
    let bare = script("bare", "exit 3");
    let broken = script("broken", "[ \"$1\" = -c ] || exit 7");
    for (python, said) in [
        (
            Path::new("/nowhere/python3"),
            "export STRATEGIC_MEMORY_PYTHON=",
        ),
        (&bare, "-m pip install clients/cluster"),
        (&broken, "the relay ended with exit status: 7"),
    ] {
        let refused = run(&place, python, &RUN);
        assert_eq!(refused.code, Some(1), "{}", refused.stdout);
        assert!(refused.stderr.contains(said), "{}", refused.stderr);
        assert_eq!(refused.stderr.lines().count(), 1, "{}", refused.stderr);
    }
    for other in [
        &["--jobs", "2"][..],
        &["--workers", "2"],
        &["--server", "http://127.0.0.1:1"],
    ] {
        let refused = place.run(&[&RUN[..], other].concat());
        assert_eq!(refused.code, Some(2), "{}", refused.stdout);
        let stderr = refused.stderr;
        assert!(stderr.contains("cannot be used with"), "{stderr}");
    }
    for alone in [&["--insecure"][..], &["--pool-wait-s", "5"]] {
        let refused = place.run(&[&["--experiments", "plan.toml"], alone].concat());
        assert_eq!(refused.code, Some(2), "{}", refused.stdout);
        assert!(refused.stderr.contains("--pool"), "{}", refused.stderr);
    }
    assert!(!place.path("runs").exists());
}

#[test]
fn a_cluster_that_is_not_there_is_said_before_a_run_has_a_directory() {
    let Some(python) = python() else { return };
    let place = Workplace::new(PLAN);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let mut nowhere = command(&place, &python, &RUN);
    let refused = Finished::of(nowhere.env("RAY_ADDRESS", &address).output().unwrap());
    assert_eq!(refused.code, Some(1), "{}", refused.stdout);
    let said = format!("there is no cluster at RAY_ADDRESS={address}");
    assert!(refused.stderr.contains(&said), "{}", refused.stderr);
    assert!(!place.path("runs").exists());
}

#[test]
fn a_cluster_has_the_results_of_one_process_also_when_a_worker_is_killed() {
    let Some(python) = python() else { return };
    let _turn = turn();
    let place = Workplace::new(PLAN);
    alone(&place);
    let whole = run(&place, &python, &[&RUN[..], &["--name", "whole"]].concat());
    assert_eq!(whole.code, Some(0), "{}", whole.stderr);
    assert_equal_to_alone(&place, "whole");

    let hurt = spawn(&place, &python, "hurt");
    wait_for_checkpoint(&place, "hurt");
    let found = workers(hurt.id());
    assert!(!found.is_empty());
    found.into_iter().for_each(kill);
    let hurt = Finished::of(hurt.wait_with_output().unwrap());
    assert_eq!(hurt.code, Some(0), "{}", hurt.stderr);
    let lost =
        "recurrent-ppo delay-8-hard seed 0: lost its worker (the worker ended with signal: 9";
    assert!(hurt.stderr.contains(lost), "{}", hurt.stderr);
    assert_equal_to_alone(&place, "hurt");
}

#[test]
fn a_run_without_its_relay_or_interrupted_is_resumed() {
    let Some(python) = python() else { return };
    let _turn = turn();
    let place = Workplace::new(PLAN);
    alone(&place);
    for (name, code) in [("severed", 1), ("stopped", 130)] {
        let ended = spawn(&place, &python, name);
        wait_for_checkpoint(&place, name);
        let found = workers(ended.id());
        if code == 1 {
            children(ended.id()).into_iter().for_each(kill);
        } else {
            interrupt(&ended);
        }
        let ended = Finished::of(ended.wait_with_output().unwrap());
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
        assert!(ended.stderr.contains("resume with"), "{}", ended.stderr);
        let lost = "error: the relay to the cluster is lost: the relay ended with signal: 9";
        assert_eq!(ended.stderr.contains(lost), code == 1, "{}", ended.stderr);
        assert!(place.records(name).len() < 2, "no rows for lost jobs");
        let directory = format!("runs/{name}");
        let resumed = run(&place, &python, &["resume", &directory, "--pool", "ray"]);
        assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
        assert_equal_to_alone(&place, name);
        let lives = |id: &u32| is_worker(*id);
        assert!(!found.iter().any(lives), "workers of a lost relay end");
    }
}
