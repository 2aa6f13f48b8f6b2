//! A real server behind a real socket, and a minimal HTTP client.

use std::net::SocketAddr;

use env_protocol::Problem;
use env_server::{Error, ServerConfig, run};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A server in this process.
pub struct Server {
    pub address: SocketAddr,
    pub stop: oneshot::Sender<()>,
    pub task: JoinHandle<Result<(), Error>>,
}

impl Server {
    pub async fn start(config: ServerConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move { drop(stopped.await) };
        let task = tokio::spawn(run(listener, config, shutdown));
        Server {
            address,
            stop,
            task,
        }
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends a request on a separate connection.
    pub async fn ask(&self, request: &str) -> Reply {
        exchange(&mut self.connect().await, request).await
    }
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    /// The head, in lower case.
    pub head: String,
    pub body: String,
}

impl Reply {
    pub fn problem(&self) -> Problem {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// Returns status and code of a failure.
    pub fn failure(&self) -> (u16, String) {
        (self.status, self.problem().code.to_string())
    }

    pub fn has_header(&self, line: &str) -> bool {
        self.head.lines().any(|l| l == line)
    }
}

/// Builds a request; `more` are header lines, each with its line ending.
pub fn request(method: &str, path: &str, more: &str, body: &str) -> String {
    let len = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {len}\r\n{more}\r\n{body}"
    )
}

/// Builds a request without a body.
pub fn get(path: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{more}\r\n")
}

pub const CREATE: &str = r#"{"spec_id":"MemoryTask-v0"}"#;

/// Sends `sent` and reads one answer.
pub async fn exchange(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), sent: &str) -> Reply {
    stream.write_all(sent.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    read_reply(stream).await
}

/// Reads one answer.
pub async fn read_reply(stream: &mut (impl AsyncRead + Unpin)) -> Reply {
    let head = read_until(stream, "\r\n\r\n").await.to_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let len = head
        .split_once("content-length: ")
        .map_or(0, |(_, rest)| rest.lines().next().unwrap().parse().unwrap());
    let mut body = vec![0; len];
    stream.read_exact(&mut body).await.unwrap();
    let body = String::from_utf8(body).unwrap();
    Reply { status, head, body }
}

/// Reads to the end of `end`, and nothing after it.
pub async fn read_until(stream: &mut (impl AsyncRead + Unpin), end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        let byte = stream.read_u8().await;
        text.push(byte.unwrap_or_else(|e| panic!("{e} after {text:?}")).into());
    }
    text
}

/// Reads until the other end closes, and returns everything received.
pub async fn read_to_close(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // Whether it closes or resets depends on what the server had yet to read.
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8(bytes).unwrap()
}
