//! Evaluation tokens and budgets of steps, over HTTP.

use std::collections::BTreeMap;
use std::sync::Arc;

use env_server::{Access, Grant, ServerConfig, ServiceConfig};
use serde_json::{Value, json};

use crate::harness::{Reply, Server, request};

const FULL: &str = "full-0123456789abcdef";
const JUDGED: &str = "judged-0123456789abcdef";

/// Starts a server with one principal, `ann`.
async fn server(grant: Grant) -> (Server, Arc<Access>) {
    let access = Access::from_grants(&BTreeMap::from([("ann".to_owned(), grant)])).unwrap();
    let access = Arc::new(access);
    let config = ServerConfig {
        service: ServiceConfig {
            access: Some(Arc::clone(&access)),
            ..ServiceConfig::default()
        },
        openenv: Some("MemoryTask-v0".to_owned()),
        ..ServerConfig::default()
    };
    (Server::start(config).await, access)
}

fn with_evaluation() -> Grant {
    Grant {
        token: FULL.to_owned(),
        evaluation_token: Some(JUDGED.to_owned()),
        ..Grant::default()
    }
}

fn with_budget(max_steps: u64) -> Grant {
    Grant {
        token: FULL.to_owned(),
        max_steps: Some(max_steps),
        ..Grant::default()
    }
}

async fn ask(server: &Server, token: &str, method: &str, path: &str, body: Value) -> Reply {
    let bearer = format!("authorization: Bearer {token}\r\n");
    server
        .ask(&request(method, path, &bearer, &body.to_string()))
        .await
}

fn value(reply: &Reply) -> Value {
    assert!((200..300).contains(&reply.status), "{reply:?}");
    serde_json::from_str(&reply.body).unwrap()
}

/// Operations that an evaluation token may use; a new route is forbidden until it is listed.
const ALLOWED: [&str; 9] = [
    "get /v1/envs/{env_id}",
    "post /v1/envs/{env_id}/reset",
    "post /v1/envs/{env_id}/step",
    "get /v1/vector-envs/{env_id}",
    "post /v1/vector-envs/{env_id}/reset",
    "post /v1/vector-envs/{env_id}/step",
    "get /v1/specs",
    "get /v1/specs/{spec_id}",
    "get /v1/version",
];

/// Operations that reveal nothing about environments, or that are checked message by message.
const OPEN: [&str; 9] = [
    "get /healthz",
    "get /readyz",
    "get /problems/{code}",
    "get /v1/stream",
    "get /state",
    "get /health",
    "get /metadata",
    "get /schema",
    "post /mcp",
];

#[tokio::test]
async fn an_evaluation_token_plays_and_does_nothing_else() {
    let (server, access) = server(with_evaluation()).await;
    let body = json!({"spec_id": "MemoryTask-v0", "seed": 7});
    let made = ask(&server, FULL, "PUT", "/v1/envs/e", body.clone()).await;
    assert_eq!(value(&made)["seed"], 7);
    let body = json!({"spec_id": "MemoryTask-v0", "seed": [7, 8], "num_envs": 2});
    ask(&server, FULL, "PUT", "/v1/vector-envs/v", body).await;

    let document = value(&ask(&server, FULL, "GET", "/openapi.json", json!({})).await);
    let (mut allowed, mut refused) = (0, 0);
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let route = format!("{method} {path}");
            let id = if path.contains("vector") { "v" } else { "e" };
            let path = path
                .replace("{env_id}", id)
                .replace("{spec_id}", "MemoryTask-v0");
            let path = path.replace("{code}", "forbidden");
            let reply = ask(&server, JUDGED, &method.to_uppercase(), &path, json!({})).await;
            if ALLOWED.contains(&route.as_str()) || OPEN.contains(&route.as_str()) {
                assert_ne!(reply.status, 403, "{route}: {reply:?}");
                allowed += 1;
                continue;
            }
            assert_eq!(reply.failure(), (403, "forbidden".to_owned()), "{route}");
            let detail = reply.problem().detail;
            assert!(
                detail.contains("an evaluation token may only describe, step and plainly reset")
            );
            assert!(
                detail.contains(&format!("not {} {path}", method.to_uppercase())),
                "{detail}"
            );
            refused += 1;
        }
    }
    assert_eq!(allowed, ALLOWED.len() + OPEN.len(), "all are there");
    let refusals = access.principal("ann").unwrap().refusals();
    assert_eq!(refusals.count, refused as u64);
    assert!(refusals.first.is_some());
}

#[tokio::test]
async fn an_evaluation_token_neither_sees_nor_chooses_seeds() {
    let (server, access) = server(with_evaluation()).await;
    for (collection, body) in [
        ("envs", json!({"spec_id": "MemoryTask-v0", "seed": 7})),
        (
            "vector-envs",
            json!({"spec_id": "MemoryTask-v0", "seed": [7, 8], "num_envs": 2}),
        ),
    ] {
        let path = format!("/v1/{collection}/x-{collection}");
        ask(&server, FULL, "PUT", &path, body.clone()).await;
        let told = value(&ask(&server, JUDGED, "GET", &path, json!({})).await);
        assert_eq!(told["spec_id"], "MemoryTask-v0");
        assert_eq!(told.get("seed"), None);
        let known = value(&ask(&server, FULL, "GET", &path, json!({})).await);
        assert_eq!(known["seed"], body["seed"]);

        let reset = format!("{path}/reset");
        let mut chosen = vec![json!({"seed": 1}), json!({"options": {"delay": 2}})];
        if collection == "vector-envs" {
            chosen.push(json!({"seed": [1, 2]}));
            chosen.push(json!({"options": {"reset_mask": [true, false]}}));
        }
        for body in chosen {
            let reply = ask(&server, JUDGED, "POST", &reset, body.clone()).await;
            assert_eq!(reply.failure(), (403, "forbidden".to_owned()), "{body}");
        }
        let plain = json!({"seq": 0, "options": {}});
        let first = value(&ask(&server, JUDGED, "POST", &reset, plain).await);
        assert_eq!(first["seq"], 1);
    }
    let refusals = access.principal("ann").unwrap().refusals();
    assert_eq!(refusals.count, 2 + 4);
    assert_eq!(
        refusals.first.as_deref(),
        Some("a reset with a seed or options")
    );
}

#[tokio::test]
async fn steps_are_counted_once_and_refused_beyond_the_budget() {
    let (server, access) = server(with_budget(5)).await;
    let body = json!({"spec_id": "MemoryTask-v0", "kwargs": {"delay": 2}, "num_envs": 2, "autoreset_mode": "NextStep"});
    ask(&server, FULL, "PUT", "/v1/vector-envs/v", body).await;
    let reset = json!({"seq": 0, "seed": 1});
    ask(&server, FULL, "POST", "/v1/vector-envs/v/reset", reset).await;
    let taken = || access.principal("ann").unwrap().budget().unwrap().taken();
    let step = |seq: u64| json!({"seq": seq, "actions": [0, 1]});
    let path = "/v1/vector-envs/v/step";
    // Both lanes step twice; the third step only starts both over and does not count.
    for (seq, steps) in [(1, 2), (2, 4), (3, 4)] {
        for _ in 0..2 {
            let reply = ask(&server, FULL, "POST", path, step(seq)).await;
            assert_eq!(value(&reply)["seq"], seq + 1);
            assert_eq!(taken(), steps, "a repetition is not counted");
        }
    }
    let reply = ask(&server, FULL, "POST", path, step(4)).await;
    assert_eq!(reply.failure(), (403, "budget-exceeded".to_owned()));
    let problem = reply.problem();
    assert!(!problem.retryable && !reply.has_header("retry-after: 1"));
    assert_eq!(
        problem.detail,
        "4 of the 5 steps of this token have been taken; 2 more are requested, and 1 are left"
    );
    let told = value(&ask(&server, FULL, "GET", "/v1/vector-envs/v", json!({})).await);
    assert_eq!(told["seq"], 4, "nothing has changed");
    // The remaining step can be spent on another environment.
    let single = json!({"spec_id": "MemoryTask-v0"});
    ask(&server, FULL, "PUT", "/v1/envs/e", single).await;
    ask(&server, FULL, "POST", "/v1/envs/e/reset", json!({})).await;
    let bad = ask(
        &server,
        FULL,
        "POST",
        "/v1/envs/e/step",
        json!({"action": 9}),
    );
    assert_eq!(bad.await.failure().1, "invalid-action");
    assert_eq!(taken(), 4, "what is refused for another reason is none");
    let good = json!({"action": 0});
    let reply = ask(&server, FULL, "POST", "/v1/envs/e/step", good.clone()).await;
    assert_eq!((reply.status, taken()), (200, 5));
    let reply = ask(&server, FULL, "POST", "/v1/envs/e/step", good).await;
    assert_eq!(reply.failure().1, "budget-exceeded");
    let budget = access.principal("ann").unwrap().budget().unwrap().clone();
    assert_eq!((budget.refused(), budget.refused_closed()), (2, 0));
    // OpenEnv's routes step an environment of the same principal.
    let reply = ask(
        &server,
        FULL,
        "POST",
        "/step",
        json!({"action": {"action": 0}}),
    );
    assert_eq!(reply.await.failure().1, "budget-exceeded");
}

#[tokio::test]
async fn a_closed_budget_allows_no_steps() {
    let (server, access) = server(with_budget(5)).await;
    let single = json!({"spec_id": "MemoryTask-v0"});
    ask(&server, FULL, "PUT", "/v1/envs/e", single).await;
    ask(&server, FULL, "POST", "/v1/envs/e/reset", json!({})).await;
    let step = |seq: u64| json!({"seq": seq, "action": 0});
    let path = "/v1/envs/e/step";
    assert_eq!(ask(&server, FULL, "POST", path, step(1)).await.status, 200);
    let budget = access.principal("ann").unwrap().budget().unwrap().clone();
    budget.close();
    let again = ask(&server, FULL, "POST", path, step(1)).await;
    assert_eq!(again.status, 200, "an applied operation is answered again");
    assert_eq!(budget.refused_closed(), 0);
    let reply = ask(&server, FULL, "POST", path, step(2)).await;
    assert_eq!(reply.failure(), (403, "forbidden".to_owned()));
    assert_eq!((budget.taken(), budget.refused_closed()), (1, 1));
    let reply = ask(&server, FULL, "POST", "/v1/envs/e/reset", json!({})).await;
    assert_eq!(reply.status, 200, "only steps are");
}
