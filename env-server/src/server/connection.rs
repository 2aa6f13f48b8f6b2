//! One connection: TLS if any, requests in turn, until an end.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use axum::body::Body;
use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::front::Front;
use super::watch::{Late, Timeouts, Watch, WatchedBody};
use crate::observe::metrics::OpenConnection;

/// Most bytes of a request's head, and of what is read or written ahead.
const MAX_BUFFER_BYTES: usize = 64 << 10;

/// Up to here it takes less time to copy a head and its body into one piece than it takes the kernel to send two.
const SMALL_BYTES: usize = 512;

/// One of the places for connections, and its being counted as open.
pub(super) type Place = (OwnedSemaphorePermit, OpenConnection);

/// A stream that is watched and holds one of the places for connections, also after an upgrade to
/// WebSocket, until it is closed.
pub(super) struct Held<I> {
    io: I,
    watch: Arc<Watch>,
    _place: Place,
}

impl<I> Held<I> {
    pub(super) fn new(io: I, timeouts: Timeouts, place: Place) -> Self {
        Held {
            io,
            watch: Arc::new(Watch::new(timeouts)),
            _place: place,
        }
    }
}

/// Serves a connection until it is closed, overdue, or idle while `draining` says so.
pub(super) async fn serve<I>(
    stream: Held<I>,
    front: Arc<Front>,
    mut draining: watch::Receiver<bool>,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let watch = Arc::clone(&stream.watch);
    let service = service_fn(|request: Request<Incoming>| {
        watch.note_request();
        let (front, watch) = (Arc::clone(&front), Arc::clone(&watch));
        async move {
            let body = |body| Body::new(WatchedBody::new(body, Arc::clone(&watch)));
            let response: Response = front.answer(request.map(body), Some(&watch)).await;
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .max_buf_size(MAX_BUFFER_BYTES)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
    );
    let mut timer = pin!(watch.timer());
    let signal = draining.clone();
    let mut drain = pin!(draining.wait_for(|&is_draining| is_draining));
    let mut drain_wakes: Option<Waker> = None;
    let mut is_told = false;
    poll_fn(|cx| {
        // Polling takes a lock that all connections share, and a request polls several times: so
        // only to be woken by it, and once it has something to say.
        let wakes_me = drain_wakes
            .as_ref()
            .is_some_and(|w| w.will_wake(cx.waker()));
        if !is_told && (!wakes_me || signal.has_changed().unwrap_or(true)) {
            drain_wakes = Some(cx.waker().clone());
            if drain.as_mut().poll(cx).is_ready() {
                is_told = true;
                if watch.is_fresh() {
                    return Poll::Ready(());
                }
                connection.as_mut().graceful_shutdown();
            }
        }
        loop {
            if let Poll::Ready(outcome) = connection.as_mut().poll(cx) {
                if let Err(error) = outcome {
                    tracing::debug!(%error, "a connection ended");
                }
                return Poll::Ready(());
            }
            match watch.poll_late(timer.as_mut(), cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Late::Request) => {}
                Poll::Ready(Late::Connection) => {
                    tracing::debug!("a connection was idle for too long, or slow");
                    return Poll::Ready(());
                }
            }
        }
    })
    .await;
}

impl<I: AsyncRead + Unpin> AsyncRead for Held<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.io).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.watch.note_read();
        }
        outcome
    }
}

impl<I: AsyncWrite + Unpin> Held<I> {
    fn written(&self, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(outcome, Poll::Ready(Ok(1..))) {
            self.watch.note_written();
        }
        outcome
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Held<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.written(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let len = slices.iter().map(|slice| slice.len()).sum();
        let outcome = match len {
            0..=SMALL_BYTES => {
                let mut joined = [0; SMALL_BYTES];
                let mut rest = joined.as_mut_slice();
                for slice in slices {
                    let (begin, end) = rest.split_at_mut(slice.len());
                    begin.copy_from_slice(slice);
                    rest = end;
                }
                Pin::new(&mut self.io).poll_write(cx, &joined[..len])
            }
            _ => Pin::new(&mut self.io).poll_write_vectored(cx, slices),
        };
        self.written(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
