//! Support for the benches of the wire: a server in a separate process, a raw client, medians.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use env_protocol::Encoding;

/// A server in a separate process, ended when dropped.
pub struct Server {
    child: Child,
    pub address: String,
}

impl Server {
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("a server");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("its output");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let address = line
            .trim()
            .rsplit("http://")
            .next()
            .expect("an address")
            .to_owned();
        Server { child, address }
    }

    pub fn ours(arguments: &[String]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_env-server"));
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--log", "warn"])
            .args(arguments);
        Server::start(command)
    }

    /// Returns the id of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn cpu(&self) -> Duration {
        cpu(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the processor time of a process, to the nanosecond.
pub fn cpu(process: u32) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).expect("Linux");
    let times = tasks.filter_map(|task| {
        let path = task.ok()?.path().join("schedstat");
        let text = std::fs::read_to_string(path).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(times.sum::<u64>())
}

/// A kept connection that sends prepared bytes and reads replies.
pub struct Connection {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        Connection {
            stream,
            buffer: vec![0; 1 << 20],
        }
    }

    pub fn send(&mut self, request: &[u8]) {
        self.stream.write_all(request).expect("sent");
    }

    /// Returns the body of the next reply, which must be a success.
    pub fn receive(&mut self) -> &[u8] {
        let reply = self.receive_any();
        let text = || String::from_utf8_lossy(reply.body);
        assert!(reply.status / 100 == 2, "{}: {}", reply.status, text());
        reply.body
    }

    /// Returns the next reply, whatever its status.
    pub fn receive_any(&mut self) -> Reply<'_> {
        let mut len = 0;
        let mut head_end = None;
        loop {
            let read = self.stream.read(&mut self.buffer[len..]).expect("a reply");
            assert!(read > 0, "the server has closed the connection");
            len += read;
            if head_end.is_none() {
                head_end = find(&self.buffer[..len], b"\r\n\r\n").map(|at| at + 4);
            }
            let Some(head) = head_end else { continue };
            let end = head + content_length(&self.buffer[..head]);
            if len >= end {
                let (head, body) = self.buffer[..end].split_at(head);
                let status = std::str::from_utf8(&head[9..12]).expect("a status line");
                return Reply {
                    status: status.parse().expect("a status"),
                    head,
                    body,
                };
            }
        }
    }
}

/// A reply.
pub struct Reply<'a> {
    pub status: u16,
    /// The head in lower case, up to and including the empty line.
    pub head: &'a [u8],
    pub body: &'a [u8],
}

pub fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes
        .windows(pattern.len())
        .position(|window| window == pattern)
}

/// Returns the length of the body; zero without the header, since a 204 has no body.
fn content_length(head: &[u8]) -> usize {
    let name = b"content-length: ";
    let start = find(head, name).map_or(head.len(), |at| at + name.len());
    let digits = head[start..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| 10 * number + usize::from(digit - b'0'))
}

pub fn request(method: &str, path: &str, encoding: Encoding, body: &[u8], out: &mut Vec<u8>) {
    let (content_type, len) = (encoding.content_type(), body.len());
    out.clear();
    let _ = write!(
        out,
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {content_type}\r\n\
         content-length: {len}\r\n\r\n"
    );
    out.extend_from_slice(body);
}

pub fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_unstable_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
