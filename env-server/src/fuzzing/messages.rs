//! Messages of the stream and the WebSocket below it, on a small server.

use std::cell::LazyCell;
use std::convert::Infallible;
use std::io::{Cursor, Read, Result as IoResult, Write};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use env_protocol::{Encoding, Problem, StreamReply, StreamRequest};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};
use tower_service::Service;
use tungstenite::protocol::Role;
use tungstenite::{Error, Message, WebSocket, error::ProtocolError};

use crate::http::{App, SharedApp, answer_message, only_route};
use crate::{Limits, ServerConfig};

thread_local! {
    static RUNTIME: LazyCell<Runtime> = LazyCell::new(|| {
        Builder::new_current_thread().enable_all().build().expect("a runtime")
    });
}

/// Messages that create the environments named in the seeds.
const SET_UP: &str = r#"
{"id":0,"op":"put","kind":"env","env_id":"e","body":{"spec_id":"MemoryTask-v0","seed":1}}
{"id":0,"op":"reset","kind":"env","env_id":"e","body":{"seq":0}}
{"id":0,"op":"put","kind":"vector-env","env_id":"v","body":{"spec_id":"RepeatPrevious-v0","num_envs":2,"seed":1}}
{"id":0,"op":"reset","kind":"vector-env","env_id":"v","body":{"seq":0}}
"#;

/// Longer than anything takes unless it hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Treats the input as JSON messages, one per line, and as a single MessagePack message; each is
/// read, written and answered.
pub fn stream_frame(bytes: &[u8]) {
    for encoding in [Encoding::Json, Encoding::MessagePack] {
        envelopes(encoding, bytes);
    }
    let lines = bytes.split(|&byte| byte == b'\n').take(64);
    let lines = lines.map(|line| (Encoding::Json, line));
    let messages = lines.chain([(Encoding::MessagePack, bytes)]);
    let config = config();
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            let app = server(&config).await;
            for (encoding, message) in messages {
                let reply = answer_message(&app, encoding, message).await;
                check_reply(encoding, &reply);
            }
        });
    });
}

/// Checks that a readable message reads the same after it is written.
fn envelopes(encoding: Encoding, bytes: &[u8]) {
    if let Ok(request) = StreamRequest::decode(encoding, bytes) {
        let written = request.encode(encoding);
        assert_eq!(StreamRequest::decode(encoding, &written), Ok(request));
    }
    if let Ok(reply) = StreamReply::decode(encoding, bytes) {
        let written = reply.encode(encoding);
        assert_eq!(StreamReply::decode(encoding, &written), Ok(reply));
    }
}

/// Checks that a reply is well-formed and not an internal error, whatever the client sent.
fn check_reply(encoding: Encoding, reply: &[u8]) {
    let reply = StreamReply::decode(encoding, reply).expect("a reply");
    if reply.status >= 400 {
        let problem: Problem = encoding.decode(reply.body).expect("a problem");
        assert_eq!(problem.status, reply.status);
        assert_ne!(problem.status, 500, "{problem:?}");
    }
}

/// Sends bytes on a connection that has become a WebSocket. The server must send only well-formed
/// replies, and end when the client does.
pub fn websocket(bytes: &[u8]) {
    const UPGRADE: &[u8] = b"GET /v1/stream HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\n\
        upgrade: websocket\r\nsec-websocket-version: 13\r\n\
        sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    let config = config();
    let said =
        RUNTIME.with(|runtime| {
            runtime.block_on(async {
            let app = server(&config).await;
            let router = only_route(app);
            let (client, served) = tokio::io::duplex(64 << 10);
            let service = service_fn(move |request: hyper::Request<Incoming>| {
                let request: Request = request.map(Body::new);
                let answered = router.clone().call(request);
                async move { Ok::<_, Infallible>(answered.await.unwrap_or_else(|e| match e {})) }
            });
            let connection = http1::Builder::new()
                .serve_connection(TokioIo::new(served), service)
                .with_upgrades();
            let serving = tokio::spawn(connection);
            let (mut reader, mut writer) = tokio::io::split(client);
            let talk = async {
                writer.write_all(UPGRADE).await.expect("a server");
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(reader.read_u8().await.expect("a head"));
                }
                assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", head.escape_ascii());
                let mut said = Vec::new();
                let write = async {
                    // A server that reads nonsense may close before it has read everything.
                    let _ = writer.write_all(bytes).await;
                    let _ = writer.shutdown().await;
                };
                let (_, read) = tokio::join!(write, reader.read_to_end(&mut said));
                read.expect("an end");
                serving.await.expect("no panic").expect("no failure");
                said
            };
            let talked = tokio::time::timeout(PATIENCE, talk).await;
            talked.expect("the server ends when the client does")
        })
        });
    check_frames(&said);
}

/// Reads the server's frames as a client would.
fn check_frames(frames: &[u8]) {
    let mut socket = WebSocket::from_raw_socket(Heard(Cursor::new(frames)), Role::Client, None);
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => check_reply(Encoding::Json, text.as_bytes()),
            Ok(Message::Binary(bytes)) => check_reply(Encoding::MessagePack, &bytes),
            Ok(_) => {}
            Err(
                Error::ConnectionClosed
                | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake),
            ) => return,
            Err(error) => panic!("{error}"),
        }
    }
}

/// A stream with fixed input that discards output.
struct Heard<'a>(Cursor<&'a [u8]>);

impl Read for Heard<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> IoResult<usize> {
        Read::read(&mut self.0, buffer)
    }
}

impl Write for Heard<'_> {
    fn write(&mut self, bytes: &[u8]) -> IoResult<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> IoResult<()> {
        Ok(())
    }
}

/// Allows few environments, so that the input cannot ask for much time.
fn config() -> ServerConfig {
    ServerConfig {
        limits: Limits {
            max_envs: 8,
            max_lanes_per_env: 8,
            max_memory_bytes: 64 << 20,
            ..Limits::default()
        },
        ..ServerConfig::default()
    }
}

/// Lets `talk` send messages to a server with the environments of [`SET_UP`].
#[cfg(test)]
pub(super) fn with_server<T>(talk: impl FnOnce(&dyn Fn(Encoding, &[u8]) -> Vec<u8>) -> T) -> T {
    RUNTIME.with(|runtime| {
        let app = runtime.block_on(server(&config()));
        talk(&|encoding, message| runtime.block_on(answer_message(&app, encoding, message)))
    })
}

/// Creates a server with the environments of [`SET_UP`].
async fn server(config: &ServerConfig) -> SharedApp {
    let app = App::open(config).expect("it keeps nothing on disk");
    for message in SET_UP.trim().lines() {
        let reply = answer_message(&app, Encoding::Json, message.as_bytes()).await;
        let reply = StreamReply::decode(Encoding::Json, &reply).expect("a reply");
        assert!(reply.status < 300, "{}", reply.body.escape_ascii());
    }
    app
}
