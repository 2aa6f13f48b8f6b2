//! Jobs in processes of their own (`--workers`): equal results, also when workers or the caller are
//! lost.
#![cfg(target_os = "linux")]

#[path = "../../env-server/workers/tests/support/children.rs"]
mod children;
#[path = "workplace/processes.rs"]
mod processes;
#[path = "workplace/results.rs"]
mod results;
mod workplace;

use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use children::{children, kill};
use processes::{PLAN, checkpoint, sorted_results, wait_for_checkpoint};
use workers::frame::{self, Frame};
use workplace::{Finished, Workplace, interrupt};

const RUN: [&str; 4] = ["--experiments", "plan.toml", "--workers", "2"];

#[test]
fn workers_have_the_results_of_one_process() {
    let place = Workplace::new(PLAN);
    let alone = [
        "--experiments",
        "plan.toml",
        "--jobs",
        "1",
        "--name",
        "alone",
    ];
    let alone = place.run(&alone);
    assert_eq!(alone.code, Some(0), "{}", alone.stderr);
    let together = place.run(&[&RUN[..], &["--name", "together"]].concat());
    assert_eq!(together.code, Some(0), "{}", together.stderr);
    assert_eq!(
        sorted_results(&place, "together"),
        sorted_results(&place, "alone")
    );
    assert_eq!(checkpoint(&place, "together"), checkpoint(&place, "alone"));
    let plan = place.read("runs/together/config.toml");
    assert!(plan.contains("--workers 2"), "{plan}");
}

#[test]
fn a_killed_worker_costs_no_more_than_the_time_since_its_checkpoint() {
    let place = Workplace::new(PLAN);
    let whole = place.run(&[&RUN[..], &["--name", "whole"]].concat());
    assert_eq!(whole.code, Some(0), "{}", whole.stderr);
    let run = place.spawn(&[&RUN[..], &["--name", "hurt"]].concat());
    wait_for_checkpoint(&place, "hurt");
    // The oracle's worker may be idle.
    let workers = children(run.id());
    assert!((1..=2).contains(&workers.len()), "{workers:?}");
    workers.into_iter().for_each(kill);
    let hurt = Finished::of(run.wait_with_output().unwrap());
    assert_eq!(hurt.code, Some(0), "{}", hurt.stderr);
    let lost =
        "recurrent-ppo delay-8-hard seed 0: lost its worker (the worker ended with signal: 9";
    assert!(hurt.stderr.contains(lost), "{}", hurt.stderr);
    assert_eq!(
        sorted_results(&place, "hurt"),
        sorted_results(&place, "whole")
    );
    assert_eq!(checkpoint(&place, "hurt"), checkpoint(&place, "whole"));
}

#[test]
fn an_interrupted_run_keeps_its_checkpoints_and_resumes_with_or_without_workers() {
    let place = Workplace::new(PLAN);
    let whole = place.run(&[&RUN[..], &["--name", "whole"]].concat());
    assert_eq!(whole.code, Some(0), "{}", whole.stderr);
    for (name, resume) in [("one", &[][..]), ("two", &["--workers", "1"])] {
        let run = place.spawn(&[&RUN[..], &["--name", name]].concat());
        wait_for_checkpoint(&place, name);
        let workers = children(run.id());
        interrupt(&run);
        let stopped = Finished::of(run.wait_with_output().unwrap());
        assert_eq!(stopped.code, Some(130), "{}", stopped.stderr);
        assert!(stopped.stderr.contains("resume with"), "{}", stopped.stderr);
        for worker in workers {
            assert!(!std::path::Path::new(&format!("/proc/{worker}")).exists());
        }
        let directory = format!("runs/{name}");
        let resumed = place.run(&[&["resume", &directory], resume].concat());
        assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
        assert_eq!(
            sorted_results(&place, name),
            sorted_results(&place, "whole")
        );
        assert_eq!(checkpoint(&place, name), checkpoint(&place, "whole"));
    }
}

#[test]
fn workers_end_when_their_caller_is_killed() {
    let place = Workplace::new(PLAN);
    let mut run = place.spawn(&[&RUN[..], &["--name", "orphans"]].concat());
    wait_for_checkpoint(&place, "orphans");
    let workers = children(run.id());
    let scratch = |pid: &u32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
        let mut variables = environment.split(|byte| *byte == 0);
        let found = variables.find_map(|variable| variable.strip_prefix(b"TMPDIR="));
        std::path::PathBuf::from(String::from_utf8(found.unwrap().to_vec()).unwrap())
    };
    let folders: Vec<_> = workers.iter().map(scratch).collect();
    assert!(folders.iter().all(|folder| folder.exists()));
    run.kill().unwrap();
    run.wait().unwrap();
    let began = Instant::now();
    let lives = |pid: &u32| {
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        !state.is_empty() && !state.contains(") Z")
    };
    while workers.iter().any(lives) {
        assert!(began.elapsed() < Duration::from_secs(20), "{workers:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(!folders.iter().any(|folder| folder.exists()), "{folders:?}");
}

#[test]
fn a_worker_says_hello_refuses_what_is_no_frame_and_ends_with_its_input() {
    let place = Workplace::new(PLAN);
    let talk = |input: &[u8]| {
        let mut worker = place.command(&["worker"]);
        let mut worker = worker.stdin(Stdio::piped()).spawn().unwrap();
        // It may have ended before it has read everything.
        let _ = worker.stdin.take().unwrap().write_all(input);
        let output = worker.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        let mut frames = output.stdout.as_slice();
        let first = frame::read(&mut frames).unwrap();
        assert!(matches!(first, Some(Frame::Hello(_))), "{first:?}");
        (
            output.status.code(),
            stderr,
            frame::read(&mut frames).unwrap(),
        )
    };
    assert_eq!(talk(b""), (Some(0), String::new(), None));
    let (code, stderr, _) = talk(b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("calls cannot be read or answered: a frame of"),
        "{stderr}"
    );
}

#[test]
fn a_failed_job_leaves_its_folder_too() {
    let place = Workplace::new(
        r#"
        [[agents]]
        name = "recurrent-ppo"
        algorithm = "recurrent-ppo"
        [[experiments]]
        name = "delay-2-hard"
        env = "MemoryTask-v0"
        total_timesteps = 1_024
        env_args = { delay = 2, difficulty = 1 }
        evaluation = { episodes = 4, delays = [999_999_999_999], delay_episodes = 2 }
    "#,
    );
    for (name, processes) in [("threads", "--jobs"), ("workers", "--workers")] {
        let plan = ["--experiments", "plan.toml", "--name", name, processes, "1"];
        let failed = place.run(&plan);
        assert_eq!(failed.code, Some(1), "{}", failed.stderr);
        let reason = place.records(name)[0]["result"]["reason"].clone();
        assert!(reason.as_str().unwrap().contains("delay"), "{reason}");
    }
    let reason = |run: &str| place.records(run)[0]["result"]["reason"].clone();
    assert_eq!(reason("workers"), reason("threads"));
    assert_eq!(checkpoint(&place, "workers"), checkpoint(&place, "threads"));
}

#[test]
fn workers_exclude_threads_and_servers() {
    let place = Workplace::new(PLAN);
    for other in [&["--jobs", "2"][..], &["--server", "http://127.0.0.1:1"]] {
        let refused = place.run(&[&RUN[..], other].concat());
        assert_eq!(refused.code, Some(2), "{}", refused.stdout);
        assert!(
            refused.stderr.contains("cannot be used with"),
            "{}",
            refused.stderr
        );
    }
    assert!(!place.path("runs").exists());
}
