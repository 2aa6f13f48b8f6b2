//! The server's HTTP side: routes by resource, two encodings, one form of error.

pub(crate) mod aside;
pub(crate) mod bodies;
mod caller;
pub(crate) mod codec;
mod envs;
pub(crate) mod home;
mod metrics;
mod openapi;
pub(crate) mod operations;
pub(crate) mod problem;
mod resource;
mod specs;
mod stream;
mod vector_envs;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use env_protocol::{Encoding, ErrorCode, ForkRequest, Problem};
use serde::Serialize;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::access::Access;
use crate::config::ServerConfig;
use crate::error::Error;
use crate::journal::JournalConfig;
use crate::observe::{Metrics, RecoveryFigures};
use crate::openenv;
use crate::session::recovery::Recovery;
use crate::session::store::{Created, Owner, Store};
use crate::session::{Answer, Creation, Kind, Operation, Reply, Session};
use bodies::{Bodies, with_pieces};
use codec::{encoded, with_body};
use environments::pieces::Pieces;
use openapi::TrajectoryPage;
use problem::Failure;

pub(crate) use caller::{Caller, FullCaller};
pub use openapi::document;
pub(crate) use stream::socket;
pub use stream::socket::SocketTimes;
#[cfg(any(test, fuzzing))]
pub(crate) use stream::{answer_message, only_route};

/// Header of a reply that had been given before.
pub const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// How often leases are looked through. One that has run out is seen at once by who asks for it;
/// this only frees memory.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(1);

/// So many lanes are built in a moment.
const FEW_LANES: u64 = 64;

/// What handlers share.
pub(crate) struct App {
    pub(crate) store: Store,
    bodies: Bodies,
    allow_oracle: bool,
    is_draining: AtomicBool,
    /// Held while metrics are written.
    scrape: tokio::sync::Mutex<()>,
    pub(crate) sockets: socket::Sockets,
    socket_times: SocketTimes,
}

pub(crate) type SharedApp = Arc<App>;

impl App {
    /// Opens the store, which recovers what the data directory holds.
    pub(crate) fn open(config: &ServerConfig) -> Result<SharedApp, Error> {
        let store = match &config.data_dir {
            None => Store::new(config.limits, config.clock.clone()),
            Some(dir) => {
                let journal = JournalConfig::new(dir, config.durability);
                let (store, recovery) = Store::open(config.limits, config.clock.clone(), journal)?;
                report(&recovery);
                report_owners(&store.held_by(), config.access.as_deref());
                store.keeper().metrics().recovered(RecoveryFigures {
                    took: recovery.took,
                    recovered: recovery.environments as u64,
                    lost: recovery.lost.len() as u64,
                    damaged: recovery.damage.len() as u64,
                });
                store
            }
        };
        Ok(Arc::new(App {
            store,
            bodies: Bodies::new(config.max_body_bytes),
            allow_oracle: config.allow_oracle,
            is_draining: AtomicBool::new(false),
            scrape: tokio::sync::Mutex::default(),
            sockets: socket::Sockets::default(),
            socket_times: config.socket_times,
        }))
    }

    /// Where what is done is counted.
    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        self.store.keeper().metrics()
    }

    /// Ends leases that have run out and keeps the journal small, until the server is gone.
    pub(crate) async fn keep_house(app: Weak<App>) {
        while let Some(app) = app.upgrade() {
            let keeping = tokio::task::spawn_blocking(move || {
                app.store.look_after_journal();
                app.store.reap();
                match app.store.is_compaction_due() {
                    true => app.store.compact(),
                    false => Ok(()),
                }
            });
            match keeping.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(%error, "the journal cannot be compacted"),
                Err(error) => tracing::error!(%error, "housekeeping failed"),
            }
            tokio::time::sleep(HOUSEKEEPING_INTERVAL).await;
        }
    }

    /// From now on `/readyz` says no and nothing is created.
    pub(crate) fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// Whether what is asked for can be written down, as far as the last write or look told.
    pub(crate) fn check_storage(&self) -> Result<(), Failure> {
        match self.store.trouble() {
            None => Ok(()),
            Some(reason) => Err(Problem::new(ErrorCode::StorageFailed, &*reason).into()),
        }
    }

    pub(crate) fn check_ready(&self) -> Result<(), Failure> {
        if self.is_draining.load(Ordering::Relaxed) {
            let detail = "the server answers what is under way and then ends";
            return Err(Problem::new(ErrorCode::Draining, detail).into());
        }
        Ok(())
    }

    /// Does what takes a while where it keeps nobody waiting.
    async fn aside<T: Send + 'static>(
        &self,
        caller: &Caller,
        job: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Failure> {
        Ok(Box::pin(self.bodies.aside.run(caller.note(), job)).await?)
    }

    /// Does something with a session: here if that takes a moment, else aside.
    async fn with<T: Send + 'static>(
        &self,
        session: Arc<Session>,
        caller: &Caller,
        job: impl FnOnce(&Session) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Failure> {
        match session.is_quick() {
            true => Ok(job(&session)?),
            false => self.aside(caller, move || job(&session)).await,
        }
    }

    /// Answers `POST` on a collection.
    async fn create(
        self: &Arc<Self>,
        creation: Creation,
        caller: &Caller,
        reply: Encoding,
    ) -> Result<Response, Failure> {
        self.check_ready()?;
        let created = self.building(creation, caller, |store, creation, owner| {
            store.create(creation, owner)
        });
        self.created(created.await?, reply).await
    }

    /// Answers `PUT` on an id.
    async fn create_as(
        self: &Arc<Self>,
        id: String,
        creation: Creation,
        caller: &Caller,
        reply: Encoding,
    ) -> Result<Response, Failure> {
        self.check_ready()?;
        let created = self.building(creation, caller, move |store, creation, owner| {
            store.create_as(&id, creation, owner)
        });
        self.created(created.await?, reply).await
    }

    /// Builds environments: here if there are few.
    async fn building(
        self: &Arc<Self>,
        creation: Creation,
        caller: &Caller,
        build: impl FnOnce(&Store, Creation, Option<&Owner>) -> Result<Created, Problem>
        + Send
        + 'static,
    ) -> Result<Created, Failure> {
        if creation.num_envs() <= FEW_LANES {
            return Ok(build(&self.store, creation, caller.owner())?);
        }
        let (app, owner) = (Arc::clone(self), caller.owner().cloned());
        self.aside(caller, move || build(&app.store, creation, owner.as_ref()))
            .await
    }

    async fn created(&self, created: Created, reply: Encoding) -> Result<Response, Failure> {
        self.store.keeper().safe(created.written).await?;
        let session = created.session;
        let body = encoded(reply, &session.describe()?);
        if !created.is_new {
            return Ok(body);
        }
        let location = location(session.creation().kind(), session.id());
        Ok((StatusCode::CREATED, location, body).into_response())
    }

    /// Answers with the whole state of a session.
    async fn snapshot(
        self: &Arc<Self>,
        session: Arc<Session>,
        caller: &Caller,
        reply: Encoding,
    ) -> Result<Response, Failure> {
        let app = Arc::clone(self);
        self.with(session, caller, move |session| {
            let room = app.store.room(session.snapshot_bytes())?;
            Ok(with_pieces(reply, session.snapshot_body(reply)?, room))
        })
        .await
    }

    /// Answers with a page of what was played.
    async fn trajectory(
        self: &Arc<Self>,
        session: Arc<Session>,
        caller: &Caller,
        page: TrajectoryPage,
        reply: Encoding,
    ) -> Result<Response, Failure> {
        let app = Arc::clone(self);
        self.aside(caller, move || {
            let (from, limit) = (page.from(), page.limit());
            let room = app.store.room(session.page_bytes(limit))?;
            Ok(with_pieces(
                reply,
                session.trajectory(from, limit, reply)?,
                room,
            ))
        })
        .await
    }

    fn check_oracle(&self) -> Result<(), Failure> {
        if self.allow_oracle {
            return Ok(());
        }
        let detail = "a server tells what an oracle would do only with --allow-oracle";
        Err(Problem::new(ErrorCode::OracleNotAllowed, detail).into())
    }

    /// Answers a numbered operation.
    async fn operate(
        self: &Arc<Self>,
        session: Arc<Session>,
        caller: &Caller,
        seq: Option<u64>,
        operation: Operation,
        reply: Encoding,
    ) -> Result<Response, Failure> {
        // What comes again and is not the last one is played again, from some way back.
        let is_old = seq.is_some_and(|seq| session.is_old(seq));
        let is_quick = session.is_quick() && !is_old && !matches!(operation, Operation::Restore(_));
        if is_quick {
            let answer = session.apply_within(caller.budget(), seq, operation)?;
            return self.answer(answer, reply).await;
        }
        Box::pin(self.operate_aside(session, caller, seq, operation, reply)).await
    }

    /// Does an operation aside, and writes the reply to it there: it may be large.
    async fn operate_aside(
        self: &Arc<Self>,
        session: Arc<Session>,
        caller: &Caller,
        seq: Option<u64>,
        operation: Operation,
        reply: Encoding,
    ) -> Result<Response, Failure> {
        let app = Arc::clone(self);
        let budget = caller.budget().cloned();
        let (mut response, answer) = self
            .aside(caller, move || {
                // Before anything is done: an error changes nothing.
                let room = app.store.room(session.reply_bytes(reply))?;
                let answer = session.apply_within(budget.as_ref(), seq, operation)?;
                let mut body = Pieces::default();
                answer.reply.write(reply, &mut body);
                Ok((with_pieces(reply, body, room), answer))
            })
            .await?;
        self.store.keeper().safe(answer.written).await?;
        mark(&mut response, &answer);
        Ok(response)
    }

    /// Answers a fork.
    async fn fork(
        self: &Arc<Self>,
        session: Arc<Session>,
        request: ForkRequest,
        caller: &Caller,
        reply: Encoding,
    ) -> Result<Response, Failure> {
        self.check_ready()?;
        let kind = session.creation().kind();
        let (app, owner) = (Arc::clone(self), caller.owner().cloned());
        let branch = move |session: &Session| app.store.fork(session, request, owner.as_ref());
        let answer = self.with(session, caller, branch).await?;
        let location = match &*answer.reply {
            Reply::Fork(fork) => location(kind, &fork.env_id),
            _ => unreachable!("a fork is answered as one"),
        };
        let body = self.answer(answer, reply).await?;
        Ok((StatusCode::CREATED, location, body).into_response())
    }

    /// A reply that may be large: it takes its room until it has been sent.
    ///
    /// # Errors
    /// `overloaded`.
    fn large<T: Serialize>(&self, reply: Encoding, body: &T) -> Result<Response, Problem> {
        let bytes = reply.encode(body);
        let room = self.store.room(bytes.len())?;
        Ok(with_pieces(reply, Pieces::from(bytes), room))
    }

    /// Answers once what was done is safe.
    async fn answer(&self, answer: Answer, reply: Encoding) -> Result<Response, Failure> {
        self.store.keeper().safe(answer.written).await?;
        let mut response = with_body(reply, answer.reply.encode(reply));
        mark(&mut response, &answer);
        Ok(response)
    }

    /// Answers `DELETE` on an id.
    async fn close(
        self: &Arc<Self>,
        kind: Kind,
        id: String,
        caller: &Caller,
    ) -> Result<StatusCode, Failure> {
        let is_quick = self.store.is_quick(kind, &id, caller.owner());
        let written = match is_quick {
            true => self.store.close(kind, &id, caller.owner())?,
            false => {
                let (app, owner) = (Arc::clone(self), caller.owner().cloned());
                self.aside(caller, move || app.store.close(kind, &id, owner.as_ref()))
                    .await?
            }
        };
        self.store.keeper().safe(written).await?;
        Ok(StatusCode::NO_CONTENT)
    }
}

/// Says of a reply whether it had been given before.
fn mark(response: &mut Response, answer: &Answer) {
    if answer.is_replay {
        let headers = response.headers_mut();
        headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
}

/// Says what a journal has brought back.
fn report(recovery: &Recovery) {
    let Recovery {
        environments,
        lost,
        damage,
        set_aside,
        torn_tail_bytes,
        took,
    } = recovery;
    let lost_count = lost.len();
    tracing::info!(
        environments,
        lost_count,
        torn_tail_bytes,
        ?took,
        "recovered"
    );
    for place in damage {
        tracing::error!("the journal is damaged: {place}");
    }
    if let (files @ 1.., bytes) = *set_aside {
        tracing::warn!(
            files,
            bytes,
            "the data directory has files named *.damaged: nothing reads them, and they are yours to remove"
        );
    }
    for (env_id, detail) in lost {
        tracing::error!(env_id, "an environment is lost: {detail}");
    }
}

/// Says whose the environments are that a journal has brought back, where that is not as it was.
fn report_owners(held_by: &[(Option<Arc<str>>, usize)], access: Option<&Access>) {
    let mut of_nobody = 0;
    let mut of_absent = Vec::new();
    let mut of_principals = 0;
    for (owner, environments) in held_by {
        match (owner, access) {
            (None, _) => of_nobody += environments,
            (Some(_), None) => of_principals += environments,
            (Some(name), Some(access)) if access.principal(name).is_none() => {
                of_absent.push(format!("{environments} of {name}"));
            }
            (Some(_), Some(_)) => {}
        }
    }
    if access.is_some() && of_nobody > 0 {
        tracing::info!(
            environments = of_nobody,
            "environments were made without tokens: every principal may use them"
        );
    }
    if of_principals > 0 {
        tracing::warn!(
            environments = of_principals,
            "environments belong to principals, and there are no tokens: whoever reaches the server may use them"
        );
    }
    if !of_absent.is_empty() {
        let environments = of_absent.join(", ");
        tracing::warn!(
            environments,
            "environments belong to principals that the token file does not name: they wait for them until their leases end"
        );
    }
}

/// Header with the path of an environment.
fn location(kind: Kind, id: &str) -> [(HeaderName, String); 1] {
    let collection = match kind {
        Kind::Single => "envs",
        Kind::Vector => "vector-envs",
    };
    [(header::LOCATION, format!("/v1/{collection}/{id}"))]
}

/// What is answered however much there is to do.
pub(crate) fn is_probe(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz")
}

/// What is answered without a token: probes, and what explains the server.
pub(crate) fn is_open(path: &str) -> bool {
    is_probe(path)
        || matches!(path, "/" | "/openapi.json" | "/docs")
        || path.starts_with("/docs/")
        || path.starts_with("/problems/")
}

/// Everything the server answers.
pub(crate) struct Routes {
    pub(crate) router: Router,
    /// Of its routes, as metrics name them.
    pub(crate) templates: Vec<String>,
}

/// Path of the document for programs.
const DOCUMENT: &str = "/openapi.json";

/// The routes of the page for people, which no document describes.
const DOCS_TEMPLATES: [&str; 4] = ["/", "/docs", "/docs/{*rest}", DOCUMENT];

/// Everything the server answers.
///
/// # Errors
/// When the settings name an environment that there is not.
pub(crate) fn routes(app: SharedApp, config: &ServerConfig) -> Result<Routes, Error> {
    let mut routes = openapi::routes();
    if let Some(of_openenv) = openenv::routes(&app, config)? {
        routes = routes.merge(of_openenv);
    }
    let (routes, mut document) = routes.split_for_parts();
    let mut templates: Vec<_> = document.paths.paths.keys().cloned().collect();
    templates.extend(DOCS_TEMPLATES.map(str::to_owned));
    openapi::finish(&mut document, config);
    let mut document = Encoding::Json.encode(&document);
    document.push(b'\n');
    let document = Bytes::from(document);
    let served = move || {
        let json = HeaderValue::from_static(Encoding::Json.content_type());
        std::future::ready(([(header::CONTENT_TYPE, json)], document.clone()))
    };
    let docs = SwaggerUi::new("/docs").config(Config::new([DOCUMENT]).try_it_out_enabled(true));
    let router = routes
        .with_state(app)
        .route("/", get(home::home))
        .route(DOCUMENT, get(served))
        .merge(docs);
    Ok(Routes { router, templates })
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use serde_json::{Value, json};
    use tokio::task::JoinHandle;
    use tower::ServiceExt;

    use super::*;
    use crate::session::store::Limits;

    struct Server {
        app: SharedApp,
        router: Router,
    }

    impl Server {
        fn with(config: &ServerConfig) -> Self {
            let app = App::open(config).unwrap();
            let router = routes(app.clone(), config).unwrap().router;
            Server { app, router }
        }

        /// Sends a request that goes on by itself.
        fn send(&self, method: &str, path: &str, body: Value) -> JoinHandle<(StatusCode, Value)> {
            let request = Request::builder().method(method).uri(path);
            let request = request.header(header::CONTENT_TYPE, "application/json");
            let request = request.body(Body::from(body.to_string())).unwrap();
            let router = self.router.clone();
            tokio::spawn(async move {
                let response = router.oneshot(request).await.unwrap();
                let status = response.status();
                let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
                (status, serde_json::from_slice(&body).unwrap_or_default())
            })
        }

        async fn ask(&self, method: &str, path: &str, body: Value) -> (StatusCode, Value) {
            self.send(method, path, body).await.unwrap()
        }
    }

    fn large() -> Value {
        json!({"spec_id": "RepeatFirst-v0", "num_envs": 8_192})
    }

    /// While every thread for long work is taken, all that is quick is answered.
    #[tokio::test]
    async fn long_work_keeps_nothing_else_waiting() {
        let server = Server::with(&ServerConfig::default());
        let small = json!({"spec_id": "MemoryTask-v0"});
        assert_eq!(
            server.ask("PUT", "/v1/vector-envs/v", large()).await.0,
            StatusCode::CREATED
        );
        let path = |name: &str| format!("/v1/vector-envs/v/{name}");
        assert_eq!(
            server.ask("POST", &path("reset"), json!({})).await.0,
            StatusCode::OK
        );
        let (_, snapshot) = server.ask("GET", &path("snapshot"), json!({})).await;
        let taken = server.app.bodies.aside.occupy().await;
        let actions = json!({"actions": vec![0; 8_192]});
        let long = [
            server.send("GET", &path("snapshot"), json!({})),
            server.send("GET", &path("trajectory"), json!({})),
            server.send("GET", "/v1/vector-envs", json!({})),
            server.send("POST", &path("step"), actions),
            server.send("POST", &path("reset"), json!({})),
            server.send("POST", &path("restore"), json!({"snapshot": snapshot})),
            server.send("POST", &path("fork"), json!({})),
            server.send("POST", &path("lease"), json!({})),
            server.send("POST", "/v1/vector-envs", large()),
        ];
        for i in 0..3 {
            let path = format!("/v1/envs/e{i}");
            for (method, path, body, status) in [
                ("GET", "/healthz", json!({}), StatusCode::OK),
                ("PUT", &path, small.clone(), StatusCode::CREATED),
                (
                    "POST",
                    &format!("{path}/reset"),
                    json!({"seq": 0}),
                    StatusCode::OK,
                ),
                (
                    "POST",
                    &format!("{path}/step"),
                    json!({"seq": 1, "action": 0}),
                    StatusCode::OK,
                ),
                (
                    "GET",
                    &format!("{path}/snapshot"),
                    json!({}),
                    StatusCode::OK,
                ),
                (
                    "POST",
                    &format!("{path}/fork"),
                    json!({}),
                    StatusCode::CREATED,
                ),
                ("GET", "/v1/vector-envs/v", json!({}), StatusCode::OK),
                ("GET", "/metrics", json!({}), StatusCode::OK),
                ("DELETE", &path, json!({}), StatusCode::NO_CONTENT),
            ] {
                assert_eq!(
                    server.ask(method, path, body).await.0,
                    status,
                    "{method} {path}"
                );
            }
        }
        assert!(long.iter().all(|request| !request.is_finished()));
        drop(taken);
        for request in long {
            let (status, body) = request.await.unwrap();
            assert!(status.is_success(), "{status}: {body}");
        }
        assert_eq!(server.app.store.rooms_taken(), 0);
    }

    /// Large replies share the memory that there is; one alone always has some.
    #[tokio::test]
    async fn large_replies_are_counted() {
        let limits = Limits {
            max_memory_bytes: 16 << 20,
            ..Limits::default()
        };
        let server = Server::with(&ServerConfig {
            limits,
            ..ServerConfig::default()
        });
        assert_eq!(
            server.ask("PUT", "/v1/vector-envs/v", large()).await.0,
            StatusCode::CREATED
        );
        let held = server.app.store.keeper().memory_bytes();
        let room = server.app.store.room((16 << 20) - held - 1_000).unwrap();
        let answers = async |expected: StatusCode| {
            for (method, name) in [
                ("GET", "snapshot"),
                ("GET", "trajectory"),
                ("POST", "reset"),
            ] {
                let path = format!("/v1/vector-envs/v/{name}");
                let (status, body) = server.ask(method, &path, json!({"seq": 0})).await;
                assert_eq!(status, expected, "{name}: {body}");
            }
        };
        answers(StatusCode::SERVICE_UNAVAILABLE).await;
        let (_, described) = server.ask("GET", "/v1/vector-envs/v", json!({})).await;
        assert_eq!(described["seq"], 0, "an error changes nothing");
        drop(room);
        answers(StatusCode::OK).await;
        assert_eq!(server.app.store.rooms_taken(), 0);
    }
}
