//! Workers on the machines of a Ray cluster, through the relay of `clients/cluster`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use workers::{RelayError, RelayPool};

use super::worker;
use crate::run::progress::tell;

/// Variable with the Python that has the relay.
const PYTHON: &str = "STRATEGIC_MEMORY_PYTHON";
/// The relay's module.
const MODULE: &str = "strategic_memory_cluster";
/// Ends with [`NO_MODULE`] in a Python without the relay, or without what it needs.
const LOOK: &str = "import importlib.util as u, sys; \
    names = ('strategic_memory_cluster', 'ray', 'msgpack'); \
    sys.exit(0 if all(u.find_spec(name) for name in names) else 3)";
/// Exit status of a Python without the modules.
const NO_MODULE: i32 = 3;

/// Conditions for the cluster of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Seconds to wait for a free CPU.
    pub wait_s: u64,
    /// Whether a cluster that anybody may use is accepted.
    pub insecure: bool,
}

/// Starts the relay, which connects to the cluster and looks at its machines. Tells its warnings.
///
/// # Errors
/// With one sentence that says what is missing, and the line that fixes it.
pub fn pool(terms: Terms) -> anyhow::Result<RelayPool> {
    let python = python(
        std::env::var_os(PYTHON),
        std::env::var_os("VIRTUAL_ENV").as_deref().map(Path::new),
    );
    check(&python)?;
    let hello = worker::hello().context("cannot read this program")?;
    let mut command = Command::new(&python);
    command
        .args(["-m", MODULE, "relay", "--program"])
        .arg(own_file())
        .args(["--pool-wait-s", &terms.wait_s.to_string()]);
    if terms.insecure {
        command.arg("--insecure");
    }
    let warn = |text: &str| tell(&format!("warning: {text}"));
    match RelayPool::start(command, &hello.program, warn) {
        Ok(pool) => Ok(pool),
        Err(RelayError::Unusable(reason)) => bail!(
            "the relay cannot be used ({reason}); what it says: {} -m {MODULE} check",
            python.display()
        ),
        Err(error) => Err(error.into()),
    }
}

/// Checks that a Python can be run and has the relay with what it needs.
fn check(python: &Path) -> anyhow::Result<()> {
    let ended = Command::new(python)
        .args(["-c", LOOK])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    let python = python.display();
    match ended {
        Err(error) => bail!(
            "cannot run {python} ({error}), which carries jobs to a cluster; \
             name another Python: export {PYTHON}=/path/to/python3"
        ),
        Ok(status) if status.code() == Some(NO_MODULE) => bail!(
            "{python} has no {MODULE} with Ray, which carries jobs to a cluster; \
             install it: {python} -m pip install strategic-memory-cluster"
        ),
        Ok(status) if !status.success() => bail!(
            "{python} ended with {status}; name another Python: export {PYTHON}=/path/to/python3"
        ),
        Ok(_) => Ok(()),
    }
}

/// Returns the Python to use: named by the variable, else of the active virtual environment, else
/// `python3`.
fn python(named: Option<OsString>, environment: Option<&Path>) -> PathBuf {
    let named = named.filter(|named| !named.is_empty()).map(PathBuf::from);
    let active = || environment.map(|folder| folder.join("bin/python"));
    named.or_else(active).unwrap_or_else(|| "python3".into())
}

/// The file of this program, as other processes see it. On Linux, replacing the file does not change
/// it.
fn own_file() -> PathBuf {
    if cfg!(target_os = "linux") {
        return format!("/proc/{}/exe", std::process::id()).into();
    }
    std::env::current_exe().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_comes_before_the_environment_before_the_path() {
        let environment = Some(Path::new("/venv"));
        let found = |named: Option<&str>, environment| {
            python(named.map(OsString::from), environment)
                .display()
                .to_string()
        };
        assert_eq!(found(Some("/own/python"), environment), "/own/python");
        assert_eq!(found(None, environment), "/venv/bin/python");
        assert_eq!(found(Some(""), None), "python3");
    }

    #[test]
    fn a_missing_python_and_a_missing_module_are_said_with_the_line_that_fixes_them() {
        let missing = check(Path::new("/nowhere/python3"))
            .unwrap_err()
            .to_string();
        assert!(
            missing.contains("export STRATEGIC_MEMORY_PYTHON="),
            "{missing}"
        );
        let other = check(Path::new("/bin/false")).unwrap_err().to_string();
        assert!(other.contains("exit status: 1"), "{other}");
    }
}
