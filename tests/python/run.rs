//! Runs the programs of this folder, for tests of several crates. A test includes this file by its path.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Environment variable with the path of a Python that has the packages.
const PYTHON: &str = "STRATEGIC_MEMORY_PYTHON";

/// Runs a program of this folder with arguments and an input; returns what it prints. `packages` are those that it needs, as
/// `pip install` takes them.
///
/// # Panics
/// Where the program cannot be run or fails; the message says how to install the packages.
pub fn run<A: AsRef<OsStr>>(script: &str, packages: &str, args: &[A], input: &[u8]) -> Vec<u8> {
    let how_to_install = format!(
        "python3 -m venv .venv && .venv/bin/pip install {packages} && export {PYTHON}=$PWD/.venv/bin/python"
    );
    let python = std::env::var_os(PYTHON)
        .unwrap_or_else(|| panic!("{PYTHON} is not set; to set it: {how_to_install}"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/python")
        .join(script);
    let child = Command::new(&python)
        .arg(script)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.unwrap_or_else(|error| {
        panic!("cannot run {}: {error}; {how_to_install}", python.display())
    });
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(input).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}\nIf a module is missing: {how_to_install}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}
