//! Observation of every request: it gets an id, is measured and logged.
//!
//! This wraps the whole router rather than each route, where it would cost every request another
//! boxed future. It therefore looks up routes itself; after that, a request takes no lock.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::Response;
use env_protocol::{ErrorCode, Problem};
use tracing::{Level, Span, debug_span, field};

use super::metrics::{Metrics, RouteMetrics};
use super::request_id::{RequestIds, X_REQUEST_ID};
use super::target::TARGET;

/// The label for requests that match no route.
const UNMATCHED: &str = "unmatched";

/// Longest path that is logged.
const MAX_LOGGED_PATH: usize = 256;

/// The internal cause of a failed response, attached to it for the log only.
#[derive(Clone, Debug)]
pub struct Cause(pub String);

/// Observes the requests to a server.
#[derive(Debug)]
pub struct Observe {
    metrics: Arc<Metrics>,
    ids: RequestIds,
    routes: matchit::Router<Route>,
    unmatched: Route,
}

/// A route's template, and its metrics from its first request on: unused routes are not reported.
#[derive(Debug)]
struct Route {
    template: Box<str>,
    metrics: OnceLock<Arc<RouteMetrics>>,
}

impl Route {
    fn new(template: &str) -> Self {
        Route {
            template: template.into(),
            metrics: OnceLock::new(),
        }
    }
}

impl Observe {
    /// Creates an observer that counts into `metrics`, by the templates of the server's routes,
    /// such as `/v1/envs/{env_id}`.
    ///
    /// # Panics
    /// When a template is malformed or two of them match the same paths.
    pub fn new<'a>(metrics: Arc<Metrics>, templates: impl IntoIterator<Item = &'a str>) -> Self {
        let mut routes = matchit::Router::new();
        for template in templates {
            let inserted = routes.insert(template, Route::new(template));
            inserted.expect("templates are those of a router");
        }
        Observe {
            metrics,
            ids: RequestIds::new(rand::random()),
            routes,
            unmatched: Route::new(UNMATCHED),
        }
    }

    /// Starts observing a request, until its answer or until the result is dropped because the
    /// client has disconnected.
    pub fn begin<'a>(&'a self, request: &Request) -> Observed<'a> {
        Observed::begin(self, request)
    }

    fn route(&self, path: &str) -> &RouteMetrics {
        let found = self.routes.at(path);
        let route = found.map_or(&self.unmatched, |found| found.value);
        let metrics = &route.metrics;
        metrics.get_or_init(|| self.metrics.route(&route.template))
    }
}

/// A request in progress.
#[derive(Debug)]
pub struct Observed<'a> {
    metrics: &'a Metrics,
    route: &'a RouteMetrics,
    begun: Instant,
    method: usize,
    /// Taken by the reply.
    id: Option<HeaderValue>,
    /// Set only if it may be logged.
    uri: Option<Uri>,
    span: Span,
    is_closing: bool,
}

impl<'a> Observed<'a> {
    fn begin(observe: &'a Observe, request: &Request) -> Self {
        let begun = Instant::now();
        let route = observe.route(request.uri().path());
        let method = RouteMetrics::method(request.method());
        observe.metrics.requests_begun.one();
        let id = observe.ids.id(request.headers());
        let is_closing = request.method() == Method::DELETE;
        let is_logged = is_closing || tracing::event_enabled!(target: TARGET, Level::DEBUG);
        Observed {
            begun,
            method,
            uri: is_logged.then(|| request.uri().clone()),
            span: span(route, method, &id, request),
            id: Some(id),
            is_closing,
            metrics: &observe.metrics,
            route,
        }
    }

    /// Returns the span that all work on the request belongs to; disabled unless spans are
    /// collected.
    pub fn span(&self) -> &Span {
        &self.span
    }

    /// Records that the request has been answered.
    ///
    /// A response that is a problem document carries its [`Problem`] in its extensions; it is
    /// counted and removed here.
    pub fn end(&mut self, response: &mut Response) {
        let Some(id) = self.id.take() else {
            return;
        };
        let status = response.status();
        let duration = self.begun.elapsed();
        let series = self.route.series(self.method);
        series.ended(Some(status), duration);
        let mut problem = None;
        let mut cause = None;
        if status.is_client_error() || status.is_server_error() {
            problem = response.extensions_mut().remove::<Problem>();
            cause = response.extensions_mut().remove::<Cause>();
        }
        if let Some(problem) = &problem {
            self.metrics.problem(problem.code);
        }
        if !self.span.is_disabled() {
            self.span
                .record("http.response.status_code", status.as_u16());
            if status.is_server_error() {
                self.span.record("otel.status_code", "ERROR");
            }
        }
        self.log(&id, response, duration.as_micros() as u64, problem, cause);
        response.headers_mut().insert(X_REQUEST_ID, id);
    }

    fn log(
        &self,
        id: &HeaderValue,
        response: &Response,
        duration_us: u64,
        problem: Option<Problem>,
        cause: Option<Cause>,
    ) {
        let status = response.status();
        let request_id = id.to_str().unwrap_or_default();
        let request = &*self.route.series(self.method).name;
        let path = self.uri.as_ref().map(Uri::path);
        let path = path.or(problem
            .as_ref()
            .and_then(|problem| problem.instance.as_deref()));
        let path = path.map(shortened);
        let code = problem.as_ref().map(|problem| problem.code.as_str());
        let detail = problem.as_ref().map(|problem| problem.detail.as_str());
        let cause = cause.as_ref().map(|cause| cause.0.as_str());
        macro_rules! log {
            ($level:ident, $message:literal $(, $field:ident)*) => {
                tracing::$level!(
                    target: TARGET,
                    request_id,
                    request,
                    path,
                    status = status.as_u16(),
                    duration_us,
                    $($field,)*
                    $message
                )
            };
        }
        if status.is_server_error() {
            match problem.as_ref().map(|problem| problem.code) {
                None | Some(ErrorCode::Internal) => log!(error, "failed", code, detail, cause),
                Some(_) => log!(warn, "refused", code, detail, cause),
            }
        } else if status == StatusCode::CREATED {
            let location = response.headers().get(header::LOCATION);
            let location = location.and_then(|location| location.to_str().ok());
            log!(info, "created", location);
        } else if self.is_closing && status == StatusCode::NO_CONTENT {
            log!(info, "closed");
        } else {
            log!(debug, "answered", code, detail);
        }
    }
}

impl Drop for Observed<'_> {
    /// Records that the client disconnected before its reply, if there was none.
    fn drop(&mut self) {
        if self.id.is_some() {
            let series = self.route.series(self.method);
            series.ended(None, self.begun.elapsed());
        }
    }
}

/// Creates the span of a request, with OpenTelemetry's attribute names for HTTP servers.
fn span(route: &RouteMetrics, method: usize, id: &HeaderValue, request: &Request) -> Span {
    let span = debug_span!(
        target: TARGET,
        "request",
        request_id = id.to_str().unwrap_or_default(),
        otel.name = &*route.series(method).name,
        otel.kind = "server",
        otel.status_code = field::Empty,
        http.request.method = request.method().as_str(),
        http.route = route.template(),
        http.response.status_code = field::Empty,
        url.path = shortened(request.uri().path()),
    );
    #[cfg(feature = "otlp")]
    if !span.is_disabled() {
        super::otlp::adopt_parent(&span, request.headers());
    }
    span
}

/// Returns the beginning of a path, since clients may send paths of any length.
fn shortened(path: &str) -> &str {
    let ends = 0..=MAX_LOGGED_PATH.min(path.len());
    let end = ends.rev().find(|&end| path.is_char_boundary(end));
    &path[..end.unwrap_or_default()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_paths_are_cut_between_characters() {
        assert_eq!(shortened("/v1/envs/é"), "/v1/envs/é");
        let long = format!("/{}", "é".repeat(200));
        let cut = shortened(&long);
        assert_eq!(cut.len(), 255);
        assert!(long.starts_with(cut));
    }
}
