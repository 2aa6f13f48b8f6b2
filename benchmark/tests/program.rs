//! The program itself on tasks of seconds: real agents, a real server, real signals.

mod workplace;

use std::path::Path;
use std::time::{Duration, Instant};

use workplace::{Finished, Workplace, interrupt, rows};

/// Two agents that learn, and one that cannot be.
const SMALL: &str = r#"
    [[agents]]
    name = "ppo"
    algorithm = "ppo"
    overrides = { num_envs = 8, num_steps = 16 }
    [[agents]]
    name = "tracerl"
    algorithm = "tracerl"
    [[agents]]
    name = "unheard-of"
    algorithm = "unheard-of"
    optional = true
    [[experiments]]
    name = "delay-2-hard"
    env = "MemoryTask-v0"
    total_timesteps = 1_500
    env_args = { delay = 2, difficulty = 1 }
    evaluation = { episodes = 40, delays = [3], delay_episodes = 20 }
"#;

/// One agent for some seconds.
const LONG: &str = r#"
    [[agents]]
    name = "recurrent-ppo"
    algorithm = "recurrent-ppo"
    overrides = { early_stop = false }
    [[experiments]]
    name = "delay-8-hard"
    env = "MemoryTask-v0"
    total_timesteps = 60_000
    env_args = { delay = 8, difficulty = 1 }
    evaluation = { episodes = 40 }
"#;

#[test]
fn a_run_leaves_a_table_records_and_a_report() {
    let place = Workplace::new(SMALL);
    let run = place.run(&[
        "--experiments",
        "plan.toml",
        "--name",
        "small",
        "--jobs",
        "2",
    ]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stdout.contains("╭") && run.stdout.contains("Mean Ep Rew"));
    for agent in ["ppo", "tracerl"] {
        assert!(run.stdout.contains(agent), "{}", run.stdout);
    }
    let report = place.read("runs/small/report.html");
    assert!(report.contains("delay 2 HARD") && report.contains("Retention heat map"));

    let records = place.records("small");
    assert_eq!(records.len(), 2);
    for record in &records {
        let outcome = &record["result"];
        let steps = outcome["trained_steps"].as_u64().unwrap();
        assert!((1..=1_500).contains(&steps), "{steps}");
        let judged: Vec<_> = outcome["evaluations"]
            .as_array()
            .unwrap()
            .iter()
            .map(|judged| (judged["delay"].as_u64(), judged["mode"].as_str().unwrap()))
            .collect();
        let expected = [
            (Some(2), "greedy"),
            (Some(2), "sampled"),
            (Some(2), "scrambled"),
            (Some(2), "emptied"),
            (Some(3), "greedy"),
            (Some(3), "scrambled"),
        ];
        assert_eq!(judged, expected);
    }

    let again = place.run(&["report", "runs/small"]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert_eq!(place.read("runs/small/report.html"), report);
}

#[test]
fn an_agent_that_cannot_be_is_a_row() {
    let place = Workplace::new(SMALL);
    let agents = ["--agents", "unheard-of,ppo", "--json", "--name", "mixed"];
    let run = place.run(&[&["--experiments", "plan.toml"], &agents[..]].concat());
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    let mut rows = rows(&run.stdout);
    rows.sort_by_key(|row| row["agent"].to_string());
    let [ppo, unheard_of] = rows.as_slice() else {
        panic!("two rows were expected: {}", run.stdout)
    };
    assert!(ppo["mean_return"].as_f64().unwrap().abs() <= 1.0);
    assert_eq!(ppo["episodes"], 40);
    let reason = unheard_of["error"].as_str().unwrap();
    assert!(
        reason.starts_with("there is no algorithm `unheard-of`"),
        "{reason}"
    );
}

#[test]
fn an_interrupted_run_ends_as_one_that_was_not() {
    let place = Workplace::new(LONG);
    let arguments = ["--experiments", "plan.toml", "--name"];
    let whole = place.run(&[&arguments[..], &["whole"]].concat());
    assert_eq!(whole.code, Some(0), "{}", whole.stderr);

    let child = place.spawn(&[&arguments[..], &["parts"]].concat());
    wait_for_training(&place.path("runs/parts/checkpoints"));
    let again = [&arguments[..], &["parts"]].concat();
    for second in [&again[..], &["resume", "runs/parts"]] {
        let second = place.run(second);
        assert_eq!(second.code, Some(1), "{}", second.stderr);
        let busy = "another process is at work in runs/parts";
        assert!(second.stderr.contains(busy), "{}", second.stderr);
    }
    interrupt(&child);
    let stopped = Finished::of(child.wait_with_output().unwrap());
    assert_eq!(stopped.code, Some(130), "{}", stopped.stderr);
    let advice = "go on with: cargo run --release -p benchmark -- resume runs/parts";
    assert!(stopped.stderr.contains(advice), "{}", stopped.stderr);
    assert!(place.records("parts").is_empty());

    let resumed = place.run(&["resume", "runs/parts"]);
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
    let outcome = |run| {
        let mut outcome = place.records(run)[0]["result"].clone();
        for clock in ["steps_per_s", "train_duration_s"] {
            assert!(outcome.as_object_mut().unwrap().remove(clock).is_some());
        }
        outcome
    };
    assert_eq!(outcome("parts"), outcome("whole"));
}

/// Until the first update has been measured.
fn wait_for_training(checkpoints: &Path) {
    let begin = Instant::now();
    let measured = || {
        let job = std::fs::read_dir(checkpoints).ok()?.next()?.ok()?;
        let metrics = std::fs::metadata(job.path().join("metrics.jsonl")).ok()?;
        (metrics.len() > 0).then_some(())
    };
    while measured().is_none() {
        assert!(
            begin.elapsed() < Duration::from_secs(60),
            "nothing is trained"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_is_wrong_with_the_arguments_is_told_before_anything_is_run() {
    let place = Workplace::new(SMALL);
    let cases: [(&[&str], i32, &str); 8] = [
        (
            &["--agents", "dreamer"],
            1,
            "no agent is called \"dreamer\"",
        ),
        (
            &["--experiments", "missing.toml"],
            1,
            "cannot read missing.toml",
        ),
        (
            &["--suite", "classic", "--experiments", "plan.toml"],
            2,
            "cannot be used with '--experiments",
        ),
        (&["--name", "../elsewhere"], 2, "a name has no `/`"),
        (&["--seeds", "0"], 2, "invalid value '0' for '--seeds"),
        (
            &["resume", "runs/none"],
            1,
            "this is not the directory of a run",
        ),
        (
            &["--server", "http://127.0.0.1:1"],
            1,
            "no answer from http://127.0.0.1:1/",
        ),
        (
            &["--server", "localhost:7878"],
            2,
            "a server is named by its URL: http://localhost:7878",
        ),
    ];
    for (arguments, code, message) in cases {
        let run = place.run(arguments);
        assert_eq!(run.code, Some(code), "{arguments:?}: {}", run.stderr);
        assert!(
            run.stderr.contains(message),
            "{arguments:?}: {}",
            run.stderr
        );
        assert!(run.stdout.is_empty());
        assert!(!place.path("runs").exists(), "{arguments:?}");
    }
}
