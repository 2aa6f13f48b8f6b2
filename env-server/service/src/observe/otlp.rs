//! Sends traces of requests to an OpenTelemetry collector: OTLP over HTTP, protobuf.
//!
//! Spans pass through a queue of the SDK to its own thread. A full queue drops spans, so a slow or
//! dead collector costs only traces.

use std::time::Duration;

use axum::http::{HeaderMap, Uri};
use env_protocol::is_loopback;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::TracerProvider;
use opentelemetry::{KeyValue, trace::TraceContextExt};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Span;
use tracing::level_filters::LevelFilter;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::registry::LookupSpan;

use super::error::LoggingError;
use super::target::TARGET;

/// Longest time for one batch.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest wait for the last batch when the server ends.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends spans until it is dropped, and then the remaining ones.
#[derive(Debug)]
pub(super) struct Exporter(SdkTracerProvider);

impl Drop for Exporter {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown_with_timeout(SHUTDOWN_TIMEOUT) {
            tracing::warn!(%error, "the last traces could not be sent");
        }
    }
}

/// Creates the layer that collects spans, and the exporter that sends them.
pub(super) fn traces<S>(
    service: &str,
    endpoint: &str,
) -> Result<(impl Layer<S> + Send + Sync + 'static, Exporter), LoggingError>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let refuse = |detail: String| LoggingError::Otlp {
        endpoint: endpoint.to_owned(),
        detail,
    };
    let url = url(endpoint).map_err(refuse)?;
    let client = client(&url).map_err(|e| refuse(e.to_string()))?;
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(url)
        .with_timeout(EXPORT_TIMEOUT)
        .build()
        .map_err(|e| refuse(e.to_string()))?;
    let resource = Resource::builder()
        .with_service_name(service.to_owned())
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource)
        .build();
    // Pass only requests: the exporter's own HTTP client has spans too.
    let is_request = FilterFn::new(|metadata| metadata.is_span() && metadata.target() == TARGET);
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(service.to_owned()))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_filter(is_request.with_max_level_hint(LevelFilter::DEBUG));
    Ok((layer, Exporter(provider)))
}

/// Builds the HTTP client. A collector on this machine is reached directly; any other through the
/// proxy that the environment names, if any.
fn client(endpoint: &str) -> reqwest::Result<reqwest::blocking::Client> {
    let uri = endpoint.parse::<Uri>();
    let is_here = uri.is_ok_and(|uri| uri.host().is_some_and(is_loopback));
    let builder = reqwest::blocking::Client::builder().timeout(EXPORT_TIMEOUT);
    let builder = if is_here { builder.no_proxy() } else { builder };
    // Building waits for a runtime of its own, which is not allowed inside another one.
    let built = std::thread::spawn(move || builder.build());
    built.join().expect("building a client does not panic")
}

/// Returns the URL for traces, given the collector's base URL or the whole URL.
fn url(endpoint: &str) -> Result<String, String> {
    let uri: Uri = endpoint.parse().map_err(|e| format!("{e}"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
        return Err("an http:// or https:// URL is needed".to_owned());
    }
    let base = endpoint.trim_end_matches('/');
    Ok(match base.ends_with("/v1/traces") {
        true => base.to_owned(),
        false => format!("{base}/v1/traces"),
    })
}

/// Makes a span the child of the remote span in `traceparent` (W3C Trace Context).
pub(super) fn adopt_parent(span: &Span, headers: &HeaderMap) {
    let parent = TraceContextPropagator::new().extract(&Headers(headers));
    if parent.span().span_context().is_valid() {
        // This fails if spans are only logged.
        let _ = span.set_parent(parent);
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(|name| name.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// Sends more spans than the queue holds to a collector that never answers. It ends when the
    /// last connection is dropped and the exporter gives up.
    #[test]
    fn a_collector_that_never_answers_holds_nothing_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (layer, exporter) = traces("test", &endpoint).unwrap();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            for i in 0..10_000 {
                let span = tracing::debug_span!(target: TARGET, "request", i);
                assert!(!span.is_disabled());
            }
        });
        // From here on its connections are refused.
        drop(listener);
        drop(exporter);
    }

    #[test]
    fn a_base_url_is_completed() {
        let traces = Ok("http://127.0.0.1:4318/v1/traces".to_owned());
        assert_eq!(url("http://127.0.0.1:4318"), traces);
        assert_eq!(url("http://127.0.0.1:4318/"), traces);
        assert_eq!(url("http://127.0.0.1:4318/v1/traces"), traces);
        for bad in ["", "127.0.0.1:4318", "grpc://127.0.0.1:4317", "/v1/traces"] {
            assert!(url(bad).is_err(), "{bad}");
        }
    }
}
