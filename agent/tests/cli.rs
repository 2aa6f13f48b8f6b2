//! Tests of the program as a person uses it, with the server that it starts itself.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use agent::run::lock::FolderLock;
use agent::views::monitor::read_metrics;
use serde_json::Value;

fn command(args: &str, folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
    command.args(args.split_whitespace()).current_dir(folder);
    command
}

fn agent(args: &str, folder: &Path) -> Output {
    command(args, folder).output().unwrap()
}

/// Runs the program, which must succeed, and returns its standard output.
fn succeed(args: &str, folder: &Path) -> String {
    let output = agent(args, folder);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "agent {args}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

fn json(args: &str, folder: &Path) -> Value {
    serde_json::from_str(&succeed(&format!("{args} --json --no-progress"), folder)).unwrap()
}

/// Runs the program, which must fail with a line on standard error that contains all of `parts`.
fn fail(args: &str, folder: &Path, code: i32, parts: &[&str]) {
    let output = agent(args, folder);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "agent {args}: {said}");
    let first = said.lines().find(|line| line.starts_with("error: "));
    let first = first.unwrap_or_else(|| panic!("agent {args}: {said}"));
    for part in parts {
        assert!(first.contains(part), "agent {args}: {said}");
    }
}

/// Waits until a run has measured an update. Its first checkpoint exists by then.
fn await_training(child: &mut Child, run: &Path) {
    let is_measured = || std::fs::metadata(run.join("metrics.jsonl")).is_ok_and(|it| it.len() > 0);
    while !is_measured() {
        assert_eq!(child.try_wait().unwrap(), None, "ended early");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

#[test]
fn train_evaluate_inspect_and_find_nothing_left_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let trained = json(
        "train --algorithm tracerl --env-arg delay=4 --env-arg difficulty=1 --total-timesteps 14000 --out run",
        folder,
    );
    assert_eq!(
        (&trained["agent"], &trained["mode"]),
        (&"tracerl".into(), &"HARD".into())
    );
    assert_eq!(trained["ending"], "early-stop");
    assert!(trained["training_return"].as_f64() > Some(0.95));
    assert_eq!(trained["solved_threshold"], 0.95);
    assert!(trained["solved_at"].as_u64() <= trained["trained_steps"].as_u64());

    let judged = json("evaluate --checkpoint run --episodes 200", folder);
    assert_eq!(judged["trained_steps"], trained["trained_steps"]);
    assert!(judged["mean_return"].as_f64() >= Some(0.99), "{judged}");
    assert!(
        judged["scrambled_return"].as_f64() >= Some(0.99),
        "{judged}"
    );
    assert!(judged["emptied_return"].as_f64() < Some(0.5), "{judged}");
    // Returns are ±1, so the standard error over 200 episodes is at most 1/√200.
    let error = judged["emptied_standard_error"].as_f64();
    assert!(error > Some(0.05) && error < Some(0.08), "{judged}");
    let longer = json(
        "evaluate --checkpoint run/best.safetensors --env-arg delay=64 --mode emptied --episodes 10",
        folder,
    );
    assert_eq!(
        (&longer["delay"], &longer["mean_return"]),
        (&64.into(), &Value::Null)
    );
    let table = succeed("evaluate --checkpoint run --mode greedy,sampled", folder);
    assert!(
        table.contains("TraceRL, seed 0") && table.contains("sampled") && table.contains("± 95 %"),
        "{table}"
    );
    for line in table.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }

    let shown = succeed(
        "inspect --checkpoint run --episode-seed 3 --out pictures",
        folder,
    );
    assert!(shown.contains("written at step 0, the cue"), "{shown}");
    let picture = |name: &str| std::fs::read(folder.join("pictures").join(name)).unwrap();
    assert!(picture("episode-3.svg").starts_with(b"<svg"));
    assert!(picture("episode-3.png").starts_with(b"\x89PNG"));
    let probed = succeed("inspect --checkpoint run --probe", folder);
    assert!(probed.contains("Nothing fails"), "{probed}");
    for line in probed.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert_run_is_finished(folder);
}

/// Checks that the finished run in `run` can neither be trained further nor changed nor
/// overwritten.
fn assert_run_is_finished(folder: &Path) {
    let again = succeed("train --resume run", folder);
    assert!(again.contains("had ended before"), "{again}");
    assert!(
        again.contains("the last 100 episodes had a mean return of at least 0.95"),
        "{again}"
    );
    assert!(again.contains("agent evaluate --checkpoint run"), "{again}");
    fail(
        "train --resume run --gamma 0.5",
        folder,
        1,
        &["gamma is 0.99 there, 0.5 here"],
    );
    fail(
        "train --resume run --total-timesteps 100",
        folder,
        1,
        &["total_timesteps is 14000 there, 100 here"],
    );
    fail(
        "train --resume run --out other",
        folder,
        1,
        &["own folder", "--out"],
    );
    fail(
        "train --algorithm ppo --out run",
        folder,
        1,
        &["not empty", "--resume"],
    );
}

/// Slots that hold the latest 16 entries, in an agent that knows how to use them, lose a cue that is 31 steps old.
#[test]
fn a_probe_names_the_part_that_fails() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    json(
        "train --algorithm tracerl --retention-rule fifo --env-arg delay=16 --env-arg difficulty=1 --env-draw delay=4..16 \
         --no-early-stop --total-timesteps 12000 --out run",
        folder,
    );
    let probe = "inspect --checkpoint run --probe --env-arg delay=32 --json";
    let probed: Value = serde_json::from_str(&succeed(probe, folder)).unwrap();
    assert_eq!(probed["fails"], serde_json::json!(["keeping"]), "{probed}");
    let verdict = probed["verdict"].as_str().unwrap();
    let expected = "keeping fails: the needed entry is gone in 100 % of cases";
    assert!(verdict.starts_with(expected), "{verdict}");
    let [as_it_is, keep, read, both] = [0, 1, 2, 3].map(|run| {
        let run = &probed["probes"][run];
        (
            run["mean_return"].as_f64().unwrap(),
            run["kept"].as_f64().unwrap(),
        )
    });
    assert!(as_it_is.0 < 0.5, "{probed}");
    assert!(keep.0 > 0.9 && both.0 > 0.9, "{probed}");
    // There is nothing to read, and so nothing changes.
    assert_eq!(read, as_it_is);
    assert_eq!((as_it_is.1, keep.1, both.1), (0.0, 1.0, 1.0));
    assert_eq!(probed["written"], 1.0);
    let band = &probed["entries"][0];
    assert_eq!(
        (&band["needed"], &band["found"]),
        (&100.into(), &Value::Null)
    );

    let refusals = [
        (
            "inspect --checkpoint run --probe --env-arg delay_min=2",
            "Leave delay_min out",
        ),
        (
            "inspect --checkpoint run --probe --env-arg delay=1",
            "a player without memory does as well as any",
        ),
    ];
    for (args, reason) in refusals {
        fail(args, folder, 1, &[reason]);
    }
}

#[test]
fn a_probe_needs_slots_and_a_task_that_tells_what_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let train = "train --total-timesteps 400 --num-envs 8 --num-minibatches 1 --algorithm";
    let runs = [
        ("gru", "only tracerl has slots"),
        ("tracerl --memory-scope both", "memory_scope = episode"),
        ("tracerl --memory-compression 2", "memory_compression = 0"),
        (
            "tracerl --env BsuiteMemoryLen-v0",
            "BsuiteMemoryLen-v0 cannot be probed",
        ),
    ];
    for (number, (algorithm, reason)) in runs.into_iter().enumerate() {
        json(&format!("{train} {algorithm} --out {number}"), folder);
        let probe = format!("inspect --checkpoint {number} --probe");
        fail(&probe, folder, 1, &[reason]);
    }
    for args in ["--json", "--episodes 7"] {
        let args = format!("inspect --checkpoint 0 {args}");
        fail(&args, folder, 2, &["required arguments"]);
    }
}

#[test]
fn the_same_configuration_gives_the_same_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let flags =
        "--algorithm recurrent-ppo --env-draw delay=2..6 --total-timesteps 3000 --num-envs 8";
    json(&format!("train {flags} --out one"), folder);
    json("train --config one/config.toml --out other", folder);
    for file in ["config.toml", "checkpoint.safetensors"] {
        let bytes = |run: &str| std::fs::read(folder.join(run).join(file)).unwrap();
        assert_eq!(bytes("one"), bytes("other"), "{file}");
    }
    // A run without --out gets a folder with a name of its own.
    json("train --config one/config.toml --seed 7", folder);
    let runs: Vec<_> = std::fs::read_dir(folder.join("runs")).unwrap().collect();
    let name = runs[0].as_ref().unwrap().file_name();
    let name = name.to_string_lossy();
    assert!(name.starts_with("recurrent-ppo-MemoryTask-v0-7-"), "{name}");
}

#[test]
fn every_algorithm_can_be_trained_evaluated_and_inspected() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for algorithm in agent::algorithms::ALGORITHMS {
        let id = algorithm.id;
        let settings = (algorithm.defaults)().to_map();
        let minibatches = match settings.contains_key("num_minibatches") {
            true => "--num-minibatches 1",
            false => "",
        };
        let train =
            format!("train --algorithm {id} --total-timesteps 400 --num-envs 8 {minibatches}");
        // A planner on rasters cannot play the default task, and says so.
        let plans = id == "mvprop";
        let (env, task) = match plans {
            true => ("GridMaze-v0", "--env GridMaze-v0 --env-arg size=4"),
            false => ("MemoryTask-v0", ""),
        };
        if plans {
            let refused = format!("{train} --out {id}-refused");
            fail(&refused, folder, 1, &["cannot play this task", "GridMaze"]);
            assert!(!folder.join(format!("{id}-refused")).exists());
        }
        json(&format!("{train} {task} --out {id}"), folder);
        let judged = json(&format!("evaluate --checkpoint {id} --episodes 4"), folder);
        assert_eq!(
            (&judged["agent"], &judged["env"]),
            (&id.into(), &env.into())
        );
        assert_eq!(judged["scrambled_return"].is_number(), !plans, "{judged}");
        let shown = succeed(&format!("inspect --checkpoint {id}"), folder);
        let title = format!("{} on {env}", algorithm.title);
        assert!(shown.starts_with(&title), "{shown}");
        assert!(folder.join(id).join("episode-0.png").exists());
        let export = format!("export --checkpoint {id} --onnx {id}.onnx");
        if id == "tracerl-notebook" {
            fail(&export, folder, 1, &["cannot be exported", "whole episode"]);
        } else if !algorithm.learns() {
            fail(
                &export,
                folder,
                1,
                &[id, "does not learn", "agent evaluate"],
            );
        } else {
            // A memory may have no form there, and says why.
            let output = agent(&export, folder);
            let said = String::from_utf8_lossy(&output.stderr);
            let exported = output.status.success();
            assert!(exported || said.contains("cannot be exported"), "{said}");
            assert_eq!(folder.join(format!("{id}.onnx")).exists(), exported);
        }
    }
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_ends_with_the_files_of_one_never_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let train = "train --algorithm tracerl --env-arg delay=8 --no-early-stop --total-timesteps 80000 \
                 --checkpoint-interval 9000 --no-progress";
    succeed(&format!("{train} --out whole"), folder);

    let mut child = command(&format!("{train} --out parts"), folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    await_training(&mut child, &folder.join("parts"));
    let kill = format!("kill -INT {}", child.id());
    assert!(
        Command::new("sh")
            .args(["-c", &kill])
            .status()
            .unwrap()
            .success()
    );
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("agent train --resume parts"), "{said}");

    succeed(
        "train --resume parts --checkpoint-interval 9000 --no-progress",
        folder,
    );
    for file in ["config.toml", "checkpoint.safetensors", "best.safetensors"] {
        let bytes = |run: &str| std::fs::read(folder.join(run).join(file)).unwrap();
        assert!(bytes("whole") == bytes("parts"), "{file} differs");
    }
    let metrics = |run: &str| -> Vec<_> {
        read_metrics(&folder.join(run).join("metrics.jsonl"))
            .unwrap()
            .into_iter()
            .map(|line| (line.timesteps, line.metrics))
            .collect()
    };
    assert_eq!(metrics("whole"), metrics("parts"));

    let more = "train --resume parts --total-timesteps 82000 --json --no-progress";
    let longer: Value = serde_json::from_str(&succeed(more, folder)).unwrap();
    assert!(longer["trained_steps"].as_u64() > Some(81_000), "{longer}");
}

#[test]
fn recorded_episodes_are_learned_from_and_known_again() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let record = "record --env-arg delay=4 --episodes 300";
    let recorded = json(&format!("{record} --out data/chance-v0"), folder);
    assert_eq!(recorded["player"], "random");
    assert_eq!(
        (&recorded["episodes"], &recorded["steps"]),
        (&300.into(), &1_200.into())
    );
    let taken = format!("{record} --out data/chance-v0");
    fail(&taken, folder, 1, &["data/chance-v0 exists"]);
    let other = "train --algorithm dt --dataset data/chance-v0 --env RepeatFirst-v0 --out other";
    fail(
        other,
        folder,
        1,
        &["metadata.json: observation_space", "there", "here"],
    );
    assert!(!folder.join("other").exists());

    let train = "train --algorithm dt --dataset data/chance-v0 --env-arg delay=4 --train-every 64 --no-progress";
    succeed(
        &format!("{train} --total-timesteps 40000 --out whole"),
        folder,
    );
    for (target, earned) in [("1", 1.0), ("-1", -1.0)] {
        let asked = format!("evaluate --checkpoint whole --mode greedy --target-return={target}");
        assert_eq!(json(&asked, folder)["mean_return"], earned);
    }
    assert!(!folder.join("whole/best.safetensors").exists());

    let mut child = command(
        &format!("{train} --total-timesteps 40000 --out parts"),
        folder,
    )
    .stdout(Stdio::null())
    .stderr(Stdio::null())
    .spawn()
    .unwrap();
    await_training(&mut child, &folder.join("parts"));
    child.kill().unwrap();
    child.wait().unwrap();
    let data = folder.join("data/chance-v0");
    std::fs::rename(&data, folder.join("data/kept")).unwrap();
    succeed(&format!("{record} --seed 1 --out data/chance-v0"), folder);
    let resume = "train --resume parts --no-progress";
    fail(resume, folder, 1, &["begun with other episodes"]);
    std::fs::remove_dir_all(&data).unwrap();
    std::fs::rename(folder.join("data/kept"), &data).unwrap();
    succeed(resume, folder);
    let bytes = |run: &str| std::fs::read(folder.join(run).join("checkpoint.safetensors")).unwrap();
    assert!(bytes("whole") == bytes("parts"));
}

#[test]
fn agents_and_the_oracle_are_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let best = json(
        "record --oracle --env-arg delay=3 --episodes 70 --out best",
        folder,
    );
    assert_eq!(
        (&best["mean_return"], &best["player"]),
        (&1.0.into(), &"oracle".into())
    );
    succeed(
        "train --algorithm dt --env-arg delay=3 --total-timesteps 640 --no-progress --out run",
        folder,
    );
    let agent = "record --checkpoint run --mode greedy --target-return -1 --env-arg delay=5 --episodes 3 --out own";
    let own = json(agent, folder);
    assert_eq!(
        (&own["env_args"]["delay"], &own["steps"]),
        (&5.into(), &15.into())
    );
    fail(
        "record --checkpoint run --oracle --out both",
        folder,
        2,
        &["cannot be used with"],
    );
}

/// Half a folder would be taken for a dataset.
#[cfg(unix)]
#[test]
fn a_recording_that_is_stopped_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = command(
        "record --env-arg delay=1000000 --episodes 64 --out data",
        folder.path(),
    )
    .stderr(Stdio::piped())
    .stdout(Stdio::null())
    .spawn()
    .unwrap();
    std::thread::sleep(std::time::Duration::from_secs(1));
    let kill = format!("kill -INT {}", child.id());
    assert!(
        Command::new("sh")
            .args(["-c", &kill])
            .status()
            .unwrap()
            .success()
    );
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// In this task random actions earn 1.02 of at most 1.1: more than the threshold of other tasks,
/// and a score of 0 in this one.
#[test]
fn solved_is_on_the_scale_of_the_task_and_its_arguments() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let chain = "--env BsuiteDiscountingChain-v0 --env-arg mapping_seed=3 --total-timesteps 16384";
    let trained = json(
        &format!("train --algorithm random {chain} --out chain"),
        folder,
    );
    assert!(
        trained["training_return"].as_f64() > Some(0.95),
        "{trained}"
    );
    assert_eq!(trained["solved_threshold"], 1.096);
    assert_eq!(trained["solved_at"], Value::Null);
    let again = succeed("train --resume chain", folder);
    assert!(
        again.contains("Not solved: that takes a mean return of at least 1.096"),
        "{again}"
    );
    // The best return in so few steps is not known.
    let limited = "--env-arg delay=4 --env-arg max_episode_steps=3 --total-timesteps 4096";
    let said = succeed(
        &format!("train --algorithm ppo {limited} --out limited"),
        folder,
    );
    assert!(
        said.contains("Nothing says from which return this task counts as solved"),
        "{said}"
    );
}

/// An agent without memory that observes its previous action can carry the cue by repeating itself.
/// It scores, until the actions before the judged one are replaced by random ones. Without the
/// previous action it stays at chance.
#[test]
fn a_previous_action_carries_the_cue_until_it_is_scrambled() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let returns = |flags: &str, out: &str| {
        let train = "train --algorithm ppo --env-arg delay=16 --env-arg difficulty=1 --env-draw delay=2..16 \
                     --whole-episodes --num-steps 16 --total-timesteps 200000 --seed 2";
        json(&format!("{train} {flags} --out {out}"), folder);
        let judge = "evaluate --mode greedy,scrambled --episodes 1000";
        let judged = json(&format!("{judge} --checkpoint {out}"), folder);
        ["mean_return", "scrambled_return"].map(|mode| judged[mode].as_f64().unwrap())
    };
    let [greedy, scrambled] = returns("--previous-action", "shown");
    assert!(greedy >= 0.99, "{greedy}");
    assert!(scrambled.abs() <= 0.1, "{scrambled}");
    let [greedy, scrambled] = returns("", "not-shown");
    assert!(
        greedy.abs() <= 0.1 && scrambled.abs() <= 0.1,
        "{greedy}, {scrambled}"
    );
}

#[test]
fn a_folder_has_one_process_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut child = command(
        "train --algorithm ppo --no-early-stop --total-timesteps 4e9 --checkpoint-interval 5000 --no-progress --out run",
        folder,
    )
    .stdout(Stdio::null())
    .stderr(Stdio::null())
    .spawn()
    .unwrap();
    await_training(&mut child, &folder.join("run"));
    let busy = ["another process is at work in run"];
    fail("train --resume run", folder, 1, &busy);
    fail("train --algorithm ppo --out run", folder, 1, &["not empty"]);
    // A killed process cannot release its lock, so the system does.
    child.kill().unwrap();
    child.wait().unwrap();
    let lock = FolderLock::take(&folder.join("run")).unwrap();
    fail("train --resume run", folder, 1, &busy);
    drop(lock);

    // A folder that contains only a lock is free when the lock is.
    let lock = FolderLock::take(&folder.join("new")).unwrap();
    let train = "train --algorithm ppo --total-timesteps 3000 --no-progress --out new";
    fail(train, folder, 1, &["another process is at work in new"]);
    drop(lock);
    succeed(train, folder);
}

#[test]
fn wrong_training_flags_are_explained_in_a_line_and_leave_nothing_behind() {
    assert_refused(&[
        ("train", 1, &["which algorithm", "tracerl"]),
        (
            "train --algorithm trace",
            1,
            &["no algorithm `trace`", "tracerl"],
        ),
        ("list trace", 1, &["no algorithm `trace`", "tracerl"]),
        ("train --algorithm ppo --gamma 2", 1, &["gamma", "0 to 1"]),
        ("train --algorithm ppo --gamma -1", 1, &["gamma", "0 to 1"]),
        ("train --algorithm ppo --total-timesteps many", 2, &["2e6"]),
        (
            "train --algorithm tracerl --memory-scope lifetime --memory-score-coef 0.5",
            1,
            &["memory_score_coef = 0.5 would do nothing", "both"],
        ),
        (
            "train --algorithm ppo --max-entries 4",
            1,
            &["max_entries", "agent list ppo"],
        ),
        (
            "train --algorithm ppo --total-timesteps 9",
            1,
            &["not one step"],
        ),
        (
            "train --algorithm ppo --env-arg delya=3",
            1,
            &["delya", "delay"],
        ),
        (
            "train --algorithm ppo --env-arg delay=0",
            1,
            &["delay", "1 to 10000000"],
        ),
        ("train --algorithm ppo --env-arg delay", 2, &["NAME=VALUE"]),
        (
            "train --algorithm ppo --env Chess-v0",
            1,
            &["Chess-v0", "MemoryTask-v0"],
        ),
        (
            "train --algorithm ppo --env-draw delay=4..2",
            2,
            &["LOW <= HIGH"],
        ),
        (
            "train --algorithm ppo --env-draw delay=2..4",
            1,
            &["--whole-episodes"],
        ),
        (
            "train --algorithm ppo --dataset data",
            1,
            &["ppo learns from what it plays", "dt"],
        ),
        (
            "train --algorithm odt --dataset data",
            1,
            &["odt learns from what it plays", "dt"],
        ),
        (
            "train --algorithm dt --dataset data",
            1,
            &["data is no dataset", "agent record"],
        ),
    ]);
}

#[test]
fn other_wrong_flags_are_explained_in_a_line_and_leave_nothing_behind() {
    assert_refused(&[
        (
            "train --algorithm ppo --server localhost:1",
            2,
            &["http://localhost:1"],
        ),
        (
            "train --algorithm ppo --server http://127.0.0.1:1 --give-up-after-s 0",
            1,
            &[
                "no answer from http://127.0.0.1:1/",
                "Is the server running?",
            ],
        ),
        ("train --config missing.toml", 1, &["missing.toml"]),
        ("train --resume", 1, &["--resume DIR"]),
        ("train --resume nowhere", 1, &["no checkpoint nowhere"]),
        (
            "evaluate --checkpoint nowhere",
            1,
            &["no checkpoint nowhere", "agent train"],
        ),
        (
            "evaluate --checkpoint .",
            1,
            &["no checkpoint.safetensors in ."],
        ),
        (
            "evaluate --checkpoint . --mode lucky",
            2,
            &["greedy", "all"],
        ),
        ("play --episodes 0", 2, &["1.."]),
        (
            "play --env MineSweper",
            1,
            &["did you mean \"MineSweeper-v0\"?"],
        ),
        ("play --env-arg dealy=3", 1, &["did you mean \"delay\"?"]),
        (
            "train --algorithm recurrent_ppo",
            1,
            &["did you mean \"recurrent-ppo\"?"],
        ),
        (
            "inspect --checkpoint nowhere",
            1,
            &["no checkpoint nowhere"],
        ),
    ]);
}

/// Checks that commands, given with exit code and parts of the message, fail and write no files.
fn assert_refused(commands: &[(&str, i32, &[&str])]) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for &(args, code, parts) in commands {
        fail(args, folder, code, parts);
    }
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0);
}

#[test]
fn a_failed_start_leaves_the_folder_free() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // This error appears only at the first reset. The folder stays free.
    for _ in 0..2 {
        fail(
            "train --algorithm tracerl --env-draw length=2..4 --out run",
            folder,
            1,
            &["length: unknown; there are delay"],
        );
    }
    std::fs::write(folder.join("run/notes.txt"), "mine").unwrap();
    fail("train --algorithm ppo --out run", folder, 1, &["not empty"]);
}

#[test]
fn wrong_files_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("wrong.toml"), "algorithm = 'ppo'\nlr = 1\n").unwrap();
    fail(
        "train --config wrong.toml",
        folder,
        1,
        &["wrong.toml", "line 2"],
    );
    json(
        "train --algorithm tracerl --memory-scope lifetime --total-timesteps 300 --num-envs 8 --out lifetime",
        folder,
    );
    let resolved = std::fs::read_to_string(folder.join("lifetime/config.toml")).unwrap();
    assert!(resolved.contains("memory_score_coef = 0.0\n"), "{resolved}");
    fail(
        "evaluate --checkpoint lifetime --episodes 1000000",
        folder,
        1,
        &["1000000 episodes are too many", "16384"],
    );
    std::fs::write(folder.join("notes.safetensors"), "shopping list").unwrap();
    fail(
        "evaluate --checkpoint notes.safetensors",
        folder,
        1,
        &["not a checkpoint"],
    );
}

#[test]
fn a_person_plays() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = command("play --env-arg delay=1 --episodes 2", folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"0\n7\n1\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{shown}");
    assert!(shown.contains("`7` is not an action"), "{shown}");
    assert!(shown.contains("2 played to the end"), "{shown}");
    // The person reads the task's instructions and sees a picture without the hidden state.
    assert!(shown.contains("To remember: "), "{shown}");
    assert!(shown.contains("actions left"), "{shown}");
    assert!(shown.contains("[ ] the agent sees now"), "{shown}");
}
