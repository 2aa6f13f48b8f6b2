//! Shutdown of a server.

use std::time::Duration;

use env_server::{ServerConfig, ServiceConfig};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::harness::{
    CREATE, Server, exchange, get, read_reply, read_to_close, read_until, request,
};

#[tokio::test]
async fn plays_over_tcp_and_ends_when_stopped() {
    let server = Server::start(ServerConfig::default()).await;
    let mut stream = server.connect().await;
    for (path, method, body, status) in [
        ("/v1/envs/e", "PUT", CREATE, 201),
        ("/v1/envs/e/reset", "POST", "{}", 200),
        ("/v1/envs/e/step", "POST", r#"{"action":0}"#, 200),
    ] {
        let reply = exchange(&mut stream, &request(method, path, "", body)).await;
        assert_eq!(reply.status, status, "{reply:?}");
    }
    server.stop.send(()).unwrap();
    server.task.await.unwrap().unwrap();
    assert_eq!(read_to_close(&mut stream).await, "");
}

/// Begins a request and waits until the server has begun to handle it, which is when it asks for
/// the body.
async fn begin(stream: &mut TcpStream, path: &str) {
    let head = request("POST", path, "expect: 100-continue\r\n", "{}");
    let head = head.trim_end_matches("{}");
    stream.write_all(head.as_bytes()).await.unwrap();
    let asked = read_until(stream, "\r\n\r\n").await;
    assert!(asked.starts_with("HTTP/1.1 100 "), "{asked}");
}

#[tokio::test]
async fn requests_in_progress_are_answered_before_the_end() {
    let server = Server::start(ServerConfig::default()).await;
    let mut stream = server.connect().await;
    exchange(&mut stream, &request("PUT", "/v1/envs/e", "", CREATE)).await;
    begin(&mut stream, "/v1/envs/e/reset").await;
    // The server waits neither for an idle connection nor for a silent one.
    let mut idle = server.connect().await;
    exchange(&mut idle, &get("/healthz", "")).await;
    let _silent = server.connect().await;
    server.stop.send(()).unwrap();
    // No connection is accepted once draining has begun.
    while TcpStream::connect(server.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    stream.write_all(b"{}").await.unwrap();
    let reply = read_reply(&mut stream).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(reply.body.ends_with("\"seq\":1}\n"), "{reply:?}");
    let began = std::time::Instant::now();
    server.task.await.unwrap().unwrap();
    assert!(began.elapsed() < ServiceConfig::default().drain_timeout);
}

#[tokio::test]
async fn a_draining_server_is_not_ready() {
    let server = Server::start(ServerConfig {
        service: ServiceConfig {
            drain_delay: Duration::from_secs(3600),
            ..ServiceConfig::default()
        },
        ..ServerConfig::default()
    })
    .await;
    let mut stream = server.connect().await;
    assert_eq!(exchange(&mut stream, &get("/readyz", "")).await.status, 200);
    server.stop.send(()).unwrap();
    let refused = loop {
        let reply = exchange(&mut stream, &get("/readyz", "")).await;
        if reply.status != 200 {
            break reply;
        }
    };
    assert_eq!(refused.failure(), (503, "draining".to_owned()));
    assert!(refused.has_header("retry-after: 1"), "{refused:?}");
    // Connections are still accepted, and requests on them refused.
    let mut other = TcpStream::connect(server.address).await.unwrap();
    let refused = exchange(&mut other, &request("POST", "/v1/envs", "", CREATE)).await;
    assert_eq!(refused.failure(), (503, "draining".to_owned()));
    server.task.abort();
}

#[tokio::test]
async fn a_client_that_never_finishes_does_not_hold_the_server() {
    let server = Server::start(ServerConfig {
        service: ServiceConfig {
            drain_timeout: Duration::from_millis(10),
            ..ServiceConfig::default()
        },
        ..ServerConfig::default()
    })
    .await;
    let mut stream = server.connect().await;
    begin(&mut stream, "/v1/envs").await;
    server.stop.send(()).unwrap();
    server.task.await.unwrap().unwrap();
    assert_eq!(read_to_close(&mut stream).await, "");
}
