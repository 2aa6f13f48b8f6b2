//! The server's HTTP side: routes by resource, two encodings, one form of error.

mod codec;
mod envs;
mod openapi;
mod operations;
mod problem;
mod specs;
mod vector_envs;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use env_protocol::{Encoding, ErrorCode, Problem};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::config::ServerConfig;
use crate::session::store::Store;
use crate::session::{Answer, Creation, Kind, Operation, Session};
use codec::encoded;
use problem::Failure;

pub use openapi::document;
pub(crate) use problem::{finish, from_panic, respond};

/// Header of a reply that had been given before.
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// What handlers share.
pub(crate) struct App {
    store: Store,
    max_body_bytes: usize,
    is_draining: AtomicBool,
}

type SharedApp = Arc<App>;

impl App {
    pub(crate) fn new(config: &ServerConfig) -> SharedApp {
        Arc::new(App {
            store: Store::new(config.limits),
            max_body_bytes: config.max_body_bytes,
            is_draining: AtomicBool::new(false),
        })
    }

    /// From now on `/readyz` says no and nothing is created.
    pub(crate) fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    fn check_ready(&self) -> Result<(), Failure> {
        if self.is_draining.load(Ordering::Relaxed) {
            let detail = "the server answers what is under way and then ends";
            return Err(Problem::new(ErrorCode::Draining, detail).into());
        }
        Ok(())
    }

    /// Answers `POST` on a collection.
    fn create(&self, creation: Creation, reply: Encoding) -> Result<Response, Failure> {
        self.check_ready()?;
        let session = self.store.create(creation)?;
        created(&session, true, reply)
    }

    /// Answers `PUT` on an id.
    fn create_as(
        &self,
        id: &str,
        creation: Creation,
        reply: Encoding,
    ) -> Result<Response, Failure> {
        self.check_ready()?;
        let (session, is_new) = self.store.create_as(id, creation)?;
        created(&session, is_new, reply)
    }

    /// Answers a numbered operation.
    fn operate(
        &self,
        session: &Session,
        seq: Option<u64>,
        operation: Operation,
        reply: Encoding,
    ) -> Result<Response, Failure> {
        let answer: Answer = session.apply(seq, operation)?;
        let mut response = encoded(reply, &*answer.reply);
        if answer.is_replay {
            let headers = response.headers_mut();
            headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
        }
        Ok(response)
    }

    /// Answers `DELETE` on an id.
    fn close(&self, kind: Kind, id: &str) -> Result<StatusCode, Failure> {
        self.store.close(kind, id)?;
        Ok(StatusCode::NO_CONTENT)
    }
}

fn created(session: &Session, is_new: bool, reply: Encoding) -> Result<Response, Failure> {
    let body = encoded(reply, &session.describe()?);
    if !is_new {
        return Ok(body);
    }
    let collection = match session.creation().kind() {
        Kind::Single => "envs",
        Kind::Vector => "vector-envs",
    };
    let location = format!("/v1/{collection}/{}", session.id());
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], body).into_response())
}

/// Everything the server answers. Errors leave their problem with the response; whoever calls this
/// has [`finish`] write their bodies.
pub(crate) fn router(app: SharedApp) -> Router {
    let (routes, document) = openapi::routes().split_for_parts();
    let docs = SwaggerUi::new("/docs")
        .url("/openapi.json", document)
        .config(Config::default().try_it_out_enabled(true));
    // No layers: each would cost every request a box.
    routes.with_state(app).merge(docs)
}
