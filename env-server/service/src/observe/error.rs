//! Errors of setting up logs and traces.

use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::TryInitError;

/// Why logging cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter is malformed.
    #[error("the log filter {filter:?} is malformed: {source}")]
    Filter {
        /// The filter.
        filter: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// Traces cannot be sent.
    #[error("traces cannot be sent to {endpoint}: {detail}")]
    Otlp {
        /// Where they should go.
        endpoint: String,
        /// Why they cannot.
        detail: String,
    },
    /// It has been set up before.
    #[error("logging has been set up before: {0}")]
    AlreadySetUp(#[from] TryInitError),
}
