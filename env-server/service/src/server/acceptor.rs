//! Accepts connections, and refuses those over the limit.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use env_protocol::{ErrorCode, Problem};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

use super::connection::{self, Held};
use super::front::Front;
use super::watch::Timeouts;
use crate::config::ServiceConfig;
use crate::problem::last_answer;
use crate::tls::Tls;

/// Most connections over the limit that are answered at once; more are closed without an answer.
const MAX_REFUSALS: usize = 64;

/// Longest time in which a connection over the limit may send its request and read the refusal.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves each connection in its own task.
///
/// A connection over the limit is accepted, answered 503 and closed. Left in the system's queue
/// instead, it would wait without an answer for as long as others are idle. Refusals do not slow
/// down the connections being served: each takes a few microseconds, and together never more than
/// [`MAX_REFUSALS`] tasks.
pub(super) struct Acceptor {
    front: Arc<Front>,
    tls: Option<Arc<Tls>>,
    timeouts: Timeouts,
    header_timeout: Duration,
    places: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    refusal: Arc<[u8]>,
    draining: watch::Sender<bool>,
    /// Aborted when this is dropped.
    tasks: JoinSet<()>,
}

impl Acceptor {
    pub(super) fn new(front: Front, config: &ServiceConfig) -> Self {
        let max_connections = config.max_connections.min(Semaphore::MAX_PERMITS);
        Acceptor {
            front: Arc::new(front),
            tls: config.tls.clone(),
            timeouts: Timeouts::new(config),
            header_timeout: config.header_timeout,
            places: Arc::new(Semaphore::new(max_connections)),
            refusals: Arc::new(Semaphore::new(MAX_REFUSALS)),
            refusal: refusal(max_connections).into(),
            draining: watch::Sender::new(false),
            tasks: JoinSet::new(),
        }
    }

    /// Serves a connection, or refuses it.
    pub(super) fn serve(&mut self, stream: TcpStream) {
        // Replies are small, and clients wait for them, so send each at once.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return self.refuse(stream);
        };
        let (front, draining) = (Arc::clone(&self.front), self.draining.subscribe());
        let timeouts = self.timeouts;
        let place = (place, self.front.metrics().connection());
        match &self.tls {
            None => {
                let stream = Held::new(stream, timeouts, place, front.metrics());
                self.tasks.spawn(connection::serve(stream, front, draining));
            }
            Some(tls) => {
                let (acceptor, time) = (tls.acceptor(), self.header_timeout);
                self.tasks.spawn(async move {
                    if let Some(stream) =
                        shake_hands(acceptor, stream, time, draining.clone()).await
                    {
                        let stream = Held::new(stream, timeouts, place, front.metrics());
                        connection::serve(stream, front, draining).await;
                    }
                });
            }
        }
    }

    fn refuse(&mut self, stream: TcpStream) {
        tracing::debug!("a connection is refused: the limit is reached");
        self.front.metrics().problem(ErrorCode::Overloaded);
        // Over TLS a refusal would need a handshake, which is most of the cost to be avoided.
        if self.tls.is_none()
            && let Ok(turn) = Arc::clone(&self.refusals).try_acquire_owned()
        {
            let refusal = Arc::clone(&self.refusal);
            self.tasks.spawn(async move {
                let told = timeout(REFUSAL_TIMEOUT, tell(stream, &refusal)).await;
                tracing::trace!(?told, "a connection was refused");
                drop::<OwnedSemaphorePermit>(turn);
            });
        }
    }

    /// Completes when a connection has ended and its task has been removed.
    pub(super) async fn clear_ended(&mut self) {
        if self.tasks.join_next().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// Closes idle connections, and waits for the others.
    pub(super) async fn drain(&mut self) {
        self.draining.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Returns `None` when the handshake fails or takes too long, or when draining begins.
async fn shake_hands(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    time: Duration,
    mut draining: watch::Receiver<bool>,
) -> Option<tokio_rustls::server::TlsStream<TcpStream>> {
    let shaken = tokio::select! {
        shaken = timeout(time, acceptor.accept(stream)) => shaken,
        _ = draining.wait_for(|&is_draining| is_draining) => return None,
    };
    match shaken {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a TLS handshake failed");
            None
        }
        Err(_) => {
            tracing::debug!("a TLS handshake took too long");
            None
        }
    }
}

/// Waits for a request, since some clients accept no answer before they have sent one; then answers
/// and closes.
async fn tell(mut stream: TcpStream, refusal: &[u8]) -> io::Result<()> {
    let mut unread = [0; 4096];
    if stream.read(&mut unread).await? > 0 {
        stream.write_all(refusal).await?;
        stream.shutdown().await?;
        // Closing with unread bytes would reset the connection and lose the answer.
        while stream.read(&mut unread).await? > 0 {}
    }
    Ok(())
}

/// Builds the answer to a connection over the limit.
fn refusal(max_connections: usize) -> Vec<u8> {
    let detail = format!("the server has {max_connections} connections open, its limit");
    last_answer(&Problem::new(ErrorCode::Overloaded, detail))
}

/// Accepts connections, and pauses when the system cannot: without free file descriptors, for
/// example, retrying at once would only keep a core busy.
#[derive(Default)]
pub(super) struct Backoff {
    not_before: Option<Instant>,
    delay: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(10);
    const LONGEST: Duration = Duration::from_secs(1);

    /// Returns the next connection. Dropping the future before it completes loses nothing.
    pub(super) async fn accept(&mut self, listener: &TcpListener) -> TcpStream {
        loop {
            if let Some(not_before) = self.not_before {
                sleep_until(not_before).await;
                self.not_before = None;
            }
            match listener.accept().await {
                Ok((stream, _)) => {
                    self.delay = Duration::ZERO;
                    return stream;
                }
                Err(error) if is_of_one_connection(&error) => {
                    tracing::debug!(%error, "a connection ended before it was accepted");
                }
                Err(error) => {
                    tracing::error!(%error, "connections cannot be accepted");
                    self.failed();
                }
            }
        }
    }

    fn failed(&mut self) {
        self.delay = (self.delay * 2).clamp(Self::FIRST, Self::LONGEST);
        self.not_before = Some(Instant::now() + self.delay);
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_listener_that_fails_is_tried_ever_less_often() {
        let mut backoff = Backoff::default();
        let mut delays = Vec::new();
        for _ in 0..9 {
            backoff.failed();
            delays.push(backoff.delay.as_millis());
        }
        assert_eq!(delays, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
        let began = Instant::now();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = tokio::spawn(TcpStream::connect(address));
        backoff.accept(&listener).await;
        client.await.unwrap().unwrap();
        assert!(began.elapsed() >= Backoff::LONGEST, "{:?}", began.elapsed());
        assert_eq!(backoff.delay, Duration::ZERO);
    }
}
