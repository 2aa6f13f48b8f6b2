//! Failures that similar operations share.
//!
//! Failures of any operation, before its handler is called, are in `openapi::anywhere`.

use env_protocol::Problem;
use utoipa::openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, Type};
use utoipa::{IntoResponses, PartialSchema, ToSchema};

/// Failures of reading an environment.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "read by the derive only")]
pub(super) enum ReadProblems {
    /// forbidden
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(Problem),
    /// unknown-env
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
    /// not-acceptable
    #[response(status = 406, content_type = "application/problem+json")]
    NotAcceptable(Problem),
    /// env-closed, lease-expired or env-lost
    #[response(status = 410, content_type = "application/problem+json")]
    Gone(Problem),
    /// internal
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(Problem),
}

/// Failures of describing a spec with arguments.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "read by the derive only")]
pub(super) enum DescribeProblems {
    /// malformed-body or malformed-request
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(Problem),
    /// forbidden
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(Problem),
    /// unknown-spec
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
    /// not-acceptable
    #[response(status = 406, content_type = "application/problem+json")]
    NotAcceptable(Problem),
    /// body-too-large
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(Problem),
    /// unsupported-media-type
    #[response(status = 415, content_type = "application/problem+json")]
    UnsupportedMediaType(Problem),
    /// invalid-body or invalid-kwargs
    #[response(status = 422, content_type = "application/problem+json")]
    Unprocessable(Problem),
    /// internal
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(Problem),
}

/// Failures of creating an environment.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "read by the derive only")]
pub(super) enum CreateProblems {
    /// malformed-body or malformed-request
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(Problem),
    /// forbidden
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(Problem),
    /// unknown-spec
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
    /// not-acceptable
    #[response(status = 406, content_type = "application/problem+json")]
    NotAcceptable(Problem),
    /// body-too-large
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(Problem),
    /// unsupported-media-type
    #[response(status = 415, content_type = "application/problem+json")]
    UnsupportedMediaType(Problem),
    /// invalid-body, invalid-kwargs, invalid-seed, invalid-num-envs, invalid-ttl or invalid-env-id
    #[response(status = 422, content_type = "application/problem+json")]
    Unprocessable(Problem),
    /// quota-exceeded
    #[response(status = 429, content_type = "application/problem+json")]
    TooMany(Problem),
    /// internal
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(Problem),
    /// draining, server-full or storage-failed
    #[response(status = 503, content_type = "application/problem+json")]
    Draining(Problem),
}

/// Failures of a numbered operation.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "read by the derive only")]
pub(super) enum OperationProblems {
    /// malformed-body or malformed-request
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(Problem),
    /// forbidden, or budget-exceeded for a step
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(Problem),
    /// unknown-env
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
    /// not-acceptable
    #[response(status = 406, content_type = "application/problem+json")]
    NotAcceptable(Problem),
    /// seq-conflict, with expected_seq, or needs-reset; for a fork also env-exists
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(Problem),
    /// env-closed, lease-expired or env-lost
    #[response(status = 410, content_type = "application/problem+json")]
    Gone(Problem),
    /// body-too-large
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(Problem),
    /// unsupported-media-type
    #[response(status = 415, content_type = "application/problem+json")]
    UnsupportedMediaType(Problem),
    /// invalid-body, invalid-action, invalid-seed, invalid-options, invalid-snapshot, invalid-ttl,
    /// invalid-env-id or seq-reused
    #[response(status = 422, content_type = "application/problem+json")]
    Unprocessable(Problem),
    /// internal
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(Problem),
    /// storage-failed; for a fork also draining or server-full
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(Problem),
}

/// An image as a body.
pub(super) struct Png;

impl PartialSchema for Png {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)))
            .content_media_type("image/png")
            .into()
    }
}

impl ToSchema for Png {}
