//! Sockets come and go; environments are kept by their leases.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use env_protocol::{Encoding, StreamOp};
use env_server::{Access, Grant, ServerConfig, ServiceConfig, SocketTimes, app};
use futures_util::StreamExt;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;

use crate::client::*;

fn impatient() -> ServerConfig {
    ServerConfig {
        service: ServiceConfig {
            socket_times: SocketTimes {
                ping_interval: Duration::from_millis(20),
                silence: Duration::from_millis(200),
                ..SocketTimes::default()
            },
            ..ServiceConfig::default()
        },
        ..ServerConfig::default()
    }
}

/// One end has gone without notice: pings are not answered.
#[tokio::test]
async fn a_half_open_socket_is_closed_and_its_environments_stay() {
    let server = Server::with(impatient()).await;
    let mut half_open = TcpStream::connect(server.address).await.unwrap();
    let request = format!(
        "GET /v1/stream HTTP/1.1\r\nhost: {}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        server.address
    );
    half_open.write_all(request.as_bytes()).await.unwrap();
    let text =
        br#"{"id":1,"op":"put","kind":"env","env_id":"e","body":{"spec_id":"MemoryTask-v0"}}"#;
    let mut frame = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
    frame.extend_from_slice(text);
    half_open.write_all(&frame).await.unwrap();
    let mut received = Vec::new();
    half_open.read_to_end(&mut received).await.unwrap();
    let received = String::from_utf8_lossy(&received);
    assert!(received.starts_with("HTTP/1.1 101"), "{received}");
    assert!(received.contains(r#"{"id":1,"status":201,"#), "{received}");

    let mut socket = Socket::open(server.address).await;
    assert_eq!(
        socket.json(Describe, "e", json!({})).await.value()["seq"],
        0
    );
    server.stop().await.unwrap().unwrap();
}

#[tokio::test]
async fn a_socket_that_answers_pings_stays_open() {
    let server = Server::with(impatient()).await;
    let mut socket = Socket::open(server.address).await;
    // The client answers pings while it waits for messages; this takes longer than the allowed
    // silence.
    for _ in 0..30 {
        let ping = socket.inner.next().await.unwrap().unwrap();
        assert!(matches!(ping, Message::Ping(_)), "{ping:?}");
    }
    assert_eq!(socket.json(List, "", json!({})).await.status, 200);
    server.stop().await.unwrap().unwrap();
}

#[tokio::test]
async fn sockets_are_closed_when_the_server_ends() {
    let config = ServerConfig {
        service: ServiceConfig {
            // The test also checks that shutdown does not wait for it.
            drain_timeout: Duration::from_secs(3_600),
            ..ServiceConfig::default()
        },
        ..ServerConfig::default()
    };
    let server = Server::with(config).await;
    let mut idle = Socket::open(server.address).await;
    let mut busy = Socket::open(server.address).await;
    let body = json!({"spec_id": "MemoryTask-v0"});
    busy.json(Put, "e", body).await;
    let last = busy.json(Reset, "e", json!({"seq": 0})).await;
    assert_eq!(last.status, 200);
    let ended = server.stop();
    assert_eq!(idle.close_code().await, 1001);
    assert_eq!(busy.close_code().await, 1001);
    ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_socket_that_does_not_close_holds_the_server_for_a_moment_only() {
    let config = ServerConfig {
        service: ServiceConfig {
            drain_timeout: Duration::from_secs(3_600),
            socket_times: SocketTimes {
                close: Duration::from_millis(10),
                ..SocketTimes::default()
            },
            ..ServiceConfig::default()
        },
        ..ServerConfig::default()
    };
    let server = Server::with(config).await;
    let mut socket = Socket::open(server.address).await;
    assert_eq!(socket.json(List, "", json!({})).await.status, 200);
    // The client no longer reads, so no close message is sent.
    server.stop().await.unwrap().unwrap();
    drop(socket);
}

/// Tokens. Messages on a socket come from the principal that opened it.
const ANN: &str = "ann-ann-ann-ann-ann";
const BOB: &str = "bob-bob-bob-bob-bob";

#[tokio::test]
async fn messages_act_for_the_principal_that_opened_the_socket() {
    let tokens = tempfile::NamedTempFile::new().unwrap();
    let text =
        format!("[ann]\ntoken = \"{ANN}\"\nmax_envs = 1\n[bob]\ntoken = \"{BOB}\"\nmax_envs = 1\n");
    std::fs::write(tokens.path(), text).unwrap();
    let config = ServerConfig {
        service: ServiceConfig {
            access: Some(Arc::new(Access::from_file(tokens.path()).unwrap())),
            ..ServiceConfig::default()
        },
        ..ServerConfig::default()
    };
    let app = app(&config).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let mut ann = Socket::open_with(address, ANN).await;
    let mut bob = Socket::open_with(address, BOB).await;
    let body = json!({"spec_id": "MemoryTask-v0"});
    assert_eq!(ann.json(Put, "e", body.clone()).await.status, 201);
    let hidden = bob.json(Describe, "e", json!({})).await;
    assert_eq!(hidden.failure(), (404, "unknown-env"));
    let over = ann.json(Put, "f", body.clone()).await;
    assert_eq!(over.failure(), (429, "quota-exceeded"));
    let mine = bob.ask(Encoding::MessagePack, Put, Env, "f", &body).await;
    assert_eq!(mine.status, 201);
}

/// A token's permissions apply to each message, and steps are counted here too.
#[tokio::test]
async fn an_evaluation_token_and_a_budget_hold_for_messages() {
    let grant = Grant {
        token: ANN.to_owned(),
        evaluation_token: Some(BOB.to_owned()),
        max_steps: Some(3),
        ..Grant::default()
    };
    let access = Access::from_grants(&BTreeMap::from([("ann".to_owned(), grant)]));
    let access = Arc::new(access.unwrap());
    let config = ServerConfig {
        service: ServiceConfig {
            access: Some(Arc::clone(&access)),
            ..ServiceConfig::default()
        },
        ..ServerConfig::default()
    };
    let server = Server::with(config).await;
    let mut ann = Socket::open_with(server.address, ANN).await;
    let mut judged = Socket::open_with(server.address, BOB).await;
    let body = json!({"spec_id": "MemoryTask-v0", "seed": 7});
    assert_eq!(ann.json(Put, "e", body).await.status, 201);
    for op in StreamOp::ALL {
        let reply = judged.json(op, "e", json!({})).await;
        match op {
            Describe => assert_eq!(reply.value().get("seed"), None),
            Reset => assert_eq!(reply.status, 200),
            // A step needs an action.
            Step => assert_eq!(reply.failure(), (422, "invalid-body")),
            _ => assert_eq!(reply.failure(), (403, "forbidden"), "{op:?}"),
        }
    }
    let seeded = judged.json(Reset, "e", json!({"seed": 1})).await;
    assert_eq!(seeded.failure(), (403, "forbidden"));
    let ann_too = access.principal("ann").unwrap();
    assert_eq!(ann_too.refusals().count, 10);
    assert_eq!(ann_too.refusals().first.unwrap(), "create on /v1/envs");
    for is_judged in [true, false, true] {
        let socket = if is_judged { &mut judged } else { &mut ann };
        let step = socket.json(Step, "e", json!({"action": 0})).await;
        assert_eq!(step.status, 200);
    }
    let over = ann.json(Step, "e", json!({"action": 0})).await;
    assert_eq!(over.failure(), (403, "budget-exceeded"));
    ann_too.budget().unwrap().close();
    let closed = judged.json(Step, "e", json!({"action": 0})).await;
    assert_eq!(closed.failure(), (403, "forbidden"));
}
