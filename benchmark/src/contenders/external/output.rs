//! A program's output, read by a separate thread as it arrives. Memory and disk use are bounded,
//! and the thread that watches the program never waits for its output.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Read, Write as _};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::plain::Lines;
use crate::files;

/// Text in front of the URL at which a program listens for requests.
const LISTENING: &str = "listening on ";

/// Bytes of standard output to search for that line.
const SEARCHED: usize = 1 << 20;

/// Longest line that can match, in bytes.
const MAX_LINE: usize = 4 << 10;

/// Bytes of the latest output to keep in memory.
const KEPT: usize = 64 << 10;

/// Bytes of output to log from the start. Of the rest, only the last [`KEPT`] bytes are logged.
const LOGGED: u64 = 8 << 20;

/// Bytes of one read.
const PIECE: usize = 64 << 10;

/// One of a program's two outputs.
pub struct Output(Arc<Heard>);

struct Heard {
    state: Mutex<State>,
    has_ended: Condvar,
}

#[derive(Default)]
struct State {
    last: VecDeque<u8>,
    listens: Option<String>,
    ended: bool,
}

impl Output {
    /// Reads a pipe to its end and logs it to a new file, which replaces any existing one.
    ///
    /// # Errors
    /// When the file cannot be created, or no thread can be started.
    pub fn read(pipe: impl Read + Send + 'static, log: &Path) -> Result<Self, String> {
        let log = Log::create(log)?;
        let heard = Arc::new(Heard {
            state: Mutex::default(),
            has_ended: Condvar::new(),
        });
        let reader = Reader {
            log,
            search: Search::default(),
            heard: Arc::clone(&heard),
        };
        std::thread::Builder::new()
            .name("contender output".to_owned())
            .spawn(move || reader.run(pipe))
            .map_err(|error| format!("cannot read its output: {error}"))?;
        Ok(Self(heard))
    }

    /// Returns the URL that the program has printed as its address, if it has.
    pub fn listens(&self) -> Option<String> {
        self.0.lock().listens.clone()
    }

    /// Waits until the pipe is read to its end, but no longer than `patience`: a process that still
    /// holds the pipe keeps it open.
    pub fn finish(&self, patience: Duration) {
        let state = self.0.lock();
        let waited = self
            .0
            .has_ended
            .wait_timeout_while(state, patience, |state| !state.ended);
        drop(waited);
    }

    /// Returns the latest output.
    pub fn last(&self) -> Vec<u8> {
        self.0.lock().last.iter().copied().collect()
    }
}

impl Heard {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// State of the reading thread.
struct Reader {
    log: Log,
    search: Search,
    heard: Arc<Heard>,
}

impl Reader {
    fn run(mut self, mut pipe: impl Read) {
        let mut piece = vec![0; PIECE];
        loop {
            match pipe.read(&mut piece) {
                Ok(0) => break,
                Ok(length) => self.take(&piece[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        let mut state = self.heard.lock();
        self.log.finish(state.last.make_contiguous());
        state.ended = true;
        self.heard.has_ended.notify_all();
    }

    fn take(&mut self, new: &[u8]) {
        self.log.write(new);
        let listens = self.search.take(new);
        let mut state = self.heard.lock();
        if state.listens.is_none() {
            state.listens = listens;
        }
        let kept = &new[new.len().saturating_sub(KEPT)..];
        let surplus = (state.last.len() + kept.len()).saturating_sub(KEPT);
        state.last.drain(..surplus);
        state.last.extend(kept);
    }
}

/// Finds the line with the address at which the program listens. Looks at each byte once.
#[derive(Default)]
struct Search {
    looked_through: usize,
    /// The unfinished line, cut off when it is too long to match.
    line: Vec<u8>,
}

impl Search {
    fn take(&mut self, new: &[u8]) -> Option<String> {
        let new = &new[..new.len().min(SEARCHED - self.looked_through)];
        self.looked_through += new.len();
        let mut found = None;
        for &byte in new {
            if byte == b'\n' {
                found = found.or_else(|| url(&self.line));
                self.line.clear();
            } else if self.line.len() <= MAX_LINE {
                self.line.push(byte);
            }
        }
        found
    }
}

fn url(line: &[u8]) -> Option<String> {
    let line = std::str::from_utf8(line).ok()?;
    let url = line.trim().strip_prefix(LISTENING)?;
    (line.len() <= MAX_LINE && url.starts_with("http://")).then(|| url.to_owned())
}

/// The log for people. Reading continues if the log cannot be written (a full disk).
struct Log {
    file: Option<File>,
    lines: Lines,
    taken: u64,
}

impl Log {
    fn create(path: &Path) -> Result<Self, String> {
        let file = files::create_new(path)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        Ok(Self {
            file: Some(file),
            lines: Lines::default(),
            taken: 0,
        })
    }

    fn write(&mut self, new: &[u8]) {
        let room = LOGGED.saturating_sub(self.taken).min(new.len() as u64) as usize;
        self.taken += new.len() as u64;
        if room > 0 {
            let text = self.lines.take(&new[..room]);
            self.append(&text);
        }
    }

    fn finish(&mut self, last: &[u8]) {
        let rest = self.lines.finish();
        self.append(&rest);
        let unwritten = self.taken.saturating_sub(LOGGED);
        if unwritten > 0 {
            let shown = unwritten.min(last.len() as u64) as usize;
            let text = Lines::default().take(&last[last.len() - shown..]);
            let left_out = unwritten - shown as u64;
            self.append(&format!("\n[… {left_out} bytes are left out …]\n{text}"));
        }
    }

    fn append(&mut self, text: &str) {
        if let Some(file) = &mut self.file
            && file.write_all(text.as_bytes()).is_err()
        {
            self.file = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(said: Vec<u8>) -> (Output, String) {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("x.out");
        let output = Output::read(std::io::Cursor::new(said), &log).unwrap();
        output.finish(Duration::from_secs(60));
        let text = std::fs::read_to_string(log).unwrap();
        (output, text)
    }

    #[test]
    fn the_line_is_found_in_the_first_mebibyte_only() {
        let line = b"listening on http://127.0.0.1:7\n".to_vec();
        let after = |before: Vec<u8>| heard([before, line.clone()].concat()).0.listens();
        assert_eq!(after(Vec::new()).as_deref(), Some("http://127.0.0.1:7"));
        assert_eq!(after(b"loading\r\n\xff\n".repeat(9)), after(Vec::new()));
        assert_eq!(
            after(vec![b'x'; SEARCHED / 2]),
            None,
            "it is no line of its own"
        );
        assert_eq!(after(vec![b'\n'; SEARCHED]), None);
        assert_eq!(after(vec![b'\n'; SEARCHED - line.len()]), after(Vec::new()));
        assert_eq!(
            heard(b"listening on http://unfinished".to_vec())
                .0
                .listens(),
            None
        );
        let long = [
            b"listening on http://".to_vec(),
            vec![b'a'; MAX_LINE],
            b"\n".to_vec(),
        ];
        assert_eq!(heard(long.concat()).0.listens(), None);
    }

    #[test]
    fn all_output_is_read_and_a_part_is_kept() {
        let said: Vec<u8> = (0..2_000_000)
            .flat_map(|i| format!("{i}\n").into_bytes())
            .collect();
        let (output, log) = heard(said.clone());
        assert_eq!(output.last(), said[said.len() - KEPT..]);
        assert!(log.len() < LOGGED as usize + KEPT + 100);
        assert!(log.starts_with("0\n1\n") && log.ends_with("\n1999999\n"));
        let left_out = said.len() - LOGGED as usize - KEPT;
        assert!(log.contains(&format!("\n[… {left_out} bytes are left out …]\n")));
    }

    #[test]
    fn a_log_is_plain_text_and_a_new_file() {
        let (_, log) = heard(b"\x1b]0;title\x07".to_vec());
        assert_eq!(log, "\\u{1b}]0;title\\u{7}");
        let folder = tempfile::tempdir().unwrap();
        let (log, victim) = (folder.path().join("x.out"), folder.path().join("victim"));
        std::fs::write(&victim, "kept").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(&victim, &log).unwrap();
        let output = Output::read(&b"new"[..], &log).unwrap();
        output.finish(Duration::from_secs(60));
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "kept");
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "new");
    }
}
