//! A server for a single test, and clients of it.

use std::net::SocketAddr;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use env_protocol::{Encoding, Problem, StreamId, StreamKind, StreamOp, StreamReply, StreamRequest};
use env_server::{ServerConfig, run};
use futures_util::{SinkExt, StreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{WebSocketStream, client_async};
use tower::ServiceExt;

pub use StreamKind::{Env, VectorEnv};
pub use StreamOp::*;

pub struct Server {
    pub address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), env_server::Error>>,
}

impl Server {
    pub async fn start() -> Self {
        Server::with(ServerConfig::default()).await
    }

    pub async fn with(config: ServerConfig) -> Self {
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

    /// Asks it to end. The result completes when it has ended.
    pub fn stop(self) -> JoinHandle<Result<(), env_server::Error>> {
        self.stop.send(()).unwrap();
        self.task
    }
}

/// A socket to a server.
pub struct Socket {
    pub inner: WebSocketStream<TcpStream>,
    next_id: u64,
}

/// A reply.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    pub id: Option<StreamId>,
    pub status: u16,
    pub replayed: bool,
    pub encoding: Encoding,
    pub body: Vec<u8>,
}

impl Socket {
    pub async fn open(address: SocketAddr) -> Self {
        Socket::at(address, "/v1/stream").await
    }

    /// Opens a socket with a token.
    pub async fn open_with(address: SocketAddr, token: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let url = format!("ws://{address}/v1/stream");
        let mut request = url.into_client_request().unwrap();
        let value = format!("Bearer {token}").parse().unwrap();
        request.headers_mut().insert("authorization", value);
        let (inner, _) = client_async(request, stream).await.unwrap();
        Socket { inner, next_id: 0 }
    }

    pub async fn at(address: SocketAddr, path: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Socket::over(stream, address, path).await
    }

    pub async fn over(stream: TcpStream, address: SocketAddr, path: &str) -> Self {
        let url = format!("ws://{address}{path}");
        let (inner, _) = client_async(url, stream).await.unwrap();
        Socket { inner, next_id: 0 }
    }

    /// Sends a request in JSON, or in MessagePack, and returns its id.
    pub async fn send(
        &mut self,
        encoding: Encoding,
        op: StreamOp,
        kind: StreamKind,
        env_id: &str,
        body: &impl Serialize,
    ) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let request = StreamRequest {
            id: StreamId::Number(id),
            op,
            kind,
            env_id: op.needs_env_id().then(|| env_id.to_owned()),
            body: &encoding.encode(body),
        };
        self.send_bytes(encoding, request.encode(encoding)).await;
        id
    }

    pub async fn send_bytes(&mut self, encoding: Encoding, message: Vec<u8>) {
        let message = match encoding {
            Encoding::Json => Message::text(String::from_utf8(message).unwrap()),
            Encoding::MessagePack => Message::binary(message),
        };
        self.inner.send(message).await.unwrap();
    }

    /// Returns the next reply.
    pub async fn receive(&mut self) -> Reply {
        loop {
            let (encoding, bytes) = match self.inner.next().await.unwrap().unwrap() {
                Message::Text(text) => (Encoding::Json, Bytes::from(text)),
                Message::Binary(bytes) => (Encoding::MessagePack, bytes),
                Message::Ping(_) | Message::Pong(_) => continue,
                other => panic!("{other:?}"),
            };
            let reply = StreamReply::decode(encoding, &bytes).unwrap();
            return Reply {
                id: reply.id,
                status: reply.status,
                replayed: reply.replayed,
                encoding,
                body: reply.body.to_vec(),
            };
        }
    }

    /// Sends a request and waits for the reply, which has the same encoding and id.
    pub async fn ask(
        &mut self,
        encoding: Encoding,
        op: StreamOp,
        kind: StreamKind,
        env_id: &str,
        body: &impl Serialize,
    ) -> Reply {
        let id = self.send(encoding, op, kind, env_id, body).await;
        let reply = self.receive().await;
        assert_eq!(reply.id, Some(StreamId::Number(id)));
        assert_eq!(reply.encoding, encoding);
        reply
    }

    /// Asks in JSON, about a single environment.
    pub async fn json(&mut self, op: StreamOp, env_id: &str, body: Value) -> Reply {
        self.ask(Encoding::Json, op, Env, env_id, &body).await
    }

    /// Returns the code of the next close frame, after any replies.
    pub async fn close_code(&mut self) -> u16 {
        loop {
            match self.inner.next().await {
                Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
                Some(Ok(Message::Close(None))) => panic!("a close frame without a code"),
                Some(Ok(_)) => {}
                other => panic!("no close frame, but {other:?}"),
            }
        }
    }
}

impl Reply {
    /// Decodes the body of a success.
    pub fn decode<T: DeserializeOwned>(&self) -> T {
        let text = String::from_utf8_lossy(&self.body);
        assert!((200..300).contains(&self.status), "{}: {text}", self.status);
        self.encoding.decode(&self.body).unwrap()
    }

    /// Returns the body of a success in JSON.
    pub fn value(&self) -> Value {
        self.decode()
    }

    /// Returns the body of a failure.
    pub fn problem(&self) -> Problem {
        let problem: Problem = self.encoding.decode(&self.body).unwrap();
        assert_eq!(problem.status, self.status);
        problem
    }

    /// Returns status and code of a failure.
    pub fn failure(&self) -> (u16, &'static str) {
        (self.status, self.problem().code.as_str())
    }
}

/// Sends a request to a router over HTTP; returns the status, whether `idempotency-replayed` is
/// set, and the body, without the newline at the end of JSON.
pub async fn http(
    app: &Router,
    method: &str,
    path: &str,
    encoding: Encoding,
    body: Vec<u8>,
) -> (u16, bool, Vec<u8>) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", encoding.content_type())
        .header("accept", encoding.content_type())
        .body(Body::from(body))
        .unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let replayed = response.headers().contains_key("idempotency-replayed");
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let mut body = body.to_vec();
    if encoding == Encoding::Json && body.last() == Some(&b'\n') {
        body.pop();
    }
    (status, replayed, body)
}
