//! The catalogue: `/v1/specs`.

use axum::extract::{Path, State};
use axum::response::Response;
use env_protocol::{Problem, Spec, SpecList, SpecRequest};

use crate::http::app::SharedApp;
use crate::http::caller::FullCaller;
use crate::http::refusals::DescribeProblems;
use service::codec::{Accept, Call, encoded};
use service::problem::Failure;

/// List everything that can be created
#[utoipa::path(
    get, path = "/v1/specs", operation_id = "list_specs", tag = "specs",
    responses(
        (status = 200, description = "The catalogue", content(
            (SpecList = "application/json"), (SpecList = "application/vnd.msgpack"))),
        (status = 406, description = "not-acceptable", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(in crate::http) async fn list(State(app): State<SharedApp>, Accept(reply): Accept) -> Response {
    let specs = app.store.context().catalogue().specs().cloned().collect();
    encoded(reply, &SpecList { specs })
}

/// Return one entry of the catalogue
#[utoipa::path(
    get, path = "/v1/specs/{spec_id}", operation_id = "get_spec", tag = "specs",
    params(("spec_id" = String, Path, description = "Id of the spec", example = "MemoryTask-v0")),
    responses(
        (status = 200, description = "The spec", content(
            (Spec = "application/json"), (Spec = "application/vnd.msgpack"))),
        (status = 404, description = "unknown-spec", body = Problem, content_type = "application/problem+json"),
        (status = 406, description = "not-acceptable", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(in crate::http) async fn get(
    State(app): State<SharedApp>,
    Path(spec_id): Path<String>,
    Accept(reply): Accept,
) -> Result<Response, Failure> {
    let spec = app.store.context().catalogue().find(&spec_id)?;
    Ok(encoded(reply, &*spec))
}

/// Describe a spec with given arguments
///
/// The entry of the catalogue, with spaces, range of rewards, returns and solved threshold for
/// these arguments. Nothing is created.
#[utoipa::path(
    post, path = "/v1/specs/{spec_id}", operation_id = "describe_spec", tag = "specs",
    params(("spec_id" = String, Path, description = "Id of the spec", example = "MemoryTask-v0")),
    request_body(content(
        (SpecRequest = "application/json", example = json!({"kwargs": {"delay": 4, "difficulty": 1}})),
        (SpecRequest = "application/vnd.msgpack"))),
    responses(
        (status = 200, description = "The spec with these arguments", content(
            (Spec = "application/json"), (Spec = "application/vnd.msgpack"))),
        DescribeProblems,
    ),
)]
pub(in crate::http) async fn describe(
    State(app): State<SharedApp>,
    caller: FullCaller,
    Path(spec_id): Path<String>,
    Call { body, reply, .. }: Call<SpecRequest>,
) -> Result<Response, Failure> {
    // Returns of long mazes are computed step by step, which takes time.
    let store = std::sync::Arc::clone(&app);
    let described = app.aside(&caller, move || {
        let catalogue = store.store.context().catalogue();
        let spec = catalogue.spec_with(&spec_id, &body.kwargs)?;
        Ok(encoded(reply, &spec))
    });
    described.await
}
