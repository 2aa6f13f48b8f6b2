//! The server's HTTP side: routes by resource, two encodings, one form of error.

pub(crate) mod codec;
mod envs;
mod metrics;
mod openapi;
mod operations;
pub(crate) mod problem;
mod resource;
mod specs;
mod stream;
mod vector_envs;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::Router;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use env_protocol::{Encoding, ErrorCode, ForkRequest, Problem};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::access::Principal;
use crate::config::ServerConfig;
use crate::error::Error;
use crate::journal::JournalConfig;
use crate::observe::{Metrics, ObserveLayer, RecoveryFigures};
use crate::openenv;
use crate::session::recovery::Recovery;
use crate::session::store::{Created, Owner, Store};
use crate::session::{Answer, Creation, Kind, Operation, Reply, Session};
use codec::encoded;
use problem::{Failure, ProblemLayer};

pub use openapi::document;
pub(crate) use problem::respond;
pub(crate) use stream::socket;
pub use stream::socket::SocketTimes;

/// Header of a reply that had been given before.
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

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
            None => Store::new(config.limits),
            Some(dir) => {
                let journal = JournalConfig::new(dir, config.durability);
                let (store, recovery) = Store::open(config.limits, journal)?;
                report(&recovery);
                store.keeper().metrics().recovered(RecoveryFigures {
                    took: recovery.took,
                    recovered: recovery.environments as u64,
                    lost: recovery.lost.len() as u64,
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
        seq: Option<u64>,
        operation: Operation,
        reply: Encoding,
    ) -> Result<Response, Failure> {
        self.answer(session.apply(seq, operation)?, reply).await
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
        let mut response = encoded(reply, &*answer.reply);
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

/// Who sends a request, where the server asks for tokens.
#[derive(Clone)]
pub(crate) struct Caller(Option<Arc<Owner>>);

impl Caller {
    pub(crate) fn owner(&self) -> Option<&Owner> {
        self.0.as_deref()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let principal = parts.extensions.get::<Arc<Principal>>();
        Ok(Caller(principal.map(|p| Arc::clone(p.owner()))))
    }
}

/// Everything the server answers.
///
/// # Errors
/// When the settings name an environment that there is not.
pub(crate) fn router(app: SharedApp, config: &ServerConfig) -> Result<Router, Error> {
    let observe = ObserveLayer::new(Arc::clone(app.metrics()));
    let mut routes = openapi::routes();
    if let Some(of_openenv) = openenv::routes(&app, config)? {
        routes = routes.merge(of_openenv);
    }
    let (routes, document) = routes.split_for_parts();
    let docs = SwaggerUi::new("/docs")
        .url("/openapi.json", document)
        .config(Config::default().try_it_out_enabled(true));
    Ok(routes
        .with_state(app)
        .merge(docs)
        // Two layers as one, for each call of `layer` boxes every request's future.
        .layer((observe, ProblemLayer)))
}
