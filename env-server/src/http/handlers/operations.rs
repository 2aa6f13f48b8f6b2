//! Routes for operators of the server.

use axum::extract::{Path, State};
use axum::response::Response;
use env_protocol::{Health, Problem, SNAPSHOT_VERSION, Version};

use crate::http::app::SharedApp;
use service::codec::{Accept, encoded};
use service::problem::Failure;

fn ok() -> Health {
    Health {
        status: "ok".to_owned(),
    }
}

/// Check that the server is alive
#[utoipa::path(
    get, path = "/healthz", operation_id = "get_health", tag = "operations",
    responses(
        (status = 200, description = "It is alive", body = Health, example = json!({"status": "ok"})),
        (status = 406, description = "not-acceptable", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(in crate::http) async fn healthz(Accept(reply): Accept) -> Response {
    encoded(reply, &ok())
}

/// Check that the server accepts new environments
#[utoipa::path(
    get, path = "/readyz", operation_id = "get_readiness", tag = "operations",
    responses(
        (status = 200, description = "It is ready", body = Health, example = json!({"status": "ok"})),
        (status = 406, description = "not-acceptable", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "draining, storage-failed", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(in crate::http) async fn readyz(
    State(app): State<SharedApp>,
    Accept(reply): Accept,
) -> Result<Response, Failure> {
    app.check_ready()?;
    app.check_storage()?;
    Ok(encoded(reply, &ok()))
}

/// Return the name and version of the server
#[utoipa::path(
    get, path = "/v1/version", operation_id = "get_version", tag = "operations",
    responses(
        (status = 200, description = "Name and versions", body = Version,
            example = json!({"name": "env-server", "version": "0.1.0", "snapshot_version": 1})),
        (status = 406, description = "not-acceptable", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(in crate::http) async fn version(Accept(reply): Accept) -> Response {
    let version = Version {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        snapshot_version: SNAPSHOT_VERSION,
    };
    encoded(reply, &version)
}

/// Explain a kind of problem and what to do about it
///
/// The `type` of a problem document leads here.
#[utoipa::path(
    get, path = "/problems/{code}", operation_id = "explain_problem", tag = "operations",
    params(("code" = String, Path, description = "The problem's `code`", example = "seq-conflict")),
    responses(
        (status = 200, description = "A page of text", body = String, content_type = "text/plain"),
        (status = 404, description = "unknown-route", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(in crate::http) async fn explain_problem(code: Path<String>) -> Result<Response, Failure> {
    service::explain_problem(code).await
}
