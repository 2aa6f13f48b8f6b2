//! Errors of a service outside of requests.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// An error outside of a request. Inside one it is an [`env_protocol::Problem`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting is not valid.
    #[error("{name}: {given:?} cannot be used: {detail}")]
    Setting {
        /// Name of the setting.
        name: &'static str,
        /// The given value.
        given: String,
        /// Why it cannot be used.
        detail: String,
    },
    /// The listener failed.
    #[error("serving failed: {0}")]
    Serve(#[source] io::Error),
    /// Other machines can reach the address, and no token is required.
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
        /// The reason and its line, without the line's text.
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
}
