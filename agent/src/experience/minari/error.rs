//! Why a dataset cannot be read or written.

use std::path::{Path, PathBuf};

/// Why a dataset cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum MinariError {
    /// The file system.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A dataset is never written over something else.
    #[error("{} exists: give the dataset a folder of its own, or remove that one first", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// No dataset.
    #[error(
        "{} is no dataset: give a folder with data/main_data.hdf5, as `agent record` and Minari write it, or that file",
        path.display()
    )]
    None {
        /// As given.
        path: PathBuf,
    },
    /// A file that is cut off, damaged or of another kind.
    #[error("{} cannot be read as HDF5: {what}{detail}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The place in it, with `: ` after it; or nothing.
        what: String,
        /// The fault.
        detail: String,
    },
    /// A dataset of something else, or with numbers that cannot be learned from.
    #[error("{}: {detail}", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// The fault and its place.
        detail: String,
    },
    /// More than may be held in memory.
    #[error(
        "{}: its episodes take more than the {max_bytes} bytes of memory that a dataset may use; make one of fewer episodes",
        path.display()
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        max_bytes: usize,
    },
}

impl MinariError {
    pub(super) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    pub(super) fn unfit(path: &Path, detail: impl Into<String>) -> Self {
        Self::Unfit {
            path: path.to_owned(),
            detail: detail.into(),
        }
    }
}
