//! Errors as responses: every one is a problem document (RFC 9457).

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::Request;
use axum::http::response::Parts;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use env_protocol::{ErrorCode, PROBLEM_CONTENT_TYPE, Problem};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::observe::Cause;

/// After how many seconds to try again, where trying again may help.
const RETRY_AFTER_S: HeaderValue = HeaderValue::from_static("1");

/// A problem on its way to the client. [`ProblemLayer`] gives it its body.
#[derive(Debug)]
pub struct Failure(Box<Problem>);

impl Failure {
    /// The problem, for who writes its body otherwise.
    pub(crate) fn into_problem(self) -> Problem {
        *self.0
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Failure(Box::new(problem))
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = status(self.0.code).into_response();
        response.extensions_mut().insert(*self.0);
        response
    }
}

fn status(code: ErrorCode) -> StatusCode {
    StatusCode::from_u16(code.status()).expect("the table has valid statuses")
}

/// Layer that makes a problem document of every error: those of handlers, which leave their problem
/// with the response, those of the router, which leave only a status, and panics.
///
/// By hand, because a middleware function would box every request's future once more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProblemLayer;

impl<S> Layer<S> for ProblemLayer {
    type Service = Problems<S>;

    fn layer(&self, inner: S) -> Problems<S> {
        Problems { inner }
    }
}

/// A route whose errors are problem documents.
#[derive(Clone, Debug)]
pub(crate) struct Problems<S> {
    inner: S,
}

impl<S: Service<Request, Response = Response>> Service<Request> for Problems<S> {
    type Response = Response;
    type Error = S::Error;
    type Future = Written<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        Written {
            uri: request.uri().clone(),
            inner: self.inner.call(request),
        }
    }
}

pin_project! {
    /// A reply, written in full.
    pub(crate) struct Written<F> {
        #[pin]
        inner: F,
        uri: Uri,
    }
}

impl<F, E> Future for Written<F>
where
    F: Future<Output = Result<Response, E>>,
{
    type Output = Result<Response, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // After a panic it is not polled again, and what it shares is behind locks that are made
        // for this.
        let polled = catch_unwind(AssertUnwindSafe(|| this.inner.poll(context)));
        let mut polled = polled.unwrap_or_else(|panic| Poll::Ready(Ok(from_panic(panic))));
        if let Poll::Ready(Ok(response)) = &mut polled
            && (response.status().is_client_error() || response.status().is_server_error())
        {
            *response = write(std::mem::take(response), this.uri.path());
        }
        polled
    }
}

/// Gives an error its body.
fn write(mut response: Response, path: &str) -> Response {
    let problem = response.extensions_mut().remove::<Problem>();
    let problem = problem.unwrap_or_else(|| from_status(response.status(), path));
    let (parts, _) = response.into_parts();
    fill(parts, problem, path)
}

/// A problem as a whole response, for what is refused before any route is looked at.
pub(crate) fn respond(problem: Problem, path: &str) -> Response {
    let (parts, ()) = Response::new(()).into_parts();
    fill(parts, problem, path)
}

/// Puts a problem into a response whose other headers stay.
fn fill(mut parts: Parts, mut problem: Problem, path: &str) -> Response {
    problem.instance = Some(path.into());
    parts.status = status(problem.code);
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(PROBLEM_CONTENT_TYPE),
    );
    if problem.retryable {
        parts.headers.insert(header::RETRY_AFTER, RETRY_AFTER_S);
    }
    if problem.code == ErrorCode::Unauthorized {
        let scheme = HeaderValue::from_static("Bearer");
        parts.headers.insert(header::WWW_AUTHENTICATE, scheme);
    }
    let body = serde_json::to_vec(&problem).expect("a problem is plain data");
    // For who counts and logs them.
    parts.extensions.insert(problem);
    Response::from_parts(parts, Body::from(body))
}

/// The problem behind a status that the router gave without one.
fn from_status(status: StatusCode, path: &str) -> Problem {
    match status {
        StatusCode::NOT_FOUND => {
            Problem::new(ErrorCode::UnknownRoute, format!("nothing is at {path}"))
        }
        StatusCode::METHOD_NOT_ALLOWED => {
            let detail = format!("{path} has other methods, see the Allow header");
            Problem::new(ErrorCode::MethodNotAllowed, detail)
        }
        status if status.is_client_error() => {
            let detail = format!("the path or a header cannot be decoded ({status})");
            Problem::new(ErrorCode::MalformedRequest, detail)
        }
        status => Problem::new(ErrorCode::Internal, status.to_string()),
    }
}

/// A handler has panicked.
fn from_panic(payload: Box<dyn Any + Send>) -> Response {
    let cause = Cause(format!("a panic: {}", panic_text(&*payload)));
    let mut response = panicked().into_response();
    response.extensions_mut().insert(cause);
    response
}

/// What a panic said.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message")
}

/// What a panic is to the client.
pub(crate) fn panicked() -> Failure {
    let detail = "the request could not be finished";
    Problem::new(ErrorCode::Internal, detail).into()
}
