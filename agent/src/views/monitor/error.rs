//! What can go wrong while a run is being written down.

use std::io;
use std::path::{Path, PathBuf};

/// Why a monitor could not keep what it was told.
#[derive(Debug, thiserror::Error)]
pub enum MonitorError {
    /// The operating system refused a file operation.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted, as a verb: "open", "write".
        action: &'static str,
        /// The file or folder concerned.
        path: PathBuf,
        /// The system's own reason.
        source: io::Error,
    },
    /// A line of a metrics file is not one that a run wrote.
    #[error(
        "{}, line {line} is not a line of metrics: {reason}; move the file away to start a new one",
        path.display()
    )]
    BadMetricsLine {
        /// The metrics file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What the parser found.
        reason: String,
    },
}

impl MonitorError {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        Self::Io {
            action,
            path,
            source,
        }
    }
}
