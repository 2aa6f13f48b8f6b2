//! The OpenEnv protocol, as in the package `openenv-core` 0.3: `WS /ws` with a session for each
//! socket, and the routes `/reset`, `/step`, `/state`, `/health`, `/metadata`, `/schema` and
//! `/mcp`.
//!
//! The weaknesses are the protocol's own: there is no way to repeat a message, a broken socket
//! loses its episode, and an environment behind HTTP exists for one request only. Clients that need
//! better use `/v1`.

mod messages;
mod offer;
mod play;

use std::sync::Arc;

use axum::extract::ws::{Message, close_code};
use axum::extract::{FromRequest, Request as HttpRequest, State};
use axum::response::Response;
use env_protocol::{Encoding, ErrorCode, FiniteMap, Problem};
use serde_json::{Map, Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::config::ServerConfig;
use crate::error::Error;
use crate::http::{FullCaller, SharedApp};
use messages::{Request, ResetArguments, WrongField, code, error, message, read_action};
use offer::Offer;
use play::Play;
use service::codec::{Call, encoded};
use service::problem::Failure;
use service::socket::{Event, Gone, Socket, Upgrade};

/// State shared by the handlers.
#[derive(Clone)]
struct Server {
    app: SharedApp,
    offer: Arc<Offer>,
}

/// Returns the routes, if the settings enable them.
///
/// # Errors
/// [`Error::OpenEnv`], when the settings name an invalid environment.
pub(crate) fn routes(
    app: &SharedApp,
    config: &ServerConfig,
) -> Result<Option<OpenApiRouter<SharedApp>>, Error> {
    let Some(offer) = Offer::from_config(config)? else {
        return Ok(None);
    };
    let server = Server {
        app: app.clone(),
        offer: Arc::new(offer),
    };
    let routes = OpenApiRouter::new()
        .routes(routes!(ws))
        .routes(routes!(reset))
        .routes(routes!(step))
        .routes(routes!(state))
        .routes(routes!(health))
        .routes(routes!(metadata))
        .routes(routes!(schema))
        .routes(routes!(mcp));
    Ok(Some(routes.with_state(server)))
}

/// Checks the settings without serving.
///
/// # Errors
/// [`Error::OpenEnv`].
pub(crate) fn check(config: &ServerConfig) -> Result<(), Error> {
    Offer::from_config(config).map(drop)
}

/// Play one environment on one WebSocket, as OpenEnv's clients do
///
/// The environment lives as long as the socket.
#[utoipa::path(
    get, path = "/ws", operation_id = "openenv_ws", tag = "openenv",
    responses(
        (status = 101, description = "The connection is a WebSocket from now on"),
        (status = 403, description = "cross-origin", body = Problem, content_type = "application/problem+json"),
        (status = 426, description = "upgrade-required", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn ws(State(server): State<Server>, caller: FullCaller, upgrade: Upgrade) -> Response {
    let app = server.app.clone();
    let max_bytes = app.max_body_bytes();
    upgrade.accept(&app.sockets, max_bytes, move |socket| async move {
        // The client has disconnected; nothing is left to do.
        let _ = serve(server, caller, socket).await;
    })
}

/// Parses a message as far as possible: any bytes are accepted or refused without a panic.
#[cfg(any(test, fuzzing))]
pub fn fuzz_message(bytes: &[u8]) {
    let Ok(message) = str::from_utf8(bytes) else {
        return;
    };
    match Request::read(message) {
        Ok(Request::Reset(data)) => drop(ResetArguments::read(data)),
        Ok(Request::Step(data)) => drop(read_action(data)),
        Ok(Request::Mcp(data)) => drop(messages::refuse_mcp(&data.into())),
        Ok(Request::State | Request::Close) => {}
        Err(refusal) => drop(refusal.message()),
    }
}

/// The reaction to a message.
enum Next {
    /// Send this reply.
    Reply(String),
    /// Send this reply and end.
    Last(String),
    /// End.
    Close,
}

/// Answers messages one after another until the client leaves or the server ends.
async fn serve(server: Server, caller: FullCaller, mut socket: Socket) -> Result<(), Gone> {
    let mut play = match Play::begin(&server.app, caller, &server.offer).await {
        Ok(play) => play,
        Err(problem) => {
            socket.send(text(refused(&problem))).await?;
            socket.close(close_code::NORMAL, "no session").await;
            return Ok(());
        }
    };
    loop {
        let next = match socket.next(true).await {
            Event::Text(text) => answer(&mut play, &text).await,
            Event::Binary(_) => {
                let text = "a message is a text frame";
                Next::Last(error(code::SESSION_ERROR, text))
            }
            Event::Beat => {
                play.renew();
                continue;
            }
            Event::Ending => {
                let reason = "the server is shutting down";
                drop(play);
                socket.close(close_code::AWAY, reason).await;
                return Ok(());
            }
            Event::Gone => return Ok(()),
        };
        match next {
            Next::Reply(reply) => socket.send(text(reply)).await?,
            Next::Last(reply) => {
                socket.send(text(reply)).await?;
                break;
            }
            Next::Close => break,
        }
    }
    drop(play);
    socket.close(close_code::NORMAL, "").await;
    Ok(())
}

async fn answer(play: &mut Play, text: &str) -> Next {
    let request = match Request::read(text) {
        Ok(request) => request,
        Err(refusal @ messages::Refusal::NotAnObject) => return Next::Last(refusal.message()),
        Err(refusal) => return Next::Reply(refusal.message()),
    };
    let invalid = |wrong| Next::Reply(messages::Refusal::Invalid(wrong).message());
    let outcome = match request {
        Request::Reset(data) => match ResetArguments::read(data) {
            Ok(arguments) => play.reset(arguments).await,
            Err(wrong) => return invalid(wrong),
        },
        Request::Step(data) => match read_action(data) {
            Ok(action) => play.step(action).await,
            Err(wrong) => return invalid(wrong),
        },
        Request::State => return Next::Reply(message("state", &play.state())),
        Request::Mcp(data) => {
            let answer = messages::refuse_mcp(&Value::Object(data));
            return Next::Reply(message("mcp", &answer));
        }
        Request::Close => return Next::Close,
    };
    Next::Reply(match outcome {
        Ok(outcome) => message("observation", &outcome),
        Err(problem) => error(code::EXECUTION_ERROR, &problem.to_string()),
    })
}

/// Formats the message to a client that gets no session.
fn refused(problem: &Problem) -> String {
    let code = match problem.code {
        ErrorCode::QuotaExceeded | ErrorCode::ServerFull | ErrorCode::Draining => {
            code::CAPACITY_REACHED
        }
        _ => code::FACTORY_ERROR,
    };
    error(code, &problem.to_string())
}

fn text(reply: String) -> Message {
    Message::Text(reply.into())
}

/// Builds a body of OpenEnv's, which is always JSON.
fn reply(body: &Value) -> Response {
    encoded(Encoding::Json, body)
}

/// Reads the body of a request, which must be an object.
async fn fields(server: &Server, request: HttpRequest) -> Result<Map<String, Value>, Failure> {
    let FiniteMap(fields) = Call::from_request(request, &server.app).await?.body;
    Ok(fields)
}

fn invalid(wrong: Vec<WrongField>) -> Failure {
    let places: Vec<_> = wrong.iter().map(WrongField::place).collect();
    let details: Vec<_> = places
        .iter()
        .map(|(at, msg)| format!("{at}: {msg}"))
        .collect();
    let mut problem = Problem::new(ErrorCode::InvalidBody, details.join("; "));
    problem.errors = places
        .iter()
        .map(|(pointer, msg)| env_protocol::FieldError {
            pointer: pointer.clone(),
            detail: (*msg).to_owned(),
        })
        .collect();
    problem.into()
}

/// Begin an episode in an environment that exists for this request only
///
/// OpenEnv's servers have no sessions over HTTP, so nothing can follow this request.
#[utoipa::path(
    post, path = "/reset", operation_id = "openenv_reset", tag = "openenv",
    request_body(content((Value = "application/json", example = json!({"seed": 7, "episode_id": "mine"})))),
    responses(
        (status = 200, description = "The first observation", body = Value,
            example = json!({"observation": {"observation": [1.0, 0.0, 0.0], "terminated": false, "truncated": false, "info": {}}, "reward": null, "done": false})),
        (status = 400, description = "malformed-body", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "body-too-large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "unsupported-media-type", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "invalid-body or invalid-options", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "quota-exceeded", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "draining, server-full or storage-failed", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn reset(
    State(server): State<Server>,
    caller: FullCaller,
    request: HttpRequest,
) -> Result<Response, Failure> {
    let arguments = ResetArguments::read(fields(&server, request).await?).map_err(invalid)?;
    let mut play = Play::begin(&server.app, caller, &server.offer).await?;
    Ok(reply(&json!(play.reset(arguments).await?)))
}

/// Take the first step in an environment that exists for this request only
///
/// OpenEnv's servers have no sessions over HTTP: each step runs in an environment of its own, which
/// first begins an episode.
#[utoipa::path(
    post, path = "/step", operation_id = "openenv_step", tag = "openenv",
    request_body(content((Value = "application/json", example = json!({"action": {"action": 0}})))),
    responses(
        (status = 200, description = "The outcome", body = Value,
            example = json!({"observation": {"observation": [0.0, 1.0, 0.0], "terminated": false, "truncated": false, "info": {}}, "reward": 0.0, "done": false})),
        (status = 400, description = "malformed-body", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "body-too-large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "unsupported-media-type", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "invalid-body or invalid-action", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "quota-exceeded", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "draining, server-full or storage-failed", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn step(
    State(server): State<Server>,
    caller: FullCaller,
    request: HttpRequest,
) -> Result<Response, Failure> {
    let mut fields = fields(&server, request).await?;
    let data = match fields.remove("action") {
        Some(Value::Object(data)) => data,
        other => {
            let other = other.unwrap_or_default();
            let msg = "Input should be a valid dictionary";
            return Err(invalid(vec![WrongField::new(
                "dict_type",
                "action",
                msg,
                &other,
            )]));
        }
    };
    let action = read_action(data).map_err(invalid)?;
    let mut play = Play::begin(&server.app, caller, &server.offer).await?;
    play.reset(ResetArguments::default()).await?;
    Ok(reply(&json!(play.step(action).await?)))
}

/// Return the state of an environment that exists for this request only
#[utoipa::path(
    get, path = "/state", operation_id = "openenv_state", tag = "openenv",
    responses((status = 200, description = "No episode, no steps", body = Value)),
)]
async fn state(State(server): State<Server>) -> Response {
    reply(&json!(play::fresh_state(&server.offer)))
}

/// Check that the server is alive
#[utoipa::path(
    get, path = "/health", operation_id = "openenv_health", tag = "openenv",
    responses((status = 200, description = "It is alive", body = Value, example = json!({"status": "healthy"}))),
)]
async fn health() -> Response {
    reply(&json!({"status": "healthy"}))
}

/// Describe the environment
#[utoipa::path(
    get, path = "/metadata", operation_id = "openenv_metadata", tag = "openenv",
    responses((status = 200, description = "Name and description", body = Value)),
)]
async fn metadata(State(server): State<Server>) -> Response {
    let spec = &server.offer.spec;
    reply(&json!({
        "name": spec.id,
        "description": spec.description,
        "readme_content": null,
        "version": env!("CARGO_PKG_VERSION"),
        "author": null,
        "documentation_url": null,
    }))
}

/// Return JSON schemas of actions, observations and states
#[utoipa::path(
    get, path = "/schema", operation_id = "openenv_schema", tag = "openenv",
    responses((status = 200, description = "The schemas", body = Value)),
)]
async fn schema(State(server): State<Server>) -> Response {
    reply(&server.offer.schemas())
}

/// Tell clients of the Model Context Protocol that there are no tools
#[utoipa::path(
    post, path = "/mcp", operation_id = "openenv_mcp", tag = "openenv",
    request_body(content((Value = "application/json"))),
    responses((status = 200, description = "A JSON-RPC error", body = Value)),
)]
async fn mcp(State(server): State<Server>, request: HttpRequest) -> Response {
    // A body that cannot be read is answered like an empty request.
    let request = fields(&server, request).await;
    let request = request.map_or(Value::Null, Value::Object);
    reply(&messages::refuse_mcp(&request))
}
