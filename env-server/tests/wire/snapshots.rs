//! Snapshots over the wire: from one server to another.

use serde_json::{Value, json};

use crate::client::Client;

fn create(client: &Client, mode: &str, seed: u64) {
    let body = json!({"spec_id": "MemoryTask-v0", "num_envs": 3, "seed": seed,
                      "kwargs": {"delay": 4, "delay_min": 1, "difficulty": 1},
                      "autoreset_mode": mode});
    assert_eq!(client.put("/v1/vector-envs/v", body).status, 201);
}

fn step(client: &Client) -> Value {
    let mut reply = client
        .post("/v1/vector-envs/v/step", json!({"actions": [0, 1, 0]}))
        .json();
    reply["seq"] = Value::Null;
    reply
}

/// After these steps, lanes are at different places, and some are about to start over.
#[test]
fn a_restored_vector_continues_bit_for_bit() {
    for mode in ["NextStep", "SameStep"] {
        for steps in 0..8 {
            let (here, there) = (Client::new(), Client::new());
            create(&here, mode, 5);
            create(&there, mode, 6);
            here.post("/v1/vector-envs/v/reset", json!({}));
            (0..steps).for_each(|_| drop(step(&here)));
            let snapshot = here.get("/v1/vector-envs/v/snapshot").json();
            let restore = json!({"seq": 0, "snapshot": snapshot});
            let restored = there
                .post("/v1/vector-envs/v/restore", restore.clone())
                .json();
            assert_eq!(restored, json!({"seq": 1}));
            assert_eq!(there.get("/v1/vector-envs/v/snapshot").json(), snapshot);
            let again = there.post("/v1/vector-envs/v/restore", restore);
            assert_eq!(again.header("idempotency-replayed"), "true");
            for _ in 0..20 {
                assert_eq!(step(&here), step(&there), "{mode}, saved after {steps}");
            }
        }
    }
}

#[test]
fn a_snapshot_survives_messagepack() {
    let client = Client::new();
    create(&client, "NextStep", 5);
    client.post("/v1/vector-envs/v/reset", json!({}));
    let json = client.get("/v1/vector-envs/v/snapshot").json();
    let accept = ["accept: application/vnd.msgpack"];
    let reply = client.send("GET", "/v1/vector-envs/v/snapshot", &accept, Vec::new());
    let snapshot: env_protocol::Snapshot = reply.decode();
    assert_eq!(serde_json::to_value(snapshot).unwrap(), json);
}

#[test]
fn a_snapshot_that_does_not_fit_is_refused() {
    let client = Client::new();
    create(&client, "NextStep", 5);
    client.post("/v1/vector-envs/v/reset", json!({}));
    let good = client.get("/v1/vector-envs/v/snapshot").json();
    type Change = fn(&mut Value);
    let changes: [(Change, &str); 12] = [
        (|s| s["format"] = json!("zip"), "/snapshot/format"),
        (|s| s["version"] = json!(2), "/snapshot/version"),
        (|s| s["spec_id"] = json!("Maze-v0"), "/snapshot/spec_id"),
        (|s| s["kwargs"]["delay"] = json!(5), "/snapshot/kwargs"),
        (
            |s| s["autoreset_mode"] = json!("SameStep"),
            "/snapshot/autoreset_mode",
        ),
        (
            |s| drop(s["lanes"].as_array_mut().unwrap().pop()),
            "/snapshot/lanes",
        ),
        (
            |s| drop(s["observations"].as_array_mut().unwrap().pop()),
            "/snapshot/observations",
        ),
        (
            |s| s["observations"][4] = json!(0.1),
            "/snapshot/observations/4",
        ),
        (
            |s| s["lanes"][1]["rng"] = json!("0".repeat(64)),
            "/snapshot/lanes/1/rng",
        ),
        (
            |s| s["lanes"][2]["state"]["remaining"] = json!(9),
            "/snapshot/lanes/2/state",
        ),
        (
            |s| s["lanes"][2]["state"]["luck"] = json!(1),
            "/snapshot/lanes/2/state",
        ),
        (
            |s| s["lanes"][0]["phase"] = json!("ended"),
            "/snapshot/lanes/0/phase",
        ),
    ];
    for (change, pointer) in changes {
        let mut bad = good.clone();
        change(&mut bad);
        let reply = client.post("/v1/vector-envs/v/restore", json!({"snapshot": bad}));
        assert_eq!(
            reply.failure(),
            (422, "invalid-snapshot".to_owned()),
            "{pointer}"
        );
        assert_eq!(reply.problem().errors[0].pointer, pointer);
        assert_eq!(client.get("/v1/vector-envs/v/snapshot").json(), good);
    }
}

/// The file contains a snapshot made by the first version of the server, and what followed.
#[test]
fn a_snapshot_of_the_first_version_still_restores() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/memory_task_snapshot.json"
    );
    let recorded: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let client = Client::new();
    let body = json!({"spec_id": "MemoryTask-v0", "num_envs": 3, "seed": 1,
                      "kwargs": recorded["snapshot"]["kwargs"], "autoreset_mode": "NextStep"});
    assert_eq!(client.put("/v1/vector-envs/v", body).status, 201);
    let restore = json!({"snapshot": recorded["snapshot"]});
    let restored = client.post("/v1/vector-envs/v/restore", restore).json();
    assert_eq!(restored, json!({"seq": 1}));
    let again = client.get("/v1/vector-envs/v/snapshot").json();
    assert_eq!(again["lanes"], recorded["snapshot"]["lanes"]);
    for (t, expected) in recorded["steps"].as_array().unwrap().iter().enumerate() {
        let actions = json!({"actions": recorded["actions"]});
        let reply = client.post("/v1/vector-envs/v/step", actions).json();
        for (key, expected) in expected.as_object().unwrap() {
            assert_eq!(reply[key], *expected, "{key} of step {t}");
        }
    }
}
