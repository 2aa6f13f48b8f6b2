//! Data directories that fail while the server runs or that cannot be used.

use std::fs;
use std::time::Duration;

use env_server::ServerConfig;

use crate::harness::{CREATE, Server, get, request};

async fn readiness(server: &Server) -> (u16, String) {
    let reply = server.ask(&get("/readyz", "")).await;
    match reply.status {
        200 => (200, String::new()),
        _ => {
            assert!(reply.has_header("content-type: application/problem+json"));
            reply.failure()
        }
    }
}

/// Waits for a status of `/readyz`, which housekeeping updates about once a second.
async fn becomes(server: &Server, status: u16) {
    for _ in 0..400 {
        if readiness(server).await.0 == status {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("it never became {status}: {:?}", readiness(server).await);
}

#[tokio::test]
async fn a_server_whose_data_directory_is_gone_is_not_ready_until_it_is_back() {
    let above = tempfile::tempdir().unwrap();
    let (dir, away) = (above.path().join("data"), above.path().join("away"));
    let server = Server::start(ServerConfig {
        data_dir: Some(dir.clone()),
        ..ServerConfig::default()
    })
    .await;
    let put = |id: &str| request("PUT", &format!("/v1/envs/{id}"), "", CREATE);
    assert_eq!(server.ask(&put("a")).await.status, 201);
    assert_eq!(readiness(&server).await.0, 200);
    fs::rename(&dir, &away).unwrap();
    // No client has requested an operation that would be written.
    becomes(&server, 503).await;
    let failed = (503, "storage-failed".to_owned());
    assert_eq!(readiness(&server).await, failed);
    let reset = request("POST", "/v1/envs/a/reset", "", r#"{"seq":0}"#);
    let reply = server.ask(&reset).await;
    assert_eq!(reply.failure(), failed);
    assert!(
        reply.problem().detail.contains("deleted or replaced"),
        "{reply:?}"
    );
    // It is alive, and serves what it has.
    assert_eq!(server.ask(&get("/healthz", "")).await.status, 200);
    assert_eq!(server.ask(&get("/v1/envs/a", "")).await.status, 200);
    let metrics = server.ask(&get("/metrics", "")).await.body;
    assert!(
        metrics.contains("env_server_journal_refusing 1"),
        "{metrics}"
    );
    fs::rename(&away, &dir).unwrap();
    becomes(&server, 200).await;
    assert_eq!(server.ask(&reset).await.status, 200);
}

/// An environment whose state takes several parts of the journal is played, kept and recovered.
#[tokio::test]
async fn a_large_environment_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let config = ServerConfig {
        data_dir: Some(dir.path().to_owned()),
        ..ServerConfig::default()
    };
    let body = r#"{"spec_id":"BsuiteMemorySize-v0","num_envs":256,"seed":1,
        "kwargs":{"num_bits":1024,"memory_length":1000}}"#;
    let step = |seq: u64| {
        let actions = vec!["1"; 256].join(",");
        let body = format!(r#"{{"seq":{seq},"actions":[{actions}]}}"#);
        request("POST", "/v1/vector-envs/v/step", "", &body)
    };
    let server = Server::start(config.clone()).await;
    let created = server
        .ask(&request("PUT", "/v1/vector-envs/v", "", body))
        .await;
    assert_eq!(created.status, 201);
    let reset = request("POST", "/v1/vector-envs/v/reset", "", r#"{"seq":0}"#);
    assert_eq!(server.ask(&reset).await.status, 200);
    // Each has 32 bytes of actions: the next chunk begins, with the state, after the 128th.
    for seq in 1..140 {
        let reply = server.ask(&step(seq)).await;
        assert_eq!(reply.status, 200, "{seq}: {reply:?}");
    }
    let segment = dir.path().join(format!("{:020}.journal", 1));
    assert!(fs::metadata(segment).unwrap().len() > 2 << 20);
    drop(server.stop);
    server.task.await.unwrap().unwrap();
    let server = Server::start(config).await;
    let again = server.ask(&step(139)).await;
    assert!(again.status == 200 && again.has_header("idempotency-replayed: true"));
    assert_eq!(server.ask(&step(140)).await.status, 200);
}
