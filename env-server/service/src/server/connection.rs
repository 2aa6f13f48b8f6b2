//! One connection: optional TLS, then requests one after another until it ends.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

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
use super::unread::{self, Answer};
use super::watch::{Late, Timeouts, Watch, WatchedBody};
use crate::observe::Metrics;
use crate::observe::metrics::OpenConnection;

/// Most bytes of a request's head, and of data read or written ahead.
const MAX_BUFFER_BYTES: usize = 64 << 10;

/// Up to this size, copying a head and its body into one buffer is faster than sending two with the
/// kernel.
const SMALL_BYTES: usize = 512;

/// Most bytes read and discarded after answering input that is not a request.
const MAX_UNREAD_BYTES: usize = 1 << 20;

/// A permit for one connection, together with its count as open.
pub(super) type Place = (OwnedSemaphorePermit, OpenConnection);

/// A watched stream that holds one of the permits for connections until it is closed, also after an
/// upgrade to WebSocket.
pub(super) struct Held<I> {
    io: I,
    watch: Arc<Watch>,
    /// Replaces an answer of hyper's own.
    answer: Option<Answer>,
    /// Bytes read since that answer.
    unread_bytes: usize,
    metrics: Arc<Metrics>,
    _place: Place,
}

impl<I> Held<I> {
    pub(super) fn new(io: I, timeouts: Timeouts, place: Place, metrics: &Arc<Metrics>) -> Self {
        Held {
            io,
            watch: Arc::new(Watch::new(timeouts)),
            answer: None,
            unread_bytes: 0,
            metrics: Arc::clone(metrics),
            _place: place,
        }
    }
}

/// Serves a connection until it is closed, overdue, or idle while draining.
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
        // Polling `drain` takes a lock that all connections share, and a request polls several
        // times. So poll it only to register a new waker or after it has changed.
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
                Poll::Ready(Late::Request | Late::Head) => {}
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
        if self.watch.is_head_overdue() && buffer.remaining() >= unread::NO_HEAD.len() {
            // Makes hyper reject the head, so that its answer can be replaced.
            buffer.put_slice(unread::NO_HEAD);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.io).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.watch.note_read();
        }
        outcome
    }
}

impl<I: AsyncWrite + Unpin> Held<I> {
    /// Writes bytes that end with the end of a head; a refusal by hyper itself gets its body here.
    fn poll_write_head(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.answer.is_none() {
            let Some((at, status)) = unread::find_refusal(bytes) else {
                return Pin::new(&mut self.io).poll_write(cx, bytes);
            };
            if at > 0 {
                return Pin::new(&mut self.io).poll_write(cx, &bytes[..at]);
            }
            let late = self.watch.late_head();
            let problem = late.unwrap_or_else(|| unread::problem(status, MAX_BUFFER_BYTES));
            self.metrics.problem(problem.code);
            self.answer = Some(Answer::new(&problem));
        }
        if let Some(answer) = &mut self.answer {
            ready!(answer.poll_write(Pin::new(&mut self.io), cx))?;
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn written(&self, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(outcome, Poll::Ready(Ok(1..))) {
            self.watch.note_written();
        }
        outcome
    }
}

impl<I: AsyncRead + Unpin> Held<I> {
    /// Reads the rest of a request that could not be parsed. Closing with unread bytes would reset
    /// the connection and lose the answer.
    fn poll_unread(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut bytes = [0; 4096];
        while self.unread_bytes < MAX_UNREAD_BYTES {
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer))?;
            match buffer.filled().len() {
                0 => break,
                len => self.unread_bytes += len,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Held<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = match unread::may_refuse(bytes) {
            false => Pin::new(&mut self.io).poll_write(cx, bytes),
            true => self.poll_write_head(cx, bytes),
        };
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
                return self.poll_write(cx, &joined[..len]);
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
        ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
        match self.answer {
            None => Poll::Ready(Ok(())),
            Some(_) => self.poll_unread(cx),
        }
    }
}
