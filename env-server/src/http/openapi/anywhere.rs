//! What any operation may be answered: by the server before a handler is asked, or instead of it.

use env_protocol::{ErrorCode, PROBLEM_CONTENT_TYPE};
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Components, ContentBuilder, ObjectBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder, Type,
};

use super::operations;
use crate::http::is_open;

/// Name of the security scheme.
const BEARER: &str = "bearer";

/// Codes that do not depend on the operation.
const ANYWHERE: [ErrorCode; 7] = [
    ErrorCode::MalformedRequest,
    ErrorCode::Unauthorized,
    ErrorCode::SlowRequest,
    ErrorCode::RateLimited,
    ErrorCode::Internal,
    ErrorCode::Overloaded,
    ErrorCode::RequestTimeout,
];

/// Of these, what only those meet who need a token.
const WITH_TOKENS: [ErrorCode; 2] = [ErrorCode::Unauthorized, ErrorCode::RateLimited];

/// Adds these failures to every operation, and says which of them take a token, which they want or
/// not.
pub(super) fn add(document: &mut OpenApi, wants_tokens: bool) {
    for (path, item) in &mut document.paths.paths {
        let is_open = is_open(path);
        for operation in operations(item) {
            if is_open {
                operation.security = Some(Vec::new());
            }
            let codes = ANYWHERE.into_iter();
            codes
                .filter(|code| !(is_open && WITH_TOKENS.contains(code)))
                .for_each(|code| add_code(operation, code));
            add_headers(operation);
        }
    }
    let scheme = Http::new(HttpAuthScheme::Bearer);
    let components = document.components.get_or_insert_with(Components::default);
    components.add_security_scheme(BEARER, SecurityScheme::Http(scheme));
    let token = SecurityRequirement::new(BEARER, Vec::<String>::new());
    document.security = Some(match wants_tokens {
        true => vec![token],
        false => vec![SecurityRequirement::default(), token],
    });
}

fn add_code(operation: &mut Operation, code: ErrorCode) {
    let responses = &mut operation.responses.responses;
    let response = responses
        .entry(code.status().to_string())
        .or_insert_with(|| RefOr::T(problem()));
    let RefOr::T(response) = response else { return };
    let text = &mut response.description;
    if text.contains(code.as_str()) {
        return;
    }
    if !text.is_empty() {
        text.push_str("; ");
    }
    text.push_str(code.as_str());
}

/// Says which headers come with a failure, whoever described it.
fn add_headers(operation: &mut Operation) {
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else {
            continue;
        };
        let (name, header) = match status.as_str() {
            "401" => ("WWW-Authenticate", header(Type::String, "`Bearer`")),
            "408" | "429" | "503" => ("Retry-After", header(Type::Integer, "Seconds")),
            _ => continue,
        };
        let headers = &mut response.headers;
        headers.insert(name.to_owned(), RefOr::T(header));
    }
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
