//! Limits on time, on connections and on requests in flight.

use std::time::Duration;

use env_server::{ServerConfig, ServiceConfig};
use tokio::io::AsyncWriteExt;

use crate::harness::{
    CREATE, Server, exchange, get, read_reply, read_to_close, read_until, request,
};

/// Long enough that nothing in these tests waits for it.
const NEVER: Duration = Duration::from_secs(3_600);

fn patient() -> ServerConfig {
    ServerConfig {
        service: ServiceConfig {
            header_timeout: NEVER,
            request_timeout: NEVER,
            idle_timeout: NEVER,
            ..ServiceConfig::default()
        },
        ..ServerConfig::default()
    }
}

const SHORT: Duration = Duration::from_millis(50);

#[tokio::test]
async fn a_head_that_never_ends_is_cut() {
    let server = Server::start(ServerConfig {
        service: ServiceConfig {
            header_timeout: SHORT,
            ..ServiceConfig::default()
        },
        ..patient()
    })
    .await;
    let mut silent = server.connect().await;
    assert_eq!(read_to_close(&mut silent).await, "");
    let mut slow = server.connect().await;
    slow.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
    // A byte now and then does not keep the connection open.
    while slow.write_all(b"x").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The second head on a connection has the same time as the first.
    let mut kept = server.connect().await;
    assert_eq!(exchange(&mut kept, &get("/healthz", "")).await.status, 200);
    kept.write_all(b"GET /hea").await.unwrap();
    let told = read_reply(&mut kept).await;
    assert_eq!(told.failure(), (408, "slow-request".to_owned()));
    assert!(told.has_header("connection: close"), "{told:?}");
    assert_eq!(read_to_close(&mut kept).await, "");
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let server = Server::start(ServerConfig {
        service: ServiceConfig {
            idle_timeout: SHORT,
            ..ServiceConfig::default()
        },
        ..patient()
    })
    .await;
    let mut stream = server.connect().await;
    assert_eq!(
        exchange(&mut stream, &get("/healthz", "")).await.status,
        200
    );
    assert_eq!(read_to_close(&mut stream).await, "");
}

#[tokio::test]
async fn a_body_that_never_ends_is_answered_and_changes_nothing() {
    let server = Server::start(ServerConfig {
        service: ServiceConfig {
            request_timeout: SHORT,
            ..ServiceConfig::default()
        },
        ..patient()
    })
    .await;
    let whole = request("PUT", "/v1/envs/slow", "", CREATE);
    let mut stream = server.connect().await;
    let cut = &whole[..whole.len() - 1];
    let reply = exchange(&mut stream, cut).await;
    assert_eq!(reply.failure(), (408, "slow-request".to_owned()));
    assert!(reply.has_header("retry-after: 1"), "{reply:?}");
    assert_eq!(reply.problem().instance.as_deref(), Some("/v1/envs/slow"));
    let unknown = server.ask(&get("/v1/envs/slow", "")).await;
    assert_eq!(unknown.status, 404);
    // The rest of the body is not taken for a request.
    assert_eq!(read_to_close(&mut stream).await, "");
    assert_eq!(server.ask(&whole).await.status, 201);
}

#[tokio::test]
async fn connections_over_the_limit_get_a_problem() {
    let server = Server::start(ServerConfig {
        service: ServiceConfig {
            max_connections: 2,
            ..ServiceConfig::default()
        },
        ..patient()
    })
    .await;
    let (mut first, mut second) = (server.connect().await, server.connect().await);
    for stream in [&mut first, &mut second] {
        assert_eq!(exchange(stream, &get("/healthz", "")).await.status, 200);
    }
    let mut third = server.connect().await;
    let refused = exchange(&mut third, &request("POST", "/v1/envs", "", CREATE)).await;
    assert_eq!(refused.failure(), (503, "overloaded".to_owned()));
    assert!(refused.has_header("retry-after: 1"), "{refused:?}");
    assert!(refused.has_header("connection: close"), "{refused:?}");
    assert_eq!(exchange(&mut first, &get("/healthz", "")).await.status, 200);
    drop(second);
    while server.ask(&get("/healthz", "")).await.status != 200 {}
}

#[tokio::test]
async fn half_open_connections_over_the_limit_hold_nothing() {
    let server = Server::start(ServerConfig {
        service: ServiceConfig {
            max_connections: 1,
            ..ServiceConfig::default()
        },
        ..patient()
    })
    .await;
    let mut first = server.connect().await;
    assert_eq!(exchange(&mut first, &get("/healthz", "")).await.status, 200);
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(server.connect().await);
    }
    for stream in &mut silent {
        assert_eq!(read_to_close(stream).await, "");
    }
    assert_eq!(exchange(&mut first, &get("/healthz", "")).await.status, 200);
}

#[tokio::test]
async fn requests_over_the_limit_get_a_problem() {
    let server = Server::start(ServerConfig {
        service: ServiceConfig {
            max_requests_in_flight: 1,
            ..ServiceConfig::default()
        },
        ..patient()
    })
    .await;
    let mut first = server.connect().await;
    let head = request("PUT", "/v1/envs/e", "expect: 100-continue\r\n", CREATE);
    let head = head.trim_end_matches(CREATE);
    first.write_all(head.as_bytes()).await.unwrap();
    read_until(&mut first, "\r\n\r\n").await;

    let mut second = server.connect().await;
    let refused = exchange(&mut second, &get("/v1/specs", "")).await;
    assert_eq!(refused.failure(), (503, "overloaded".to_owned()));
    assert!(refused.has_header("retry-after: 1"), "{refused:?}");
    let healthy = exchange(&mut second, &get("/readyz", "")).await;
    assert_eq!(healthy.status, 200, "a busy server is not a dead one");

    first.write_all(CREATE.as_bytes()).await.unwrap();
    assert_eq!(read_reply(&mut first).await.status, 201);
    let answered = exchange(&mut second, &get("/v1/specs", "")).await;
    assert_eq!(answered.status, 200);
}
