//! Input that cannot be parsed as a request is answered with a problem document, too.

use env_server::ServerConfig;
use tokio::io::AsyncWriteExt;

use crate::harness::{Server, exchange, get, read_reply, read_to_close};

async fn failure(server: &Server, sent: &str) -> (u16, String) {
    let mut stream = server.connect().await;
    let reply = exchange(&mut stream, sent).await;
    assert!(
        reply.has_header("content-type: application/problem+json"),
        "{reply:?}"
    );
    assert!(reply.has_header("connection: close"), "{reply:?}");
    assert_eq!(read_to_close(&mut stream).await, "");
    reply.failure()
}

#[tokio::test]
async fn malformed_requests_get_a_problem() {
    let server = Server::start(ServerConfig::default()).await;
    let malformed = (400, "malformed-request".to_owned());
    for sent in [
        "rubbish\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/3.0\r\n\r\n",
        "GET / HTTP/1.1\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\u{1}b\r\n\r\n",
        "GET /\u{7f} HTTP/1.1\r\n\r\n",
        "POST /v1/envs HTTP/1.1\r\nhost: localhost\r\ncontent-length: x\r\n\r\n",
        "POST /v1/envs HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        "\u{16}\u{3}\u{1}\r\n\r\n",
    ] {
        assert_eq!(failure(&server, sent).await, malformed, "{sent:?}");
    }
    let long = "x".repeat(200_000);
    let header = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {long}\r\n\r\n");
    let too_large = (431, "head-too-large".to_owned());
    assert_eq!(failure(&server, &header).await, too_large);
    let many: String = (0..200).map(|i| format!("x-{i}: 1\r\n")).collect();
    let many = format!("GET / HTTP/1.1\r\nhost: localhost\r\n{many}\r\n");
    assert_eq!(failure(&server, &many).await, too_large);
    let metrics = server.ask(&get("/metrics", "")).await.body;
    let counted = metrics
        .lines()
        .find(|line| line.contains("head-too-large"))
        .unwrap();
    assert!(counted.ends_with(" 2"), "{counted}");
}

#[tokio::test]
async fn malformed_bytes_after_a_request_get_a_problem_after_its_reply() {
    let server = Server::start(ServerConfig::default()).await;
    let mut stream = server.connect().await;
    let sent = format!("{}rubbish\r\n\r\n", get("/healthz", ""));
    stream.write_all(sent.as_bytes()).await.unwrap();
    assert_eq!(read_reply(&mut stream).await.status, 200);
    let reply = read_reply(&mut stream).await;
    assert_eq!(reply.failure(), (400, "malformed-request".to_owned()));
    assert_eq!(read_to_close(&mut stream).await, "");
}
