//! Errors of the library.

use std::io;
use std::net::SocketAddr;
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
    /// A setting is not valid.
    #[error("{name}: {given:?} cannot be used: {detail}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// The value given.
        given: String,
        /// The reason.
        detail: String,
    },
    /// The listener failed.
    #[error("serving failed: {0}")]
    Serve(#[source] io::Error),
    /// Other machines could reach the server, and there are no tokens to identify clients.
    #[error(
        "{0} can be reached from other machines and there are no tokens: give --token-file FILE, \
         or --insecure if anyone who can reach it may do everything"
    )]
    Exposed(SocketAddr),
    /// The file of tokens cannot be used.
    #[error("token file {path}: {detail}")]
    Tokens {
        /// The file.
        path: PathBuf,
        /// The reason and the line; never the contents of the line.
        detail: String,
    },
    /// The certificate or its key cannot be used.
    #[error("{path}: {detail}")]
    Tls {
        /// The file.
        path: PathBuf,
        /// The reason.
        detail: String,
    },
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
