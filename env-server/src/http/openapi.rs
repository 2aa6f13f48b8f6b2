//! The OpenAPI document, generated from the very routes that are served.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use env_protocol::{Encoding, ErrorCode, Problem, StreamReply, StreamRequest};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::{IntoParams, IntoResponses, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::codec::{encoded, negotiate};
use super::problem::Failure;
use super::{SharedApp, envs, metrics, operations, specs, stream, vector_envs};
use crate::render::{Format, render};
use crate::session::Session;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Environment server",
        description = "Gym-style memory tasks behind HTTP. Field names are Gymnasium's. Every operation on an \
                       environment carries a `seq`; sent again with the same body it is answered from store, \
                       so a request may be repeated after any doubt. Bodies are JSON or, several times faster \
                       for batches, MessagePack (`application/vnd.msgpack`). Errors are problem documents \
                       (RFC 9457), and an error changes nothing.",
    ),
    tags(
        (name = "specs", description = "What can be created"),
        (name = "envs", description = "One environment behind an id"),
        (name = "vector-envs", description = "Many environments behind one id, one request a batch"),
        (name = "stream", description = "All of this on one WebSocket"),
        (name = "operations", description = "For those who run the server"),
    ),
    // No route has them as a body: they are the messages of the stream.
    components(schemas(StreamRequest, StreamReply)),
)]
struct Document;

/// All routes with their descriptions.
pub(super) fn routes() -> OpenApiRouter<SharedApp> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(specs::list))
        .routes(routes!(specs::get))
        .routes(routes!(envs::create, envs::list))
        .routes(routes!(envs::put, envs::get, envs::close))
        .routes(routes!(envs::reset))
        .routes(routes!(envs::step))
        .routes(routes!(envs::snapshot))
        .routes(routes!(envs::restore))
        .routes(routes!(envs::lease))
        .routes(routes!(envs::fork))
        .routes(routes!(envs::trajectory))
        .routes(routes!(envs::render))
        .routes(routes!(envs::oracle))
        .routes(routes!(vector_envs::create, vector_envs::list))
        .routes(routes!(
            vector_envs::put,
            vector_envs::get,
            vector_envs::close
        ))
        .routes(routes!(vector_envs::reset))
        .routes(routes!(vector_envs::step))
        .routes(routes!(vector_envs::snapshot))
        .routes(routes!(vector_envs::restore))
        .routes(routes!(vector_envs::lease))
        .routes(routes!(vector_envs::fork))
        .routes(routes!(vector_envs::trajectory))
        .routes(routes!(vector_envs::render))
        .routes(routes!(vector_envs::oracle))
        .routes(routes!(stream::stream))
        .routes(routes!(operations::healthz))
        .routes(routes!(operations::readyz))
        .routes(routes!(operations::version))
        .routes(routes!(metrics::scrape))
        .routes(routes!(operations::explain_problem))
}

/// The document that `/openapi.json` serves.
pub fn document() -> utoipa::openapi::OpenApi {
    routes().split_for_parts().1
}

/// Query of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// Only ids after this one; `next` of the page before.
    after: Option<String>,
    /// Most entries, 100 if left out and never more than 1,000.
    limit: Option<usize>,
}

impl Page {
    pub(super) fn after(&self) -> &str {
        self.after.as_deref().unwrap_or_default()
    }

    pub(super) fn limit(&self) -> usize {
        self.limit.unwrap_or(100).clamp(1, 1000)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Page {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        query(parts, state).await
    }
}

/// Query of a trajectory.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TrajectoryPage {
    /// Number of the first operation, the earliest that is kept if left out; `next` of the page
    /// before.
    from: Option<u64>,
    /// Most operations, 100 if left out and never more than 1,000.
    limit: Option<usize>,
}

impl TrajectoryPage {
    /// The page of a session, which takes a while to make.
    pub(super) async fn of(
        self,
        session: Arc<Session>,
        reply: Encoding,
    ) -> Result<Response, Failure> {
        let limit = self.limit.unwrap_or(100).clamp(1, 1000);
        let make = move || Ok::<_, Problem>(encoded(reply, &session.trajectory(self.from, limit)?));
        let made = tokio::task::spawn_blocking(make).await;
        let made = made.map_err(|e| Problem::new(ErrorCode::Internal, e.to_string()))?;
        Ok(made?)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for TrajectoryPage {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        query(parts, state).await
    }
}

/// Query of a picture.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RenderQuery {
    /// The only lane to show, from 0.
    lane: Option<usize>,
    /// Whether text has escape codes for colours; it has none if left out.
    #[serde(default)]
    colour: bool,
}

impl RenderQuery {
    /// The picture of a session, as text unless an image is liked better.
    pub(super) fn of(&self, session: &Session, headers: &HeaderMap) -> Result<Response, Failure> {
        let format = match negotiate(headers, ["text/plain", "image/png"])? {
            0 => Format::Ansi {
                has_colour: self.colour,
            },
            _ => Format::Png,
        };
        let (content_type, bytes) = render(&session.pictures(self.lane)?, format);
        Ok(([(header::CONTENT_TYPE, content_type)], bytes).into_response())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RenderQuery {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        query(parts, state).await
    }
}

/// The query of a request.
async fn query<T: DeserializeOwned + Send, S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
) -> Result<T, Failure> {
    let query = Query::from_request_parts(parts, state).await;
    let Query(query) = query
        .map_err(|rejection| Problem::new(ErrorCode::MalformedRequest, rejection.body_text()))?;
    Ok(query)
}

/// What reading one environment may fail with.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "read by the derive only")]
pub(super) enum ReadProblems {
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

/// What creating may fail with.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "read by the derive only")]
pub(super) enum CreateProblems {
    /// malformed-body or malformed-request
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(Problem),
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
    /// quota-exceeded, with Retry-After
    #[response(status = 429, content_type = "application/problem+json")]
    TooMany(Problem),
    /// internal
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(Problem),
    /// draining, server-full or storage-failed, with Retry-After
    #[response(status = 503, content_type = "application/problem+json")]
    Draining(Problem),
}

/// What a numbered operation may fail with.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "read by the derive only")]
pub(super) enum OperationProblems {
    /// malformed-body or malformed-request
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(Problem),
    /// unknown-env
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
    /// not-acceptable
    #[response(status = 406, content_type = "application/problem+json")]
    NotAcceptable(Problem),
    /// seq-conflict, with expected_seq, or needs-reset; of a fork also env-exists
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
    /// storage-failed; of a fork also draining or server-full; with Retry-After
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(Problem),
}
