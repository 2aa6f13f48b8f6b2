//! Errors of setting up logs and traces.

use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::TryInitError;

/// An error in setting up logging.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter is malformed.
    #[error("the log filter {filter:?} is malformed: {source}")]
    Filter {
        /// The filter.
        filter: String,
        /// The parser's error.
        source: ParseError,
    },
    /// Traces cannot be sent.
    #[error("traces cannot be sent to {endpoint}: {detail}")]
    Otlp {
        /// The collector's URL.
        endpoint: String,
        /// Why it is refused.
        detail: String,
    },
    /// Logging was already set up.
    #[error("logging has been set up before: {0}")]
    AlreadySetUp(#[from] TryInitError),
}
