//! Sets up logs and traces for a process, once, from its `main`.

use std::io::IsTerminal;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use super::error::LoggingError;
use super::limit::{INTERVAL, Limited};

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Human-readable lines
    #[default]
    Text,
    /// One JSON object per line
    Json,
}

/// Active logging. Dropping it sends the remaining traces, which may take five seconds.
#[derive(Debug)]
#[must_use = "dropping it ends the traces"]
pub struct Logging {
    #[cfg(feature = "otlp")]
    _exporter: Option<super::otlp::Exporter>,
}

/// Starts logging to stderr and tracing. Logs pass `filter` (such as `info`, or
/// `warn,env_server::request=debug`), and warnings and errors of one kind appear once in ten
/// seconds. Traces go to the collector at `otlp_endpoint` (such as `http://127.0.0.1:4318`), if
/// there is one.
///
/// # Errors
/// When the filter or the endpoint is malformed, or logging was already set up. A collector that
/// does not respond is not an error.
pub fn set_up(
    service: &str,
    filter: &str,
    format: LogFormat,
    otlp_endpoint: Option<&str>,
) -> Result<Logging, LoggingError> {
    let is_terminal = std::io::stderr().is_terminal();
    let logs = logs(filter, format, std::io::stderr, is_terminal, INTERVAL)?;
    let subscriber = tracing_subscriber::registry().with(logs);
    #[cfg(feature = "otlp")]
    {
        let (traces, exporter) = otlp_endpoint
            .map(|endpoint| super::otlp::traces(service, endpoint))
            .transpose()?
            .unzip();
        subscriber.with(traces).try_init()?;
        Ok(Logging {
            _exporter: exporter,
        })
    }
    #[cfg(not(feature = "otlp"))]
    {
        let _ = service;
        if let Some(endpoint) = otlp_endpoint {
            return Err(LoggingError::Otlp {
                endpoint: endpoint.to_owned(),
                detail: "this server was built without the feature otlp".to_owned(),
            });
        }
        subscriber.try_init()?;
        Ok(Logging {})
    }
}

/// Creates the layer that writes logs.
fn logs<S, W>(
    filter: &str,
    format: LogFormat,
    writer: W,
    is_terminal: bool,
    interval: Duration,
) -> Result<Box<dyn Layer<S> + Send + Sync>, LoggingError>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let parsed = EnvFilter::try_new(filter).map_err(|source| LoggingError::Filter {
        filter: filter.to_owned(),
        source,
    })?;
    let layer = fmt::layer().with_writer(writer).with_ansi(is_terminal);
    // Otherwise a failed write would be reported on standard error, and panic in the middle of a
    // request where that is closed.
    let layer = layer.log_internal_errors(false);
    Ok(match format {
        LogFormat::Text => layer
            .map_event_format(|inner| Limited::new(inner, false, interval))
            .with_filter(parsed)
            .boxed(),
        LogFormat::Json => layer
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .map_event_format(|inner| Limited::new(inner, true, interval))
            .with_filter(parsed)
            .boxed(),
    })
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::body::Body;
    use axum::http::{Request, StatusCode};
    use axum::routing::get;
    use serde_json::Value;
    use tower::ServiceExt;
    use tracing::Instrument;
    use tracing_subscriber::Registry;

    use super::*;
    use crate::observe::{Metrics, Observe};

    /// A writer that keeps what is logged.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Returns the logs of requests to these paths, which determine how each request ends.
    fn logged(filter: &str, format: LogFormat, paths: &[&str]) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let logs = logs(filter, format, move || writer.clone(), false, INTERVAL).unwrap();
        let subscriber = tracing_subscriber::registry().with(logs);
        let metrics = Arc::<Metrics>::default();
        let router = Router::new()
            .route("/ok/{id}", get(async || tracing::info!("inside")))
            .route("/new", get(async || StatusCode::CREATED))
            .route("/broken", get(async || StatusCode::INTERNAL_SERVER_ERROR));
        let observe = Observe::new(metrics, ["/ok/{id}", "/new", "/broken"]);
        let answer = async |request| {
            let mut observed = observe.begin(&request);
            let answer = router.clone().oneshot(request);
            let mut response = answer.instrument(observed.span().clone()).await.unwrap();
            observed.end(&mut response);
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.unwrap();
        tracing::subscriber::with_default(subscriber, || {
            for path in paths {
                let request = Request::get(*path).header("x-request-id", "mine");
                let request = request.body(Body::empty()).unwrap();
                runtime.block_on(answer(request));
            }
        });
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn lines(text: &str) -> Vec<Value> {
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn json_lines_have_request_ids() {
        let filter = "off,env_server::request=info";
        let text = logged(filter, LogFormat::Json, &["/ok/7", "/new", "/broken"]);
        let lines = lines(&text);
        assert_eq!(lines.len(), 2, "{text}");
        for (line, level, message, request, status) in [
            (&lines[0], "INFO", "created", "GET /new", 201),
            (&lines[1], "ERROR", "failed", "GET /broken", 500),
        ] {
            assert_eq!(line["level"], level);
            assert_eq!(line["message"], message);
            assert_eq!(line["target"], "env_server::request");
            assert_eq!(line["request_id"], "mine");
            assert_eq!(line["request"], request);
            assert_eq!(line["status"], status);
            assert!(line["duration_us"].is_u64(), "{line}");
        }
    }

    #[test]
    fn debug_tells_every_request_and_what_it_logs() {
        let lines = lines(&logged("debug", LogFormat::Json, &["/ok/7", "/nowhere"]));
        let of_requests: Vec<_> = lines
            .iter()
            .map(|line| (line["message"].as_str().unwrap(), &line["path"]))
            .collect();
        let path = Value::from("/ok/7");
        let nowhere = Value::from("/nowhere");
        let expected = [
            ("inside", &Value::Null),
            ("answered", &path),
            ("answered", &nowhere),
        ];
        assert_eq!(of_requests, expected);
        assert_eq!(lines[0]["span"]["request_id"], "mine");
        assert_eq!(lines[1]["request"], "GET /ok/{id}");
        assert_eq!(lines[2]["request"], "GET unmatched");
    }

    #[test]
    fn text_is_one_line_a_log() {
        let text = logged("info", LogFormat::Text, &["/ok/7", "/new"]);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("created request_id=\"mine\""), "{text}");
    }

    #[test]
    fn a_malformed_filter_is_refused() {
        let refused = logs::<Registry, _>("a=b=c", LogFormat::Text, io::sink, false, INTERVAL);
        let error = refused.err().unwrap().to_string();
        assert!(error.contains("\"a=b=c\""), "{error}");
    }

    #[test]
    fn what_comes_again_and_again_is_counted() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let kept = Kept::default();
            let writer = kept.clone();
            let interval = Duration::from_millis(200);
            let logs = logs("info", format, move || writer.clone(), false, interval).unwrap();
            let subscriber = tracing_subscriber::registry().with(logs);
            let fail = |number: usize| {
                for place in ["first", "second"] {
                    tracing::error!(request_id = number, "the {place} disk is full");
                }
                tracing::info!(number, "as many as there are");
            };
            tracing::subscriber::with_default(subscriber, || {
                (0..50).for_each(fail);
                std::thread::sleep(2 * interval);
                fail(50);
            });
            let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
            let count = |what: &str| text.lines().filter(|line| line.contains(what)).count();
            assert_eq!(count("as many as"), 51, "{text}");
            for place in ["first", "second"] {
                // Logged at first and again after the interval, plus a line with the number left
                // out between.
                assert_eq!(count(&format!("the {place} disk is full")), 3, "{text}");
            }
            let told = match format {
                LogFormat::Text => count("49 similar messages were left out"),
                LogFormat::Json => lines(&text)
                    .iter()
                    .filter(|line| line["left_out"] == 49)
                    .count(),
            };
            assert_eq!(told, 2, "{text}");
        }
    }
}
