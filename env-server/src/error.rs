//! Errors of the library.

use std::io;
use std::path::PathBuf;

use crate::journal::JournalError;

/// An error outside of a request. (Within a request it is an [`env_protocol::Problem`].)
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The environment for the OpenEnv protocol does not exist.
    #[error("--openenv {given}: {detail}")]
    OpenEnv {
        /// The value given.
        given: String,
        /// The reason.
        detail: String,
    },
    /// The settings of the service or its listener cannot be used.
    #[error(transparent)]
    Service(#[from] service::Error),
    /// The journal under the data directory cannot be opened.
    #[error("the data directory cannot be used: {0}")]
    Journal(#[from] JournalError),
    /// A file of recorded episodes cannot be read.
    #[error("{path}: cannot be read: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A file of recorded episodes is empty.
    #[error("{0}: holds nothing to play")]
    NoEpisodes(PathBuf),
    /// A page of a trajectory is malformed or differs from the environment's behaviour.
    #[error("{path}: page {page}: {detail}")]
    PageDiffers {
        /// The file.
        path: PathBuf,
        /// The page, from 1.
        page: usize,
        /// The difference and its place.
        detail: String,
    },
}
