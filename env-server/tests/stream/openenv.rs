//! The OpenEnv protocol: the requests of its package, and the expected replies.

use std::time::Duration;

use env_protocol::Encoding;
use env_server::{Limits, ServerConfig, ServiceConfig, SocketTimes, app};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::client::{self, Server, Socket};

fn config(spec: &str) -> ServerConfig {
    ServerConfig {
        openenv: Some(spec.to_owned()),
        ..ServerConfig::default()
    }
}

/// Returns the next message; `None` is the end.
async fn receive(socket: &mut Socket) -> Option<Value> {
    loop {
        match socket.inner.next().await? {
            Ok(Message::Text(text)) => return Some(serde_json::from_str(&text).unwrap()),
            Ok(Message::Close(_)) => return None,
            Ok(Message::Ping(_) | Message::Pong(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn say(socket: &mut Socket, text: &str) -> Option<Value> {
    socket.inner.send(Message::text(text)).await.unwrap();
    receive(socket).await
}

async fn ask(socket: &mut Socket, kind: &str, data: Value) -> Value {
    let message = json!({"type": kind, "data": data}).to_string();
    say(socket, &message).await.unwrap()
}

/// Returns the ids of the environments of all sessions.
async fn held(watcher: &mut Socket) -> Vec<String> {
    let listed = watcher
        .json(client::List, "", json!({"limit": 1_000}))
        .await
        .value();
    let envs = listed["envs"].as_array().unwrap().clone();
    let id = |env: &Value| env["env_id"].as_str().unwrap().to_owned();
    envs.iter().map(id).collect()
}

async fn until_held(watcher: &mut Socket, count: usize) {
    while held(watcher).await.len() != count {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Keeps the parts of a message that the protocol fixes: not the observations, nor the wording of
/// errors.
fn fixed(message: &Value) -> Value {
    let data = &message["data"];
    let data = match message["type"].as_str() {
        Some("state") => {
            let id = data["episode_id"].as_str().unwrap();
            let is_given = id == "mine";
            json!({"is_given": is_given, "step_count": data["step_count"]})
        }
        Some("observation") => json!({
            "is_rewarded": data["reward"].is_number(),
            "done": data["done"],
            "terminated": data["observation"]["terminated"],
            "truncated": data["observation"]["truncated"],
            "numbers": data["observation"]["observation"].as_array().unwrap().len(),
            "info": data["observation"]["info"],
            "fields": data.as_object().unwrap().len(),
        }),
        Some("error") => {
            assert!(data["message"].is_string(), "{message}");
            let errors = data["errors"].as_array().cloned().unwrap_or_default();
            let places: Vec<_> = errors.iter().map(|e| e["loc"].clone()).collect();
            json!({"code": data["code"], "places": places})
        }
        Some("mcp") => {
            let mut data = data.clone();
            data["error"]["message"] = json!(null);
            data
        }
        other => panic!("{other:?}"),
    };
    json!({"type": message["type"], "data": data})
}

/// Every exchange between the package's client and server, as recorded by
/// `tests/python/record_openenv.py`.
#[tokio::test]
async fn replies_equal_those_of_the_package() {
    let server = Server::with(config("MemoryTask-v0?delay=2&difficulty=1")).await;
    let mut socket = Socket::at(server.address, "/ws").await;
    let recorded = include_str!("openenv.jsonl");
    let exchanges: Vec<Value> = recorded
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(exchanges.len() > 20);
    for exchange in exchanges {
        let sent = exchange["send"].as_str().unwrap();
        let expected = exchange["receive"].as_str();
        let expected = expected.map(|text| serde_json::from_str::<Value>(text).unwrap());
        let found = say(&mut socket, sent).await;
        assert_eq!(
            found.as_ref().map(fixed),
            expected.as_ref().map(fixed),
            "{sent}"
        );
        if found.is_none() {
            socket = Socket::at(server.address, "/ws").await;
        }
    }
    // The last message was not an object, which ends the session.
    assert_eq!(receive(&mut socket).await, None);
    server.stop().await.unwrap().unwrap();
}

#[tokio::test]
async fn a_session_plays_the_same_episodes_as_the_routes() {
    let server = Server::with(config("MemoryTask-v0?delay=5&difficulty=1")).await;
    let mut one = Socket::at(server.address, "/ws").await;
    let mut two = Socket::at(server.address, "/ws").await;
    let mut stream = Socket::open(server.address).await;
    let body = json!({"spec_id": "MemoryTask-v0", "kwargs": {"delay": 5, "difficulty": 1}});
    stream.json(client::Put, "e", body).await;
    for (episode, delay) in [(0, 5), (1, 3)] {
        let data = json!({"seed": 7, "delay": delay, "unheard_of": 1, "episode_id": format!("e{episode}")});
        let first = ask(&mut one, "reset", data.clone()).await;
        assert_eq!(ask(&mut two, "reset", data).await, first);
        let body = json!({"seed": 7, "options": {"delay": delay}});
        let reset = stream.json(client::Reset, "e", body).await.value();
        assert_eq!(
            first["data"]["observation"]["observation"],
            reset["observation"]
        );
        for i in 1..=delay {
            let found = ask(&mut one, "step", json!({"action": 1})).await;
            let body = json!({"action": 1});
            let expected = stream.json(client::Step, "e", body).await.value();
            let data = &found["data"];
            assert_eq!(data["observation"]["observation"], expected["observation"]);
            assert_eq!(data["reward"], expected["reward"]);
            assert_eq!(data["done"], i == delay);
            let state = ask(&mut one, "state", json!(null)).await;
            // `state` takes no data.
            assert_eq!(state["data"]["code"], "VALIDATION_ERROR");
            let state = say(&mut one, r#"{"type":"state"}"#).await.unwrap();
            assert_eq!(state["data"]["step_count"], i);
            assert_eq!(state["data"]["episode_id"], format!("e{episode}"));
        }
    }
    let refused = ask(&mut one, "reset", json!({"delay": 0})).await;
    assert_eq!(refused["data"]["code"], "EXECUTION_ERROR");
    let text = refused["data"]["message"].as_str().unwrap();
    assert!(text.contains("invalid-options"), "{text}");
    let refused = ask(&mut two, "step", json!({"action": 7})).await;
    assert_eq!(refused["data"]["code"], "EXECUTION_ERROR");
    server.stop().await.unwrap().unwrap();
}

#[tokio::test]
async fn an_environment_is_closed_with_its_socket() {
    let server = Server::with(config("MemoryTask-v0")).await;
    let mut watcher = Socket::open(server.address).await;
    assert_eq!(held(&mut watcher).await.len(), 0);
    let mut polite = Socket::at(server.address, "/ws").await;
    let rude = Socket::at(server.address, "/ws").await;
    let mut binary = Socket::at(server.address, "/ws").await;
    until_held(&mut watcher, 3).await;
    let state = say(&mut polite, r#"{"type":"state"}"#).await.unwrap();
    let env_id = state["data"]["env_id"].as_str().unwrap().to_owned();
    assert!(held(&mut watcher).await.contains(&env_id));
    assert_eq!(say(&mut polite, r#"{"type":"close"}"#).await, None);
    until_held(&mut watcher, 2).await;
    drop(rude);
    until_held(&mut watcher, 1).await;
    binary.inner.send(Message::binary(vec![1])).await.unwrap();
    let refused = receive(&mut binary).await.unwrap();
    assert_eq!(refused["data"]["code"], "SESSION_ERROR");
    assert_eq!(receive(&mut binary).await, None);
    until_held(&mut watcher, 0).await;
    let gone = watcher.json(client::Describe, &env_id, json!({})).await;
    assert_eq!(gone.failure(), (410, "env-closed"));
    server.stop().await.unwrap().unwrap();
}

#[tokio::test]
async fn a_silent_session_ends_and_an_active_one_keeps_its_lease() {
    let server = Server::with(ServerConfig {
        service: ServiceConfig {
            socket_times: SocketTimes {
                ping_interval: Duration::from_millis(50),
                silence: Duration::from_millis(500),
                ..SocketTimes::default()
            },
            ..ServiceConfig::default()
        },
        ..config(r#"{"spec_id":"MemoryTask-v0","ttl_s":1}"#)
    })
    .await;
    // The client does not read, so pings are not answered.
    let silent = Socket::at(server.address, "/ws").await;
    let mut living = Socket::at(server.address, "/ws").await;
    ask(&mut living, "reset", json!({})).await;
    // More pings than fit into the lease.
    for _ in 0..40 {
        let ping = living.inner.next().await.unwrap().unwrap();
        assert!(matches!(ping, Message::Ping(_)), "{ping:?}");
    }
    let reply = ask(&mut living, "step", json!({"action": 0})).await;
    assert_eq!(reply["type"], "observation");
    let mut watcher = Socket::open(server.address).await;
    until_held(&mut watcher, 1).await;
    drop(silent);
    server.stop().await.unwrap().unwrap();
}

#[tokio::test]
async fn a_session_over_the_limit_is_refused() {
    let server = Server::with(ServerConfig {
        limits: Limits {
            max_envs: 1,
            ..Limits::default()
        },
        ..config("MemoryTask-v0")
    })
    .await;
    let mut first = Socket::at(server.address, "/ws").await;
    ask(&mut first, "reset", json!({})).await;
    let mut second = Socket::at(server.address, "/ws").await;
    let refused = receive(&mut second).await.unwrap();
    assert_eq!(refused["type"], "error");
    assert_eq!(refused["data"]["code"], "CAPACITY_REACHED");
    assert_eq!(receive(&mut second).await, None);
    assert_eq!(say(&mut first, r#"{"type":"close"}"#).await, None);
    let mut watcher = Socket::open(server.address).await;
    until_held(&mut watcher, 0).await;
    let mut third = Socket::at(server.address, "/ws").await;
    let reply = ask(&mut third, "reset", json!({})).await;
    assert_eq!(reply["type"], "observation");
    server.stop().await.unwrap().unwrap();
}

/// Over HTTP there are no sessions: each request has its own environment.
#[tokio::test]
async fn the_http_routes_answer_as_the_package_does() {
    let router = app(&config("MemoryTask-v0?delay=2&difficulty=1")).unwrap();
    let http = async |method: &str, path: &str, body: Value| {
        let body = match body {
            Value::Null => Vec::new(),
            body => body.to_string().into_bytes(),
        };
        let (status, _, body) = client::http(&router, method, path, Encoding::Json, body).await;
        let body: Value = serde_json::from_slice(&body).unwrap();
        (status, body)
    };
    let (status, health) = http("GET", "/health", json!(null)).await;
    assert_eq!((status, health), (200, json!({"status": "healthy"})));
    let (_, metadata) = http("GET", "/metadata", json!(null)).await;
    assert_eq!(metadata["name"], "MemoryTask-v0");
    assert!(metadata["description"].is_string());
    let (_, schema) = http("GET", "/schema", json!(null)).await;
    let action = &schema["action"]["properties"]["action"];
    assert_eq!(
        action,
        &json!({"type": "integer", "minimum": 0, "maximum": 1})
    );
    let (_, state) = http("GET", "/state", json!(null)).await;
    assert_eq!(state["step_count"], 0);
    let (status, reset) = http("POST", "/reset", json!(null)).await;
    assert_eq!(
        (status, &reset["reward"], &reset["done"]),
        (200, &json!(null), &json!(false))
    );
    let seeded = http("POST", "/reset", json!({"seed": 3})).await;
    assert_eq!(http("POST", "/reset", json!({"seed": 3})).await, seeded);
    for _ in 0..2 {
        let body = json!({"action": {"action": 1}, "timeout_s": 1.0});
        let (status, step) = http("POST", "/step", body).await;
        // Each time it is the first step of an episode.
        assert_eq!((status, &step["done"]), (200, &json!(false)));
    }
    for (path, body) in [
        ("/reset", json!({"seed": -1})),
        ("/reset", json!({"delay": 0})),
        ("/step", json!(null)),
        ("/step", json!({"action": 1})),
        ("/step", json!({"action": {"action": 9}})),
        ("/step", json!({"action": {"action": 0, "x": 1}})),
    ] {
        let (status, problem) = http("POST", path, body).await;
        assert_eq!((status, &problem["status"]), (422, &json!(422)));
    }
    let (status, mcp) = http("POST", "/mcp", json!({})).await;
    assert_eq!((status, &mcp["jsonrpc"]), (200, &json!("2.0")));
    let (_, listed) = http("GET", "/v1/envs", json!(null)).await;
    assert_eq!(listed["envs"], json!([]));
    let (_, document) = http("GET", "/openapi.json", json!(null)).await;
    for path in ["/ws", "/reset", "/step", "/state", "/v1/stream"] {
        assert!(document["paths"][path].is_object(), "{path}");
    }
}

#[test]
fn without_the_setting_the_routes_do_not_exist() {
    let document = serde_json::to_value(env_server::openapi_document()).unwrap();
    assert!(document["paths"]["/ws"].is_null());
    let refused = app(&config("Nothing-v0"));
    let error = refused.err().unwrap().to_string();
    let expected = "--openenv Nothing-v0: there is no \"Nothing-v0\"; there are MemoryTask-v0";
    assert!(error.starts_with(expected), "{error}");
}
