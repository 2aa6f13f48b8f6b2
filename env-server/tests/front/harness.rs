//! A real server on a real socket, and a minimal HTTP client.

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

    /// Sends a request on a new connection and returns the reply.
    pub async fn ask(&self, request: &str) -> Reply {
        exchange(&mut self.connect().await, request).await
    }
}

/// A reply.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    /// Status line and headers, in lower case.
    pub head: String,
    pub body: String,
}

impl Reply {
    pub fn problem(&self) -> Problem {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// Status and code of a failure.
    pub fn failure(&self) -> (u16, String) {
        (self.status, self.problem().code.to_string())
    }

    pub fn has_header(&self, line: &str) -> bool {
        self.head.lines().any(|l| l == line)
    }
}

/// A request with a body. `more` holds further header lines, each with its line end.
pub fn request(method: &str, path: &str, more: &str, body: &str) -> String {
    let len = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {len}\r\n{more}\r\n{body}"
    )
}

/// A request without a body.
pub fn get(path: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{more}\r\n")
}

pub const CREATE: &str = r#"{"spec_id":"MemoryTask-v0"}"#;

/// Sends a text and reads one reply.
pub async fn exchange(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), sent: &str) -> Reply {
    stream.write_all(sent.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    read_reply(stream).await
}

/// Reads one reply.
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

/// Reads up to and including `end`.
pub async fn read_until(stream: &mut (impl AsyncRead + Unpin), end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        let byte = stream.read_u8().await;
        text.push(byte.unwrap_or_else(|e| panic!("{e} after {text:?}")).into());
    }
    text
}

/// Waits until the server closes the connection; returns everything it sent before.
pub async fn read_to_close(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // The server closes or resets the connection, depending on the bytes it has not read.
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8(bytes).unwrap()
}
