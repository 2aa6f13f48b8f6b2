//! Actions of a player that knows the hidden draws: returned on request where that is allowed, and
//! nowhere else.

use env_server::ServerConfig;
use serde_json::json;

use crate::client::Client;

fn allowing() -> Client {
    Client::with(ServerConfig {
        allow_oracle: true,
        ..ServerConfig::default()
    })
}

#[test]
fn it_is_refused_unless_the_server_allows_it() {
    let client = Client::new();
    client.put("/v1/envs/one", json!({"spec_id": "MemoryTask-v0"}));
    client.put(
        "/v1/vector-envs/many",
        json!({"spec_id": "MemoryTask-v0", "num_envs": 2}),
    );
    for path in ["/v1/envs/one", "/v1/vector-envs/many", "/v1/envs/none"] {
        client.post(&format!("{path}/reset"), json!({}));
        let refused = client.get(&format!("{path}/oracle"));
        assert_eq!(refused.failure(), (403, "oracle-not-allowed".to_owned()));
        assert!(refused.problem().detail.contains("--allow-oracle"));
    }
}

#[test]
fn its_actions_earn_the_reward() {
    let client = allowing();
    let kwargs = json!({"delay": 3, "difficulty": 1});
    let body = json!({"spec_id": "MemoryTask-v0", "kwargs": kwargs});
    client.put("/v1/envs/one", body);
    let early = client.get("/v1/envs/one/oracle");
    assert_eq!(early.failure(), (409, "needs-reset".to_owned()));
    client.post("/v1/envs/one/reset", json!({}));
    for step in 1..=3 {
        let oracle = client.get("/v1/envs/one/oracle").json();
        assert_eq!(oracle["seq"], step);
        let reply = client.post("/v1/envs/one/step", oracle).json();
        assert_eq!(reply["reward"], if step == 3 { 1.0 } else { 0.0 });
        // Nothing of it appears where agents look.
        assert_eq!(reply["info"], json!({}));
    }
    let late = client.get("/v1/envs/one/oracle");
    assert_eq!(late.failure(), (409, "needs-reset".to_owned()));
    let unknown = client.get("/v1/envs/none/oracle");
    assert_eq!(unknown.failure(), (404, "unknown-env".to_owned()));
}

/// MultiDiscrete actions, and lanes that the next step only resets.
#[test]
fn a_vector_has_an_action_for_every_lane() {
    let client = allowing();
    let body = json!({"spec_id": "MineSweeper-v0", "num_envs": 3, "seed": 1,
                      "autoreset_mode": "NextStep"});
    client.put("/v1/vector-envs/many", body);
    client.post("/v1/vector-envs/many/reset", json!({}));
    let mut ended = false;
    for _ in 0..15 {
        let oracle = client.get("/v1/vector-envs/many/oracle").json();
        let actions = oracle["actions"].as_array().unwrap();
        assert!(
            actions
                .iter()
                .all(|action| action.as_array().unwrap().len() == 2)
        );
        assert_eq!(actions.len(), 3);
        if ended {
            assert_eq!(oracle["actions"], json!([[0, 0], [0, 0], [0, 0]]));
            return;
        }
        let reply = client.post("/v1/vector-envs/many/step", oracle).json();
        let rewards = reply["rewards"].as_array().unwrap();
        assert!(rewards.iter().all(|reward| reward.as_f64().unwrap() > 0.0));
        ended = reply["terminations"] == json!([true, true, true]);
    }
    panic!("fourteen clear cells take fourteen steps");
}
