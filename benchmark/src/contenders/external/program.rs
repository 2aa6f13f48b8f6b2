//! A running external program: started in a process group of its own, watched, and ended with
//! everything it has started.

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::output::Output;
use super::processes::{self, GRACE, Groups, PAUSE};
use super::signals::{self, Signal};

/// Prefix of the environment variables for programs.
const PREFIX: &str = "STRATEGIC_MEMORY_";

/// Prefixes of variables that are not passed on: settings and tokens of other servers.
const KEPT_BACK: [&str; 2] = [PREFIX, "ENV_SERVER_"];

/// Time to wait for the rest of the output after the program and its descendants have ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Most lines, and most characters, to show of a failed program's last output.
const LAST_LINES: usize = 4;
const LAST_LETTERS: usize = 400;

/// A running program; dropping it ends it.
pub struct Program {
    child: Child,
    out: Output,
    err: Output,
    groups: Groups,
    began: Instant,
    end: Option<End>,
}

/// The result of ending a program.
#[derive(Clone, Debug)]
struct End {
    /// Processes that could not be ended.
    left: Vec<u32>,
}

/// Returns the hosts that need no proxy: those already listed, and this machine, where the servers
/// are. Many HTTP libraries would otherwise send these requests to a company's proxy.
fn no_proxy(already: Option<String>) -> String {
    let here = "localhost,127.0.0.1,::1";
    match already.filter(|names| !names.is_empty()) {
        Some(names) => format!("{names},{here}"),
        None => here.to_owned(),
    }
}

impl Program {
    /// Starts a program. Its output goes to `NAME.out` and `NAME.err` in a folder.
    ///
    /// # Errors
    /// When it cannot be started, or its output files cannot be written.
    pub fn start(
        words: &[String],
        variables: &[(&str, String)],
        (folder, name): (&Path, &str),
        groups: &Groups,
    ) -> Result<Self, String> {
        let mut command = Command::new(&words[0]);
        for (name, _) in std::env::vars_os() {
            let is_kept_back = |prefix| name.to_string_lossy().starts_with(prefix);
            if KEPT_BACK.into_iter().any(is_kept_back) {
                command.env_remove(name);
            }
        }
        command
            .args(&words[1..])
            .envs(
                variables
                    .iter()
                    .map(|(name, value)| (format!("{PREFIX}{name}"), value)),
            )
            .envs(["NO_PROXY", "no_proxy"].map(|name| (name, no_proxy(std::env::var(name).ok()))))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        processes::confine(&mut command);
        // Locked before the program starts, so that `kill_all` cannot miss it.
        let starting = groups.starting();
        let mut child = command
            .spawn()
            .map_err(|error| format!("cannot start {:?}: {error}", words[0]))?;
        starting.started(child.id());
        let read = |extension| folder.join(format!("{name}.{extension}"));
        let [out, err] = [read("out"), read("err")];
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let outputs = Output::read(stdout.expect("it is piped"), &out)
            .and_then(|out| Ok((out, Output::read(stderr.expect("it is piped"), &err)?)));
        match outputs {
            Ok((out, err)) => Ok(Self {
                child,
                out,
                err,
                groups: groups.clone(),
                began: Instant::now(),
                end: None,
            }),
            Err(reason) => {
                end(&mut child, groups);
                Err(reason)
            }
        }
    }

    /// Returns the time at which it was started.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// Returns the time since it was started.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Returns its exit status, if it has ended.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn poll(&mut self) -> Result<Option<ExitStatus>, String> {
        self.child.try_wait().map_err(|error| error.to_string())
    }

    /// Returns the URL that it has printed as its address, if it has.
    pub fn listening(&self) -> Option<String> {
        self.out.listens()
    }

    /// Describes how it ended, with its last output, and ends its orphans.
    pub fn describe(&mut self, status: ExitStatus) -> String {
        self.end();
        match self.last_words() {
            Some(words) => format!("{status}; its last words: {words}"),
            None => format!("{status}, without a word"),
        }
    }

    /// Returns the last lines of its standard error or, if that is empty, of its standard output.
    fn last_words(&self) -> Option<String> {
        [&self.err, &self.out].into_iter().find_map(|output| {
            let bytes = output.last();
            let text = String::from_utf8_lossy(&bytes);
            let lines: Vec<&str> = text
                .lines()
                .map(str::trim)
                .filter(|l| !l.is_empty())
                .collect();
            let last = lines[lines.len().saturating_sub(LAST_LINES)..].join(" | ");
            let surplus = last.chars().count().saturating_sub(LAST_LETTERS);
            (!last.is_empty()).then(|| last.chars().skip(surplus).collect())
        })
    }

    /// Ends it and everything it has started, first with SIGTERM and after a while with SIGKILL. If
    /// it has ended by itself, its orphans get time to do the same. Afterwards all output has been
    /// read.
    pub fn end(&mut self) {
        if self.end.is_none() {
            self.end = Some(End {
                left: end(&mut self.child, &self.groups),
            });
            self.out.finish(LAST_WORDS);
            self.err.finish(LAST_WORDS);
        }
    }

    /// Names the processes that could not be ended, if there are any.
    pub fn leftovers(&self) -> Option<String> {
        let left = self.end.as_ref().map(|end| end.left.as_slice())?;
        let (first, more) = left.split_first()?;
        let more = match more.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        Some(format!(
            "it left processes behind that cannot be ended: {first}{more}"
        ))
    }
}

/// Ends a child and everything it has started. Returns the ids of processes that are still alive.
fn end(child: &mut Child, groups: &Groups) -> Vec<u32> {
    let is_over = |child: &mut Child| !matches!(child.try_wait(), Ok(None));
    let was_over = is_over(child);
    if !was_over {
        signals::end_group(child.id(), Signal::Terminate);
        let asked = Instant::now();
        while !is_over(child) && asked.elapsed() < GRACE {
            std::thread::sleep(PAUSE);
        }
        signals::end_group(child.id(), Signal::Kill);
    }
    let _ = child.kill();
    let _ = child.wait();
    let left = groups.end_orphans(was_over).err().unwrap_or_default();
    // Without a subreaper, only its process group is known.
    signals::end_group(child.id(), Signal::Kill);
    groups.forget(child.id());
    left
}

impl Drop for Program {
    fn drop(&mut self) {
        self.end();
    }
}
