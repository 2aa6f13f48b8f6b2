//! Vector environments: `/v1/vector-envs`.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use env_protocol::{
    CreateVectorEnv, ForkReply, ForkRequest, LeaseReply, LeaseRequest, Problem, RestoreReply,
    RestoreRequest, Snapshot, Trajectory, VectorEnvDescription, VectorEnvList, VectorOracleReply,
    VectorResetReply, VectorResetRequest, VectorStepReply, VectorStepRequest,
};

use super::resource::resource_routes;
use crate::http::app::SharedApp;
use crate::http::caller::{Caller, FullCaller};
use crate::http::queries::{Page, RenderQuery, TrajectoryPage};
use crate::http::refusals::{CreateProblems, OperationProblems, Png, ReadProblems};
use crate::session::{Creation, Description, Kind, Operation, Session};
use service::codec::{Accept, Call, encoded};
use service::problem::Failure;

const KIND: Kind = Kind::Vector;

/// Create a vector environment under an id of the server's choosing
///
/// A repeated request creates another one; `PUT` does not.
#[utoipa::path(
    post, path = "/v1/vector-envs", operation_id = "create_vector_env", tag = "vector-envs",
    request_body(content(
        (CreateVectorEnv = "application/json", example = json!({"spec_id": "MemoryTask-v0", "num_envs": 2, "kwargs": {"delay": 4}, "seed": 7, "autoreset_mode": "SameStep"})),
        (CreateVectorEnv = "application/vnd.msgpack"))),
    responses(
        (status = 201, description = "Created", content(
            (VectorEnvDescription = "application/json", example = json!({"env_id": "ours", "spec_id": "MemoryTask-v0", "num_envs": 2, "kwargs": {"delay": 4, "difficulty": 0}, "seed": 7, "autoreset_mode": "SameStep", "single_observation_space": {"type": "Box", "shape": [3], "dtype": "float32", "low": 0.0, "high": 1.0}, "single_action_space": {"type": "Discrete", "n": 2, "start": 0}, "ttl_s": 3600, "expires_in_s": 3600, "seq": 0})),
            (VectorEnvDescription = "application/vnd.msgpack")),
            headers(("Location" = String, description = "Path of the environment"))),
        CreateProblems,
    ),
)]
pub(in crate::http) async fn create(
    State(app): State<SharedApp>,
    caller: FullCaller,
    Call { body, reply, .. }: Call<CreateVectorEnv>,
) -> Result<Response, Failure> {
    app.create(Creation::Vector(body), &caller, reply).await
}

/// Create a vector environment under your own id
///
/// Idempotent: repeating the id and body answers 200 with the environment as it is now.
#[utoipa::path(
    put, path = "/v1/vector-envs/{env_id}", operation_id = "put_vector_env", tag = "vector-envs",
    params(("env_id" = String, Path, description = "1 to 64 of A-Z a-z 0-9 . _ -", example = "ours")),
    request_body(content(
        (CreateVectorEnv = "application/json", example = json!({"spec_id": "MemoryTask-v0", "num_envs": 2, "kwargs": {"delay": 4}, "seed": 7, "autoreset_mode": "SameStep"})),
        (CreateVectorEnv = "application/vnd.msgpack"))),
    responses(
        (status = 201, description = "Created", content(
            (VectorEnvDescription = "application/json", example = json!({"env_id": "ours", "spec_id": "MemoryTask-v0", "num_envs": 2, "kwargs": {"delay": 4, "difficulty": 0}, "seed": 7, "autoreset_mode": "SameStep", "single_observation_space": {"type": "Box", "shape": [3], "dtype": "float32", "low": 0.0, "high": 1.0}, "single_action_space": {"type": "Discrete", "n": 2, "start": 0}, "ttl_s": 3600, "expires_in_s": 3600, "seq": 0})),
            (VectorEnvDescription = "application/vnd.msgpack")),
            headers(("Location" = String, description = "Path of the environment"))),
        (status = 200, description = "Already created with the same body", content(
            (VectorEnvDescription = "application/json"), (VectorEnvDescription = "application/vnd.msgpack"))),
        CreateProblems,
        (status = 409, description = "env-exists", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "env-closed or lease-expired", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(in crate::http) async fn put(
    State(app): State<SharedApp>,
    caller: FullCaller,
    Path(env_id): Path<String>,
    Call { body, reply, .. }: Call<CreateVectorEnv>,
) -> Result<Response, Failure> {
    app.create_as(env_id, Creation::Vector(body), &caller, reply)
        .await
}

/// List vector environments by id, a page at a time
#[utoipa::path(
    get, path = "/v1/vector-envs", operation_id = "list_vector_envs", tag = "vector-envs",
    params(Page),
    responses(
        (status = 200, description = "A page", content(
            (VectorEnvList = "application/json"), (VectorEnvList = "application/vnd.msgpack"))),
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
        let vector_envs = described
            .into_iter()
            .filter_map(|description| match description {
                Description::Vector(description) => Some(description),
                _ => None,
            });
        let vector_envs = vector_envs.collect();
        listing.large(reply, &VectorEnvList { vector_envs, next })
    });
    listed.await
}

/// Begin episodes in all lanes, or in those of `options.reset_mask`
///
/// Lanes outside the mask repeat their last observation (zeros, if they never had one).
#[utoipa::path(
    post, path = "/v1/vector-envs/{env_id}/reset", operation_id = "reset_vector_env", tag = "vector-envs",
    params(("env_id" = String, Path, description = "Id of the environment")),
    request_body(content(
        (VectorResetRequest = "application/json", example = json!({"seq": 0, "seed": 7})),
        (VectorResetRequest = "application/vnd.msgpack"))),
    responses(
        (status = 200, description = "The first observations", content(
            (VectorResetReply = "application/json", example = json!({"observations": [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]], "infos": {}, "seq": 1})),
            (VectorResetReply = "application/vnd.msgpack")),
            headers(("Idempotency-Replayed" = String, description = "`true` on a stored reply"))),
        OperationProblems,
    ),
)]
pub(in crate::http) async fn reset(
    State(app): State<SharedApp>,
    caller: Caller,
    Path(env_id): Path<String>,
    Call { body, reply, .. }: Call<VectorResetRequest>,
) -> Result<Response, Failure> {
    caller.check_reset(body.seed.is_none() && body.options.is_empty())?;
    let session = app.store.get(KIND, &env_id, caller.owner())?;
    let seq = body.seq;
    let operation = session.blueprint().vector_reset_operation(body)?;
    app.operate(session, &caller, seq, operation, reply).await
}

/// Take an action in every lane
///
/// The `autoreset_mode` determines what happens to lanes whose episode ends. In MessagePack,
/// `actions` is best sent as a typed array of any integer type.
#[utoipa::path(
    post, path = "/v1/vector-envs/{env_id}/step", operation_id = "step_vector_env", tag = "vector-envs",
    params(("env_id" = String, Path, description = "Id of the environment")),
    request_body(content(
        (VectorStepRequest = "application/json", example = json!({"seq": 1, "actions": [0, 1]})),
        (VectorStepRequest = "application/vnd.msgpack"))),
    responses(
        (status = 200, description = "The outcome", content(
            (VectorStepReply = "application/json", example = json!({"observations": [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]], "rewards": [0.0, 0.0], "terminations": [false, false], "truncations": [false, false], "infos": {}, "seq": 2})),
            (VectorStepReply = "application/vnd.msgpack")),
            headers(("Idempotency-Replayed" = String, description = "`true` on a stored reply"))),
        OperationProblems,
    ),
)]
pub(in crate::http) async fn step(
    State(app): State<SharedApp>,
    caller: Caller,
    Path(env_id): Path<String>,
    Call { body, reply, .. }: Call<VectorStepRequest>,
) -> Result<Response, Failure> {
    let session = app.store.get(KIND, &env_id, caller.owner())?;
    let operation = session.blueprint().step_operation(body.actions)?;
    app.operate(session, &caller, body.seq, operation, reply)
        .await
}

resource_routes! {
    kind: KIND, tag: "vector-envs", description: VectorEnvDescription,
    item: "/v1/vector-envs/{env_id}" ("get_vector_env", "close_vector_env"),
    lease: "/v1/vector-envs/{env_id}/lease" ("renew_vector_env"),
    snapshot: "/v1/vector-envs/{env_id}/snapshot" ("snapshot_vector_env"),
    restore: "/v1/vector-envs/{env_id}/restore" ("restore_vector_env"),
    fork: "/v1/vector-envs/{env_id}/fork" ("fork_vector_env"),
    trajectory: "/v1/vector-envs/{env_id}/trajectory" ("trajectory_vector_env"),
    render: "/v1/vector-envs/{env_id}/render" ("render_vector_env"),
    oracle: "/v1/vector-envs/{env_id}/oracle" ("oracle_vector_env", VectorOracleReply { actions }),
}
