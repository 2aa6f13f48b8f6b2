//! Observation of the server from outside: metrics, request ids, logs and traces.

#[path = "../wire/client.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod client;
mod counts;
mod document;
#[cfg(feature = "otlp")]
mod otlp;
mod request_ids;
mod scrape;
