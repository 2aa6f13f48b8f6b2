//! Timeouts of a connection. One timer covers the head of a request, its body, its answer, and
//! connections that are idle or whose peer has gone.
//!
//! A timer for each of these would be set and cleared with every request. Here a request only
//! stores in an atomic what the connection is doing and since when. The connection's only timer is
//! checked after the connection has nothing left to do, and reset only when it has fired or
//! something is due earlier.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use env_protocol::{ErrorCode, Problem};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::config::ServiceConfig;

/// How long a connection may stay in each of its phases, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    header_ms: u64,
    request_ms: u64,
    idle_ms: u64,
}

impl Timeouts {
    pub(crate) fn new(config: &ServiceConfig) -> Self {
        let whole_ms = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        Timeouts {
            header_ms: whole_ms(config.header_timeout),
            request_ms: whole_ms(config.request_timeout),
            idle_ms: whole_ms(config.idle_timeout),
        }
    }

    fn limit(&self, phase: Phase) -> u64 {
        match phase {
            Phase::Fresh | Phase::Head => self.header_ms,
            Phase::Body | Phase::Reply => self.request_ms,
            Phase::Idle => self.idle_ms,
            Phase::OverdueHead => self.header_ms.saturating_add(ANSWER_MS),
            // `in_time` reacts to these at once.
            Phase::OverdueBody | Phase::OverdueReply => u64::MAX,
        }
    }
}

/// The current activity of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing has arrived yet.
    Fresh,
    /// The head of a request is arriving.
    Head,
    /// The head has arrived, but not the body; the request may already be processed.
    Body,
    /// The whole request has arrived and is being processed.
    Reply,
    /// The answer is being written or read, or the next request is awaited.
    Idle,
    /// Too long in [`Phase::Head`]; the answer that says so is being written.
    OverdueHead,
    /// Too long in [`Phase::Body`].
    OverdueBody,
    /// Too long in [`Phase::Reply`].
    OverdueReply,
}

impl Phase {
    const ALL: [Phase; 8] = [
        Phase::Fresh,
        Phase::Head,
        Phase::Body,
        Phase::Reply,
        Phase::Idle,
        Phase::OverdueHead,
        Phase::OverdueBody,
        Phase::OverdueReply,
    ];
}

const PHASE_BITS: u32 = 3;

/// Longest time for writing the answer to a late head.
const ANSWER_MS: u64 = 1_000;

/// The part of a request that was late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overdue {
    /// The client was late with the body.
    Body { after_ms: u64 },
    /// The server was late with the answer.
    Reply { after_ms: u64 },
}

/// The current activity of a connection, and since when.
#[derive(Debug)]
pub(crate) struct Watch {
    began: Instant,
    timeouts: Timeouts,
    /// Milliseconds since `began`, shifted by [`PHASE_BITS`], and the phase. Only the connection's
    /// task accesses it, unless a handler passes a body to another task, so the ordering is
    /// relaxed.
    now_doing: AtomicU64,
}

impl Watch {
    pub(crate) fn new(timeouts: Timeouts) -> Self {
        Watch {
            began: Instant::now(),
            timeouts,
            now_doing: AtomicU64::new(Phase::Fresh as u64),
        }
    }

    fn elapsed_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    fn phase(&self) -> (Phase, u64) {
        let packed = self.now_doing.load(Ordering::Relaxed);
        let phase = Phase::ALL[(packed & ((1 << PHASE_BITS) - 1)) as usize];
        (phase, packed >> PHASE_BITS)
    }

    fn enter(&self, phase: Phase, since_ms: u64) {
        let packed = since_ms << PHASE_BITS | phase as u64;
        self.now_doing.store(packed, Ordering::Relaxed);
    }

    fn enter_now(&self, phase: Phase) {
        self.enter(phase, self.elapsed_ms());
    }

    /// Notes that bytes have arrived.
    pub(super) fn note_read(&self) {
        if let (Phase::Fresh | Phase::Idle, _) = self.phase() {
            self.enter_now(Phase::Head);
        }
    }

    /// Notes that bytes were sent, so that a client that slowly reads a long answer is not idle.
    pub(super) fn note_written(&self) {
        if let (Phase::Idle, _) = self.phase() {
            self.enter_now(Phase::Idle);
        }
    }

    /// Notes that the head of a request is complete. Its time counts from its first byte, if that
    /// was noted, so the clock need not be read again.
    pub(super) fn note_request(&self) {
        match self.phase() {
            (Phase::Head, since_ms) => self.enter(Phase::Body, since_ms),
            _ => self.enter_now(Phase::Body),
        }
    }

    fn note_whole_body(&self) {
        if let (Phase::Body, since_ms) = self.phase() {
            self.enter(Phase::Reply, since_ms);
        }
    }

    /// Whether the head of a request did not arrive in time.
    pub(super) fn is_head_overdue(&self) -> bool {
        self.phase().0 == Phase::OverdueHead
    }

    /// Returns the problem for a head that did not arrive in time.
    pub(super) fn late_head(&self) -> Option<Problem> {
        self.is_head_overdue().then(|| {
            let after_ms = self.timeouts.header_ms;
            let detail = format!("the head was not complete after {after_ms} ms");
            Problem::new(ErrorCode::SlowRequest, detail)
        })
    }

    /// Whether the connection has received nothing, so that cutting it loses nothing.
    pub(super) fn is_fresh(&self) -> bool {
        self.phase().0 == Phase::Fresh
    }

    /// Waits for the answer to the request noted by [`Watch::note_request`].
    pub(super) async fn in_time<T>(&self, answer: impl Future<Output = T>) -> Result<T, Overdue> {
        let mut answer = pin!(answer);
        let outcome = poll_fn(|cx| {
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(Ok(answer));
            }
            let after_ms = self.timeouts.request_ms;
            match self.phase().0 {
                Phase::OverdueBody => Poll::Ready(Err(Overdue::Body { after_ms })),
                Phase::OverdueReply => Poll::Ready(Err(Overdue::Reply { after_ms })),
                _ => Poll::Pending,
            }
        })
        .await;
        self.enter_now(Phase::Idle);
        outcome
    }

    /// Ready when something is overdue; to be polled after the connection.
    pub(super) fn poll_late(&self, mut timer: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<Late> {
        loop {
            let (phase, since_ms) = self.phase();
            let due_ms = since_ms.saturating_add(self.timeouts.limit(phase));
            let due = self.began.checked_add(Duration::from_millis(due_ms));
            // A time beyond the range of the clock never comes.
            let Some(due) = due else { return Poll::Pending };
            if due < timer.deadline() {
                timer.as_mut().reset(due);
            }
            ready!(timer.as_mut().poll(cx));
            if Instant::now() < due {
                timer.as_mut().reset(due);
                continue;
            }
            return Poll::Ready(match phase {
                Phase::Head => {
                    self.enter(Phase::OverdueHead, since_ms);
                    Late::Head
                }
                Phase::Body => {
                    self.enter(Phase::OverdueBody, since_ms);
                    Late::Request
                }
                Phase::Reply => {
                    self.enter(Phase::OverdueReply, since_ms);
                    Late::Request
                }
                _ => Late::Connection,
            });
        }
    }

    /// Creates a timer for [`Watch::poll_late`].
    pub(super) fn timer(&self) -> Sleep {
        tokio::time::sleep(Duration::from_millis(self.timeouts.header_ms))
    }
}

/// The reaction to a missed deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Late {
    /// Poll the connection again: it reads bytes that no head can contain, and answers.
    Head,
    /// Poll the connection again: [`Watch::in_time`] abandons the request.
    Request,
    /// Close it.
    Connection,
}

/// A request's body that notifies the watch when it is complete.
pub(super) struct WatchedBody {
    body: Incoming,
    watch: Arc<Watch>,
}

impl WatchedBody {
    pub(super) fn new(body: Incoming, watch: Arc<Watch>) -> Self {
        if body.is_end_stream() {
            watch.note_whole_body();
        }
        WatchedBody { body, watch }
    }
}

impl Body for WatchedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none() || self.body.is_end_stream() {
            self.watch.note_whole_body();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch() -> Watch {
        let config = ServiceConfig {
            header_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(120),
            ..ServiceConfig::default()
        };
        Watch::new(Timeouts::new(&config))
    }

    /// Returns the seconds, on tokio's paused clock, until the watch reports something.
    async fn late_after(watch: &Watch, timer: &mut Pin<Box<Sleep>>) -> (Late, u64) {
        let began = Instant::now();
        let late = poll_fn(|cx| watch.poll_late(timer.as_mut(), cx)).await;
        (late, began.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn every_phase_has_its_time() {
        let watch = watch();
        let mut timer = Box::pin(watch.timer());
        assert_eq!(late_after(&watch, &mut timer).await, (Late::Connection, 10));
        watch.enter_now(Phase::Idle);
        assert_eq!(
            late_after(&watch, &mut timer).await,
            (Late::Connection, 120)
        );
        watch.note_written();
        tokio::time::sleep(Duration::from_secs(100)).await;
        watch.note_written();
        assert_eq!(
            late_after(&watch, &mut timer).await,
            (Late::Connection, 120)
        );
        watch.note_written();
        watch.note_read();
        tokio::time::sleep(Duration::from_secs(4)).await;
        watch.note_read();
        assert_eq!(
            late_after(&watch, &mut timer).await,
            (Late::Head, 6),
            "more of the head gives no more time"
        );
        assert_eq!(watch.late_head().unwrap().code, ErrorCode::SlowRequest);
        assert_eq!(late_after(&watch, &mut timer).await, (Late::Connection, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_request_is_given_up_and_the_connection_kept() {
        let watch = watch();
        let mut timer = Box::pin(watch.timer());
        for (is_whole, expected) in [
            (false, Overdue::Body { after_ms: 30_000 }),
            (true, Overdue::Reply { after_ms: 30_000 }),
        ] {
            watch.note_read();
            watch.note_request();
            if is_whole {
                watch.note_whole_body();
            }
            assert_eq!(late_after(&watch, &mut timer).await, (Late::Request, 30));
            let given_up = watch.in_time(std::future::pending::<()>()).await;
            assert_eq!(given_up, Err(expected));
            assert_eq!(watch.phase().0, Phase::Idle);
        }
        watch.note_request();
        assert_eq!(watch.in_time(async { 5 }).await, Ok(5));
    }

    #[tokio::test(start_paused = true)]
    async fn no_timeout_at_all_is_possible() {
        let config = ServiceConfig {
            header_timeout: Duration::MAX,
            ..ServiceConfig::default()
        };
        let watch = Watch::new(Timeouts::new(&config));
        let mut timer = Box::pin(watch.timer());
        let late = late_after(&watch, &mut timer);
        let year = Duration::from_secs(365 * 24 * 3_600);
        assert!(tokio::time::timeout(year, late).await.is_err());
    }
}
