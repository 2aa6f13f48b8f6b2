//! A contender's program: started in a process group of its own, watched, and ended with everything it has started.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What variables of a contender begin with; it gets none that were set for somebody else.
const PREFIX: &str = "STRATEGIC_MEMORY_";

/// What a program prints before the URL at which it wants to be asked for its actions.
const LISTENING: &str = "listening on ";

/// Bytes of a line that can be the one.
const MAX_LINE: usize = 4096;

/// Between asking a program to end and ending it.
const GRACE: Duration = Duration::from_secs(2);

/// Between looks at a program.
pub const PAUSE: Duration = Duration::from_millis(20);

/// Last words of a program that are shown: so many lines and letters.
const LAST_LINES: usize = 4;
const LAST_LETTERS: usize = 400;

/// A program under way; dropping it ends it.
pub struct Program {
    child: Child,
    output: Output,
    groups: Groups,
    began: Instant,
    /// How far its standard output has been looked through, and the line that stands there unfinished.
    looked_through: u64,
    line: Vec<u8>,
}

/// Where a program's words go.
struct Output {
    out: PathBuf,
    err: PathBuf,
}

/// Process groups of programs under way, for whoever must end them all at once.
#[derive(Clone, Debug, Default)]
pub struct Groups(Arc<Mutex<HashSet<u32>>>);

impl Program {
    /// Starts a program; what it says goes to `NAME.out` and `NAME.err` in a folder.
    ///
    /// # Errors
    /// When it cannot be started, or the files cannot be written.
    pub fn start(
        words: &[String],
        variables: &[(&str, String)],
        (folder, name): (&Path, &str),
        groups: &Groups,
    ) -> Result<Self, String> {
        let output = Output {
            out: folder.join(format!("{name}.out")),
            err: folder.join(format!("{name}.err")),
        };
        let create = |path: &Path| {
            File::create(path).map_err(|error| format!("cannot write {}: {error}", path.display()))
        };
        let mut command = Command::new(&words[0]);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with(PREFIX) {
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
            .stdin(Stdio::null())
            .stdout(create(&output.out)?)
            .stderr(create(&output.err)?);
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        // Held from before it starts: whoever ends all groups ends this one, too.
        let mut running = groups.lock();
        let child = command
            .spawn()
            .map_err(|error| format!("cannot start {:?}: {error}", words[0]))?;
        running.insert(child.id());
        drop(running);
        Ok(Self {
            child,
            output,
            groups: groups.clone(),
            began: Instant::now(),
            looked_through: 0,
            line: Vec::new(),
        })
    }

    /// Ends it and everything it has started at once, from another thread: whoever waits for its answer waits no more.
    pub fn killer(&self) -> impl Fn() + use<> {
        let group = self.child.id();
        move || signal(group, Signal::Kill)
    }

    /// How long ago it was started.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// How it has ended, if it has.
    ///
    /// # Errors
    /// When the system does not know.
    pub fn poll(&mut self) -> Result<Option<ExitStatus>, String> {
        self.child.try_wait().map_err(|error| error.to_string())
    }

    /// The URL at which it says that it listens, once it has said so.
    ///
    /// # Errors
    /// When its output cannot be read.
    pub fn listening(&mut self) -> Result<Option<String>, String> {
        let mut new = Vec::new();
        File::open(&self.output.out)
            .and_then(|mut file| {
                file.seek(SeekFrom::Start(self.looked_through))?;
                file.read_to_end(&mut new)
            })
            .map_err(|error| format!("cannot read {}: {error}", self.output.out.display()))?;
        self.looked_through += new.len() as u64;
        self.line.extend(new);
        while let Some(end) = self.line.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.line.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            if let Some(url) = line.trim().strip_prefix(LISTENING)
                && url.starts_with("http://")
            {
                return Ok(Some(url.to_owned()));
            }
        }
        if self.line.len() > MAX_LINE {
            self.line.clear();
        }
        Ok(None)
    }

    /// How it ended, in words, with its last ones.
    pub fn describe(&self, status: ExitStatus) -> String {
        match self.last_words() {
            Some(words) => format!("{status}; its last words: {words}"),
            None => format!("{status}, without a word"),
        }
    }

    /// The last lines of its standard error, or of its standard output.
    fn last_words(&self) -> Option<String> {
        [&self.output.err, &self.output.out]
            .into_iter()
            .find_map(|path| {
                let bytes = std::fs::read(path).ok()?;
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

    /// Ends it and everything it has started: asked first, then not.
    pub fn end(&mut self) {
        let is_over = |child: &mut Child| !matches!(child.try_wait(), Ok(None));
        if !is_over(&mut self.child) {
            signal(self.child.id(), Signal::Terminate);
            let asked = Instant::now();
            while !is_over(&mut self.child) && asked.elapsed() < GRACE {
                std::thread::sleep(PAUSE);
            }
        }
        // Its children may live on when it does not.
        signal(self.child.id(), Signal::Kill);
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.groups.lock().remove(&self.child.id());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.end();
    }
}

impl Groups {
    /// Ends all of them now.
    pub fn kill_all(&self) {
        for &group in &*self.lock() {
            signal(group, Signal::Kill);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Copy)]
enum Signal {
    Terminate,
    Kill,
}

/// Sends a signal to a process group. That nobody is left in it is no matter.
#[cfg(unix)]
fn signal(group: u32, signal: Signal) {
    use rustix::process::{Pid, Signal as Number, kill_process_group};
    let number = match signal {
        Signal::Terminate => Number::TERM,
        Signal::Kill => Number::KILL,
    };
    if let Some(group) = i32::try_from(group).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, number);
    }
}

/// There are no process groups: only the program itself is ended, by its handle.
#[cfg(not(unix))]
fn signal(_: u32, _: Signal) {}
