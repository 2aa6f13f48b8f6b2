//! Clients that send and do not read.

use std::time::Duration;

use env_protocol::{Encoding, StreamId};
use env_server::{ServerConfig, ServiceConfig, SocketTimes};
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::net::TcpSocket;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use crate::client::*;

const NUM_ENVS: usize = 1_024;
const NUM_STEPS: u64 = 10_000;

/// Opens a socket that accepts little before its client reads.
async fn narrow(server: &Server) -> Socket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    let stream = socket.connect(server.address).await.unwrap();
    Socket::over(stream, server.address, "/v1/stream").await
}

async fn create(socket: &mut Socket) {
    let body = json!({"spec_id": "MemoryTask-v0", "num_envs": NUM_ENVS, "autoreset_mode": "SameStep", "seed": 1});
    let created = socket.ask(Encoding::Json, Put, VectorEnv, "v", &body).await;
    assert_eq!(created.status, 201);
    let body = json!({"seq": 0});
    socket
        .ask(Encoding::Json, Reset, VectorEnv, "v", &body)
        .await
        .value();
}

async fn seq(socket: &mut Socket) -> u64 {
    let described = socket
        .ask(Encoding::Json, Describe, VectorEnv, "v", &json!({}))
        .await;
    described.value()["seq"].as_u64().unwrap()
}

/// Returns the seq once it no longer changes.
async fn settled_seq(socket: &mut Socket) -> u64 {
    let mut before = seq(socket).await;
    let mut quiet = 0;
    while quiet < 20 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let now = seq(socket).await;
        quiet = if now == before { quiet + 1 } else { 0 };
        before = now;
    }
    before
}

fn step(i: u64) -> Message {
    // Steps without a seq: every step that is read is applied.
    let text = format!(
        r#"{{"id":{i},"op":"step","kind":"vector-env","env_id":"v","body":{{"actions":{:?}}}}}"#,
        [1; NUM_ENVS]
    );
    Message::text(text)
}

/// Each reply has tens of kilobytes, so ten thousand would take hundreds of megabytes.
#[tokio::test]
async fn a_client_that_does_not_read_makes_the_server_wait() {
    let server = Server::start().await;
    let mut watcher = Socket::open(server.address).await;
    create(&mut watcher).await;
    let narrow = narrow(&server).await;
    let (mut sender, mut receiver) = narrow.inner.split();
    let sending = tokio::spawn(async move {
        for i in 0..NUM_STEPS {
            sender.send(step(i)).await.unwrap();
        }
    });
    let waiting_at = settled_seq(&mut watcher).await;
    assert!(
        waiting_at < NUM_STEPS / 4,
        "{waiting_at} steps were applied"
    );
    assert!(!sending.is_finished(), "the client never had to wait");
    // Once the client reads, all steps are applied and answered, in order.
    for i in 0..NUM_STEPS {
        let reply = match receiver.next().await.unwrap().unwrap() {
            Message::Text(text) => text,
            other => panic!("{other:?}"),
        };
        let expected = format!(r#"{{"id":{i},"status":200,"#);
        assert!(reply.starts_with(&expected), "{}", &reply[..100]);
    }
    sending.await.unwrap();
    assert_eq!(seq(&mut watcher).await, NUM_STEPS + 1);
    server.stop().await.unwrap().unwrap();
}

#[tokio::test]
async fn a_client_that_never_reads_is_cut_off_and_loses_nothing() {
    let config = ServerConfig {
        service: ServiceConfig {
            socket_times: SocketTimes {
                write: Duration::from_millis(100),
                ..SocketTimes::default()
            },
            ..ServiceConfig::default()
        },
        ..ServerConfig::default()
    };
    let server = Server::with(config).await;
    let mut watcher = Socket::open(server.address).await;
    create(&mut watcher).await;
    let mut narrow = narrow(&server).await;
    let cut_off = async {
        let mut i = 0;
        while narrow.inner.send(step(i)).await.is_ok() {
            i += 1;
        }
        i
    };
    let sent = timeout(Duration::from_secs(60), cut_off).await;
    let sent = sent.expect("the server cuts it off");
    let applied = settled_seq(&mut watcher).await;
    assert!(applied <= sent + 1);
    // The environment continues from there.
    let body = json!({"seq": applied, "actions": vec![0; NUM_ENVS]});
    let next = watcher
        .ask(Encoding::Json, Step, VectorEnv, "v", &body)
        .await;
    assert_eq!(next.value()["seq"], applied + 1);
    assert!(matches!(next.id, Some(StreamId::Number(_))));
    server.stop().await.unwrap().unwrap();
}
