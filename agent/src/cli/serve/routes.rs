//! The service's routes.

use std::sync::Arc;

use agent::deploy::serve::Service;
use agent::deploy::serve::wire::{ActRequest, CreateSession};
use axum::Router;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use env_protocol::Health;
use service::{
    Accept, Bodies, BodyLimit, Call, Failure, Home, IDEMPOTENCY_REPLAYED, Owner, Principal,
    encoded, explain_problem,
};

/// What handlers share.
#[derive(Clone)]
struct App {
    service: Arc<Service>,
    bodies: Arc<Bodies>,
}

impl BodyLimit for App {
    fn bodies(&self) -> &Bodies {
        &self.bodies
    }
}

/// Paths of the routes, as logs name them.
pub const TEMPLATES: [&str; 7] = [
    "/",
    "/healthz",
    "/readyz",
    "/v1/agent",
    "/v1/sessions/{id}",
    "/v1/act",
    "/problems/{code}",
];

/// What is at `/`.
const HOME: Home = Home {
    title: "Agent service: what a trained agent would do, over HTTP",
    links: &[
        ("/v1/agent", "who acts here, and what it takes"),
        ("/readyz", "whether sessions can be begun"),
    ],
    note: "PUT /v1/sessions/mine begins a session, POST /v1/act asks for actions. docs/serving.md of the project \
           explains both.",
};

/// Everything the service answers.
pub fn router(service: Arc<Service>, max_body_bytes: usize) -> Router {
    let [home, health, ready, agent, session, action, problem] = TEMPLATES;
    Router::new()
        .route(home, get(async |headers: HeaderMap| HOME.page(&headers)))
        .route(health, get(healthz))
        .route(ready, get(readyz))
        .route(agent, get(describe))
        .route(session, put(begin).delete(close))
        .route(action, post(act))
        .route(problem, get(explain_problem))
        .with_state(App {
            service,
            bodies: Arc::new(Bodies::new(max_body_bytes)),
        })
}

fn ok() -> Health {
    Health {
        status: "ok".to_owned(),
    }
}

async fn healthz(Accept(reply): Accept) -> Response {
    encoded(reply, &ok())
}

async fn readyz(State(app): State<App>, Accept(reply): Accept) -> Result<Response, Failure> {
    app.service.check_ready()?;
    Ok(encoded(reply, &ok()))
}

async fn describe(State(app): State<App>, Accept(reply): Accept) -> Response {
    encoded(reply, app.service.describe())
}

async fn begin(
    State(app): State<App>,
    Caller(owner): Caller,
    Path(id): Path<String>,
    Call { body, reply, .. }: Call<CreateSession>,
) -> Result<Response, Failure> {
    let (session, is_new) = app.service.begin(&id, body, owner.as_ref())?;
    let body = encoded(reply, &session);
    Ok(match is_new {
        true => (StatusCode::CREATED, body).into_response(),
        false => body,
    })
}

async fn close(
    State(app): State<App>,
    Caller(owner): Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Failure> {
    app.service.close(&id, owner.as_ref())?;
    Ok(StatusCode::NO_CONTENT)
}

async fn act(
    State(app): State<App>,
    Caller(owner): Caller,
    Call { body, reply, .. }: Call<ActRequest>,
) -> Result<Response, Failure> {
    // Many lanes take a while, in which other requests are to be read and answered.
    let acting = tokio::task::spawn_blocking(move || app.service.act(body, owner.as_ref()));
    let answer = match acting.await {
        Ok(answer) => answer?,
        // It goes on here, to be answered as any handler's.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    };
    let mut response = encoded(reply, &*answer.reply);
    if answer.is_replay {
        let headers = response.headers_mut();
        headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// Who sends a request, where the service asks for tokens.
struct Caller(Option<Owner>);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let principal = parts.extensions.get::<Arc<Principal>>();
        Ok(Caller(
            principal.map(|principal| Owner::clone(principal.owner())),
        ))
    }
}
