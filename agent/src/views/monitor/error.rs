//! Errors of monitors.

use std::io;
use std::path::{Path, PathBuf};

/// An error of a monitor that writes.
#[derive(Debug, thiserror::Error)]
pub enum MonitorError {
    /// The operating system refused a file operation.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The attempted action, as a verb: "open", "write".
        action: &'static str,
        /// The file or folder concerned.
        path: PathBuf,
        /// The system's own reason.
        source: io::Error,
    },
    /// A metrics file has a line that no run wrote.
    #[error(
        "{}, line {line} is not a line of metrics: {reason}; move the file away to start a new one",
        path.display()
    )]
    BadMetricsLine {
        /// The metrics file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Error of the parser.
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
