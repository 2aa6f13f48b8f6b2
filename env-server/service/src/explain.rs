//! The page behind the `type` of a problem document.

use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use env_protocol::{ErrorCode, Problem};

use crate::problem::Failure;

/// Answers `GET /problems/{code}` with a page of text: what the problem means and how to fix it.
///
/// # Errors
/// `unknown-route`, when there is no such code.
pub async fn explain_problem(Path(code): Path<String>) -> Result<Response, Failure> {
    let found = ErrorCode::ALL.iter().find(|c| c.as_str() == code);
    let Some(found) = found else {
        let detail = format!("there is no problem {code:?}");
        return Err(Problem::new(ErrorCode::UnknownRoute, detail).into());
    };
    let text = format!(
        "{code}: {}\nstatus {}, {}\n\n{}\n",
        found.title(),
        found.status(),
        match found.is_retryable() {
            true => "the same request may succeed later",
            false => "the same request will fail again",
        },
        found.advice(),
    );
    let plain = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    Ok((plain, text).into_response())
}
