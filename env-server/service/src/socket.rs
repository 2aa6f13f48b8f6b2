//! One WebSocket: liveness, back-pressure, closing. It knows nothing of what messages mean.

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

/// Bytes that a socket may buffer before it is written to the network.
const BUFFER_BYTES: usize = 16 << 10;

/// All sockets of a server, which outlive the requests that opened them.
#[derive(Default)]
pub struct Sockets {
    times: SocketTimes,
    /// They are told to finish.
    ending: CancellationToken,
    /// They are cut off.
    ended: CancellationToken,
    open: TaskTracker,
}

impl Sockets {
    /// Sockets with these pings and timeouts; none is open.
    pub fn new(times: SocketTimes) -> Self {
        Sockets {
            times,
            ..Sockets::default()
        }
    }

    /// Tells every socket to answer what is under way and close.
    pub fn end(&self) {
        self.ending.cancel();
    }

    /// Completes when none is open, after [`Sockets::end`].
    pub async fn closed(&self) {
        self.open.close();
        self.open.wait().await;
    }

    /// Cuts every socket off when it is dropped.
    pub fn cut_off_on_drop(&self) -> DropGuard {
        self.ended.clone().drop_guard()
    }
}

/// A request for a WebSocket. The pages of others have been kept out before: `server::gate`.
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
    /// Answers the request, and lets `serve` have the socket until the server ends.
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
        // It counts from now on: the upgrade itself takes a while.
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

/// What comes from a socket.
#[derive(Debug)]
pub enum Event {
    /// A text frame.
    Text(Utf8Bytes),
    /// A binary frame.
    Binary(Bytes),
    /// The client has been silent for a while, but lives.
    Beat,
    /// The server is ending: finish, then [`Socket::close`].
    Ending,
    /// Nothing more will come.
    Gone,
}

/// The socket is gone: the client has left, or has taken nothing for too long.
#[derive(Debug)]
pub struct Gone;

/// One open socket.
pub struct Socket {
    inner: WebSocket,
    times: SocketTimes,
    ping: Interval,
    /// When something came from the client last.
    heard_at: Instant,
    /// Whether something written may still lie in a buffer.
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

    /// The next event. Messages are read only if `is_reading`; otherwise they wait in the network,
    /// and so does the client. What has been sent goes out when there is nothing else to do.
    ///
    /// Cancelled at any point, it loses nothing.
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
                        // The pong is written by the library.
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
                        // Whether it speaks is not known.
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

    /// Sends a message, soon: it goes out with the next call of [`Socket::next`] that finds nothing
    /// to do, or when enough has gathered. Waits while the client takes nothing.
    pub async fn send(&mut self, message: Message) -> Result<(), Gone> {
        self.is_unflushed = true;
        let until = Instant::now() + self.times.write;
        match timeout_at(until, self.inner.feed(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Gone),
            Err(_) => {
                tracing::debug!("a socket takes nothing, it is cut off");
                Err(Gone)
            }
        }
    }

    /// Says goodbye, and waits a moment for the client's own goodbye.
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

    /// Waits for the end, which is what remains after either side's goodbye.
    async fn end(&mut self) {
        let until = Instant::now() + self.times.close;
        while let Ok(Some(Ok(_))) = timeout_at(until, self.inner.next()).await {}
    }

    /// Says what was wrong with a frame, if it was a frame that was wrong.
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

/// Reads a message, and meanwhile writes what lies in the buffer.
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
