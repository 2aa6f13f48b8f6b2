//! The program itself on tasks of seconds: real agents, a real server, real signals.

#[path = "workplace/results.rs"]
mod results;
mod workplace;

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use results::results;
use workplace::{Finished, Workplace, interrupt, rows};

/// A plan with two learning agents, and a row whose algorithm does not exist.
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

/// A plan with one agent that trains for some seconds.
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
fn an_unknown_algorithm_is_a_failed_row() {
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
fn an_interrupted_run_has_the_same_result_in_the_end() {
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
    let advice = "resume with: benchmark resume runs/parts";
    assert!(stopped.stderr.contains(advice), "{}", stopped.stderr);
    assert!(place.records("parts").is_empty());

    let resumed = place.run(&["resume", "runs/parts"]);
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
    let outcome = |run| results(&place, run)[0]["result"].clone();
    assert_eq!(outcome("parts"), outcome("whole"));
}

/// Waits until the first update has been measured.
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
fn invalid_arguments_are_refused_before_anything_runs() {
    let place = Workplace::new(SMALL);
    let cases: [(&[&str], i32, &str); 11] = [
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
        (&["--shard", "1/2"], 2, "--name <NAME>"),
        (
            &["--shard", "3/2", "--name", "x"],
            2,
            "a shard is given as I/N, such as 3/8",
        ),
        (
            &["merge", "runs/none", "--into", "runs/x"],
            1,
            "cannot merge runs/none: this is not the directory of a run",
        ),
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
            "a server is given by its URL: http://localhost:7878",
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

/// A plan with one agent that does not learn, on a very short task.
const TINY: &str = r#"
    [[agents]]
    name = "random"
    algorithm = "random"
    [[experiments]]
    name = "delay-2"
    env = "MemoryTask-v0"
    total_timesteps = 512
    env_args = { delay = 2 }
    evaluation = { episodes = 4 }
    [[experiments]]
    name = "delay-3"
    env = "MemoryTask-v0"
    total_timesteps = 512
    env_args = { delay = 3 }
    evaluation = { episodes = 4 }
"#;

#[test]
fn shards_are_merged_into_the_whole() {
    let place = Workplace::new(TINY);
    let run = |more: &[&str]| {
        let arguments = [&["--experiments", "plan.toml", "--name"], more].concat();
        place.run(&arguments)
    };
    // One after the other, so that the records are in the plan's order.
    assert_eq!(run(&["whole", "--jobs", "1"]).code, Some(0));
    for shard in ["1/3", "2/3", "3/3"] {
        let part = run(&["x", "--shard", shard]);
        assert_eq!(part.code, Some(0), "{}", part.stderr);
        let is_empty = part
            .stderr
            .contains("shard 3/3 is empty; number of jobs in the plan: 2");
        assert_eq!(is_empty, shard == "3/3", "{}", part.stderr);
    }
    let config = place.read("runs/x-2-of-3/config.toml");
    assert!(config.contains("shard = \"2/3\""), "{config}");
    let experiment = |record: &serde_json::Value| record["experiment"]["name"].clone();
    let second: Vec<_> = place.records("x-2-of-3").iter().map(experiment).collect();
    assert_eq!(second, ["delay-3"]);

    // A shard that is resumed stays a shard.
    std::fs::remove_file(place.path("runs/x-2-of-3/records.jsonl")).unwrap();
    let resumed = place.run(&["resume", "runs/x-2-of-3"]);
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
    let second: Vec<_> = place.records("x-2-of-3").iter().map(experiment).collect();
    assert_eq!(second, ["delay-3"]);
    let other = run(&["x-1-of-3"]);
    assert_eq!(other.code, Some(1));
    let refused = "runs/x-1-of-3 is a run of shard 1/3, and this command asks for all jobs";
    assert!(other.stderr.contains(refused), "{}", other.stderr);

    let parts = ["runs/x-1-of-3", "runs/x-2-of-3", "runs/x-3-of-3"];
    let merge = || place.run(&[&["merge"], &parts[..], &["--into", "runs/x"]].concat());
    let merged = merge();
    assert_eq!(merged.code, Some(0), "{}", merged.stderr);
    assert!(
        merged.stdout.contains("runs/x: 2 of 2 jobs have a row"),
        "{}",
        merged.stdout
    );
    assert_eq!(merged.stderr, "");
    assert_eq!(results(&place, "x"), results(&place, "whole"));

    let changed = place.read("runs/x-2-of-3/records.jsonl");
    let changed = changed.replace("\"trained_steps\":512", "\"trained_steps\":511");
    std::fs::write(place.path("runs/x-2-of-3/records.jsonl"), changed).unwrap();
    let merged = merge();
    let warning = "warning: the results of random delay-3 seed 0 in runs/x and in runs/x-2-of-3 \
                   differ in trained_steps; runs/x's is kept.";
    assert!(merged.stderr.contains(warning), "{}", merged.stderr);
    assert_eq!(merged.code, Some(0));
    assert_eq!(results(&place, "x"), results(&place, "whole"));
}

fn status(place: &Workplace, arguments: &[&str], stdout: impl Into<Stdio>) -> Finished {
    let mut command = place.command(arguments);
    let output = command.stdout(stdout).stderr(Stdio::piped()).output();
    Finished::of(output.unwrap())
}

#[test]
fn a_closed_pipe_ends_the_printing_and_not_the_run() {
    let place = Workplace::new(TINY);
    for (name, more) in [("table", ""), ("rows", "--json")] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let arguments = ["--experiments", "plan.toml", "--name", name, more];
        let arguments = arguments.iter().filter(|word| !word.is_empty());
        let run = status(&place, &arguments.copied().collect::<Vec<_>>(), writer);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert_eq!(place.records(name).len(), 2);
        assert!(place.path(&format!("runs/{name}/report.html")).exists());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn rows_that_cannot_be_printed_are_recorded_and_reported() {
    let place = Workplace::new(TINY);
    let full = std::fs::File::options().write(true).open("/dev/full");
    let arguments = ["--experiments", "plan.toml", "--name", "full", "--json"];
    let run = status(&place, &arguments, full.unwrap());
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(
        run.stderr.contains("some results could not be printed"),
        "{}",
        run.stderr
    );
    assert_eq!(place.records("full").len(), 2);
}

#[test]
fn runs_without_a_name_never_share_a_directory() {
    let place = Workplace::new(TINY);
    let begun: Vec<_> = (0..3)
        .map(|_| place.spawn(&["--experiments", "plan.toml"]))
        .collect();
    for child in begun {
        let run = Finished::of(child.wait_with_output().unwrap());
        assert_eq!(run.code, Some(0), "{}", run.stderr);
    }
    let runs = std::fs::read_dir(place.path("runs")).unwrap();
    let runs: Vec<_> = runs.map(|run| run.unwrap().path()).collect();
    assert_eq!(runs.len(), 3);
    for run in runs {
        let name = run.file_name().unwrap().to_str().unwrap();
        assert_eq!(place.records(name).len(), 2);
        let config = place.read(&format!("runs/{name}/config.toml"));
        assert!(config.contains(&format!("name = \"{name}\"")), "{config}");
    }
}

#[test]
fn the_server_of_a_run_is_never_asked_through_a_proxy() {
    let place = Workplace::new(TINY);
    let mut command = place.command(&["--experiments", "plan.toml", "--name", "proxy"]);
    for variable in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        command.env(variable, "http://127.0.0.1:9");
    }
    command.env_remove("NO_PROXY").env_remove("no_proxy");
    let run = Finished::of(command.output().unwrap());
    assert_eq!(run.code, Some(0), "{}", run.stderr);
}

#[test]
fn a_token_is_sent_and_not_stored() {
    const TOKEN: &str = "a-token-of-the-tests";
    let place = Workplace::new(TINY);
    std::fs::write(
        place.path("tokens.toml"),
        format!("[me]\ntoken = \"{TOKEN}\"\n"),
    )
    .unwrap();
    std::fs::write(place.path("token"), format!("{TOKEN}\n")).unwrap();
    let access = env_server::Access::from_file(&place.path("tokens.toml")).unwrap();
    let server = benchmark::run::embedded::EmbeddedServer::with(env_server::ServerConfig {
        service: env_server::ServiceConfig {
            access: Some(std::sync::Arc::new(access)),
            ..env_server::ServiceConfig::default()
        },
        ..env_server::ServerConfig::default()
    });
    let server = server.unwrap();
    let arguments = [
        "--experiments",
        "plan.toml",
        "--server",
        server.url(),
        "--name",
    ];

    let refused = place.run(&[&arguments[..], &["refused"]].concat());
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    for way in ["--token-file", "STRATEGIC_MEMORY_TOKEN"] {
        assert!(refused.stderr.contains(way), "{}", refused.stderr);
    }
    assert!(!place.path("runs").exists());

    let by_file = place.run(&[&arguments[..], &["file", "--token-file", "token"]].concat());
    assert_eq!(by_file.code, Some(0), "{}", by_file.stderr);
    let mut by_variable = place.command(&[&arguments[..], &["variable"]].concat());
    let output = by_variable.env("STRATEGIC_MEMORY_TOKEN", TOKEN).output();
    let by_variable = Finished::of(output.unwrap());
    assert_eq!(by_variable.code, Some(0), "{}", by_variable.stderr);
    for run in ["file", "variable"] {
        for file in ["config.toml", "records.jsonl", "report.html"] {
            assert!(!place.read(&format!("runs/{run}/{file}")).contains(TOKEN));
        }
    }
}

#[cfg(unix)]
#[test]
fn a_hangup_ends_a_run_unless_it_is_ignored() {
    for (trap, code) in [("", 129), ("trap '' HUP; ", 143)] {
        let place = Workplace::new(LONG);
        let run = "exec \"$0\" --experiments plan.toml --name parts";
        let mut child = std::process::Command::new("sh")
            .args(["-c", &format!("{trap}{run}")])
            .arg(env!("CARGO_BIN_EXE_benchmark"))
            .current_dir(place.path(""))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_for_training(&place.path("runs/parts/checkpoints"));
        workplace::signal(&child, "HUP");
        if code != 129 {
            workplace::signal(&child, "TERM");
        }
        assert_eq!(child.wait().unwrap().code(), Some(code));
    }
}

/// The folder's name is Latin-1.
#[cfg(target_os = "linux")]
#[test]
fn paths_need_not_be_utf_8() {
    use std::os::unix::ffi::OsStrExt as _;
    let place = Workplace::new(TINY);
    let out = std::ffi::OsStr::from_bytes(b"caf\xe9");
    let mut command = place.command(&["--experiments", "plan.toml", "--name", "x", "--out"]);
    let run = Finished::of(command.arg(out).output().unwrap());
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let config = std::fs::read_to_string(place.path("").join(out).join("x/config.toml")).unwrap();
    assert!(
        config.contains(r"--out $'caf\351'") || config.contains(r"--out $'caf\\351'"),
        "{config}"
    );
}
