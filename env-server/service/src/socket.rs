//! One WebSocket: liveness, back-pressure and closing, independent of the meaning of messages.

use std::future::poll_fn;
use std::task::{Context, Poll};

use axum::extract::FromRequestParts;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use env_protocol::{ErrorCode, Problem};
use futures_util::{SinkExt, StreamExt};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::config::SocketTimes;
use crate::problem::Failure;

/// Bytes that a socket may buffer before they are written to the network.
const BUFFER_BYTES: usize = 16 << 10;

/// All sockets of a server, which outlive the requests that opened them.
#[derive(Default)]
pub struct Sockets {
    times: SocketTimes,
    /// Cancelled to ask sockets to finish.
    ending: CancellationToken,
    /// Cancelled to cut sockets off.
    ended: CancellationToken,
    open: TaskTracker,
}

impl Sockets {
    /// Creates an empty set of sockets with these timeouts.
    pub fn new(times: SocketTimes) -> Self {
        Sockets {
            times,
            ..Sockets::default()
        }
    }

    /// Asks every socket to answer requests in flight and close.
    pub fn end(&self) {
        self.ending.cancel();
    }

    /// Completes when no socket is open, after [`Sockets::end`].
    pub async fn closed(&self) {
        self.open.close();
        self.open.wait().await;
    }

    /// Returns a guard that cuts off every socket when it is dropped.
    pub fn cut_off_on_drop(&self) -> DropGuard {
        self.ended.clone().drop_guard()
    }
}

/// A request for a WebSocket. `server::gate` has already refused the pages of other origins.
pub struct Upgrade(WebSocketUpgrade);

impl<S: Send + Sync> FromRequestParts<S> for Upgrade {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        match WebSocketUpgrade::from_request_parts(parts, state).await {
            Ok(upgrade) => Ok(Upgrade(upgrade)),
            Err(rejection) => Err(upgrade_required(rejection.body_text())),
        }
    }
}

fn upgrade_required(detail: String) -> Response {
    let problem = Problem::new(ErrorCode::UpgradeRequired, detail);
    let mut response = Failure::from(problem).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(
        header::SEC_WEBSOCKET_VERSION,
        HeaderValue::from_static("13"),
    );
    response
}

impl Upgrade {
    /// Answers the request, and gives the socket to `serve` until the server ends.
    pub fn accept<F>(
        self,
        sockets: &Sockets,
        max_message_bytes: usize,
        serve: impl FnOnce(Socket) -> F + Send + 'static,
    ) -> Response
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let times = sockets.times;
        let (ending, ended) = (sockets.ending.clone(), sockets.ended.clone());
        // Count it from now on, since the upgrade itself takes a while.
        let counted = sockets.open.token();
        self.0
            .max_message_size(max_message_bytes)
            .max_frame_size(max_message_bytes)
            .read_buffer_size(BUFFER_BYTES)
            .write_buffer_size(BUFFER_BYTES)
            .on_failed_upgrade(|error| tracing::debug!(%error, "a socket could not be opened"))
            .on_upgrade(move |inner| async move {
                let _counted = counted;
                let socket = Socket::new(inner, times, ending);
                ended.run_until_cancelled(serve(socket)).await;
            })
    }
}

/// An event on a socket.
#[derive(Debug)]
pub enum Event {
    /// A text frame.
    Text(Utf8Bytes),
    /// A binary frame.
    Binary(Bytes),
    /// The client has been silent for a while, but is alive.
    Beat,
    /// The server is ending: finish, then [`Socket::close`].
    Ending,
    /// Nothing more will arrive.
    Gone,
}

/// The socket is gone: the client has left, or has accepted nothing for too long.
#[derive(Debug)]
pub struct Gone;

/// One open socket.
pub struct Socket {
    inner: WebSocket,
    times: SocketTimes,
    ping: Interval,
    /// Time of the last message from the client.
    heard_at: Instant,
    /// Whether written messages may still be in a buffer.
    is_unflushed: bool,
    ending: CancellationToken,
}

impl Socket {
    fn new(inner: WebSocket, times: SocketTimes, ending: CancellationToken) -> Self {
        let now = Instant::now();
        let mut ping = interval_at(now + times.ping_interval, times.ping_interval);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Socket {
            inner,
            times,
            ping,
            heard_at: now,
            is_unflushed: false,
            ending,
        }
    }

    /// Returns the next event. Messages are read only if `is_reading`; otherwise they wait in the
    /// network, and so does the client. Messages written are flushed when there is nothing else to
    /// do.
    ///
    /// Cancelling it at any point loses nothing.
    pub async fn next(&mut self, is_reading: bool) -> Event {
        loop {
            let ending = self.ending.clone();
            tokio::select! {
                biased;
                () = ending.cancelled() => return Event::Ending,
                message = poll_fn(|cx| poll_io(&mut self.inner, &mut self.is_unflushed, is_reading, cx)) => {
                    self.heard_at = Instant::now();
                    match message {
                        Some(Ok(Message::Text(text))) => return Event::Text(text),
                        Some(Ok(Message::Binary(bytes))) => return Event::Binary(bytes),
                        // The library writes the pong.
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                        Some(Ok(Message::Close(_))) => {
                            self.end().await;
                            return Event::Gone;
                        }
                        None => return Event::Gone,
                        Some(Err(error)) => {
                            self.reject(error).await;
                            return Event::Gone;
                        }
                    }
                }
                _ = self.ping.tick() => {
                    if !is_reading {
                        // Without reading, it is unknown whether the client is silent.
                        self.heard_at = Instant::now();
                    } else if self.heard_at.elapsed() >= self.times.silence {
                        tracing::debug!("a socket has gone silent");
                        return Event::Gone;
                    }
                    if self.send(Message::Ping(Bytes::new())).await.is_err() {
                        return Event::Gone;
                    }
                    return Event::Beat;
                }
            }
        }
    }

    /// Sends a message soon: it goes out with the next call of [`Socket::next`] that finds nothing
    /// to do, or when enough has accumulated. Waits while the client accepts nothing.
    ///
    /// # Errors
    /// [`Gone`], when the connection is broken or the client accepts nothing for too long.
    pub async fn send(&mut self, message: Message) -> Result<(), Gone> {
        self.is_unflushed = true;
        let until = Instant::now() + self.times.write;
        match timeout_at(until, self.inner.feed(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Gone),
            Err(_) => {
                tracing::debug!("a client accepts nothing: its socket is cut off");
                Err(Gone)
            }
        }
    }

    /// Sends a close message, and waits briefly for the client's own.
    pub async fn close(mut self, code: u16, reason: &'static str) {
        self.say_close(code, reason).await;
    }

    async fn say_close(&mut self, code: u16, reason: &'static str) {
        let frame = CloseFrame {
            code,
            reason: Utf8Bytes::from_static(reason),
        };
        let until = Instant::now() + self.times.write;
        let said = timeout_at(until, self.inner.send(Message::Close(Some(frame)))).await;
        if matches!(said, Ok(Ok(()))) {
            self.end().await;
        }
    }

    /// Waits for the end after either side's close message.
    async fn end(&mut self) {
        let until = Instant::now() + self.times.close;
        while let Ok(Some(Ok(_))) = timeout_at(until, self.inner.next()).await {}
    }

    /// Sends the reason for refusing a frame, if the frame was the problem.
    async fn reject(&mut self, error: axum::Error) {
        use tungstenite::Error;
        let error = error.into_inner();
        match error.downcast_ref::<Error>() {
            Some(Error::Capacity(_)) => {
                let reason = "the message is larger than the server's --max-body-bytes";
                self.say_close(close_code::SIZE, reason).await;
            }
            Some(Error::Utf8(_)) => {
                self.say_close(close_code::INVALID, "the text is not UTF-8")
                    .await;
            }
            Some(Error::Protocol(_)) => {
                self.say_close(close_code::PROTOCOL, "the frame breaks the protocol")
                    .await;
            }
            _ => tracing::debug!(%error, "a socket broke"),
        }
    }
}

/// Reads a message, and meanwhile flushes the buffer.
fn poll_io(
    inner: &mut WebSocket,
    is_unflushed: &mut bool,
    is_reading: bool,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Message, axum::Error>>> {
    if is_reading && let Poll::Ready(message) = inner.poll_next_unpin(cx) {
        return Poll::Ready(message);
    }
    if *is_unflushed {
        match inner.poll_flush_unpin(cx) {
            Poll::Ready(Ok(())) => *is_unflushed = false,
            Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
            Poll::Pending => {}
        }
    }
    Poll::Pending
}
