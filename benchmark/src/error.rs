//! What can go wrong in a benchmark outside the agents themselves.

use std::path::PathBuf;

use agent::run::lock::LockError;

/// An error of the benchmark: what was wrong, where, and what to do about it.
///
/// An agent that fails is not one of these: it is a row with its reason (see [`crate::records::RowResult`]).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read.
    #[error("cannot read {path}: {reason}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: std::io::Error,
    },
    /// A file or directory could not be written.
    #[error("cannot write {path}: {reason}")]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        reason: std::io::Error,
    },
    /// A run's directory could not be had for this process alone.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A plan or configuration is not valid TOML, or has an unknown or missing key.
    #[error("{path} is not a valid plan: {reason}")]
    PlanSyntax {
        /// Where the text came from.
        path: PathBuf,
        /// The parser's message, with line and column.
        reason: String,
    },
    /// A plan reads well but asks for something impossible.
    #[error("{place}: {reason}")]
    PlanContent {
        /// The entry, such as `experiments[2] "delay-16-easy"`.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
    /// `--agents` names an agent that neither the plan nor the table of algorithms has.
    #[error("no agent is called {name:?}{meant}; there are: {known}")]
    UnknownAgent {
        /// The name asked for.
        name: String,
        /// A hint at the name that was probably meant.
        meant: String,
        /// The names that exist, comma separated.
        known: String,
    },
    /// A line of `records.jsonl`, other than a torn last one, cannot be understood.
    #[error("{path}, line {line} is not a benchmark record ({reason}); repair or delete that line")]
    Record {
        /// The records file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The parser's message.
        reason: String,
    },
    /// Records or configuration could not be turned into text.
    #[error("cannot encode {what}: {reason}")]
    Encode {
        /// What was to be written.
        what: &'static str,
        /// Why it could not.
        reason: String,
    },
    /// The report's template failed.
    #[error("cannot render the report: {0}")]
    Template(#[from] minijinja::Error),
}

impl Error {
    /// For `map_err` after reading `path`.
    pub(crate) fn read(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |reason| Self::Read { path, reason }
    }

    /// For `map_err` after writing `path`.
    pub(crate) fn write(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |reason| Self::Write { path, reason }
    }
}
