//! Routes that single and vector environments share, on an existing environment.
//!
//! They differ only in paths and names, so one macro generates both; utoipa needs these as
//! literals.

/// Generates the handlers of these routes in the calling module.
macro_rules! resource_routes {
    (
        kind: $kind:expr, tag: $tag:literal, description: $description:ty,
        item: $item:literal ($get:literal, $close:literal),
        lease: $lease_path:literal ($lease:literal),
        snapshot: $snapshot_path:literal ($snapshot:literal),
        restore: $restore_path:literal ($restore:literal),
        fork: $fork_path:literal ($fork:literal),
        trajectory: $trajectory_path:literal ($trajectory:literal),
        render: $render_path:literal ($render:literal),
        oracle: $oracle_path:literal ($oracle:literal, $oracle_reply:ident { $oracle_field:ident }),
    ) => {
        /// Describe an environment
        ///
        /// Reading it does not renew its lease.
        #[utoipa::path(
            get, path = $item, operation_id = $get, tag = $tag,
            params(("env_id" = String, Path, description = "Id of the environment")),
            responses(
                (status = 200, description = "The environment as it is now", content(
                    ($description = "application/json"), ($description = "application/vnd.msgpack"))),
                ReadProblems,
            ),
        )]
        pub(in crate::http) async fn get(
            State(app): State<SharedApp>,
            caller: Caller,
            Path(env_id): Path<String>,
            Accept(reply): Accept,
        ) -> Result<Response, Failure> {
            let session = app.store.get($kind, &env_id, caller.owner())?;
            Ok(encoded(reply, &caller.shown(session.describe()?)))
        }

        /// Close an environment
        ///
        /// An operation in progress is finished first. Closing it again is not an error, as long as
        /// the server remembers it.
        #[utoipa::path(
            delete, path = $item, operation_id = $close, tag = $tag,
            params(("env_id" = String, Path, description = "Id of the environment")),
            responses(
                (status = 204, description = "Closed, now or earlier"),
                (status = 404, description = "unknown-env", body = Problem, content_type = "application/problem+json"),
                (status = 503, description = "storage-failed", body = Problem, content_type = "application/problem+json"),
            ),
        )]
        pub(in crate::http) async fn close(
            State(app): State<SharedApp>,
            caller: FullCaller,
            Path(env_id): Path<String>,
        ) -> Result<StatusCode, Failure> {
            app.close($kind, env_id, &caller).await
        }

        /// Renew a lease
        ///
        /// Every operation renews it as well. An empty body keeps the time to live.
        #[utoipa::path(
            post, path = $lease_path, operation_id = $lease, tag = $tag,
            params(("env_id" = String, Path, description = "Id of the environment")),
            request_body(content(
                (LeaseRequest = "application/json", example = json!({"ttl_s": 600})),
                (LeaseRequest = "application/vnd.msgpack"))),
            responses(
                (status = 200, description = "Renewed", content(
                    (LeaseReply = "application/json", example = json!({"ttl_s": 600, "expires_in_s": 600})),
                    (LeaseReply = "application/vnd.msgpack"))),
                OperationProblems,
            ),
        )]
        pub(in crate::http) async fn lease(
            State(app): State<SharedApp>,
            caller: FullCaller,
            Path(env_id): Path<String>,
            Call { body, reply, .. }: Call<LeaseRequest>,
        ) -> Result<Response, Failure> {
            let session = app.store.get($kind, &env_id, caller.owner())?;
            let renewing = app.clone();
            let renew = move |session: &Session| renewing.store.renew(session, body);
            let (renewed, written) = app.with(session, &caller, renew).await?;
            app.store.context().safe(written).await?;
            Ok(encoded(reply, &renewed))
        }

        /// Take a snapshot of the whole state
        ///
        /// Restored here or on another server, it continues bit for bit, random draws included.
        #[utoipa::path(
            get, path = $snapshot_path, operation_id = $snapshot, tag = $tag,
            params(("env_id" = String, Path, description = "Id of the environment")),
            responses(
                (status = 200, description = "The state", content(
                    (Snapshot = "application/json"), (Snapshot = "application/vnd.msgpack"))),
                ReadProblems,
            ),
        )]
        pub(in crate::http) async fn snapshot(
            State(app): State<SharedApp>,
            caller: FullCaller,
            Path(env_id): Path<String>,
            Accept(reply): Accept,
        ) -> Result<Response, Failure> {
            let session = app.store.get($kind, &env_id, caller.owner())?;
            app.snapshot(session, &caller, reply).await
        }

        /// Restore a state
        ///
        /// The environment must have been created with the same spec, kwargs, lanes and autoreset
        /// mode. It is an operation with a `seq` like any other.
        #[utoipa::path(
            post, path = $restore_path, operation_id = $restore, tag = $tag,
            params(("env_id" = String, Path, description = "Id of the environment")),
            request_body(content(
                (RestoreRequest = "application/json"), (RestoreRequest = "application/vnd.msgpack"))),
            responses(
                (status = 200, description = "The state is restored", content(
                    (RestoreReply = "application/json", example = json!({"seq": 3})),
                    (RestoreReply = "application/vnd.msgpack")),
                    headers(("Idempotency-Replayed" = String, description = "`true` on a stored reply"))),
                OperationProblems,
            ),
        )]
        pub(in crate::http) async fn restore(
            State(app): State<SharedApp>,
            caller: FullCaller,
            Path(env_id): Path<String>,
            Call { body, reply, .. }: Call<RestoreRequest>,
        ) -> Result<Response, Failure> {
            let session = app.store.get($kind, &env_id, caller.owner())?;
            let operation = Operation::Restore(Box::new(body.snapshot));
            app.operate(session, &caller, body.seq, operation, reply).await
        }

        /// Branch off another environment
        ///
        /// It has the same spec and arguments and continues from the same state, random draws
        /// included. For the original environment this is an operation with a `seq` like any other.
        #[utoipa::path(
            post, path = $fork_path, operation_id = $fork, tag = $tag,
            params(("env_id" = String, Path, description = "Id of the environment to branch from")),
            request_body(content(
                (ForkRequest = "application/json", example = json!({"seq": 3, "env_id": "what-if"})),
                (ForkRequest = "application/vnd.msgpack"))),
            responses(
                (status = 201, description = "The branch exists", content(
                    (ForkReply = "application/json", example = json!({"env_id": "what-if", "seq": 4})),
                    (ForkReply = "application/vnd.msgpack")),
                    headers(
                        ("Location" = String, description = "Path of the branch"),
                        ("Idempotency-Replayed" = String, description = "`true` on a stored reply"))),
                (status = 429, description = "quota-exceeded", body = Problem, content_type = "application/problem+json"),
                OperationProblems,
            ),
        )]
        pub(in crate::http) async fn fork(
            State(app): State<SharedApp>,
            caller: FullCaller,
            Path(env_id): Path<String>,
            Call { body, reply, .. }: Call<ForkRequest>,
        ) -> Result<Response, Failure> {
            let session = app.store.get($kind, &env_id, caller.owner())?;
            app.fork(session, body, &caller, reply).await
        }

        /// Read the history of operations
        ///
        /// A page holds operations and replies in order, and the state before the first of them, so
        /// that `env-server replay` can replay and compare it. It ends after `limit` operations, or
        /// when they take 8 MiB; `next` is where the following page begins. The server keeps the
        /// latest operations: as many as fit into `--trajectory-bytes` and at least 64 (fewer if
        /// they take more than 4 MiB with their states, but always the last one).
        #[utoipa::path(
            get, path = $trajectory_path, operation_id = $trajectory, tag = $tag,
            params(("env_id" = String, Path, description = "Id of the environment"), TrajectoryPage),
            responses(
                (status = 200, description = "A page", content(
                    (Trajectory = "application/json"), (Trajectory = "application/vnd.msgpack"))),
                (status = 422, description = "invalid-query", body = Problem, content_type = "application/problem+json"),
                ReadProblems,
            ),
        )]
        pub(in crate::http) async fn trajectory(
            State(app): State<SharedApp>,
            caller: FullCaller,
            Path(env_id): Path<String>,
            page: TrajectoryPage,
            Accept(reply): Accept,
        ) -> Result<Response, Failure> {
            let session = app.store.get($kind, &env_id, caller.owner())?;
            app.trajectory(session, &caller, (page.from(), page.limit()), reply).await
        }

        /// Render an environment
        ///
        /// A picture of its present state, for people: it also shows what the agent does not see.
        /// For a vector environment it shows the first sixteen lanes, or the requested one.
        #[utoipa::path(
            get, path = $render_path, operation_id = $render, tag = $tag,
            params(("env_id" = String, Path, description = "Id of the environment"), RenderQuery),
            responses(
                (status = 200, description = "The picture", content(
                    (String = "text/plain"), (inline(Png) = "image/png"))),
                (status = 422, description = "invalid-query", body = Problem, content_type = "application/problem+json"),
                ReadProblems,
            ),
        )]
        pub(in crate::http) async fn render(
            State(app): State<SharedApp>,
            caller: FullCaller,
            Path(env_id): Path<String>,
            query: RenderQuery,
            headers: HeaderMap,
        ) -> Result<Response, Failure> {
            let session = app.store.get($kind, &env_id, caller.owner())?;
            query.picture(&app, &caller, session, &headers).await
        }

        /// Ask for the oracle's action
        ///
        /// The action, for the present state, of a player that knows every hidden draw: a baseline
        /// to compare learners with. Only a server started with `--allow-oracle` answers; no
        /// observation and no info ever contains it.
        #[utoipa::path(
            get, path = $oracle_path, operation_id = $oracle, tag = $tag,
            params(("env_id" = String, Path, description = "Id of the environment")),
            responses(
                (status = 200, description = "The action", content(
                    ($oracle_reply = "application/json"), ($oracle_reply = "application/vnd.msgpack"))),
                (status = 409, description = "needs-reset", body = Problem, content_type = "application/problem+json"),
                ReadProblems,
                // Replaces the 403 of those.
                (status = 403, description = "oracle-not-allowed or forbidden", body = Problem, content_type = "application/problem+json"),
            ),
        )]
        pub(in crate::http) async fn oracle(
            State(app): State<SharedApp>,
            caller: FullCaller,
            Path(env_id): Path<String>,
            Accept(reply): Accept,
        ) -> Result<Response, Failure> {
            app.check_oracle()?;
            let session = app.store.get($kind, &env_id, caller.owner())?;
            let ($oracle_field, seq) = app.with(session, &caller, Session::oracle).await?;
            Ok(encoded(reply, &$oracle_reply { $oracle_field, seq }))
        }
    };
}

pub(super) use resource_routes;
