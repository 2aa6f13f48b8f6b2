//! Counts after known requests.

use std::future::poll_fn;
use std::task::Poll;

use axum::body::Body;
use axum::http::Request;
use serde_json::json;
use tower::ServiceExt;

use crate::client::Client;
use crate::scrape::Numbers;

fn play(client: &Client) {
    let single = json!({"spec_id": "MemoryTask-v0", "kwargs": {"delay": 4}, "seed": 7});
    assert_eq!(client.put("/v1/envs/one", single.clone()).status, 201);
    assert_eq!(client.put("/v1/envs/one", single.clone()).status, 200);
    assert_eq!(client.post("/v1/envs", single).status, 201);
    assert_eq!(
        client.post("/v1/envs/one/reset", json!({"seq": 0})).status,
        200
    );
    for _ in 0..3 {
        // One step and two replays of it.
        let step = json!({"seq": 1, "action": 0});
        assert_eq!(client.post("/v1/envs/one/step", step).status, 200);
    }
    for action in [
        json!({"seq": 9, "action": 0}),
        json!({"seq": 2, "action": 5}),
    ] {
        assert!(client.post("/v1/envs/one/step", action).status >= 400);
    }
    let fork = json!({"seq": 2, "env_id": "two"});
    assert_eq!(client.post("/v1/envs/one/fork", fork).status, 201);
    assert_eq!(client.post("/v1/envs/one/lease", json!({})).status, 200);
    assert_eq!(client.delete("/v1/envs/two").status, 204);
    assert_eq!(client.delete("/v1/envs/two").status, 204);
    assert_eq!(client.get("/v1/envs/two").status, 410);
}

#[test]
fn a_known_sequence_is_counted() {
    let client = Client::new();
    play(&client);
    let numbers = Numbers::of(&client);
    let status = |route: &str, method: &str, status: &str| {
        numbers.get(&format!(
            "env_server_http_request_duration_seconds_count{{method=\"{method}\",route=\"{route}\",status=\"{status}\"}}"
        ))
    };
    let operations = |name: &str| {
        numbers.get(&format!(
            "env_server_operations_total{{operation=\"{name}\"}}"
        ))
    };
    let problems =
        |code: &str| numbers.get(&format!("env_server_problems_total{{code=\"{code}\"}}"));
    assert_eq!(operations("create"), 2.0);
    assert_eq!(operations("reset"), 1.0);
    assert_eq!(operations("step"), 1.0);
    assert_eq!(operations("fork"), 1.0);
    assert_eq!(operations("lease"), 1.0);
    assert_eq!(operations("close"), 1.0);
    assert_eq!(operations("restore"), 0.0);
    assert_eq!(
        numbers.get("env_server_steps_total{spec=\"MemoryTask-v0\"}"),
        1.0
    );
    assert_eq!(numbers.get("env_server_replays_total"), 2.0);
    assert_eq!(problems("seq-conflict"), 1.0);
    assert_eq!(problems("invalid-action"), 1.0);
    assert_eq!(problems("env-closed"), 1.0);
    assert_eq!(problems("internal"), 0.0);
    assert_eq!(status("/v1/envs/{env_id}", "PUT", "2xx"), 2.0);
    assert_eq!(status("/v1/envs", "POST", "2xx"), 1.0);
    assert_eq!(status("/v1/envs/{env_id}/step", "POST", "2xx"), 3.0);
    assert_eq!(status("/v1/envs/{env_id}/step", "POST", "4xx"), 2.0);
    assert_eq!(status("/v1/envs/{env_id}", "DELETE", "2xx"), 2.0);
    assert_eq!(status("/v1/envs/{env_id}", "GET", "4xx"), 1.0);
    let environments = |kind: &str, state: &str| {
        numbers.get(&format!(
            "env_server_environments{{spec=\"MemoryTask-v0\",kind=\"{kind}\",state=\"{state}\"}}"
        ))
    };
    assert_eq!(environments("single", "idle"), 1.0);
    assert_eq!(environments("single", "new"), 1.0);
    assert_eq!(environments("vector", "new"), 0.0);
    assert_eq!(numbers.get("env_server_lanes{spec=\"MemoryTask-v0\"}"), 2.0);
    assert!(numbers.get("env_server_memory_bytes") > 0.0);
    // This is the scrape itself.
    assert_eq!(numbers.get("env_server_http_requests_in_flight"), 1.0);
}

/// Under `NextStep`, a lane that has ended starts over in the next step and takes no action in it.
#[test]
fn steps_that_only_reset_do_not_count() {
    let client = Client::new();
    let create = json!({
        "spec_id": "MemoryTask-v0", "num_envs": 3, "kwargs": {"delay": 1}, "seed": 7,
        "autoreset_mode": "NextStep",
    });
    assert_eq!(client.put("/v1/vector-envs/v", create).status, 201);
    client.post("/v1/vector-envs/v/reset", json!({})).json();
    let (mut applied, mut restarts) = (0.0, 0);
    let mut running = 3.0;
    for _ in 0..6 {
        let step = json!({"actions": [0, 0, 0]});
        let reply = client.post("/v1/vector-envs/v/step", step).json();
        applied += running;
        restarts += usize::from(running == 0.0);
        let ends = reply["terminations"].as_array().expect("a list");
        running = ends.iter().filter(|end| **end == json!(false)).count() as f64;
    }
    assert!(restarts > 0, "no episode has ended");
    let numbers = Numbers::of(&client);
    assert_eq!(
        numbers.get("env_server_steps_total{spec=\"MemoryTask-v0\"}"),
        applied
    );
    assert_eq!(
        numbers.get("env_server_operations_total{operation=\"step\"}"),
        6.0
    );
}

#[test]
fn servers_in_one_process_have_separate_counts() {
    let (busy, calm) = (Client::new(), Client::new());
    play(&busy);
    let calm = Numbers::of(&calm);
    assert_eq!(
        calm.get("env_server_operations_total{operation=\"create\"}"),
        0.0
    );
    assert!(!calm.series().any(|name| name.contains("MemoryTask")));
    assert!(!calm.series().any(|name| name.contains("/v1/")));
}

#[test]
fn made_up_paths_and_methods_create_no_new_series() {
    let client = Client::new();
    let ask = |i: usize| {
        for path in [
            format!("/{i}"),
            format!("/v1/{i}/{i}"),
            format!("/v1/envs/e{i}"),
            format!("/v1/envs/e{i}/step"),
            format!("/v1/specs/s{i}"),
            format!("/problems/p{i}"),
        ] {
            client.send(&format!("X{i}"), &path, &[], Vec::new());
            client.get(&path);
            client.post(&path, json!({"spec_id": format!("s{i}")}));
        }
    };
    let names = || -> Vec<String> {
        let numbers = Numbers::of(&client);
        numbers.series().map(str::to_owned).collect()
    };
    ask(0);
    // The first scrape is visible only in the second.
    names();
    let before = names();
    for i in 1..100 {
        ask(i);
    }
    assert_eq!(names(), before);
    let counts = before.iter().filter(|name| name.contains("_seconds_count"));
    let unmatched = counts.filter(|name| name.contains("unmatched"));
    assert_eq!(unmatched.count(), 3, "GET, POST and other");
}

/// A request whose client disconnects is no longer in flight, and is counted separately.
#[test]
fn dropped_requests_are_counted() {
    let app = env_server::app(&env_server::ServerConfig::default()).expect("a server");
    let client = Client::of(app.clone());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let name = "env_server_http_request_duration_seconds_count{method=\"POST\",route=\"/v1/envs\",status=\"dropped\"}";
    // A body that never arrives.
    let body = Body::from_stream(futures_util::stream::pending::<
        Result<Vec<u8>, std::io::Error>,
    >());
    let request = Request::post("/v1/envs").header("content-type", "application/json");
    let request = request.body(body).expect("a request");
    let mut reply = Box::pin(app.oneshot(request));
    runtime.block_on(poll_fn(|context| {
        assert!(reply.as_mut().poll(context).is_pending());
        Poll::Ready(())
    }));
    let meanwhile = Numbers::of(&client);
    assert_eq!(meanwhile.get("env_server_http_requests_in_flight"), 2.0);
    assert_eq!(meanwhile.get(name), 0.0);
    drop(reply);
    let after = Numbers::of(&client);
    assert_eq!(after.get("env_server_http_requests_in_flight"), 1.0);
    assert_eq!(after.get(name), 1.0);
}

/// The size of a journal is reported, and operations replayed by recovery do not count as steps.
#[test]
fn a_journal_and_its_recovery_have_metrics() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = env_server::ServerConfig {
        data_dir: Some(dir.path().to_owned()),
        ..Default::default()
    };
    let client = Client::with(config.clone());
    let create = json!({"spec_id": "MemoryTask-v0", "kwargs": {"delay": 4}});
    assert_eq!(client.put("/v1/envs/e", create).status, 201);
    client.post("/v1/envs/e/reset", json!({})).json();
    client.post("/v1/envs/e/step", json!({"action": 0})).json();
    let steps = "env_server_steps_total{spec=\"MemoryTask-v0\"}";
    let before = Numbers::of(&client);
    assert_eq!(before.get(steps), 1.0);
    let appends = "env_server_journal_append_duration_seconds_count";
    assert_eq!(before.get(appends), 3.0);
    assert!(before.get("env_server_journal_records_total") >= 3.0);
    assert!(before.get("env_server_journal_bytes") > 0.0);
    assert_eq!(before.get("env_server_journal_failed"), 0.0);
    drop(client);

    let after = Numbers::of(&Client::with(config));
    let found = |outcome: &str| {
        after.get(&format!(
            "env_server_recovered_environments{{outcome=\"{outcome}\"}}"
        ))
    };
    assert_eq!((found("recovered"), found("lost")), (1.0, 0.0));
    assert!(after.get("env_server_recovery_duration_seconds") > 0.0);
    assert_eq!(after.get(steps), 0.0);
    assert_eq!(after.get("env_server_lanes{spec=\"MemoryTask-v0\"}"), 1.0);
}
