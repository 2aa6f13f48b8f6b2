//! A contender's program: started in a process group of its own, watched, and ended with everything it has started.

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::output::Output;
use super::processes::{self, GRACE, Groups, PAUSE, Signal};

/// What variables of a contender begin with.
const PREFIX: &str = "STRATEGIC_MEMORY_";

/// Variables that are not passed on, by how they begin: settings and tokens of other servers.
const KEPT_BACK: [&str; 2] = [PREFIX, "ENV_SERVER_"];

/// How long the last words may take to arrive once the program and all it has started are gone.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Last words of a program that are shown: so many lines and letters.
const LAST_LINES: usize = 4;
const LAST_LETTERS: usize = 400;

/// A program under way; dropping it ends it.
pub struct Program {
    child: Child,
    out: Output,
    err: Output,
    groups: Groups,
    began: Instant,
    end: Option<End>,
}

/// How it came to be gone.
#[derive(Clone, Debug)]
struct End {
    /// Processes that could not be ended.
    left: Vec<u32>,
}

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
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        processes::confine(&mut command);
        // Held from before it starts: whoever ends all groups ends this one, too.
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

    /// When it was started.
    pub fn began(&self) -> Instant {
        self.began
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
    pub fn listening(&self) -> Option<String> {
        self.out.listens()
    }

    /// How it ended, in words, with its last ones. What it has left is ended.
    pub fn describe(&mut self, status: ExitStatus) -> String {
        self.end();
        match self.last_words() {
            Some(words) => format!("{status}; its last words: {words}"),
            None => format!("{status}, without a word"),
        }
    }

    /// The last lines of its standard error, or of its standard output.
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

    /// Ends it and everything it has started: asked first, then not. What it has left when it ended by itself has a moment
    /// to do so, too. When this returns, everything it said has been read.
    pub fn end(&mut self) {
        if self.end.is_none() {
            self.end = Some(End {
                left: end(&mut self.child, &self.groups),
            });
            self.out.finish(LAST_WORDS);
            self.err.finish(LAST_WORDS);
        }
    }

    /// Says which processes could not be ended, if there are any.
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

/// Ends a child and everything it has started; gives the processes that are still there.
fn end(child: &mut Child, groups: &Groups) -> Vec<u32> {
    let is_over = |child: &mut Child| !matches!(child.try_wait(), Ok(None));
    let was_over = is_over(child);
    if !was_over {
        processes::end_group(child.id(), Signal::Terminate);
        let asked = Instant::now();
        while !is_over(child) && asked.elapsed() < GRACE {
            std::thread::sleep(PAUSE);
        }
        processes::end_group(child.id(), Signal::Kill);
    }
    let _ = child.kill();
    let _ = child.wait();
    let left = groups.end_orphans(was_over).err().unwrap_or_default();
    // Where nothing is adopted, its group is all that is known.
    processes::end_group(child.id(), Signal::Kill);
    groups.forget(child.id());
    left
}

impl Drop for Program {
    fn drop(&mut self) {
        self.end();
    }
}
