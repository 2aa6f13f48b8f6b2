//! Invalid frames.

use env_protocol::{Encoding, StreamId};
use env_server::{ServerConfig, ServiceConfig, app};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::client::{self, *};

const JSON: Encoding = Encoding::Json;

/// Checks that the socket still works.
async fn still_plays(socket: &mut Socket) {
    let listed = socket.json(List, "", json!({})).await;
    assert_eq!(listed.status, 200);
}

/// Messages with an id whose operation, kind or body is invalid.
const INVALID: [&str; 7] = [
    r#"{"id":1}"#,
    r#"{"id":1,"op":"jump","kind":"env"}"#,
    r#"{"id":1,"op":"list","kind":"envs"}"#,
    r#"{"id":1,"op":"list","kind":"env","body":[]}"#,
    r#"{"id":1,"op":"list","kind":"env","body":7}"#,
    r#"{"id":1,"op":"list","kind":"env","body":{"limit":"many"}}"#,
    r#"{"id":1,"op":"describe","kind":"env","env_id":"e","body":{"x":1}}"#,
];

#[tokio::test]
async fn wrong_json_messages_are_answered_and_the_socket_stays_open() {
    let server = Server::start().await;
    let mut socket = Socket::open(server.address).await;
    let deep = format!(
        r#"{{"id":1,"op":"step","kind":"env","env_id":"e","body":{{"action":{}}}}}"#,
        "[".repeat(50_000)
    );
    let closed_deep = format!(
        r#"{{"id":1,"op":"put","kind":"env","env_id":"e","body":{{"spec_id":"x","kwargs":{{"k":{}{}}}}}}}"#,
        "[".repeat(50_000),
        "]".repeat(50_000)
    );
    let number = || Some(StreamId::Number(1));
    let invalid = INVALID.map(|text| (text, number(), (422, "invalid-body")));
    let others = [
        ("", None, (400, "malformed-body")),
        ("hello", None, (400, "malformed-body")),
        ("{\"id\":1", None, (400, "malformed-body")),
        ("null", None, (422, "invalid-body")),
        ("[]", None, (422, "invalid-body")),
        ("{}", None, (422, "invalid-body")),
        (r#"{"op":"list","kind":"env"}"#, None, (422, "invalid-body")),
        (
            r#"{"id":1,"op":"step","kind":"env","env_id":"e","body":{"action":0}}"#,
            number(),
            (404, "unknown-env"),
        ),
        (
            r#"{"id":1,"op":"step","kind":"env","env_id":"e/../f","body":{"action":0}}"#,
            number(),
            (404, "unknown-env"),
        ),
        (
            r#"{"id":1,"op":"put","kind":"env","env_id":"../e","body":{"spec_id":"MemoryTask-v0"}}"#,
            number(),
            (422, "invalid-env-id"),
        ),
        (deep.as_str(), None, (400, "malformed-body")),
        (closed_deep.as_str(), number(), (400, "malformed-body")),
    ];
    for (text, id, failure) in invalid.into_iter().chain(others) {
        socket.send_bytes(JSON, text.as_bytes().to_vec()).await;
        let reply = socket.receive().await;
        let short = &text[..text.len().min(100)];
        assert_eq!(
            (reply.id.clone(), reply.failure()),
            (id, failure),
            "{short}"
        );
        still_plays(&mut socket).await;
    }
    server.stop().await.unwrap().unwrap();
}

#[tokio::test]
async fn wrong_messagepack_messages_are_answered_and_the_socket_stays_open() {
    let server = Server::start().await;
    let mut socket = Socket::open(server.address).await;
    let number = || Some(StreamId::Number(1));
    let deep = [
        b"\x95\x01\xa4step\xa3env\xa1e".to_vec(),
        vec![0x91; 100_000],
    ]
    .concat();
    for (bytes, id, failure) in [
        (&b""[..], None, (400, "malformed-body")),
        (b"\xc1", None, (400, "malformed-body")),
        (
            b"\x95\x01\xa4jump\xa3env\xa1e\xc0",
            number(),
            (422, "invalid-body"),
        ),
        // Lengths of 4 GiB without contents.
        (b"\xdd\xff\xff\xff\xff", None, (400, "malformed-body")),
        (
            b"\x95\x01\xa4step\xa3env\xa1e\xdf\xff\xff\xff\xff",
            number(),
            (400, "malformed-body"),
        ),
        (
            b"\x95\x01\xa4step\xa3env\xa1e\x80\x80",
            number(),
            (422, "invalid-body"),
        ),
        (
            b"\x95\x01\xa4list\xa3env\xc0\x81\xa5limit\x01\x02",
            number(),
            (400, "malformed-body"),
        ),
        (&deep, number(), (422, "invalid-body")),
    ] {
        socket
            .send_bytes(Encoding::MessagePack, bytes.to_vec())
            .await;
        let reply = socket.receive().await;
        assert_eq!(reply.encoding, Encoding::MessagePack);
        let short = &bytes[..bytes.len().min(50)];
        assert_eq!(
            (reply.id.clone(), reply.failure()),
            (id, failure),
            "{short:x?}"
        );
        still_plays(&mut socket).await;
    }
    server.stop().await.unwrap().unwrap();
}

/// A socket refuses requests with exactly the same documents as the routes.
#[tokio::test]
async fn sockets_and_routes_have_the_same_problems() {
    let server = Server::start().await;
    let mut socket = Socket::open(server.address).await;
    let router = app(&ServerConfig::default()).unwrap();
    let create = json!({"spec_id": "MemoryTask-v0", "kwargs": {"delay": 2}});
    let over_http = async |method: &str, path: &str, body: &Value| {
        let bytes = JSON.encode(body);
        client::http(&router, method, path, JSON, bytes).await
    };
    over_http("PUT", "/v1/envs/e", &create).await;
    assert_eq!(socket.json(Put, "e", create).await.status, 201);
    for (op, method, path, body) in [
        (Step, "POST", "/v1/envs/e/step", json!({"action": 0})),
        (
            Step,
            "POST",
            "/v1/envs/e/step",
            json!({"action": 2, "seq": 9}),
        ),
        (Step, "POST", "/v1/envs/e/step", json!({"actions": 2})),
        (Step, "POST", "/v1/envs/e/step", json!({"action": "x"})),
        (Step, "POST", "/v1/envs/e/step", json!({})),
        (
            Reset,
            "POST",
            "/v1/envs/e/reset",
            json!({"options": {"delay": 0}}),
        ),
        (
            Reset,
            "POST",
            "/v1/envs/e/reset",
            json!({"options": {"dleay": 3}}),
        ),
        (Lease, "POST", "/v1/envs/e/lease", json!({"ttl_s": 0})),
        (
            Restore,
            "POST",
            "/v1/envs/e/restore",
            json!({"snapshot": {}}),
        ),
        (Fork, "POST", "/v1/envs/e/fork", json!({"env_id": "-"})),
        (Fork, "POST", "/v1/envs/e/fork", json!({"env_id": "e"})),
        (
            Put,
            "PUT",
            "/v1/envs/e",
            json!({"spec_id": "MemoryTask-v0"}),
        ),
        (Put, "PUT", "/v1/envs/e", json!({"spec_id": "Nothing-v0"})),
        (
            Create,
            "POST",
            "/v1/envs",
            json!({"spec_id": "MemoryTask-v0", "kwargs": {"delay": -1}}),
        ),
    ] {
        let (status, _, expected) = over_http(method, path, &body).await;
        let expected: Value = serde_json::from_slice(&expected).unwrap();
        assert!(status >= 400, "{expected}");
        let refused = socket.json(op, "e", body).await;
        let found: Value = serde_json::from_slice(&refused.body).unwrap();
        assert_eq!((refused.status, &found), (status, &expected));
        let packed = refused.problem();
        assert_eq!(serde_json::to_value(packed).unwrap(), expected);
    }
    server.stop().await.unwrap().unwrap();
}

#[tokio::test]
async fn a_message_that_is_too_large_closes_the_socket() {
    let config = ServerConfig {
        service: ServiceConfig {
            max_body_bytes: 10_000,
            ..ServiceConfig::default()
        },
        ..ServerConfig::default()
    };
    let server = Server::with(config).await;
    let mut socket = Socket::open(server.address).await;
    let padding = " ".repeat(9_000);
    let text = format!(r#"{{"id":1,"op":"list","kind":"env"{padding}}}"#);
    socket.send_bytes(JSON, text.into_bytes()).await;
    assert_eq!(socket.receive().await.status, 200);
    // A header that announces a terabyte, without contents.
    let mut header = vec![0x82, 0xff];
    header.extend_from_slice(&(1u64 << 40).to_be_bytes());
    header.extend_from_slice(&[0; 4]);
    socket.inner.get_mut().write_all(&header).await.unwrap();
    assert_eq!(socket.close_code().await, 1009);

    // The same in small pieces.
    let mut socket = Socket::open(server.address).await;
    for i in 0..4 {
        let opcode = match i {
            0 => OpCode::Data(Data::Binary),
            _ => OpCode::Data(Data::Continue),
        };
        let piece = Message::Frame(Frame::message(vec![0; 4_000], opcode, false));
        if socket.inner.send(piece).await.is_err() {
            break;
        }
    }
    assert_eq!(socket.close_code().await, 1009);
    server.stop().await.unwrap().unwrap();
}

#[tokio::test]
async fn frames_that_break_the_protocol_close_the_socket() {
    let server = Server::start().await;
    for (frame, code) in [
        // A text that is not UTF-8.
        (&b"\x81\x81\0\0\0\0\xff"[..], 1007),
        // Reserved bits.
        (b"\xf1\x80\0\0\0\0", 1002),
        // An unknown opcode.
        (b"\x83\x80\0\0\0\0", 1002),
        // Not masked.
        (b"\x81\x01x", 1002),
        // A continuation of nothing.
        (b"\x80\x80\0\0\0\0", 1002),
        // A ping in pieces.
        (b"\x09\x80\0\0\0\0", 1002),
    ] {
        let mut socket = Socket::open(server.address).await;
        socket.inner.get_mut().write_all(frame).await.unwrap();
        assert_eq!(socket.close_code().await, code, "{frame:x?}");
    }
    // Bytes that are not frames at all.
    let mut socket = Socket::open(server.address).await;
    let garbage: Vec<u8> = (0..5_000u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let _ = socket.inner.get_mut().write_all(&garbage).await;
    let mut rest = Vec::new();
    let _ = socket.inner.get_mut().read_to_end(&mut rest).await;
    still_plays(&mut Socket::open(server.address).await).await;
    server.stop().await.unwrap().unwrap();
}

#[tokio::test]
async fn a_closing_handshake_is_completed() {
    let server = Server::start().await;
    let mut socket = Socket::open(server.address).await;
    socket.inner.close(None).await.unwrap();
    loop {
        match socket.inner.next().await {
            Some(Ok(Message::Close(_))) => {}
            Some(Ok(other)) => panic!("{other:?}"),
            Some(Err(error)) => panic!("{error}"),
            None => break,
        }
    }
    server.stop().await.unwrap().unwrap();
}

#[tokio::test]
async fn requests_without_an_upgrade_and_other_origins_are_refused() {
    let router = app(&ServerConfig::default()).unwrap();
    for path in ["/v1/stream", "/v1/stream?x=1"] {
        let (status, _, body) = client::http(&router, "GET", path, JSON, Vec::new()).await;
        let problem: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            (status, &problem["code"]),
            (426, &json!("upgrade-required"))
        );
    }
    let (status, _, _) = client::http(&router, "POST", "/v1/stream", JSON, Vec::new()).await;
    assert_eq!(status, 405);

    let server = Server::start().await;
    for (origin, expected) in [
        (format!("http://{}", server.address), None),
        ("https://example.org".to_owned(), Some(403)),
    ] {
        let stream = TcpStream::connect(server.address).await.unwrap();
        let url = format!("ws://{}/v1/stream", server.address);
        let mut request = url.into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("origin", origin.parse().unwrap());
        let refused = match client_async(request, stream).await {
            Ok(_) => None,
            Err(Error::Http(response)) => Some(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(refused, expected, "{origin}");
    }
    server.stop().await.unwrap().unwrap();
}
