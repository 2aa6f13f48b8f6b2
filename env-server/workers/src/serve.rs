//! The worker's side: answers calls until the end of the input.

use std::any::Any;
use std::io::{self, ErrorKind, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use crate::frame::{self, Frame, Hello};
use crate::pool::{Request, SCRATCH};
use crate::share::Shared;

/// Calls to read ahead.
const QUEUE: usize = 16;
/// Time between two looks at `stop` while there is no call.
const POLL: Duration = Duration::from_millis(100);

/// The reason why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The worker stops; another can continue the call from its last checkpoint.
    Stopped,
    /// The call fails for this reason, in every worker.
    Failed(String),
}

/// Answers a call: sends its parts, and returns its result. Once the flag is set, it saves a
/// checkpoint, sends it and returns [`Ended::Stopped`].
pub type Answer = dyn Fn(&Request, &Parts, &AtomicBool) -> Result<Vec<u8>, Ended>;

/// Sends the parts of one answer.
#[derive(Clone)]
pub struct Parts {
    id: u64,
    out: Arc<Mutex<dyn Write + Send>>,
    stop: Arc<AtomicBool>,
}

impl Parts {
    /// Sends a part. A part beyond [`MAX_FRAME_BYTES`](crate::MAX_FRAME_BYTES) is dropped. Once the
    /// caller is gone, `stop` is set.
    pub fn send(&self, body: Vec<u8>) {
        self.write(body, false);
    }

    /// Sends a checkpoint: another worker can continue the call from this body.
    pub fn send_checkpoint(&self, body: Vec<u8>) {
        self.write(body, true);
    }

    fn write(&self, body: Vec<u8>, is_checkpoint: bool) {
        let part = Frame::Part {
            id: self.id,
            is_checkpoint,
            body,
        };
        match write(&self.out, &part) {
            Err(error) if is_too_long(&error) => {}
            Err(_) => self.stop.store(true, Ordering::Relaxed),
            Ok(()) => {}
        }
    }
}

/// Answers calls one after the other, until the input ends or `stop` is set. The end of the input
/// sets `stop`, so that the call at work can save a checkpoint, send it and end.
///
/// `answer` may be called again after it has panicked; a panic is a failed call.
///
/// # Errors
/// When the output cannot be written, or the input is damaged.
pub fn serve(
    input: impl Read + Send + 'static,
    output: impl Write + Send + 'static,
    hello: &Hello,
    stop: &Arc<AtomicBool>,
    answer: &Answer,
) -> io::Result<()> {
    let output: Arc<Mutex<dyn Write + Send>> = Arc::new(Mutex::new(output));
    write(&output, &Frame::Hello(hello.clone()))?;
    let (sender, calls) = mpsc::sync_channel(QUEUE);
    let told = Arc::clone(stop);
    // Not joined: a signal may stop the worker while its input is open.
    std::thread::Builder::new()
        .name("calls".into())
        .spawn(move || read_calls(input, &sender, &told))?;
    while !stop.load(Ordering::Relaxed) {
        let Arrived { id, request } = match calls.recv_timeout(POLL) {
            Ok(call) => call?,
            Err(mpsc::RecvTimeoutError::Timeout) => continue,
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        };
        let parts = Parts {
            id,
            out: Arc::clone(&output),
            stop: Arc::clone(stop),
        };
        let answered = catch_unwind(AssertUnwindSafe(|| {
            let request = request.map_err(Ended::Failed)?;
            answer(&request, &parts, stop)
        }));
        let frame = match answered {
            Ok(Ok(body)) => Frame::Done { id, body },
            Ok(Err(Ended::Stopped)) => break,
            Ok(Err(Ended::Failed(reason))) => Frame::Failed { id, reason },
            Err(panic) => Frame::Failed {
                id,
                reason: format!("the worker panicked: {}", panic_message(&*panic)),
            },
        };
        match write(&output, &frame) {
            Err(error) if is_too_long(&error) => {
                let reason = format!("the result does not fit: {error}");
                write(&output, &Frame::Failed { id, reason })?;
            }
            written => written?,
        }
    }
    // A damaged input is an error, its end is not.
    calls.try_iter().find_map(Result::err).map_or(Ok(()), Err)
}

/// As [`serve`], on standard input and output. Prints of this process go to standard error from now
/// on, so that they cannot damage a frame.
///
/// # Errors
/// As [`serve`].
pub fn serve_on_standard_streams(
    hello: &Hello,
    stop: &Arc<AtomicBool>,
    answer: &Answer,
) -> io::Result<()> {
    let served = serve(io::stdin(), output()?, hello, stop, answer);
    if let Some(scratch) = std::env::var_os(SCRATCH) {
        // Also removed by the caller, unless it is gone.
        let _ = std::fs::remove_dir_all(scratch);
    }
    served
}

#[cfg(unix)]
fn output() -> io::Result<impl Write + Send> {
    let own = rustix::io::dup(rustix::stdio::stdout())?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    Ok(std::fs::File::from(own))
}

#[cfg(not(unix))]
fn output() -> io::Result<impl Write + Send> {
    Ok(io::stdout())
}

/// A call that has arrived.
struct Arrived {
    id: u64,
    /// The call, or why it cannot be answered.
    request: Result<Request, String>,
}

/// Reads calls until the input ends, then sets `stop`. Keeps the latest share for the calls that name
/// it.
fn read_calls(
    mut input: impl Read,
    calls: &mpsc::SyncSender<io::Result<Arrived>>,
    stop: &AtomicBool,
) {
    let mut latest: Option<Shared> = None;
    loop {
        let call = match frame::read(&mut input) {
            Ok(Some(Frame::Share(shared))) => {
                latest = Some(shared);
                continue;
            }
            Ok(Some(Frame::Call {
                id,
                name,
                body,
                checkpoint,
                shared,
                seat: _,
            })) => {
                let shared = find(shared, latest.as_ref());
                let request = shared.map(|shared| Request {
                    name,
                    body,
                    checkpoint,
                    shared,
                });
                Ok(Arrived { id, request })
            }
            Ok(Some(_)) => Err(io::Error::new(
                ErrorKind::InvalidData,
                "a frame that is not a call",
            )),
            Ok(None) => break,
            Err(error) => Err(error),
        };
        let is_damaged = call.is_err();
        if calls.send(call).is_err() || is_damaged {
            break;
        }
    }
    stop.store(true, Ordering::Relaxed);
}

/// Returns the share that a call names, which must be the latest.
fn find(named: Option<String>, latest: Option<&Shared>) -> Result<Option<Shared>, String> {
    let Some(id) = named else { return Ok(None) };
    match latest.filter(|latest| latest.id() == id) {
        Some(latest) => Ok(Some(latest.clone())),
        None => Err(format!("the call needs the share {id}, which was not sent")),
    }
}

/// Whether an error of [`frame::write`] is about the frame, and nothing of it was written.
fn is_too_long(error: &io::Error) -> bool {
    error.kind() == ErrorKind::InvalidInput
}

fn write(out: &Mutex<dyn Write + Send>, frame: &Frame) -> io::Result<()> {
    let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
    frame::write(&mut *out, frame)
}

/// Returns the message of a caught panic.
pub fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}
