//! Errors as responses: every error is a problem document (RFC 9457).

use std::any::Any;
use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use env_protocol::{ErrorCode, PROBLEM_CONTENT_TYPE, Problem};

use crate::observe::Cause;

/// Seconds to wait before retrying, for errors where a retry may help.
const RETRY_AFTER_S: HeaderValue = HeaderValue::from_static("1");

/// A problem to be sent to the client; its body is written last.
#[derive(Debug)]
pub struct Failure(Box<Problem>);

impl Failure {
    /// Returns the problem, for callers that write its body in another form.
    pub fn into_problem(self) -> Problem {
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

/// Polls an answer; a panic is answered as a problem.
pub fn poll_caught(
    answer: Pin<&mut impl Future<Output = Result<Response, Infallible>>>,
    cx: &mut Context<'_>,
) -> Poll<Response> {
    // It is not polled again after a panic, and its shared state is behind locks that tolerate one.
    match catch_unwind(AssertUnwindSafe(|| answer.poll(cx))) {
        Ok(polled) => polled.map(|Ok(response)| response),
        Err(panic) => Poll::Ready(from_panic(panic)),
    }
}

/// Completes a response. Every error becomes a problem document: those of handlers, which attach
/// their problem to the response, and those of the router, which only set a status.
pub fn written(response: Response, path: &str) -> Response {
    let status = response.status();
    match status.is_client_error() || status.is_server_error() {
        true => write(response, path),
        false => response,
    }
}

/// Writes the body of an error; its other headers stay.
fn write(mut response: Response, path: &str) -> Response {
    let problem = response.extensions_mut().remove::<Problem>();
    let mut problem = problem.unwrap_or_else(|| from_status(response.status(), path));
    let (mut parts, _) = response.into_parts();
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
    let body = document(&problem);
    // Used for counting and logging.
    parts.extensions.insert(problem);
    Response::from_parts(parts, Body::from(body))
}

/// Encodes a problem as a body that ends with a newline.
fn document(problem: &Problem) -> Vec<u8> {
    let mut body = serde_json::to_vec(problem).expect("a problem is plain data");
    body.push(b'\n');
    body
}

/// Builds a whole answer from a problem, head and body, after which the connection is closed: for
/// requests whose head cannot be passed to routes.
pub(crate) fn last_answer(problem: &Problem) -> Vec<u8> {
    let status = status(problem.code);
    let body = document(problem);
    let mut answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {PROBLEM_CONTENT_TYPE}\r\ncontent-length: {}\r\n{}\
         connection: close\r\n\r\n",
        body.len(),
        if problem.retryable {
            "retry-after: 1\r\n"
        } else {
            ""
        },
    )
    .into_bytes();
    answer.extend(body);
    answer
}

/// Returns the problem for a status that the router set without one.
fn from_status(status: StatusCode, path: &str) -> Problem {
    match status {
        StatusCode::NOT_FOUND => {
            Problem::new(ErrorCode::UnknownRoute, format!("nothing is at {path}"))
        }
        StatusCode::METHOD_NOT_ALLOWED => {
            let detail = format!("{path} does not support this method, see the Allow header");
            Problem::new(ErrorCode::MethodNotAllowed, detail)
        }
        status if status.is_client_error() => {
            let detail = format!("the path or a header cannot be decoded ({status})");
            Problem::new(ErrorCode::MalformedRequest, detail)
        }
        status => Problem::new(ErrorCode::Internal, status.to_string()),
    }
}

/// Builds the response after a panic in a handler.
fn from_panic(payload: Box<dyn Any + Send>) -> Response {
    let cause = Cause(format!("a panic: {}", panic_text(&*payload)));
    let mut response = panicked().into_response();
    response.extensions_mut().insert(cause);
    response
}

/// Returns the message of a panic.
pub fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message")
}

/// Returns the problem that a client sees after a panic.
pub fn panicked() -> Failure {
    let detail = "the request could not be finished";
    Problem::new(ErrorCode::Internal, detail).into()
}
