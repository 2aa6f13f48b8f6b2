//! Tests of signals that end a run, and of the files it leaves behind.
#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use agent::run::checkpoint::Checkpoint;
use agent::views::monitor::read_metrics;

/// A run with more steps than any test waits for.
const LONG: &str = "--algorithm recurrent-ppo --env-arg delay=4 --no-early-stop --no-progress --total-timesteps 4e9 --out run";

/// The agent, with a hangup that ends it even where these tests were started by `nohup`, which ignores it.
fn agent(words: &str, folder: &Path) -> Command {
    let mut command = Command::new("env");
    command
        .args(["--default-signal=HUP", env!("CARGO_BIN_EXE_agent")])
        .args(words.split_whitespace())
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// A running process, killed when the test ends or fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn start(mut command: Command) -> Self {
        Self(command.spawn().unwrap())
    }

    fn signal(&self, signal: &str) {
        let id = self.0.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &id]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits until more than `updates` updates have been measured; returns their number.
    fn await_updates(&mut self, folder: &Path, updates: usize) -> usize {
        let metrics = folder.join("run/metrics.jsonl");
        loop {
            let measured = if metrics.exists() {
                read_metrics(&metrics).unwrap().len()
            } else {
                0
            };
            if measured > updates {
                return measured;
            }
            assert_eq!(self.0.try_wait().unwrap(), None, "it has ended");
            sleep(Duration::from_millis(2));
        }
    }

    fn code(&mut self) -> Option<i32> {
        self.0.wait().unwrap().code()
    }
}

fn kept_steps(folder: &Path) -> u64 {
    let checkpoint = Checkpoint::load(&folder.join("run/checkpoint.safetensors")).unwrap();
    checkpoint.run.statistics.timesteps
}

#[test]
fn every_signal_to_stop_saves_the_progress() {
    for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let mut running = Running::start(agent(&format!("train {LONG}"), folder));
        running.await_updates(folder, 0);
        running.signal(signal);
        assert_eq!(running.code(), Some(code), "{signal}");
        assert!(kept_steps(folder) > 0, "{signal}");
    }
}

/// The signals arrive during a rollout and update of many seconds, when only the initial checkpoint
/// exists.
#[test]
fn a_second_interrupt_ends_the_run_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let words = format!("train {LONG} --env-arg delay=16384 --num-steps 16384 --num-envs 64");
    let mut running = Running::start(agent(&words, folder));
    while !folder.join("run/checkpoint.safetensors").exists() {
        assert_eq!(running.0.try_wait().unwrap(), None, "it has ended");
        sleep(Duration::from_millis(2));
    }
    // Signals that arrive before the first one is handled count as one, so send until it ends.
    while running.0.try_wait().unwrap().is_none() {
        running.signal("INT");
        sleep(Duration::from_millis(50));
    }
    assert_eq!(running.code(), Some(130));
    assert_eq!(kept_steps(folder), 0);
}

/// `nohup` starts a program in this way. A run that did not ignore the hangup would exit with 129.
#[test]
fn a_hangup_that_is_ignored_stays_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut shell = Command::new("sh");
    let train = format!("trap '' HUP; exec \"$0\" train {LONG}");
    shell
        .args(["-c", &train, env!("CARGO_BIN_EXE_agent")])
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut running = Running::start(shell);
    let before = running.await_updates(folder, 0);
    running.signal("HUP");
    running.await_updates(folder, before + 2);
    running.signal("TERM");
    assert_eq!(running.code(), Some(143));
}

/// The run is killed as soon as a checkpoint exists, which is before the first step.
#[test]
fn a_run_killed_at_its_start_and_resumed_ends_with_the_same_files() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let train = "train --algorithm tracerl --env-arg delay=4 --no-early-stop --no-progress --total-timesteps 12000";
    let whole = agent(&format!("{train} --out whole"), folder).status();
    assert!(whole.unwrap().success());
    let mut running = Running::start(agent(&format!("{train} --out run"), folder));
    while !folder.join("run/checkpoint.safetensors").exists() {
        assert_eq!(running.0.try_wait().unwrap(), None, "it has ended");
        sleep(Duration::from_millis(1));
    }
    running.signal("KILL");
    running.code();
    let resumed = agent("train --resume run --no-progress", folder).status();
    assert!(resumed.unwrap().success());
    for file in ["checkpoint.safetensors", "config.toml"] {
        let bytes = |run: &str| fs::read(folder.join(run).join(file)).unwrap();
        assert!(bytes("run") == bytes("whole"), "{file} differs");
    }
}

#[test]
fn the_clock_of_a_killed_run_is_that_of_its_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let words = format!("train {LONG} --checkpoint-interval 1");
    let mut running = Running::start(agent(&words, folder));
    running.await_updates(folder, 3);
    running.signal("KILL");
    running.code();
    let steps = kept_steps(folder);
    let run = fs::read_to_string(folder.join("run/run.json")).unwrap();
    let run: serde_json::Value = serde_json::from_str(&run).unwrap();
    let clock = run["clock"].as_array().unwrap();
    assert!(clock.iter().any(|mark| mark["timesteps"] == steps), "{run}");

    // A clock that does not match the checkpoint's steps is ignored.
    let other = r#"{"clock":[{"timesteps":1,"elapsed_s":0.001}],"ending":null}"#;
    fs::write(folder.join("run/run.json"), other).unwrap();
    let mut resumed = agent("train --resume run --no-progress --json", folder);
    resumed.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut resumed = Running::start(resumed);
    let metrics = read_metrics(&folder.join("run/metrics.jsonl")).unwrap();
    resumed.await_updates(folder, metrics.len());
    resumed.signal("INT");
    let output = std::mem::replace(&mut resumed.0, Command::new("true").spawn().unwrap());
    let output = output.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains(&format!(
            "the clock of this run's first {steps} steps is lost"
        )),
        "{said}"
    );
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let trained = told["trained_steps"].as_u64().unwrap();
    assert_eq!(told["timed_steps"], trained - steps);
}
