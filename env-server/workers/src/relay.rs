//! A pool on other machines: one child process, the relay, carries all calls to them and back.

use std::collections::HashMap;
use std::io;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use crate::frame::{self, Frame, PROTOCOL, Ready};
use crate::input::Input;
use crate::pool::{CallError, POLL, Part, Pool, QUEUE, Request, TRIES};
use crate::process::{Process, lock, read_frames};

/// Time for a stopped call to send its last checkpoint.
const PATIENCE: Duration = Duration::from_secs(30);

/// A pool behind a relay. The relay finds workers for all calls at once, sends a call whose worker
/// was lost to another one, and ends with the pool.
#[derive(Clone, Debug)]
pub struct RelayPool(Arc<Inner>);

/// The reason why there is no relay.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// Its program cannot be started.
    #[error("cannot start the relay: {0}")]
    Start(#[source] io::Error),
    /// The relay's own reason.
    #[error("{0}")]
    Refused(String),
    /// It ended, or it is another program.
    #[error("the relay cannot be used: {0}")]
    Unusable(String),
}

/// The calls of one seat: as long as its worker lives, they all go to that one. Other seats have
/// other workers, where the pool has enough of them.
#[derive(Clone, Debug)]
pub struct Seat {
    pool: RelayPool,
    number: u64,
}

#[derive(Debug)]
struct Inner {
    process: Arc<Process>,
    input: Mutex<Input>,
    calls: Arc<Mutex<Calls>>,
    next: AtomicU64,
    ready: Ready,
}

/// The calls without an answer.
#[derive(Debug, Default)]
struct Calls {
    open: HashMap<u64, mpsc::SyncSender<Frame>>,
    /// Why the relay carries no more calls.
    lost: Option<String>,
}

/// An open call; it is closed when this is dropped, and its later frames are dropped too.
struct Open<'a> {
    id: u64,
    calls: &'a Mutex<Calls>,
    frames: mpsc::Receiver<Frame>,
}

impl RelayPool {
    /// Starts a relay, and waits until it is ready. `program` is the SHA-256 of the workers' program;
    /// a relay that starts another one is refused. `warn` is called for what people should know.
    ///
    /// # Errors
    /// See [`RelayError`].
    pub fn start(
        mut command: Command,
        program: &str,
        warn: impl Fn(&str) + Send + 'static,
    ) -> Result<Self, RelayError> {
        let spawned = Process::spawn(&mut command, None);
        let (process, input, mut output) = spawned.map_err(RelayError::Start)?;
        let first = frame::read(&mut output);
        let refused = match first {
            Ok(Some(Frame::Ready(ready))) if ready.protocol != PROTOCOL => RelayError::Unusable(
                format!("its protocol is {}, not {PROTOCOL}", ready.protocol),
            ),
            Ok(Some(Frame::Ready(ready))) if ready.program != program => {
                RelayError::Unusable(format!("its program is {}, not {program}", ready.program))
            }
            Ok(Some(Frame::Ready(ready))) => {
                ready.warnings.iter().for_each(|text| warn(text));
                let calls = Arc::new(Mutex::new(Calls::default()));
                let reader = Reader {
                    calls: Arc::clone(&calls),
                    process: Arc::clone(&process),
                    warn,
                };
                let read = read_frames("relay", output, move |frame| reader.take(frame));
                read.map_err(RelayError::Start)?;
                return Ok(Self(Arc::new(Inner {
                    process,
                    input: Mutex::new(Input::new(input)),
                    calls,
                    next: AtomicU64::new(0),
                    ready,
                })));
            }
            Ok(Some(Frame::Refused { reason })) => RelayError::Refused(reason),
            Ok(Some(_)) => RelayError::Unusable("its first frame is not its own".to_owned()),
            Ok(None) => RelayError::Unusable(process.ending("relay")),
            Err(error) => RelayError::Unusable(error.to_string()),
        };
        drop(input);
        process.end();
        Err(refused)
    }

    /// Returns what the relay has found.
    pub fn ready(&self) -> &Ready {
        &self.0.ready
    }

    /// Process id of the relay, for tests that kill it.
    pub fn process_id(&self) -> u32 {
        self.0.process.id()
    }

    /// Opens a call.
    fn open(&self) -> Result<Open<'_>, CallError> {
        let (sender, frames) = mpsc::sync_channel(QUEUE);
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let mut calls = lock(&self.0.calls);
        if let Some(reason) = &calls.lost {
            return Err(CallError::Relay(reason.clone()));
        }
        calls.open.insert(id, sender);
        Ok(Open {
            id,
            calls: &self.0.calls,
            frames,
        })
    }

    /// Returns the seat of this number. It ends with the pool.
    pub fn seat(&self, number: u64) -> Seat {
        Seat {
            pool: self.clone(),
            number,
        }
    }

    /// Carries a call, from a seat if one makes it.
    fn carry(
        &self,
        request: &Request,
        seat: Option<u64>,
        on_part: &mut dyn FnMut(Part<'_>),
        stop: &AtomicBool,
    ) -> Result<Vec<u8>, CallError> {
        if stop.load(Ordering::Relaxed) {
            return Err(CallError::Stopped);
        }
        let open = self.open()?;
        let call = request.frame(open.id, seat);
        // Under one lock, so that no other thread's share comes between the two.
        let sent = lock(&self.0.input).call(&call, request.shared.as_ref());
        sent.map_err(CallError::Failed)?;
        let mut tries = 0;
        let mut stopped: Option<Instant> = None;
        loop {
            if stop.load(Ordering::Relaxed) && stopped.is_none() {
                stopped = Some(Instant::now());
                let sent = lock(&self.0.input).send(&Frame::Stop { id: open.id });
                sent.map_err(CallError::Failed)?;
            }
            if stopped.is_some_and(|since| since.elapsed() > PATIENCE) {
                return Err(CallError::Stopped);
            }
            let frame = match open.frames.recv_timeout(POLL) {
                Ok(frame) => frame,
                Err(mpsc::RecvTimeoutError::Timeout) => continue,
                Err(mpsc::RecvTimeoutError::Disconnected) => return Err(self.lost()),
            };
            match frame {
                Frame::Part {
                    is_checkpoint: false,
                    body,
                    ..
                } => on_part(Part::Sent(&body)),
                Frame::Part { body, .. } => on_part(Part::Checkpoint(&body)),
                Frame::Done { body, .. } => return Ok(body),
                Frame::Failed { reason, .. } => return Err(CallError::Failed(reason)),
                Frame::Lost { reason, .. } => {
                    on_part(Part::Lost(&reason));
                    tries += 1;
                    if tries == TRIES {
                        return Err(CallError::Lost(reason));
                    }
                }
                // `Stopped`; the reader passes nothing else on.
                _ => return Err(CallError::Stopped),
            }
        }
    }
}

impl Pool for RelayPool {
    fn call(
        &self,
        request: &Request,
        on_part: &mut dyn FnMut(Part<'_>),
        stop: &AtomicBool,
    ) -> Result<Vec<u8>, CallError> {
        self.carry(request, None, on_part, stop)
    }

    /// Ends the relay.
    fn close(&self) {
        lock(&self.0.input).close();
        self.0.process.end();
    }

    /// Kills the relay. Its workers see the end of their input and end.
    fn kill_all(&self) {
        self.0.process.kill();
    }
}

impl RelayPool {
    /// Says why the relay carries no more calls.
    fn lost(&self) -> CallError {
        let reason = lock(&self.0.calls).lost.clone();
        CallError::Relay(reason.unwrap_or_default())
    }
}

impl Pool for Seat {
    fn call(
        &self,
        request: &Request,
        on_part: &mut dyn FnMut(Part<'_>),
        stop: &AtomicBool,
    ) -> Result<Vec<u8>, CallError> {
        self.pool.carry(request, Some(self.number), on_part, stop)
    }

    /// Ends the relay, and with it all seats.
    fn close(&self) {
        self.pool.close();
    }

    /// Kills the relay, and with it all seats.
    fn kill_all(&self) {
        self.pool.kill_all();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        lock(&self.input).close();
        self.process.end();
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        lock(self.calls).open.remove(&self.id);
    }
}

/// Hands the relay's frames to the calls that they belong to.
struct Reader<W> {
    calls: Arc<Mutex<Calls>>,
    process: Arc<Process>,
    warn: W,
}

impl<W: Fn(&str)> Reader<W> {
    /// Returns whether more can come.
    fn take(&self, frame: io::Result<Option<Frame>>) -> bool {
        let lost = match frame {
            Ok(Some(Frame::Warning { text })) => {
                (self.warn)(&text);
                return true;
            }
            Ok(Some(frame)) => match call_of(&frame) {
                Some(id) => {
                    let call = lock(&self.calls).open.get(&id).cloned();
                    if let Some(call) = call {
                        // Fails if the call has been given up meanwhile.
                        let _ = call.send(frame);
                    }
                    return true;
                }
                None => "it sent a frame that relays do not send".to_owned(),
            },
            Ok(None) => self.process.ending("relay"),
            Err(error) => error.to_string(),
        };
        // It may still be at work, after it has sent a damaged frame.
        self.process.kill();
        let mut calls = lock(&self.calls);
        calls.lost = Some(lost);
        calls.open.clear();
        false
    }
}

/// The call that a relay's frame belongs to; `None` for frames that relays do not send.
fn call_of(frame: &Frame) -> Option<u64> {
    match frame {
        Frame::Part { id, .. }
        | Frame::Done { id, .. }
        | Frame::Failed { id, .. }
        | Frame::Stopped { id }
        | Frame::Lost { id, .. } => Some(*id),
        _ => None,
    }
}
