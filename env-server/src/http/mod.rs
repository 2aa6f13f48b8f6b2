//! The server's HTTP side: routes by resource, two encodings, one form of error.

mod caller;
pub(crate) mod codec;
mod envs;
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
use env_protocol::{Encoding, ErrorCode, ForkRequest, Problem};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::config::ServerConfig;
use crate::error::Error;
use crate::journal::JournalConfig;
use crate::observe::{Metrics, RecoveryFigures};
use crate::openenv;
use crate::session::recovery::Recovery;
use crate::session::store::{Created, Owner, Store};
use crate::session::{Answer, Creation, Kind, Operation, Reply, Session};
use codec::{encoded, with_body};
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

/// What handlers share.
pub(crate) struct App {
    pub(crate) store: Store,
    max_body_bytes: usize,
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
            max_body_bytes: config.max_body_bytes,
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

    /// Answers `POST` on a collection.
    async fn create(
        &self,
        creation: Creation,
        owner: Option<&Owner>,
        reply: Encoding,
    ) -> Result<Response, Failure> {
        self.check_ready()?;
        let created = self.store.create(creation, owner)?;
        self.created(created, reply).await
    }

    /// Answers `PUT` on an id.
    async fn create_as(
        &self,
        id: &str,
        creation: Creation,
        owner: Option<&Owner>,
        reply: Encoding,
    ) -> Result<Response, Failure> {
        self.check_ready()?;
        let created = self.store.create_as(id, creation, owner)?;
        self.created(created, reply).await
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

    fn check_oracle(&self) -> Result<(), Failure> {
        if self.allow_oracle {
            return Ok(());
        }
        let detail = "a server tells what an oracle would do only with --allow-oracle";
        Err(Problem::new(ErrorCode::OracleNotAllowed, detail).into())
    }

    /// Answers a numbered operation.
    async fn operate(
        &self,
        session: &Session,
        caller: &Caller,
        seq: Option<u64>,
        operation: Operation,
        reply: Encoding,
    ) -> Result<Response, Failure> {
        let answer = session.apply_within(caller.budget(), seq, operation)?;
        self.answer(answer, reply).await
    }

    /// Answers a fork.
    async fn fork(
        &self,
        session: &Session,
        request: ForkRequest,
        owner: Option<&Owner>,
        reply: Encoding,
    ) -> Result<Response, Failure> {
        self.check_ready()?;
        let answer = self.store.fork(session, request, owner)?;
        let location = match &*answer.reply {
            Reply::Fork(fork) => location(session.creation().kind(), &fork.env_id),
            _ => unreachable!("a fork is answered as one"),
        };
        let body = self.answer(answer, reply).await?;
        Ok((StatusCode::CREATED, location, body).into_response())
    }

    /// Answers once what was done is safe.
    async fn answer(&self, answer: Answer, reply: Encoding) -> Result<Response, Failure> {
        self.store.keeper().safe(answer.written).await?;
        let mut response = with_body(reply, answer.reply.encode(reply));
        if answer.is_replay {
            let headers = response.headers_mut();
            headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
        }
        Ok(response)
    }

    /// Answers `DELETE` on an id.
    async fn close(
        &self,
        kind: Kind,
        id: &str,
        owner: Option<&Owner>,
    ) -> Result<StatusCode, Failure> {
        let written = self.store.close(kind, id, owner)?;
        self.store.keeper().safe(written).await?;
        Ok(StatusCode::NO_CONTENT)
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

/// Header with the path of an environment.
fn location(kind: Kind, id: &str) -> [(HeaderName, String); 1] {
    let collection = match kind {
        Kind::Single => "envs",
        Kind::Vector => "vector-envs",
    };
    [(header::LOCATION, format!("/v1/{collection}/{id}"))]
}

/// Does what takes a while where it keeps nobody waiting: not on a thread that answers requests.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|error| match error.try_into_panic() {
        // As if it had happened here.
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(cancelled) => Problem::new(ErrorCode::Internal, cancelled.to_string()),
    })?;
    Ok(done?)
}

/// What is answered however much there is to do.
pub(crate) fn is_probe(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz")
}

/// What is answered without a token: probes, and what explains the server.
pub(crate) fn is_open(path: &str) -> bool {
    is_probe(path)
        || matches!(path, "/openapi.json" | "/docs")
        || path.starts_with("/docs/")
        || path.starts_with("/problems/")
}

/// Everything the server answers.
pub(crate) struct Routes {
    pub(crate) router: Router,
    /// Of its routes, as metrics name them.
    pub(crate) templates: Vec<String>,
}

/// The routes of the page for people, which no document describes.
const DOCS_TEMPLATES: [&str; 3] = ["/docs", "/docs/{*rest}", "/openapi.json"];

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
    let docs = SwaggerUi::new("/docs")
        .url("/openapi.json", document)
        .config(Config::default().try_it_out_enabled(true));
    let router = routes.with_state(app).merge(docs);
    Ok(Routes { router, templates })
}
