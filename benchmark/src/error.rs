//! Errors of the benchmark itself, as opposed to failures of agents.

use std::path::PathBuf;

use agent::run::lock::LockError;

/// An error of the benchmark, with its place and what to do about it.
///
/// An agent that fails does not cause one: it gets a row with the reason (see
/// [`crate::records::RowResult`]).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read.
    #[error("cannot read {path}: {reason}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        reason: std::io::Error,
    },
    /// A file or directory could not be written.
    #[error("cannot write {path}: {reason}")]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        reason: std::io::Error,
    },
    /// A run's directory could not be reserved for this process.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A plan or configuration is not valid TOML, or has an unknown or missing key.
    #[error("{path} is not a valid plan: {reason}")]
    PlanSyntax {
        /// The file, or the committed path of a compiled-in plan.
        path: PathBuf,
        /// The parser's message, with line and column.
        reason: String,
    },
    /// A plan has the right form but asks for something impossible.
    #[error("{place}: {reason}")]
    PlanContent {
        /// The entry, such as `experiments[2] "delay-16-easy"`.
        place: String,
        /// The problem.
        reason: String,
    },
    /// `--agents` names an agent that is neither in the plan nor in the table of algorithms.
    #[error("no agent is called {name:?}{meant}; there are: {known}")]
    UnknownAgent {
        /// The unknown name.
        name: String,
        /// A hint at the most similar known name.
        meant: String,
        /// The known names, comma separated.
        known: String,
    },
    /// A line of `records.jsonl`, other than an incomplete last one, is not a record.
    #[error("{path}, line {line} is not a benchmark record ({reason}); repair or delete that line")]
    Record {
        /// The records file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The parser's message.
        reason: String,
    },
    /// Records or a configuration could not be encoded.
    #[error("cannot encode {what}: {reason}")]
    Encode {
        /// The value to encode.
        what: &'static str,
        /// The encoder's message.
        reason: String,
    },
    /// The report's template failed.
    #[error("cannot render the report: {0}")]
    Template(#[from] minijinja::Error),
}

impl Error {
    /// Makes an error for `map_err` after reading `path`.
    pub(crate) fn read(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |reason| Self::Read { path, reason }
    }

    /// Makes an error for `map_err` after writing `path`.
    pub(crate) fn write(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |reason| Self::Write { path, reason }
    }
}
