//! A Python with Ray, for tests of programs that start the relay, and the workers that it starts.
//!
//! The tests use a Ray of their own on this machine, and the relay of this repository. They need a Python
//! with Ray, which STRATEGIC_MEMORY_PYTHON names; without it they say that they were skipped.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::children::children;

pub const PYTHON: &str = "STRATEGIC_MEMORY_PYTHON";
/// A Ray takes all processors; two at once would only wait for each other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The Python with Ray. Says so if there is none.
pub fn python() -> Option<PathBuf> {
    let python = std::env::var_os(PYTHON).map(PathBuf::from);
    let has_ray = |python: &PathBuf| {
        let imported = Command::new(python)
            .args(["-c", "import ray, msgpack"])
            .output();
        imported.is_ok_and(|ended| ended.status.success())
    };
    let found = python.filter(has_ray);
    if found.is_none() {
        eprintln!(
            "SKIPPED: {PYTHON} names no Python with Ray; to have one: \
             python3 -m venv .venv-ray && .venv-ray/bin/pip install 'ray==2.60.*' && \
             export {PYTHON}=$PWD/.venv-ray/bin/python"
        );
    }
    found
}

/// Waits until no other test of this program uses Ray.
pub fn turn() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives a program this Python, with the relay of this repository and a Ray of its own.
pub fn with_ray<'a>(command: &'a mut Command, python: &Path) -> &'a mut Command {
    let relay = Path::new(env!("CARGO_MANIFEST_DIR")).join("../clients/cluster/src");
    command
        .env(PYTHON, python)
        .env("PYTHONPATH", relay)
        .env("RAY_ADDRESS", "local")
}

/// The workers of a program: they descend from it, by the relay and Ray.
pub fn workers(of: u32) -> Vec<u32> {
    let below = children(of);
    let mut found: Vec<u32> = below.iter().copied().filter(|id| is_worker(*id)).collect();
    found.extend(below.into_iter().flat_map(workers));
    found
}

/// Whether a process is a worker, by its command.
pub fn is_worker(id: u32) -> bool {
    let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).nth(1) == Some(b"worker")
}
