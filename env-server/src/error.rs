//! Errors of the library.

use std::io;
use std::path::PathBuf;

use crate::journal::JournalError;

/// What can go wrong outside of a request. (Inside, it is an [`env_protocol::Problem`].)
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such environment for the OpenEnv protocol.
    #[error("--openenv {given}: {detail}")]
    OpenEnv {
        /// What was asked for.
        given: String,
        /// What is wrong with it.
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
        /// Why.
        source: io::Error,
    },
    /// A file of recorded episodes holds none.
    #[error("{0}: holds nothing to play")]
    NoEpisodes(PathBuf),
    /// A page of a trajectory is malformed or differs from what the environment does.
    #[error("{path}: page {page}: {detail}")]
    PageDiffers {
        /// The file.
        path: PathBuf,
        /// Its page, from 1.
        page: usize,
        /// What differs, where.
        detail: String,
    },
}
