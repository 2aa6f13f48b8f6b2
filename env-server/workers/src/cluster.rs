//! Workers on the machines of a Ray cluster, through the relay of `clients/cluster`: finds the Python that
//! has the relay, and starts it.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use crate::relay::{RelayError, RelayPool};

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

/// Conditions for a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Seconds to wait for a free CPU.
    pub wait_s: u64,
    /// Whether a cluster that anybody may use is accepted.
    pub insecure: bool,
    /// Class that the CPUs of all machines must have. `None`: other classes are a warning.
    pub cpu: Option<String>,
}

/// The reason why there is no pool, with the line that fixes it.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The Python cannot be run.
    #[error(
        "cannot run {} ({error}), which carries calls to a cluster; name another Python: \
         export {PYTHON}=/path/to/python3",
        python.display()
    )]
    NoPython {
        /// The Python.
        python: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// The Python lacks the relay, or what it needs.
    #[error(
        "{} has no {MODULE} with Ray, which carries calls to a cluster; \
         install it, in a checkout of this project: {} -m pip install clients/cluster",
        python.display(),
        python.display()
    )]
    NoModule {
        /// The Python.
        python: PathBuf,
    },
    /// The Python does not do as a Python does.
    #[error(
        "{} ended with {status}; name another Python: export {PYTHON}=/path/to/python3",
        python.display()
    )]
    BadPython {
        /// The Python.
        python: PathBuf,
        /// How it ended.
        status: ExitStatus,
    },
    /// The relay ended, or it is another program.
    #[error(
        "the relay cannot be used ({reason}); what it says: {} -m {MODULE} check",
        python.display()
    )]
    Unusable {
        /// The Python.
        python: PathBuf,
        /// The defect.
        reason: String,
    },
    /// The relay cannot be started, or has refused the cluster.
    #[error(transparent)]
    Relay(RelayError),
}

/// Starts the relay, which connects to the cluster and looks at its machines. Its workers run the program in
/// this file, of this SHA-256, with the argument `worker`. `warn` is called for what people should know.
///
/// # Errors
/// See [`ClusterError`].
pub fn pool(
    program: &Path,
    sha256: &str,
    terms: &Terms,
    warn: impl Fn(&str) + Send + 'static,
) -> Result<RelayPool, ClusterError> {
    let python = python(
        std::env::var_os(PYTHON),
        std::env::var_os("VIRTUAL_ENV").as_deref().map(Path::new),
    );
    check(&python)?;
    let command = command(&python, program, terms);
    RelayPool::start(command, sha256, warn).map_err(|error| match error {
        RelayError::Unusable(reason) => ClusterError::Unusable { python, reason },
        error => ClusterError::Relay(error),
    })
}

/// The command that starts the relay.
fn command(python: &Path, program: &Path, terms: &Terms) -> Command {
    let mut command = Command::new(python);
    command
        .args(["-m", MODULE, "relay", "--program"])
        .arg(program)
        .args(["--pool-wait-s", &terms.wait_s.to_string()]);
    if let Some(cpu) = &terms.cpu {
        command.args(["--cpu", cpu]);
    }
    if terms.insecure {
        command.arg("--insecure");
    }
    command
}

/// Checks that a Python can be run and has the relay with what it needs.
fn check(python: &Path) -> Result<(), ClusterError> {
    let ended = Command::new(python)
        .args(["-c", LOOK])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    let python = python.to_owned();
    match ended {
        Err(error) => Err(ClusterError::NoPython { python, error }),
        Ok(status) if status.code() == Some(NO_MODULE) => Err(ClusterError::NoModule { python }),
        Ok(status) if !status.success() => Err(ClusterError::BadPython { python, status }),
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

    #[test]
    fn the_relay_is_told_the_terms() {
        let told = |cpu: Option<&str>, insecure| {
            let terms = Terms {
                wait_s: 7,
                insecure,
                cpu: cpu.map(str::to_owned),
            };
            let command = command(Path::new("python3"), Path::new("/bin/agent"), &terms);
            let words = command.get_args().map(|word| word.to_string_lossy());
            words.collect::<Vec<_>>().join(" ")
        };
        let first = "-m strategic_memory_cluster relay --program /bin/agent --pool-wait-s 7";
        assert_eq!(told(None, false), first);
        assert_eq!(
            told(Some("x86_64+avx2"), true),
            format!("{first} --cpu x86_64+avx2 --insecure")
        );
    }
}
