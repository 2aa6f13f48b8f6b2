//! Failures common to all operations: answered by the server before a handler is called, or instead
//! of it.

use axum::http::StatusCode;
use env_protocol::{ErrorCode, PROBLEM_CONTENT_TYPE};
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Components, ContentBuilder, ObjectBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder, Type,
};

use super::items::operations;
use service::server::is_open;

/// Name of the security scheme.
const BEARER: &str = "bearer";

/// Codes that do not depend on the operation, by status.
const ANYWHERE: [ErrorCode; 11] = [
    ErrorCode::MalformedRequest,
    ErrorCode::Unauthorized,
    ErrorCode::CrossOrigin,
    ErrorCode::SlowRequest,
    ErrorCode::UriTooLong,
    ErrorCode::UnknownHost,
    ErrorCode::RateLimited,
    ErrorCode::HeadTooLarge,
    ErrorCode::Internal,
    ErrorCode::Overloaded,
    ErrorCode::RequestTimeout,
];

/// Statuses of failures that only occur on routes that need a token.
const WITH_TOKENS: [u16; 2] = [401, 429];

/// Adds these failures to every operation, and declares which operations need a token (or accept
/// one, if `wants_tokens` is false).
pub(super) fn add(document: &mut OpenApi, wants_tokens: bool) {
    let components = document.components.get_or_insert_with(Components::default);
    for status in statuses() {
        let mut response = problem();
        describe(&mut response, status);
        add_header(&mut response, status);
        let responses = &mut components.responses;
        responses.insert(component(status), RefOr::T(response));
    }
    let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    components.add_security_scheme(BEARER, scheme);
    let token = SecurityRequirement::new(BEARER, Vec::<String>::new());
    document.security = Some(match wants_tokens {
        true => vec![token],
        false => vec![SecurityRequirement::default(), token],
    });
    for (path, item) in &mut document.paths.paths {
        for operation in operations(item) {
            add_to(operation, is_open(path));
        }
    }
}

fn add_to(operation: &mut Operation, is_open: bool) {
    if is_open {
        operation.security = Some(Vec::new());
    }
    let responses = &mut operation.responses.responses;
    for status in statuses().filter(|status| !(is_open && WITH_TOKENS.contains(status))) {
        let anywhere = || Ref::from_response_name(component(status)).into();
        let response = responses.entry(status.to_string()).or_insert_with(anywhere);
        if let RefOr::T(response) = response {
            describe(response, status);
        }
    }
    for (status, response) in responses {
        if let (Ok(status), RefOr::T(response)) = (status.parse(), response) {
            add_header(response, status);
        }
    }
}

/// Returns the statuses of [`ANYWHERE`].
fn statuses() -> impl Iterator<Item = u16> {
    ANYWHERE
        .chunk_by(|a, b| a.status() == b.status())
        .map(|codes| codes[0].status())
}

/// Returns the name of the response with a status of [`ANYWHERE`].
fn component(status: u16) -> String {
    let status = StatusCode::from_u16(status).unwrap_or_default();
    let words = status.canonical_reason().unwrap_or_default();
    words.replace(' ', "")
}

/// Adds the codes of [`ANYWHERE`] that have this status to a response's description.
fn describe(response: &mut Response, status: u16) {
    let text = &mut response.description;
    for code in ANYWHERE.iter().filter(|code| code.status() == status) {
        if !text.contains(code.as_str()) {
            let gap = if text.is_empty() { "" } else { "; " };
            text.push_str(gap);
            text.push_str(code.as_str());
        }
    }
}

/// Declares the header that comes with a failure.
fn add_header(response: &mut Response, status: u16) {
    let (name, header) = match status {
        401 => ("WWW-Authenticate", header(Type::String, "`Bearer`")),
        408 | 429 | 503 => ("Retry-After", header(Type::Integer, "Seconds")),
        _ => return,
    };
    response.headers.insert(name.to_owned(), RefOr::T(header));
}

fn problem() -> Response {
    let problem = Ref::from_schema_name("Problem");
    let content = ContentBuilder::new().schema(Some(problem)).build();
    ResponseBuilder::new()
        .content(PROBLEM_CONTENT_TYPE, content)
        .build()
}

fn header(kind: Type, description: &str) -> Header {
    HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(kind)))
        .description(Some(description))
        .build()
}
