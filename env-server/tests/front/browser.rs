//! Attacks by a page in a browser on a server on its reader's machine: all fail, unless the page is
//! admitted.

use env_server::{ServerConfig, ServiceConfig};
use serde_json::Value;

use crate::harness::{CREATE, Reply, Server, exchange, get, request};

const EVIL: &str = "origin: http://evil.example\r\nsec-fetch-site: cross-site\r\n";

/// Builds a request as browsers send it for pages of other origins without a preflight.
fn simple(method: &str, path: &str, kind: Option<&str>, more: &str, body: &str) -> String {
    let kind = kind.map_or(String::new(), |kind| format!("content-type: {kind}\r\n"));
    let len = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\n{kind}content-length: {len}\r\n{more}\r\n{body}"
    )
}

async fn seq(server: &Server) -> u64 {
    let described = server.ask(&get("/v1/envs/victim", "")).await;
    let described: Value = serde_json::from_str(&described.body).unwrap();
    described["seq"].as_u64().unwrap()
}

fn code(reply: &Reply) -> String {
    reply.failure().1
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing() {
    let server = Server::start(ServerConfig::default()).await;
    let created = server
        .ask(&request("PUT", "/v1/envs/victim", "", CREATE))
        .await;
    assert_eq!(created.status, 201);
    let reset = simple("POST", "/v1/envs/victim/reset", None, "", "");
    assert_eq!(
        server.ask(&reset).await.status,
        200,
        "no body needs no type"
    );

    let step = "{\"action\":0}";
    for kind in [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("multipart/form-data; boundary=x"),
        Some("application/jsonx"),
        Some(""),
    ] {
        let sent = simple("POST", "/v1/envs/victim/step", kind, "", step);
        let refused = server.ask(&sent).await;
        assert_eq!(
            refused.failure(),
            (415, "unsupported-media-type".to_owned()),
            "{kind:?}"
        );
    }
    let json = Some("application/json; charset=utf-8");
    for origin in [
        EVIL,
        "origin: null\r\n",
        "origin: http://localhost:8000\r\n",
        "origin: http://127.0.0.1\r\n",
    ] {
        for (method, path, kind, body) in [
            ("POST", "/v1/envs/victim/step", json, step),
            ("POST", "/v1/envs/victim/reset", None, ""),
            ("POST", "/v1/envs/victim/lease", None, ""),
            ("POST", "/v1/envs", json, CREATE),
            ("PUT", "/v1/envs/other", json, CREATE),
            ("DELETE", "/v1/envs/victim", None, ""),
            ("OPTIONS", "/v1/envs", None, ""),
            ("GET", "/v1/envs/victim/snapshot", None, ""),
        ] {
            let sent = simple(method, path, kind, origin, body);
            let refused = server.ask(&sent).await;
            assert_eq!(
                refused.failure(),
                (403, "cross-origin".to_owned()),
                "{sent}"
            );
            assert!(!refused.head.contains("access-control"), "{refused:?}");
        }
    }
    assert_eq!(seq(&server).await, 1);

    let own = "origin: http://localhost\r\n";
    let sent = simple("POST", "/v1/envs/victim/step", json, own, step);
    assert_eq!(server.ask(&sent).await.status, 200, "/docs is such a page");
    assert_eq!(seq(&server).await, 2);
}

#[tokio::test]
async fn requests_for_unknown_host_names_are_refused() {
    let server = Server::start(ServerConfig::default()).await;
    let port = server.address.port();
    for path in ["/v1/envs", "/healthz", "/", "/docs/", "/v1/stream"] {
        for host in ["evil.example".to_owned(), format!("evil.example:{port}")] {
            let sent =
                format!("GET {path} HTTP/1.1\r\nhost: {host}\r\norigin: http://{host}\r\n\r\n");
            let refused = server.ask(&sent).await;
            assert_eq!(
                refused.failure(),
                (421, "unknown-host".to_owned()),
                "{sent}"
            );
        }
    }
    let mut stream = server.connect().await;
    for host in [
        server.address.to_string(),
        format!("localhost:{port}"),
        format!("[::1]:{port}"),
    ] {
        let sent = format!("GET /v1/specs HTTP/1.1\r\nhost: {host}\r\n\r\n");
        assert_eq!(exchange(&mut stream, &sent).await.status, 200, "{host}");
    }
    let none = server.ask("GET /v1/specs HTTP/1.1\r\n\r\n").await;
    assert_eq!(code(&none), "malformed-request");

    let named = Server::start(ServerConfig {
        service: ServiceConfig {
            allowed_hosts: vec!["lab.example".to_owned()],
            ..ServiceConfig::default()
        },
        ..ServerConfig::default()
    })
    .await;
    let sent = "GET /v1/specs HTTP/1.1\r\nhost: lab.example:443\r\n\r\n";
    assert_eq!(named.ask(sent).await.status, 200);
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_can_play_and_read() {
    let server = Server::start(ServerConfig {
        service: ServiceConfig {
            allowed_origins: vec!["https://lab.example".to_owned()],
            ..ServiceConfig::default()
        },
        ..ServerConfig::default()
    })
    .await;
    let lab = "origin: https://lab.example\r\n";
    let asked = format!(
        "{lab}access-control-request-method: PUT\r\naccess-control-request-headers: content-type\r\n\
         access-control-request-private-network: true\r\n"
    );
    let asked = simple("OPTIONS", "/v1/envs/theirs", None, &asked, "");
    let allowed = server.ask(&asked).await;
    assert_eq!((allowed.status, allowed.body.as_str()), (204, ""));
    for line in [
        "access-control-allow-origin: https://lab.example",
        "access-control-allow-methods: get, post, put, delete",
        "access-control-max-age: 600",
        "access-control-allow-private-network: true",
        "vary: origin",
    ] {
        assert!(allowed.has_header(line), "{line}: {allowed:?}");
    }
    assert!(allowed.head.contains("content-type"), "{allowed:?}");
    let may_read = "access-control-allow-origin: https://lab.example";
    let created = server
        .ask(&request("PUT", "/v1/envs/theirs", lab, CREATE))
        .await;
    assert_eq!(created.status, 201);
    assert!(created.has_header(may_read), "{created:?}");
    let failed = server.ask(&get("/v1/envs/nobodys", lab)).await;
    assert_eq!(failed.status, 404);
    assert!(failed.has_header(may_read), "an error is read, too");

    let evil = server.ask(&asked.replace("lab", "evil")).await;
    assert_eq!(code(&evil), "cross-origin");
    assert!(!evil.head.contains("access-control"), "{evil:?}");
    let text = simple("POST", "/v1/envs", Some("text/plain"), lab, CREATE);
    assert_eq!(code(&server.ask(&text).await), "unsupported-media-type");
}

#[tokio::test]
async fn the_root_page_links_to_the_documents() {
    let server = Server::start(ServerConfig::default()).await;
    let text = server.ask(&get("/", "accept: */*\r\n")).await;
    assert!(
        text.has_header("content-type: text/plain; charset=utf-8"),
        "{text:?}"
    );
    assert!(text.body.contains("  /docs "), "{text:?}");
    let html = "accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n";
    let html = server.ask(&get("/", html)).await;
    assert!(
        html.has_header("content-type: text/html; charset=utf-8"),
        "{html:?}"
    );
    assert!(html.body.contains("<a href=\"/docs\">"), "{html:?}");
}

#[tokio::test]
async fn replies_end_with_one_newline() {
    let server = Server::start(ServerConfig {
        openenv: Some("MemoryTask-v0".to_owned()),
        ..ServerConfig::default()
    })
    .await;
    let created = server.ask(&request("PUT", "/v1/envs/e", "", CREATE)).await;
    assert_eq!(created.status, 201);
    let reset = server
        .ask(&request("POST", "/v1/envs/e/reset", "", "{}"))
        .await;
    let mut replies = vec![created, reset];
    for path in [
        "/",
        "/healthz",
        "/v1/specs",
        "/v1/envs/e",
        "/v1/envs/e/render",
        "/v1/envs/e/trajectory",
        "/v1/nowhere",
        "/metrics",
        "/openapi.json",
        "/problems/internal",
        "/metadata",
        "/schema",
        "/state",
    ] {
        replies.push(server.ask(&get(path, "")).await);
    }
    for reply in replies {
        assert!(reply.body.ends_with('\n'), "{reply:?}");
        assert!(!reply.body.ends_with("\n\n"), "{reply:?}");
    }
}
