//! A broken socket loses nothing, and no operation is applied twice.

use env_protocol::{Encoding, StreamId};
use env_server::ServerConfig;
use env_server::journal::Durability;
use serde_json::{Value, json};

use crate::client::*;

const JSON: Encoding = Encoding::Json;

fn spec(delay: u64) -> Value {
    json!({"spec_id": "MemoryTask-v0", "kwargs": {"delay": delay, "difficulty": 1}, "seed": 7})
}

/// Waits until an environment expects this number.
async fn until_seq(watcher: &mut Socket, env_id: &str, seq: u64) {
    while watcher.json(Describe, env_id, json!({})).await.value()["seq"] != seq {
        tokio::task::yield_now().await;
    }
}

/// Every socket is dropped after a request was sent and before its reply is read.
#[tokio::test]
async fn a_lost_reply_is_sent_again() {
    let server = Server::start().await;
    let mut watcher = Socket::open(server.address).await;
    for env_id in ["cut", "calm"] {
        let created = watcher.json(Put, env_id, spec(20)).await;
        assert_eq!(created.status, 201);
        let reset = watcher.json(Reset, env_id, json!({"seq": 0})).await;
        assert_eq!((reset.status, reset.replayed), (200, false));
    }
    for seq in 1..=20u64 {
        let body = json!({"seq": seq, "action": seq % 2});
        let mut cut = Socket::open(server.address).await;
        let encoding = [JSON, Encoding::MessagePack][seq as usize % 2];
        cut.send(encoding, Step, Env, "cut", &body).await;
        until_seq(&mut watcher, "cut", seq + 1).await;
        drop(cut);
        let mut again = Socket::open(server.address).await;
        let stored = again.json(Step, "cut", body.clone()).await;
        assert!(stored.replayed);
        let calm = watcher.json(Step, "calm", body).await;
        assert!(!calm.replayed);
        assert_eq!(stored.body, calm.body);
    }
    let cut = watcher.json(Trajectory, "cut", json!({})).await.value();
    let calm = watcher.json(Trajectory, "calm", json!({})).await.value();
    assert_eq!(cut["entries"].as_array().unwrap().len(), 21);
    assert_eq!(cut["entries"], calm["entries"]);
    server.stop().await.unwrap().unwrap();
}

/// Sockets are dropped at once, whether the request has arrived or not, and the client only ever
/// resends.
#[tokio::test]
async fn resending_blindly_plays_every_step_once() {
    let server = Server::start().await;
    let mut calm = Socket::open(server.address).await;
    for env_id in ["cut", "calm"] {
        calm.json(Put, env_id, spec(50)).await;
        calm.json(Reset, env_id, json!({"seq": 0})).await;
    }
    for seq in 1..=50u64 {
        let body = json!({"seq": seq, "action": seq % 2});
        for _ in 0..seq % 4 {
            let mut cut = Socket::open(server.address).await;
            cut.send(JSON, Step, Env, "cut", &body).await;
        }
        let mut last = Socket::open(server.address).await;
        let reply = last.json(Step, "cut", body.clone()).await;
        assert_eq!(reply.body, calm.json(Step, "calm", body).await.body);
    }
    server.stop().await.unwrap().unwrap();
}

/// Fills a window, loses the socket with all replies, and resends everything: over a socket and
/// over HTTP.
async fn replies_of_a_window_are_sent_again(config: ServerConfig) {
    const SENT: u64 = 64;
    let server = Server::with(config).await;
    let mut watcher = Socket::open(server.address).await;
    for env_id in ["cut", "calm"] {
        watcher.json(Put, env_id, spec(200)).await;
        watcher.json(Reset, env_id, json!({"seq": 0})).await;
    }
    let body = |seq: u64| json!({"seq": seq, "action": seq / 3 % 2});
    for (round, encoding) in [JSON, Encoding::MessagePack].into_iter().enumerate() {
        let first = 1 + SENT * round as u64;
        let mut calm = Vec::new();
        for seq in first..first + SENT {
            let step = watcher.ask(encoding, Step, Env, "calm", &body(seq)).await;
            assert!(!step.replayed);
            calm.push(step.body);
        }
        let mut cut = Socket::open(server.address).await;
        for seq in first..first + SENT {
            cut.send(encoding, Step, Env, "cut", &body(seq)).await;
        }
        until_seq(&mut watcher, "cut", first + SENT).await;
        drop(cut);
        // All at once in their order, and again from the last to the first.
        let mut again = Socket::open(server.address).await;
        let orders: [Vec<u64>; 2] = [
            (first..first + SENT).collect(),
            (first..first + SENT).rev().collect(),
        ];
        for order in orders {
            for &seq in &order {
                again.send(encoding, Step, Env, "cut", &body(seq)).await;
            }
            for &seq in &order {
                let reply = again.receive().await;
                assert_eq!((reply.status, reply.replayed), (200, true), "{seq}");
                assert_eq!(reply.body, calm[(seq - first) as usize], "{seq}");
            }
        }
        for seq in first..first + SENT {
            let (status, replayed, reply) = over_http(&server, encoding, &body(seq)).await;
            assert_eq!((status, replayed), (200, true), "{seq}");
            assert_eq!(reply, calm[(seq - first) as usize], "{seq}");
        }
        let other = json!({"seq": first, "action": 1 - first / 3 % 2});
        let other = again.ask(encoding, Step, Env, "cut", &other).await;
        assert_eq!(other.failure(), (409, "seq-conflict"));
    }
    let told = watcher.json(Describe, "cut", json!({})).await.value();
    assert_eq!(told["seq"], 1 + 2 * SENT);
    server.stop().await.unwrap().unwrap();
}

/// Sends a step of the environment `cut`.
async fn over_http(server: &Server, encoding: Encoding, body: &Value) -> (u16, bool, Vec<u8>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let body = encoding.encode(body);
    let head = format!(
        "POST /v1/envs/cut/step HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-type: {}\r\n\
         content-length: {}\r\n\r\n",
        server.address,
        encoding.content_type(),
        body.len()
    );
    let mut connection = tokio::net::TcpStream::connect(server.address)
        .await
        .unwrap();
    connection
        .write_all(&[head.as_bytes(), &body].concat())
        .await
        .unwrap();
    let mut reply = Vec::new();
    connection.read_to_end(&mut reply).await.unwrap();
    let end = reply
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap()
        + 4;
    let head = String::from_utf8(reply[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let replayed = head.contains("idempotency-replayed: true");
    // Over HTTP, JSON ends with a newline.
    let body = reply[end..].trim_ascii_end().to_vec();
    (
        status,
        replayed,
        if encoding == Encoding::Json {
            body
        } else {
            reply[end..].to_vec()
        },
    )
}

#[tokio::test]
async fn a_window_of_lost_replies_is_sent_again() {
    replies_of_a_window_are_sent_again(ServerConfig::default()).await;
}

#[tokio::test]
async fn a_window_of_lost_replies_is_sent_again_with_either_durability() {
    for durability in [Durability::Process, Durability::Disk] {
        let dir = tempfile::tempdir().unwrap();
        let config = ServerConfig {
            data_dir: Some(dir.path().to_owned()),
            durability,
            ..ServerConfig::default()
        };
        replies_of_a_window_are_sent_again(config).await;
    }
}

/// Long operations run elsewhere, and later ones are still applied after them.
#[tokio::test(flavor = "multi_thread")]
async fn large_operations_keep_their_order() {
    let server = Server::start().await;
    let mut socket = Socket::open(server.address).await;
    let lanes = 8_192;
    let large = json!({"spec_id": "RepeatFirst-v0", "num_envs": lanes, "kwargs": {"num_decks": 2}, "seed": 1});
    let body = |seq: u64| json!({"seq": seq, "actions": vec![seq % 4; lanes]});
    // Send all of them before reading the first reply.
    socket.send(JSON, Put, VectorEnv, "v", &large).await;
    socket
        .send(JSON, Reset, VectorEnv, "v", &json!({"seq": 0}))
        .await;
    for seq in 1..=5 {
        socket.send(JSON, Step, VectorEnv, "v", &body(seq)).await;
        socket
            .send(JSON, Describe, VectorEnv, "v", &json!({}))
            .await;
    }
    socket
        .send(JSON, Snapshot, VectorEnv, "v", &json!({}))
        .await;
    socket.send(JSON, Step, VectorEnv, "v", &body(6)).await;
    socket.send(JSON, Close, VectorEnv, "v", &json!({})).await;
    socket.send(JSON, Step, VectorEnv, "v", &body(7)).await;
    assert_eq!(socket.receive().await.status, 201);
    assert_eq!(socket.receive().await.value()["seq"], 1);
    let mut steps = Vec::new();
    for seq in 1..=5u64 {
        let step = socket.receive().await;
        assert_eq!(step.value()["seq"], seq + 1);
        steps.push(step.body);
        assert_eq!(socket.receive().await.value()["seq"], seq + 1);
    }
    let snapshot: env_protocol::Snapshot = socket.receive().await.decode();
    assert_eq!(snapshot.lanes.len(), lanes);
    assert_eq!(socket.receive().await.value()["seq"], 7);
    assert_eq!(socket.receive().await.status, 204);
    assert_eq!(socket.receive().await.failure(), (410, "env-closed"));
    server.stop().await.unwrap().unwrap();
}

#[tokio::test]
async fn duplicates_on_two_sockets_are_applied_once() {
    let server = Server::start().await;
    let mut one = Socket::open(server.address).await;
    let mut two = Socket::open(server.address).await;
    one.json(Put, "e", spec(100)).await;
    for seq in 0..=100u64 {
        let (op, body) = match seq {
            0 => (Reset, json!({"seq": 0})),
            seq => (Step, json!({"seq": seq, "action": 1})),
        };
        one.send(JSON, op, Env, "e", &body).await;
        two.send(JSON, op, Env, "e", &body).await;
        let (first, second) = (one.receive().await, two.receive().await);
        assert_eq!((first.status, second.status), (200, 200));
        assert!(first.replayed ^ second.replayed);
        assert_eq!(first.body, second.body);
    }
    server.stop().await.unwrap().unwrap();
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    pipelined(ServerConfig::default()).await;
}

/// Replies wait for the disk, many at a time.
#[tokio::test]
async fn pipelined_requests_are_answered_in_order_from_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let config = ServerConfig {
        data_dir: Some(dir.path().to_owned()),
        durability: Durability::Disk,
        ..ServerConfig::default()
    };
    pipelined(config).await;
}

/// Sends many more requests than may be in flight, without waiting for a reply.
async fn pipelined(config: ServerConfig) {
    let server = Server::with(config).await;
    let mut socket = Socket::open(server.address).await;
    let names = ["a", "b", "c"];
    for name in names {
        let body = json!({"spec_id": "MemoryTask-v0", "kwargs": {"delay": 500}});
        socket.json(Put, name, body).await;
        socket.json(Reset, name, json!({"seq": 0})).await;
    }
    let mut expected = Vec::new();
    for seq in 1..=300u64 {
        for name in names {
            let body = json!({"seq": seq, "action": 0});
            let id = socket.send(JSON, Step, Env, name, &body).await;
            expected.push((id, seq + 1));
        }
    }
    let mut replies = Vec::new();
    for _ in &expected {
        let reply = socket.receive().await;
        let Some(StreamId::Number(id)) = reply.id else {
            panic!("{reply:?}");
        };
        replies.push((id, reply.value()["seq"].as_u64().unwrap()));
    }
    // The order of environments is not fixed, but the order within each is.
    for of in 0..names.len() {
        let of_env = |all: &[(u64, u64)]| -> Vec<_> {
            let first_id = expected[0].0;
            let all = all.iter().copied();
            all.filter(|(id, _)| (id - first_id) as usize % names.len() == of)
                .collect()
        };
        assert_eq!(of_env(&replies), of_env(&expected));
    }
    server.stop().await.unwrap().unwrap();
}

/// Every operation, in both encodings.
#[tokio::test]
async fn a_socket_supports_every_operation() {
    let server = Server::start().await;
    let mut socket = Socket::open(server.address).await;
    for encoding in [JSON, Encoding::MessagePack] {
        let name = format!("e-{}", encoding.content_type().len());
        let fork = format!("f-{}", encoding.content_type().len());
        let body = spec(4);
        let put = socket.ask(encoding, Put, Env, &name, &body).await;
        assert_eq!(put.status, 201);
        let again = socket.ask(encoding, Put, Env, &name, &body).await;
        assert_eq!(again.status, 200);
        let created = socket.ask(encoding, Create, Env, "", &body).await;
        assert_eq!(created.status, 201);
        let drawn = created.value()["env_id"].as_str().unwrap().to_owned();
        let reset = json!({"seq": 0, "seed": 3});
        socket
            .ask(encoding, Reset, Env, &name, &reset)
            .await
            .decode::<env_protocol::ResetReply>();
        let snapshot = socket.ask(encoding, Snapshot, Env, &name, &json!({})).await;
        let snapshot: env_protocol::Snapshot = snapshot.decode();
        let body = json!({"seq": 1, "action": 1});
        socket
            .ask(encoding, Step, Env, &name, &body)
            .await
            .decode::<env_protocol::StepReply>();
        let body = env_protocol::RestoreRequest {
            seq: Some(2),
            snapshot,
        };
        let restored = socket.ask(encoding, Restore, Env, &name, &body).await;
        assert_eq!(restored.value()["seq"], 3);
        let body = json!({"seq": 3, "env_id": fork});
        let forked = socket.ask(encoding, Fork, Env, &name, &body).await;
        assert_eq!((forked.status, forked.replayed), (201, false));
        let forked = socket.ask(encoding, Fork, Env, &name, &body).await;
        assert_eq!((forked.status, forked.replayed), (201, true));
        let body = json!({"ttl_s": 60});
        let lease = socket.ask(encoding, Lease, Env, &name, &body).await;
        assert_eq!(lease.value()["ttl_s"], 60);
        let described = socket.ask(encoding, Describe, Env, &name, &json!({})).await;
        assert_eq!(described.value()["seq"], 4);
        let page = json!({"from": 1, "limit": 2});
        let page = socket.ask(encoding, Trajectory, Env, &name, &page).await;
        let page: env_protocol::Trajectory = page.decode();
        assert_eq!(page.entries.len(), 2);
        let page = json!({"limit": 2});
        let page = socket.ask(encoding, List, Env, "", &page).await.value();
        assert_eq!(page["envs"].as_array().unwrap().len(), 2);
        let vectors = socket.ask(encoding, List, VectorEnv, "", &json!({})).await;
        assert_eq!(vectors.value()["vector_envs"], json!([]));
        for id in [&name, &fork, &drawn] {
            for _ in 0..2 {
                let closed = socket.ask(encoding, Close, Env, id, &json!({})).await;
                assert_eq!((closed.status, closed.body.len()), (204, 0));
            }
            let gone = socket.ask(encoding, Describe, Env, id, &json!({})).await;
            assert_eq!(gone.failure(), (410, "env-closed"));
        }
    }
    server.stop().await.unwrap().unwrap();
}
