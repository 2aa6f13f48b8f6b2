//! Tokens, over HTTP.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use env_server::{Access, ServerConfig, ServiceConfig};

use crate::harness::{CREATE, Server, exchange, get, request};

const ALICE: &str = "alice-0123456789abcdef";
const BOB: &str = "bob-0123456789abcdef";

fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}\r\n")
}

fn write(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("tokens.toml");
    std::fs::write(&path, text).unwrap();
    path
}

fn config(access: &Arc<Access>) -> ServerConfig {
    ServerConfig {
        service: ServiceConfig {
            access: Some(Arc::clone(access)),
            ..ServiceConfig::default()
        },
        ..ServerConfig::default()
    }
}

#[tokio::test]
async fn all_but_a_few_open_paths_need_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), &format!("[alice]\ntoken = \"{ALICE}\""));
    let access = Arc::new(Access::from_file(&path).unwrap());
    let server = Server::start(config(&access)).await;
    let mut stream = server.connect().await;
    for path in [
        "/healthz",
        "/readyz",
        "/openapi.json",
        "/docs/",
        "/problems/unauthorized",
    ] {
        let reply = exchange(&mut stream, &get(path, "")).await;
        assert_eq!(reply.status, 200, "{path}");
    }
    for path in [
        "/v1/specs",
        "/v1/envs",
        "/v1/version",
        "/metrics",
        "/nowhere",
        "/healthz/x",
        "/docs-x",
    ] {
        for more in [
            String::new(),
            bearer(BOB),
            format!("authorization: Basic {ALICE}\r\n"),
        ] {
            let reply = exchange(&mut stream, &get(path, &more)).await;
            assert_eq!(
                reply.failure(),
                (401, "unauthorized".to_owned()),
                "{path} {more}"
            );
            assert!(reply.has_header("www-authenticate: bearer"), "{reply:?}");
            assert!(!reply.has_header("retry-after: 1"), "{reply:?}");
        }
    }
    let reply = exchange(&mut stream, &get("/v1/specs", &bearer(ALICE))).await;
    assert_eq!(reply.status, 200);
    let create = request("POST", "/v1/envs", &bearer(ALICE), CREATE);
    assert_eq!(exchange(&mut stream, &create).await.status, 201);
    let refused = exchange(&mut stream, &request("POST", "/v1/envs", "", CREATE)).await;
    assert_eq!(refused.status, 401, "the body is read past");
}

#[tokio::test]
async fn new_tokens_hold_on_open_connections_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), &format!("[alice]\ntoken = \"{ALICE}\""));
    let access = Arc::new(Access::from_file(&path).unwrap());
    let server = Server::start(config(&access)).await;
    let mut stream = server.connect().await;
    for (text, alice, bob) in [
        (format!("[alice]\ntoken = \"{ALICE}\""), 200, 401),
        (format!("[bob]\ntoken = \"{BOB}\""), 401, 200),
        ("[bob".to_owned(), 401, 200),
        (
            format!("[alice]\ntoken = \"{ALICE}\"\nprevious_token = \"{BOB}\""),
            200,
            200,
        ),
    ] {
        write(folder.path(), &text);
        assert_eq!(access.reload().is_ok(), text != "[bob", "{text}");
        for (token, status) in [(ALICE, alice), (BOB, bob)] {
            let reply = exchange(&mut stream, &get("/v1/specs", &bearer(token))).await;
            assert_eq!(reply.status, status, "{text}: {token}");
        }
    }
}

#[tokio::test]
async fn every_token_has_its_own_limit_on_requests() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "[alice]\ntoken = \"{ALICE}\"\nmax_requests_in_flight = 0\n[bob]\ntoken = \"{BOB}\""
    );
    let access = Arc::new(Access::from_file(&write(folder.path(), &text)).unwrap());
    let server = Server::start(config(&access)).await;
    let refused = server.ask(&get("/v1/specs", &bearer(ALICE))).await;
    assert_eq!(refused.failure(), (429, "rate-limited".to_owned()));
    assert!(refused.has_header("retry-after: 1"), "{refused:?}");
    assert_eq!(
        server.ask(&get("/v1/specs", &bearer(BOB))).await.status,
        200
    );
}
