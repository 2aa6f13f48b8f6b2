//! Requests to stop: Ctrl-C, SIGTERM (a service manager, a batch system, `kill`) and SIGHUP (the
//! terminal is gone).
//!
//! The first request lets the program keep what it has; the next one ends it at once. A SIGHUP or SIGTERM that is ignored
//! when the program starts stays ignored: `nohup` is honoured. Ctrl-C is always heard, for shells ignore SIGINT for whatever
//! a script starts with `&`, and `kill -INT` is how people stop that.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{Duration, Instant};

/// Requests within this time are one: `timeout` signals a program and then its whole group, and people press keys twice.
const ONE_REQUEST: Duration = Duration::from_millis(500);

/// Shells add this to a signal's number for the exit status of a program that the signal ended.
const SIGNALLED: u8 = 128;

/// A request to stop. Clones are the same request.
#[derive(Clone, Debug, Default)]
pub struct StopRequest {
    asked: Arc<AtomicBool>,
    signal: Arc<AtomicU8>,
}

impl StopRequest {
    /// Becomes true with the first request.
    pub fn flag(&self) -> &AtomicBool {
        &self.asked
    }

    /// The exit status of a program that has stopped for this, as shells count it: 130 after Ctrl-C, 143 after SIGTERM, 129
    /// after SIGHUP.
    pub fn exit_status(&self) -> u8 {
        SIGNALLED + self.signal.load(Ordering::Relaxed)
    }

    fn ask(&self, signal: u8) {
        self.signal.store(signal, Ordering::Relaxed);
        self.asked.store(true, Ordering::Relaxed);
    }
}

/// From now on a signal sets the request and calls `on_first`; a further Ctrl-C or SIGTERM calls `on_second` and ends the
/// process. Both run on a thread of their own. The handlers are in place when this returns.
///
/// # Errors
/// When the system refuses a handler or a thread.
pub fn stop_on_signals(
    on_first: impl FnOnce() + Send + 'static,
    on_second: impl FnOnce() + Send + 'static,
) -> io::Result<StopRequest> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut signals = {
        let _inside = runtime.enter();
        system::Signals::listen()?
    };
    let request = StopRequest::default();
    let asked = request.clone();
    let listen = async move {
        asked.ask(signals.next().await);
        on_first();
        let first = Instant::now();
        loop {
            let signal = signals.next().await;
            if signal != system::HANGUP && first.elapsed() >= ONE_REQUEST {
                on_second();
                std::process::exit(i32::from(SIGNALLED + signal));
            }
        }
    };
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || runtime.block_on(listen))?;
    Ok(request)
}

#[cfg(unix)]
mod system {
    use std::io;

    use tokio::signal::unix::{Signal, SignalKind, signal};

    /// The number of SIGHUP.
    pub const HANGUP: u8 = 1;

    /// The signals that are heard.
    pub struct Signals {
        interrupt: Signal,
        terminate: Option<Signal>,
        hangup: Option<Signal>,
    }

    impl Signals {
        /// Inside a runtime.
        pub fn listen() -> io::Result<Self> {
            let unless_ignored = |kind: SignalKind| {
                (!host_process::ignores(kind.as_raw_value()))
                    .then(|| signal(kind))
                    .transpose()
            };
            Ok(Self {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: unless_ignored(SignalKind::terminate())?,
                hangup: unless_ignored(SignalKind::hangup())?,
            })
        }

        /// Waits for a signal; its number.
        pub async fn next(&mut self) -> u8 {
            let kind = tokio::select! {
                _ = self.interrupt.recv() => SignalKind::interrupt(),
                () = heard(&mut self.terminate) => SignalKind::terminate(),
                () = heard(&mut self.hangup) => SignalKind::hangup(),
            };
            u8::try_from(kind.as_raw_value()).unwrap_or_default()
        }
    }

    async fn heard(signal: &mut Option<Signal>) {
        match signal {
            Some(signal) => {
                signal.recv().await;
            }
            None => std::future::pending().await,
        }
    }
}

#[cfg(not(unix))]
mod system {
    use std::io;

    /// There is none here; no signal has this number.
    pub const HANGUP: u8 = 0;

    /// The number of SIGINT.
    const INTERRUPT: u8 = 2;

    /// Ctrl-C.
    pub struct Signals;

    impl Signals {
        /// Inside a runtime.
        pub fn listen() -> io::Result<Self> {
            Ok(Self)
        }

        /// Waits for Ctrl-C; the number of SIGINT.
        pub async fn next(&mut self) -> u8 {
            // Without a handler there is nothing to wait for but the end of the process.
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
            INTERRUPT
        }
    }
}
