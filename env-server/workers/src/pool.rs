//! The caller's side: hands calls to workers, and again to others when workers are lost.

use std::collections::HashMap;
use std::io;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use crate::frame::{Frame, Hello};
use crate::input::Input;
use crate::process::{Process, lock, read_frames};
use crate::program::Program;
use crate::share::Shared;

/// Workers that one call may lose before it fails.
pub const TRIES: usize = 3;
/// Frames that are read ahead of the caller.
pub(crate) const QUEUE: usize = 16;
/// Variable with a worker's directory, which it removes if its caller is gone.
pub(crate) const SCRATCH: &str = "WORKER_SCRATCH";
/// Time between two looks at `stop`.
pub(crate) const POLL: Duration = Duration::from_millis(50);

/// A call to be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Name of the function.
    pub name: String,
    /// The argument.
    pub body: Vec<u8>,
    /// The last checkpoint of an earlier try, to continue from.
    pub checkpoint: Option<Vec<u8>>,
    /// Bytes that other calls need too. The pool sends them once.
    pub shared: Option<Shared>,
}

impl Request {
    /// The frame of a call with this number, from a seat if one makes it.
    pub(crate) fn frame(&self, id: u64, seat: Option<u64>) -> Frame {
        Frame::Call {
            id,
            name: self.name.clone(),
            body: self.body.clone(),
            checkpoint: self.checkpoint.clone(),
            shared: self.shared.as_ref().map(|shared| shared.id().to_owned()),
            seat,
        }
    }
}

/// News of a call that is not done.
#[derive(Debug)]
pub enum Part<'a> {
    /// A part that the worker has sent.
    Sent(&'a [u8]),
    /// A checkpoint, from which the call continues if its worker is lost.
    Checkpoint(&'a [u8]),
    /// The worker was lost, for this reason; the call begins again in another one.
    Lost(&'a str),
}

/// Answers calls.
pub trait Pool: Send + Sync {
    /// Returns the result of a call. Called from several threads at once; each waits for a worker
    /// of its own.
    ///
    /// Setting `stop` closes the worker's input. It may still send a checkpoint.
    ///
    /// # Errors
    /// See [`CallError`].
    fn call(
        &self,
        request: &Request,
        on_part: &mut dyn FnMut(Part<'_>),
        stop: &AtomicBool,
    ) -> Result<Vec<u8>, CallError>;

    /// Ends what has no call, once no more calls come.
    fn close(&self);

    /// Ends everything at once, for a caller that is about to exit.
    fn kill_all(&self);
}

impl<P: Pool + ?Sized> Pool for Arc<P> {
    fn call(
        &self,
        request: &Request,
        on_part: &mut dyn FnMut(Part<'_>),
        stop: &AtomicBool,
    ) -> Result<Vec<u8>, CallError> {
        (**self).call(request, on_part, stop)
    }

    fn close(&self) {
        (**self).close();
    }

    fn kill_all(&self) {
        (**self).kill_all();
    }
}

/// The reason why a call has no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// It was stopped.
    #[error("stopped before the end")]
    Stopped,
    /// The worker's own reason. It would be the same in every worker, so the call is not tried
    /// again.
    #[error("{0}")]
    Failed(String),
    /// Every worker that had it was lost.
    #[error("its worker was lost {TRIES} times; the last time: {0}")]
    Lost(String),
    /// No worker can be started.
    #[error("cannot start a worker: {0}")]
    Start(#[source] io::Error),
    /// The relay that carries calls is lost, and all calls with it.
    #[error("the relay to the cluster is lost: {0}")]
    Relay(String),
}

/// A pool of child processes. It has as many workers as calls are made at once; each is started
/// when it is needed, and ends with the pool.
///
/// A worker has a directory for temporary files of its own, named by `TMPDIR`, which is removed when
/// it ends, and a process group of its own, so that Ctrl-C reaches the caller alone.
#[derive(Clone, Debug)]
pub struct LocalPool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    program: Program,
    idle: Mutex<Vec<Worker>>,
    processes: Mutex<HashMap<u64, Arc<Process>>>,
    next: AtomicU64,
}

/// A worker that has said hello.
#[derive(Debug)]
struct Worker {
    number: u64,
    process: Arc<Process>,
    input: Input,
    frames: mpsc::Receiver<io::Result<Option<Frame>>>,
    pool: std::sync::Weak<Inner>,
}

/// How a worker's turn at a call ended.
enum Turn {
    Done(Vec<u8>),
    Failed(String),
    Lost(String),
}

impl LocalPool {
    /// Makes a pool without workers.
    pub fn new(program: Program) -> Self {
        Self(Arc::new(Inner {
            program,
            idle: Mutex::default(),
            processes: Mutex::default(),
            next: AtomicU64::new(0),
        }))
    }

    /// Process ids of the workers, for tests that kill them.
    pub fn process_ids(&self) -> Vec<u32> {
        let processes = lock(&self.0.processes);
        processes.values().map(|one| one.id()).collect()
    }
}

impl Pool for LocalPool {
    fn call(
        &self,
        request: &Request,
        on_part: &mut dyn FnMut(Part<'_>),
        stop: &AtomicBool,
    ) -> Result<Vec<u8>, CallError> {
        let mut request = request.clone();
        let mut reason = String::new();
        for _ in 0..TRIES {
            if stop.load(Ordering::Relaxed) {
                return Err(CallError::Stopped);
            }
            let why = match self.take_turn(&mut request, on_part, stop)? {
                Turn::Done(body) => return Ok(body),
                Turn::Failed(reason) => return Err(CallError::Failed(reason)),
                Turn::Lost(_) if stop.load(Ordering::Relaxed) => return Err(CallError::Stopped),
                Turn::Lost(why) => why,
            };
            on_part(Part::Lost(&why));
            reason = why;
        }
        Err(CallError::Lost(reason))
    }

    /// Ends the workers that have no call.
    fn close(&self) {
        let mut idle = std::mem::take(&mut *lock(&self.0.idle));
        for worker in &mut idle {
            worker.input.close();
        }
    }

    /// Kills all workers and removes their directories.
    fn kill_all(&self) {
        for process in lock(&self.0.processes).values() {
            process.kill();
            process.remove_scratch();
        }
    }
}

impl LocalPool {
    /// Takes a worker without a call. One that ended meanwhile costs no call a try.
    fn idle(&self) -> Option<Worker> {
        loop {
            let worker = lock(&self.0.idle).pop()?;
            if worker.process.lives() {
                return Some(worker);
            }
        }
    }

    /// Gives a call to a worker, which is kept for the next one unless it is lost.
    fn take_turn(
        &self,
        request: &mut Request,
        on_part: &mut dyn FnMut(Part<'_>),
        stop: &AtomicBool,
    ) -> Result<Turn, CallError> {
        let mut worker = match self.idle() {
            Some(worker) => worker,
            None => {
                let worker = self.start()?;
                if let Some(lost) = worker.greet(&self.0.program.hello, stop)? {
                    return Ok(Turn::Lost(lost));
                }
                worker
            }
        };
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let turn = worker.answer(id, request, on_part, stop);
        match turn {
            // It may still be at work, after it has sent a damaged frame.
            Turn::Lost(_) => worker.process.kill(),
            Turn::Done(_) | Turn::Failed(_) => lock(&self.0.idle).push(worker),
        }
        Ok(turn)
    }

    /// Starts a worker.
    fn start(&self) -> Result<Worker, CallError> {
        let inner = &*self.0;
        let scratch = tempfile::Builder::new().prefix("worker-").tempdir();
        let scratch = scratch.map_err(CallError::Start)?;
        let mut command = Command::new(&inner.program.path);
        command
            .args(&inner.program.arguments)
            .env("TMPDIR", scratch.path())
            .env(SCRATCH, scratch.path());
        let spawned = Process::spawn(&mut command, Some(scratch));
        let (process, input, output) = spawned.map_err(CallError::Start)?;
        let (sender, frames) = mpsc::sync_channel(QUEUE);
        let number = inner.next.fetch_add(1, Ordering::Relaxed);
        lock(&inner.processes).insert(number, Arc::clone(&process));
        // From here on, dropping the worker ends the process.
        let worker = Worker {
            number,
            process,
            input: Input::new(input),
            frames,
            pool: Arc::downgrade(&self.0),
        };
        let read = read_frames("worker", output, move |frame| sender.send(frame).is_ok());
        read.map_err(CallError::Start)?;
        Ok(worker)
    }
}

impl Worker {
    /// Waits for the worker's hello, and checks that it is the expected one. Returns how the worker was
    /// lost, if it ended before.
    fn greet(&self, expected: &Hello, stop: &AtomicBool) -> Result<Option<String>, CallError> {
        let reason = loop {
            match self.frames.recv_timeout(POLL) {
                Ok(Ok(Some(Frame::Hello(hello)))) if hello == *expected => return Ok(None),
                Ok(Ok(Some(Frame::Hello(hello)))) => {
                    break format!("it is another program: {hello:?} instead of {expected:?}");
                }
                Ok(Ok(Some(_))) => break "its first frame is not a hello".to_owned(),
                Ok(Ok(None)) | Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return Ok(Some(self.process.ending("worker")));
                }
                Ok(Err(error)) => break error.to_string(),
                Err(mpsc::RecvTimeoutError::Timeout) if stop.load(Ordering::Relaxed) => {
                    return Err(CallError::Stopped);
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
        };
        Err(CallError::Start(io::Error::other(reason)))
    }

    /// Sends a call and waits for its answer. Keeps the last checkpoint in `request`.
    fn answer(
        &mut self,
        id: u64,
        request: &mut Request,
        on_part: &mut dyn FnMut(Part<'_>),
        stop: &AtomicBool,
    ) -> Turn {
        let call = request.frame(id, None);
        if let Err(too_long) = self.input.call(&call, request.shared.as_ref()) {
            return Turn::Failed(too_long);
        }
        loop {
            if stop.load(Ordering::Relaxed) {
                self.input.close();
            }
            let frame = match self.frames.recv_timeout(POLL) {
                Ok(Ok(Some(frame))) => frame,
                Err(mpsc::RecvTimeoutError::Timeout) => continue,
                Ok(Ok(None)) | Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return Turn::Lost(self.process.ending("worker"));
                }
                Ok(Err(error)) => return Turn::Lost(error.to_string()),
            };
            match frame {
                Frame::Part {
                    id: of,
                    is_checkpoint: false,
                    body,
                } if of == id => on_part(Part::Sent(&body)),
                Frame::Part { id: of, body, .. } if of == id => {
                    on_part(Part::Checkpoint(&body));
                    request.checkpoint = Some(body);
                }
                Frame::Done { id: of, body } if of == id => return Turn::Done(body),
                Frame::Failed { id: of, reason } if of == id => return Turn::Failed(reason),
                // An answer to an earlier call.
                Frame::Part { .. } | Frame::Done { .. } | Frame::Failed { .. } => {}
                _ => return Turn::Lost("it sent a frame that workers do not send".to_owned()),
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.input.close();
        self.process.end();
        if let Some(pool) = self.pool.upgrade() {
            lock(&pool.processes).remove(&self.number);
        }
    }
}
