//! Single environments: `/v1/envs`.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use env_protocol::{
    CreateEnv, EnvDescription, EnvList, ForkReply, ForkRequest, LeaseReply, LeaseRequest,
    OracleReply, Problem, ResetReply, ResetRequest, RestoreReply, RestoreRequest, Snapshot,
    StepReply, StepRequest, Trajectory,
};

use super::resource::resource_routes;
use crate::http::app::SharedApp;
use crate::http::caller::{Caller, FullCaller};
use crate::http::queries::{Page, RenderQuery, TrajectoryPage};
use crate::http::refusals::{CreateProblems, OperationProblems, Png, ReadProblems};
use crate::session::{Blueprint, Creation, Description, Kind, Operation, Session};
use service::codec::{Accept, Call, encoded};
use service::problem::Failure;

const KIND: Kind = Kind::Single;

/// Create an environment under an id of the server's choosing
///
/// A repeated request creates another one; `PUT` does not.
#[utoipa::path(
    post, path = "/v1/envs", operation_id = "create_env", tag = "envs",
    request_body(content(
        (CreateEnv = "application/json", example = json!({"spec_id": "MemoryTask-v0", "kwargs": {"delay": 4, "difficulty": 1}, "seed": 7})),
        (CreateEnv = "application/vnd.msgpack"))),
    responses(
        (status = 201, description = "Created", content(
            (EnvDescription = "application/json", example = json!({"env_id": "mine", "spec_id": "MemoryTask-v0", "kwargs": {"delay": 4, "difficulty": 1}, "seed": 7, "observation_space": {"type": "Box", "shape": [3], "dtype": "float32", "low": 0.0, "high": 1.0}, "action_space": {"type": "Discrete", "n": 2, "start": 0}, "ttl_s": 3600, "expires_in_s": 3600, "seq": 0})),
            (EnvDescription = "application/vnd.msgpack")),
            headers(("Location" = String, description = "Path of the environment"))),
        CreateProblems,
    ),
)]
pub(in crate::http) async fn create(
    State(app): State<SharedApp>,
    caller: FullCaller,
    Call { body, reply, .. }: Call<CreateEnv>,
) -> Result<Response, Failure> {
    app.create(Creation::Single(body), &caller, reply).await
}

/// Create an environment under your own id
///
/// Idempotent: repeating the id and body answers 200 with the environment as it is now.
#[utoipa::path(
    put, path = "/v1/envs/{env_id}", operation_id = "put_env", tag = "envs",
    params(("env_id" = String, Path, description = "1 to 64 of A-Z a-z 0-9 . _ -", example = "mine")),
    request_body(content(
        (CreateEnv = "application/json", example = json!({"spec_id": "MemoryTask-v0", "kwargs": {"delay": 4, "difficulty": 1}, "seed": 7})),
        (CreateEnv = "application/vnd.msgpack"))),
    responses(
        (status = 201, description = "Created", content(
            (EnvDescription = "application/json", example = json!({"env_id": "mine", "spec_id": "MemoryTask-v0", "kwargs": {"delay": 4, "difficulty": 1}, "seed": 7, "observation_space": {"type": "Box", "shape": [3], "dtype": "float32", "low": 0.0, "high": 1.0}, "action_space": {"type": "Discrete", "n": 2, "start": 0}, "ttl_s": 3600, "expires_in_s": 3600, "seq": 0})),
            (EnvDescription = "application/vnd.msgpack")),
            headers(("Location" = String, description = "Path of the environment"))),
        (status = 200, description = "Already created with the same body", content(
            (EnvDescription = "application/json"), (EnvDescription = "application/vnd.msgpack"))),
        CreateProblems,
        (status = 409, description = "env-exists", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "env-closed or lease-expired", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(in crate::http) async fn put(
    State(app): State<SharedApp>,
    caller: FullCaller,
    Path(env_id): Path<String>,
    Call { body, reply, .. }: Call<CreateEnv>,
) -> Result<Response, Failure> {
    app.create_as(env_id, Creation::Single(body), &caller, reply)
        .await
}

/// List environments by id, a page at a time
#[utoipa::path(
    get, path = "/v1/envs", operation_id = "list_envs", tag = "envs",
    params(Page),
    responses(
        (status = 200, description = "A page", content(
            (EnvList = "application/json"), (EnvList = "application/vnd.msgpack"))),
        (status = 400, description = "malformed-request", body = Problem, content_type = "application/problem+json"),
        (status = 406, description = "not-acceptable", body = Problem, content_type = "application/problem+json"),
        (status = 500, description = "internal", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(in crate::http) async fn list(
    State(app): State<SharedApp>,
    caller: FullCaller,
    page: Page,
    Accept(reply): Accept,
) -> Result<Response, Failure> {
    let listing = app.clone();
    let owner = caller.owner().cloned();
    let listed = app.aside(&caller, move || {
        let store = &listing.store;
        let (described, next) = store.list(KIND, page.after(), page.limit(), owner.as_ref())?;
        let envs = described
            .into_iter()
            .filter_map(|description| match description {
                Description::Single(description) => Some(description),
                _ => None,
            });
        let envs = envs.collect();
        listing.large(reply, &EnvList { envs, next })
    });
    listed.await
}

/// Begin an episode
///
/// An episode in progress is abandoned. An empty body is a reset without seed and options.
#[utoipa::path(
    post, path = "/v1/envs/{env_id}/reset", operation_id = "reset_env", tag = "envs",
    params(("env_id" = String, Path, description = "Id of the environment")),
    request_body(content(
        (ResetRequest = "application/json", example = json!({"seq": 0, "seed": 7, "options": {"delay": 2}})),
        (ResetRequest = "application/vnd.msgpack"))),
    responses(
        (status = 200, description = "The first observation", content(
            (ResetReply = "application/json", example = json!({"observation": [1.0, 0.0, 0.0], "info": {}, "seq": 1})),
            (ResetReply = "application/vnd.msgpack")),
            headers(("Idempotency-Replayed" = String, description = "`true` on a stored reply"))),
        OperationProblems,
    ),
)]
pub(in crate::http) async fn reset(
    State(app): State<SharedApp>,
    caller: Caller,
    Path(env_id): Path<String>,
    Call { body, reply, .. }: Call<ResetRequest>,
) -> Result<Response, Failure> {
    caller.check_reset(body.seed.is_none() && body.options.is_empty())?;
    let session = app.store.get(KIND, &env_id, caller.owner())?;
    let seq = body.seq;
    let operation = Blueprint::reset_operation(body);
    app.operate(session, &caller, seq, operation, reply).await
}

/// Take an action
///
/// After the end of an episode this is 409 `needs-reset`.
#[utoipa::path(
    post, path = "/v1/envs/{env_id}/step", operation_id = "step_env", tag = "envs",
    params(("env_id" = String, Path, description = "Id of the environment")),
    request_body(content(
        (StepRequest = "application/json", example = json!({"seq": 1, "action": 0})),
        (StepRequest = "application/vnd.msgpack"))),
    responses(
        (status = 200, description = "The outcome", content(
            (StepReply = "application/json", example = json!({"observation": [0.0, 1.0, 0.0], "reward": 0.0, "terminated": false, "truncated": false, "info": {}, "seq": 2})),
            (StepReply = "application/vnd.msgpack")),
            headers(("Idempotency-Replayed" = String, description = "`true` on a stored reply"))),
        OperationProblems,
    ),
)]
pub(in crate::http) async fn step(
    State(app): State<SharedApp>,
    caller: Caller,
    Path(env_id): Path<String>,
    Call { body, reply, .. }: Call<StepRequest>,
) -> Result<Response, Failure> {
    let session = app.store.get(KIND, &env_id, caller.owner())?;
    let operation = session.blueprint().step_operation(body.action)?;
    app.operate(session, &caller, body.seq, operation, reply)
        .await
}

resource_routes! {
    kind: KIND, tag: "envs", description: EnvDescription,
    item: "/v1/envs/{env_id}" ("get_env", "close_env"),
    lease: "/v1/envs/{env_id}/lease" ("renew_env"),
    snapshot: "/v1/envs/{env_id}/snapshot" ("snapshot_env"),
    restore: "/v1/envs/{env_id}/restore" ("restore_env"),
    fork: "/v1/envs/{env_id}/fork" ("fork_env"),
    trajectory: "/v1/envs/{env_id}/trajectory" ("trajectory_env"),
    render: "/v1/envs/{env_id}/render" ("render_env"),
    oracle: "/v1/envs/{env_id}/oracle" ("oracle_env", OracleReply { action }),
}
