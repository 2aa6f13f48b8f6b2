//! A process of a host: starts it, makes its calls, and says why it can make no more.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, ErrorKind};
use std::process::{ChildStderr, ChildStdin, ChildStdout};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use workers::Process;
use workers::frame::{read_message, write_message};

use crate::command::HostCommand;
use crate::protocol::{Answer, Call, Hello, PROTOCOL};

/// Lines of standard error that are kept for messages, and the most bytes of each.
const KEPT_LINES: usize = 8;
const KEPT_LINE_BYTES: usize = 160;
/// Longest frame to a host and first frame from it, in bytes.
const MAX_CALL_BYTES: u32 = 1 << 30;
const MAX_HELLO_BYTES: u32 = 32 << 20;

/// The reason why a call has no result: the process died, hung or answered wrongly, or the
/// environment failed. The vector of the call has ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fault(pub String);

/// A process of a host.
pub(crate) struct HostProcess {
    /// Name of the host.
    host: Arc<str>,
    process: Arc<Process>,
    /// Held for a call, or for all the calls of one operation.
    streams: Mutex<Streams>,
    /// When the present call must be answered; in milliseconds since `began`, 0 between calls.
    deadline_ms: AtomicU64,
    began: Instant,
    /// Whether it makes no more calls.
    is_broken: AtomicBool,
    /// Why it was killed, if the watch did.
    verdict: Mutex<Option<String>>,
    /// The last lines of its standard error.
    last_lines: Arc<Mutex<VecDeque<String>>>,
    /// Vectors that have ended, to be closed before the next call.
    to_close: Mutex<Vec<u64>>,
    next_env: AtomicU64,
}

struct Streams {
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl HostProcess {
    /// Starts a process and waits for its hello.
    ///
    /// `watch` gets the process before that, so that it can end a mute one.
    pub(crate) fn start(
        host: &Arc<str>,
        command: &HostCommand,
        timeout: Duration,
        watch: impl FnOnce(&Arc<Self>),
    ) -> Result<(Arc<Self>, Hello), Fault> {
        let failed = |reason: String| Fault(format!("host {host:?} cannot be started: {reason}"));
        let folder = tempfile::Builder::new().prefix("host-").tempdir();
        let folder = folder.map_err(|error| failed(error.to_string()))?;
        let mut prepared = command.in_folder(folder.path());
        let spawned = Process::spawn(&mut prepared, Some(folder));
        let (process, input, output) = spawned.map_err(|error| match error.kind() {
            ErrorKind::NotFound => failed(format!("there is no program {:?}", command.program())),
            _ => failed(format!("{:?}: {error}", command.program())),
        })?;
        let last_lines = Arc::default();
        if let Some(errors) = process.take_errors() {
            let told = tell_lines(host, errors, Arc::clone(&last_lines));
            told.map_err(|error| failed(error.to_string()))?;
        }
        let started = Arc::new(Self {
            host: Arc::clone(host),
            process,
            streams: Mutex::new(Streams {
                input,
                output: BufReader::with_capacity(64 << 10, output),
            }),
            deadline_ms: AtomicU64::new(0),
            began: Instant::now(),
            is_broken: AtomicBool::new(false),
            verdict: Mutex::default(),
            last_lines,
            to_close: Mutex::default(),
            next_env: AtomicU64::new(0),
        });
        watch(&started);
        let hello = started.turn(timeout).receive("hello", MAX_HELLO_BYTES)?;
        match hello {
            Answer::Hello(hello) if hello.protocol == PROTOCOL => Ok((started, hello)),
            Answer::Hello(hello) => {
                let found = hello.protocol;
                let reason = format!("it speaks protocol {found}, and this server {PROTOCOL}");
                Err(started.give_up("hello", &reason))
            }
            other => {
                let reason = format!("its first frame is {:?}, not \"hello\"", other.name());
                Err(started.give_up("hello", &reason))
            }
        }
    }

    /// Waits until no other vector uses the process, for an operation with calls that must each be
    /// answered in this time.
    pub(crate) fn turn(&self, timeout: Duration) -> Turn<'_> {
        Turn {
            process: self,
            streams: lock(&self.streams),
            timeout,
        }
    }

    /// Returns a number that no vector of the process has had.
    pub(crate) fn draw_env(&self) -> u64 {
        self.next_env.fetch_add(1, Ordering::Relaxed)
    }

    /// Ends a vector before the next call. Never waits.
    pub(crate) fn close_later(&self, env: u64) {
        lock(&self.to_close).push(env);
    }

    /// Ends vectors that are to be closed, unless the process has a call now. Never waits: its
    /// caller is the watch, which must be free to end a process that does not answer.
    pub(crate) fn tidy(self: &Arc<Self>, timeout: Duration) {
        if lock(&self.to_close).is_empty() || self.streams.try_lock().is_err() {
            return;
        }
        let process = Arc::clone(self);
        let tidy = move || {
            // A fault is noticed by the next call.
            let _ = process.turn(timeout).close_ended();
        };
        let thread = std::thread::Builder::new().name("host-tidy".to_owned());
        if let Err(error) = thread.spawn(tidy) {
            tracing::warn!(host = &*self.host, %error, "ended environments are closed later");
        }
    }

    /// Whether it can make calls, as far as is known.
    pub(crate) fn lives(&self) -> bool {
        !self.is_broken.load(Ordering::Relaxed) && self.process.lives()
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Whether the present call has run out of time.
    pub(crate) fn is_late(&self) -> bool {
        let deadline = self.deadline_ms.load(Ordering::Acquire);
        deadline != 0 && self.now_ms() > deadline
    }

    /// Kills the process, for this reason. A call in progress fails with it.
    pub(crate) fn condemn(&self, reason: String) {
        lock(&self.verdict).get_or_insert(reason);
        self.is_broken.store(true, Ordering::Relaxed);
        self.process.kill();
    }

    fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64 + 1
    }

    /// Kills the process after a wrong answer, and describes it.
    pub(crate) fn give_up(&self, call: &str, reason: &str) -> Fault {
        self.is_broken.store(true, Ordering::Relaxed);
        self.process.kill();
        let reason = lock(&self.verdict).clone().unwrap_or(reason.to_owned());
        self.fault(call, &reason)
    }

    /// Describes a fault of a call.
    fn fault(&self, call: &str, reason: &str) -> Fault {
        let lines = lock(&self.last_lines);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let lines = match lines.is_empty() {
            true => String::new(),
            false => format!(
                "; the last lines of its standard error: {}",
                lines.join(" | ")
            ),
        };
        Fault(format!(
            "host {:?}, call {call}: {reason}{lines}",
            self.host
        ))
    }
}

impl Drop for HostProcess {
    fn drop(&mut self) {
        self.process.kill();
    }
}

/// The right to make calls on a process.
pub(crate) struct Turn<'a> {
    process: &'a HostProcess,
    streams: MutexGuard<'a, Streams>,
    timeout: Duration,
}

impl Turn<'_> {
    /// Makes a call and waits for its answer, of at most `limit` bytes.
    ///
    /// # Errors
    /// When the process has died, or does so now, or answers with something else than a frame. It
    /// is killed then.
    pub(crate) fn call(&mut self, call: &Call, limit: u32) -> Result<Answer, Fault> {
        self.send(call)?;
        self.receive(call.name(), limit)
    }

    /// Sends a call, whose answer must be received next.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub(crate) fn send(&mut self, call: &Call) -> Result<(), Fault> {
        self.close_ended()?;
        if self.process.is_broken.load(Ordering::Relaxed) {
            return Err(self
                .process
                .give_up(call.name(), "the process has been ended"));
        }
        // It would be taken for the answer to this call.
        if !self.streams.output.buffer().is_empty() {
            let reason = "it has sent something that was not asked for";
            return Err(self.process.give_up(call.name(), reason));
        }
        self.send_only(call)
    }

    fn send_only(&mut self, call: &Call) -> Result<(), Fault> {
        self.set_deadline();
        if let Err(error) = write_message(&mut self.streams.input, call, MAX_CALL_BYTES)
            && error.kind() == ErrorKind::InvalidInput
        {
            self.process.deadline_ms.store(0, Ordering::Release);
            return Err(self.process.give_up(call.name(), &error.to_string()));
        }
        // If the process has ended, its output says how. The time for the answer counts from the
        // moment someone waits for it: other processes may be asked first.
        self.process.deadline_ms.store(0, Ordering::Release);
        Ok(())
    }

    /// Waits for the answer to the call that was sent last; `name` is its name.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub(crate) fn receive(&mut self, name: &str, limit: u32) -> Result<Answer, Fault> {
        match self.receive_any(name, limit)? {
            Answer::Failed { reason } => Err(self.process.fault(name, &cut(&reason))),
            answer => Ok(answer),
        }
    }

    /// As [`Self::receive`], with `failed` as an answer like others.
    fn receive_any(&mut self, name: &str, limit: u32) -> Result<Answer, Fault> {
        self.set_deadline();
        let read = read_message::<Answer>(&mut self.streams.output, limit);
        self.process.deadline_ms.store(0, Ordering::Release);
        let process = self.process;
        let reason = match read {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => process.process.ending("process"),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                format!("{}, inside a frame", process.process.ending("process"))
            }
            Err(error) => format!("its answer cannot be read: {error}"),
        };
        Err(process.give_up(name, &reason))
    }

    /// Kills the process, because its answer to a call is wrong.
    pub(crate) fn refuse(&self, name: &str, reason: &str) -> Fault {
        self.process.give_up(name, reason)
    }

    fn close_ended(&mut self) -> Result<(), Fault> {
        let ended = std::mem::take(&mut *lock(&self.process.to_close));
        for env in ended {
            self.send_only(&Call::Close { env })?;
            // One that has failed before may be unknown to the host.
            match self.receive_any("close", 1 << 16)? {
                Answer::Closed {} | Answer::Failed { .. } => {}
                other => {
                    let reason = format!("the answer is {:?}, not \"closed\"", other.name());
                    return Err(self.refuse("close", &reason));
                }
            }
        }
        Ok(())
    }

    fn set_deadline(&self) {
        let process = self.process;
        let deadline = process.now_ms() + self.timeout.as_millis() as u64;
        process.deadline_ms.store(deadline, Ordering::Release);
    }
}

/// Logs the lines of a process, and keeps the last ones.
fn tell_lines(
    host: &Arc<str>,
    errors: ChildStderr,
    last_lines: Arc<Mutex<VecDeque<String>>>,
) -> std::io::Result<()> {
    let host = Arc::clone(host);
    let tell = move || {
        let mut errors = BufReader::new(errors);
        let mut line = Vec::new();
        loop {
            line.clear();
            // A line without an end must not fill the memory.
            let mut part = std::io::Read::take(&mut errors, 8 << 10);
            match part.read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end();
            if text.is_empty() {
                continue;
            }
            tracing::info!(host = &*host, "{text}");
            let mut kept = lock(&last_lines);
            if kept.len() == KEPT_LINES {
                kept.pop_front();
            }
            kept.push_back(text.chars().take(KEPT_LINE_BYTES).collect());
        }
    };
    let thread = std::thread::Builder::new().name("host-errors".to_owned());
    thread.spawn(tell).map(drop)
}

/// Cuts a text of the host's for a message.
pub(crate) fn cut(text: &str) -> String {
    const MOST: usize = 600;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
