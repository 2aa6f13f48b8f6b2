//! Errors of the library.

use std::io;
use std::net::SocketAddr;
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
    /// A setting cannot be used.
    #[error("{name}: {given:?} cannot be used: {detail}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// What was given.
        given: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The listener failed.
    #[error("serving failed: {0}")]
    Serve(#[source] io::Error),
    /// Others could reach the server and nothing would ask them who they are.
    #[error(
        "{0} can be reached from other machines and there are no tokens: give --token-file FILE, \
         or --insecure if whoever reaches it may do everything"
    )]
    Exposed(SocketAddr),
    /// The file of tokens cannot be used.
    #[error("token file {path}: {detail}")]
    Tokens {
        /// The file.
        path: PathBuf,
        /// Why, and in which line; never what stands there.
        detail: String,
    },
    /// The certificate or its key cannot be used.
    #[error("{path}: {detail}")]
    Tls {
        /// The file.
        path: PathBuf,
        /// Why.
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
