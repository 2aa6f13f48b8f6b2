//! A real server behind a real socket.

use std::time::Duration;

use env_server::{ServerConfig, run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

struct Server {
    address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), env_server::Error>>,
}

async fn start(config: ServerConfig) -> Server {
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

fn request(method: &str, path: &str, more: &str, body: &str) -> String {
    let len = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n\
         content-length: {len}\r\n{more}\r\n{body}"
    )
}

/// Reads until the end of what `done` waits for.
async fn read_until(stream: &mut TcpStream, done: &str) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !text.contains(done) {
        let len = stream.read(&mut buffer).await.unwrap();
        assert!(len > 0, "closed after {text:?}");
        text.push_str(std::str::from_utf8(&buffer[..len]).unwrap());
    }
    text
}

async fn exchange(stream: &mut TcpStream, request: String, done: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    read_until(stream, done).await
}

#[tokio::test]
async fn plays_over_tcp_and_ends_when_told() {
    let server = start(ServerConfig::default()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let create = request("PUT", "/v1/envs/e", "", r#"{"spec_id":"MemoryTask-v0"}"#);
    assert!(
        exchange(&mut stream, create, "\"seq\":0}")
            .await
            .starts_with("HTTP/1.1 201")
    );
    let reset = request("POST", "/v1/envs/e/reset", "", "{}");
    assert!(
        exchange(&mut stream, reset, "\"seq\":1}")
            .await
            .starts_with("HTTP/1.1 200")
    );
    let step = request("POST", "/v1/envs/e/step", "", r#"{"action":0}"#);
    assert!(
        exchange(&mut stream, step, "\"seq\":2}")
            .await
            .starts_with("HTTP/1.1 200")
    );
    server.stop.send(()).unwrap();
    server.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn work_under_way_is_answered() {
    let server = start(ServerConfig::default()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let body = r#"{"spec_id":"MemoryTask-v0"}"#;
    let create = request("PUT", "/v1/envs/e", "", body);
    exchange(&mut stream, create, "\"seq\":0}").await;
    // The server asks for the body when it has begun to handle the request.
    let head = request("POST", "/v1/envs/e/reset", "expect: 100-continue\r\n", "{}");
    let head = head.trim_end_matches("{}").to_owned();
    exchange(&mut stream, head, "100 Continue\r\n\r\n").await;
    server.stop.send(()).unwrap();
    // Nothing new is accepted once draining has begun.
    while TcpStream::connect(server.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let reply = exchange(&mut stream, "{}".to_owned(), "\"seq\":1}").await;
    assert!(reply.contains("HTTP/1.1 200"), "{reply}");
    server.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_draining_server_is_not_ready() {
    let server = start(ServerConfig {
        drain_delay: Duration::from_secs(3600),
        ..ServerConfig::default()
    })
    .await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let ready = || request("GET", "/readyz", "", "");
    assert!(
        exchange(&mut stream, ready(), "ok\"}")
            .await
            .starts_with("HTTP/1.1 200")
    );
    server.stop.send(()).unwrap();
    let refused = loop {
        let reply = exchange(&mut stream, ready(), "}").await;
        if !reply.starts_with("HTTP/1.1 200") {
            break reply;
        }
    };
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    assert!(
        refused.contains("retry-after: 1") && refused.contains("\"draining\""),
        "{refused}"
    );
    let create = request("POST", "/v1/envs", "", r#"{"spec_id":"MemoryTask-v0"}"#);
    let refused = exchange(&mut stream, create, "}").await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    server.task.abort();
}

#[tokio::test]
async fn a_client_that_never_finishes_does_not_hold_the_server() {
    let server = start(ServerConfig {
        drain_timeout: Duration::from_millis(10),
        ..ServerConfig::default()
    })
    .await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = request("POST", "/v1/envs", "expect: 100-continue\r\n", "{}");
    let head = head.trim_end_matches("{}").to_owned();
    exchange(&mut stream, head, "100 Continue\r\n\r\n").await;
    server.stop.send(()).unwrap();
    server.task.await.unwrap().unwrap();
}
