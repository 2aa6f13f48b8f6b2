//! Errors as responses: every one is a problem document (RFC 9457).

use std::any::Any;

use axum::body::Body;
use axum::http::response::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use env_protocol::{ErrorCode, PROBLEM_CONTENT_TYPE, Problem};

/// After how many seconds to try again, where trying again may help.
const RETRY_AFTER_S: HeaderValue = HeaderValue::from_static("1");

/// A problem on its way to the client. [`finish`] gives it its body.
#[derive(Debug)]
pub(crate) struct Failure(Box<Problem>);

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

/// Writes the body of every error: those of handlers, which leave their problem with the response,
/// and those of the router, which leave only a status.
pub(crate) fn finish(mut response: Response, path: &str) -> Response {
    if !response.status().is_client_error() && !response.status().is_server_error() {
        return response;
    }
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
pub(crate) fn from_panic(payload: &(dyn Any + Send)) -> Problem {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = text, "a request handler panicked");
    Problem::new(ErrorCode::Internal, "the request could not be finished")
}
