//! Watching the server: metrics, request ids, logs, traces.
//!
//! Nothing here is global except what `tracing` itself makes so: each server has its own
//! [`Metrics`], so the servers of one process do not mix.

mod error;
mod figures;
mod histogram;
mod limit;
pub mod logging;
pub mod metrics;
#[cfg(feature = "otlp")]
mod otlp;
pub mod request;
mod request_id;
mod scrape;
pub mod table;
mod target;

pub use error::LoggingError;
pub use figures::JournalStats;
pub use logging::{LogFormat, Logging};
pub use metrics::{Census, Metrics, Population, RecoveryFigures, Work};
pub use request::{Cause, Observe, Observed};
pub use scrape::{CONTENT_TYPE, render};
pub use target::TARGET;
