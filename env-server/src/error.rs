//! Errors of the library.

use std::io;
use std::path::PathBuf;

/// What can go wrong outside of a request. (Inside, it is an [`env_protocol::Problem`].)
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The listener failed.
    #[error("serving failed: {0}")]
    Serve(#[source] io::Error),
    /// A file of recorded episodes cannot be read.
    #[error("{path}: cannot be read: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of recorded episodes holds none.
    #[error("{0}: holds no episode")]
    NoEpisodes(PathBuf),
}
