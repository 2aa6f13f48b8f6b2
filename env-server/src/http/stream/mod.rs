//! `GET /v1/stream`: the operations of the HTTP routes as messages, many environments on one
//! WebSocket.
//!
//! Messages are encoded and decoded by `env_protocol`; each is passed to the handler of the HTTP
//! route it names. A socket has no state: environments are kept by their leases, and after a broken
//! connection a new socket continues with the same `seq`.

mod dispatch;
mod in_flight;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use axum::extract::State;
use axum::extract::ws::{Message, Utf8Bytes, close_code};
use axum::response::Response;
use bytes::Bytes;
use env_protocol::{Encoding, Problem};
use tokio::task::coop::consume_budget;

use super::app::SharedApp;
use super::caller::Caller;
use dispatch::StreamCall;
use in_flight::InFlight;
use service::room::Room;
use service::socket::{Event, Gone, Socket, Upgrade};

/// Most operations of one socket in flight. Beyond that the socket is not read, so the client
/// waits.
const MAX_IN_FLIGHT: usize = 64;

/// Play many environments on one WebSocket
///
/// Text frames are JSON messages, binary frames MessagePack ones. A request is a `StreamRequest`, a
/// reply a `StreamReply`; their bodies are those of the other routes. Operations on one environment
/// are answered in order; others may overtake them. Requests may be sent without waiting for
/// replies. A broken socket loses nothing: open another one and resend with the same `seq`.
#[utoipa::path(
    get, path = "/v1/stream", operation_id = "stream", tag = "stream",
    responses(
        (status = 101, description = "The connection is a WebSocket from now on"),
        (status = 403, description = "cross-origin", body = Problem, content_type = "application/problem+json"),
        (status = 426, description = "upgrade-required: the request does not ask for a WebSocket", body = Problem,
            content_type = "application/problem+json",
            headers(("Upgrade" = String, description = "`websocket`"))),
    ),
)]
pub(super) async fn stream(
    State(app): State<SharedApp>,
    caller: Caller,
    upgrade: Upgrade,
) -> Response {
    let serving = app.clone();
    let max_bytes = app.max_body_bytes();
    upgrade.accept(&app.sockets, max_bytes, move |socket| async move {
        // The client has disconnected; nothing is left to do.
        let _ = serve(serving, caller, socket).await;
    })
}

/// Answers messages until the client leaves or the server ends.
async fn serve(app: SharedApp, caller: Caller, mut socket: Socket) -> Result<(), Gone> {
    let aside = Arc::new(AtomicBool::new(false));
    let caller = caller.noting(Arc::clone(&aside));
    let mut in_flight = InFlight::new(aside);
    loop {
        let is_reading = in_flight.len() < MAX_IN_FLIGHT;
        let event = tokio::select! {
            biased;
            Some(reply) = in_flight.next(), if in_flight.len() > 0 => {
                send(&mut socket, reply).await?;
                continue;
            }
            event = socket.next(is_reading) => event,
        };
        let (encoding, message) = match event {
            Event::Text(text) => (Encoding::Json, Bytes::from(text)),
            Event::Binary(bytes) => (Encoding::MessagePack, bytes),
            Event::Beat => continue,
            Event::Ending => break,
            Event::Gone => return Ok(()),
        };
        let order = match StreamCall::read(encoding, &message, &app.bodies) {
            Ok(order) => order,
            Err(reply) => {
                socket.send(frame(encoding, reply)).await?;
                continue;
            }
        };
        let target = order.target();
        let (app, caller) = (app.clone(), caller.clone());
        let work = async move {
            let (reply, room) = order.answer(app, caller).await;
            (frame(encoding, reply), room)
        };
        if let Some(reply) = in_flight.begin(target, Box::pin(work)).await {
            send(&mut socket, reply).await?;
        }
        // Messages that have already arrived must not keep other tasks waiting.
        consume_budget().await;
    }
    while let Some(reply) = in_flight.next().await {
        send(&mut socket, reply).await?;
    }
    socket
        .close(close_code::AWAY, "the server is shutting down")
        .await;
    Ok(())
}

/// Sends a reply, which holds its memory reservation until it has been sent.
async fn send(
    socket: &mut Socket,
    (message, _room): (Message, Option<Arc<Room>>),
) -> Result<(), Gone> {
    socket.send(message).await
}

/// Answers one message of an anonymous caller.
#[cfg(any(test, fuzzing))]
pub(crate) async fn answer_message(app: &SharedApp, encoding: Encoding, message: &[u8]) -> Vec<u8> {
    match StreamCall::read(encoding, &Bytes::copy_from_slice(message), &app.bodies) {
        Ok(order) => order.answer(app.clone(), Caller::nobody()).await.0,
        Err(reply) => reply,
    }
}

/// Returns the route of the stream alone; building all routes takes long.
#[cfg(any(test, fuzzing))]
pub(crate) fn only_route(app: SharedApp) -> axum::Router {
    let route = axum::routing::get(stream);
    axum::Router::new()
        .route(dispatch::PATH, route)
        .with_state(app)
}

/// Wraps a reply in a frame of its encoding.
fn frame(encoding: Encoding, reply: Vec<u8>) -> Message {
    match encoding {
        Encoding::Json => {
            let text = Utf8Bytes::try_from(Bytes::from(reply));
            Message::Text(text.expect("JSON is UTF-8"))
        }
        Encoding::MessagePack => Message::Binary(reply.into()),
    }
}
