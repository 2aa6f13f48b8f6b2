//! A folder with a plan, in which tests run the program.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// Time limit of a run: far longer than any takes.
const LONGEST_RUN: Duration = Duration::from_secs(600);

/// A folder with a plan, to run the program in.
pub struct Workplace {
    root: TempDir,
}

impl Workplace {
    pub fn new(plan: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("plan.toml"), plan).unwrap();
        Self { root }
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_benchmark"));
        command
            .args(arguments)
            .current_dir(self.root.path())
            .env_remove("STRATEGIC_MEMORY_TOKEN")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(arguments).spawn().unwrap()
    }

    /// Runs the program to its end. A run that hangs is killed, and then has no exit code.
    pub fn run(&self, arguments: &[&str]) -> Finished {
        let child = self.spawn(arguments);
        let pid = child.id().to_string();
        let (ended, has_ended) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                if has_ended.recv_timeout(LONGEST_RUN) == Err(mpsc::RecvTimeoutError::Timeout) {
                    let _ = Command::new("kill").args(["-KILL", &pid]).status();
                }
            });
            let finished = Finished::of(child.wait_with_output().unwrap());
            drop(ended);
            finished
        })
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    pub fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.path(path)).unwrap()
    }

    pub fn records(&self, run: &str) -> Vec<Value> {
        rows(&self.read(&format!("runs/{run}/records.jsonl")))
    }
}

pub struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

pub fn rows(lines: &str) -> Vec<Value> {
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Sends the signal of Ctrl-C.
pub fn interrupt(child: &Child) {
    signal(child, "INT");
}

pub fn signal(child: &Child, name: &str) {
    let kill = Command::new("kill")
        .args(["-s", name, &child.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
}
