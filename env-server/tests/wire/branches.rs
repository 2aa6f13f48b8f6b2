//! Forks and trajectories.

use env_protocol::Trajectory;
use env_server::session::replay;
use serde_json::{Value, json};

use crate::client::Client;

const ENV: &str = "/v1/envs/e";
const VECTOR: &str = "/v1/vector-envs/v";

fn single() -> Client {
    let client = Client::new();
    let kwargs = json!({"delay": 6, "difficulty": 1});
    client.put(
        ENV,
        json!({"spec_id": "MemoryTask-v0", "kwargs": kwargs, "seed": 3}),
    );
    client
}

fn vector(mode: &str) -> Client {
    let client = Client::new();
    let kwargs = json!({"delay": 5, "delay_min": 2, "difficulty": 1});
    let body = json!({"spec_id": "MemoryTask-v0", "num_envs": 3, "kwargs": kwargs, "seed": 3,
                      "autoreset_mode": mode});
    client.put(VECTOR, body);
    client
}

fn step(client: &Client, path: &str, actions: Value) -> Value {
    let body = match path.starts_with(ENV) {
        true => json!({"action": actions[0]}),
        false => json!({"actions": actions}),
    };
    let mut reply = client.post(&format!("{path}/step"), body).json();
    reply["seq"] = Value::Null;
    reply
}

#[test]
fn a_fork_in_the_middle_continues_like_its_parent() {
    for mode in ["NextStep", "SameStep"] {
        for steps in 0..7 {
            let client = vector(mode);
            client.post(&format!("{VECTOR}/reset"), json!({"seq": 0}));
            (0..steps).for_each(|_| drop(step(&client, VECTOR, json!([0, 1, 0]))));
            let fork = json!({"seq": steps + 1, "env_id": "branch"});
            let reply = client.post(&format!("{VECTOR}/fork"), fork.clone());
            assert_eq!(reply.status, 201);
            assert_eq!(reply.header("location"), "/v1/vector-envs/branch");
            assert_eq!(reply.json(), json!({"env_id": "branch", "seq": steps + 2}));
            let again = client.post(&format!("{VECTOR}/fork"), fork);
            assert_eq!(
                (again.status, again.header("idempotency-replayed")),
                (201, "true")
            );
            assert_eq!(again.json(), reply.json());
            let branch = "/v1/vector-envs/branch";
            assert_eq!(client.get(branch).json()["seq"], 0);
            for _ in 0..12 {
                let actions = json!([1, 0, 1]);
                assert_eq!(
                    step(&client, VECTOR, actions.clone()),
                    step(&client, branch, actions),
                );
            }
        }
    }
}

/// Noise and limits carry over to forks, and trajectories replay them, like everything else.
#[test]
fn a_wrapped_environment_can_be_forked_and_replayed() {
    for mode in ["NextStep", "SameStep"] {
        let client = Client::new();
        let kwargs = json!({"delay": 9, "max_episode_steps": 5, "frame_skip": 2, "previous_reward": true,
                            "previous_action": true, "is_first": true, "observation_noise": 0.5});
        let body = json!({"spec_id": "MemoryTask-v0", "num_envs": 3, "kwargs": kwargs, "seed": 3,
                          "autoreset_mode": mode});
        client.put(VECTOR, body);
        client.post(&format!("{VECTOR}/reset"), json!({}));
        (0..7).for_each(|_| drop(step(&client, VECTOR, json!([0, 1, 0]))));
        client.post(&format!("{VECTOR}/fork"), json!({"env_id": "branch"}));
        let snapshot = client.get(&format!("{VECTOR}/snapshot")).json();
        let play = |path: &str| -> Vec<Value> {
            (0..12)
                .map(|_| step(&client, path, json!([1, 0, 1])))
                .collect()
        };
        let played = play(VECTOR);
        assert_eq!(play("/v1/vector-envs/branch"), played, "{mode}");
        client.post(&format!("{VECTOR}/restore"), json!({"snapshot": snapshot}));
        assert_eq!(play(VECTOR), played, "{mode}");
        let page = client.get(&format!("{VECTOR}/trajectory")).json();
        let page: Trajectory = serde_json::from_value(page).unwrap();
        assert_eq!(replay(&page).unwrap().operations, 1 + 7 + 1 + 12 + 1 + 12);
    }
}

#[test]
fn a_refused_fork_changes_nothing() {
    let client = single();
    client.post(&format!("{ENV}/reset"), json!({"seq": 0}));
    client.put("/v1/envs/taken", json!({"spec_id": "MemoryTask-v0"}));
    for (body, status, code) in [
        (json!({"seq": 1, "env_id": "taken"}), 409, "env-exists"),
        (json!({"seq": 1, "env_id": "e"}), 409, "env-exists"),
        (
            json!({"seq": 1, "env_id": "not an id"}),
            422,
            "invalid-env-id",
        ),
        (json!({"seq": 1, "ttl_s": 0}), 422, "invalid-ttl"),
        (json!({"seq": 0, "env_id": "b"}), 422, "seq-reused"),
        (json!({"seq": 5, "env_id": "b"}), 409, "seq-conflict"),
        (json!({"seq": 1, "env": "b"}), 422, "invalid-body"),
    ] {
        let reply = client.post(&format!("{ENV}/fork"), body);
        assert_eq!(reply.failure(), (status, code.to_owned()));
        assert_eq!(client.get(ENV).json()["seq"], 1);
        assert_eq!(
            client.get("/v1/envs").json()["envs"]
                .as_array()
                .unwrap()
                .len(),
            2
        );
    }
}

#[test]
fn a_fork_without_an_id_gets_one_and_a_retry_gets_the_same() {
    let client = single();
    client.post(&format!("{ENV}/reset"), json!({"seq": 0}));
    let first = client
        .post(&format!("{ENV}/fork"), json!({"seq": 1}))
        .json();
    let second = client
        .post(&format!("{ENV}/fork"), json!({"seq": 1}))
        .json();
    assert_eq!(first, second);
    let id = first["env_id"].as_str().unwrap();
    // An id created by a fork does not match a PUT.
    let kwargs = json!({"delay": 6, "difficulty": 1});
    let body = json!({"spec_id": "MemoryTask-v0", "kwargs": kwargs, "seed": 3});
    let put = client.put(&format!("/v1/envs/{id}"), body);
    assert_eq!(put.failure(), (409, "env-exists".to_owned()));
}

/// Returns all pages, from the earliest operation on.
fn pages(client: &Client, path: &str, limit: usize) -> Vec<Value> {
    let mut pages = Vec::new();
    let mut query = format!("?limit={limit}");
    loop {
        let page = client.get(&format!("{path}/trajectory{query}")).json();
        let next = page["next"].as_u64();
        pages.push(page);
        match next {
            Some(from) => query = format!("?limit={limit}&from={from}"),
            None => return pages,
        }
    }
}

#[test]
fn a_trajectory_holds_requests_and_replies() {
    let client = single();
    let mut replies = Vec::new();
    let reset = json!({"seed": 9, "options": {"delay": 3}});
    replies.push(client.post(&format!("{ENV}/reset"), reset.clone()).json());
    for action in [0, 1, 1] {
        let step = client.post(&format!("{ENV}/step"), json!({"action": action}));
        replies.push(step.json());
    }
    let snapshot = client.get(&format!("{ENV}/snapshot")).json();
    client
        .post(&format!("{ENV}/fork"), json!({"env_id": "branch"}))
        .json();
    let restore = json!({"snapshot": snapshot});
    client
        .post(&format!("{ENV}/restore"), restore.clone())
        .json();
    let page = client.get(&format!("{ENV}/trajectory")).json();
    assert_eq!(page["first_seq"], 0);
    assert_eq!(page["start"]["lanes"][0]["phase"], "new");
    let entries = page["entries"].as_array().unwrap();
    let kinds: Vec<_> = entries
        .iter()
        .map(|e| e["operation"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["reset", "step", "step", "step", "fork", "restore"]);
    assert_eq!(entries[0]["body"], reset);
    assert_eq!(entries[2]["body"], json!({"action": 1}));
    assert_eq!(entries[4]["body"], json!({"env_id": "branch"}));
    assert_eq!(entries[5]["body"], restore);
    for (entry, reply) in entries.iter().zip(&replies) {
        assert_eq!(&entry["reply"], reply);
    }
    let page: Trajectory = serde_json::from_value(page).unwrap();
    let replayed = replay(&page).unwrap();
    assert_eq!((replayed.operations, replayed.steps), (6, 3));
    // Reading has changed nothing.
    assert_eq!(client.get(&format!("{ENV}/snapshot")).json(), snapshot);
}

#[test]
fn pages_stand_alone_and_fit_together() {
    let client = vector("SameStep");
    client.post(&format!("{VECTOR}/reset"), json!({}));
    (0..50).for_each(|i| drop(step(&client, VECTOR, json!([i % 2, 1, 0]))));
    let whole = pages(&client, VECTOR, 1_000);
    let parts = pages(&client, VECTOR, 7);
    assert_eq!((whole.len(), parts.len()), (1, 8));
    let entries = |pages: &[Value]| -> Vec<Value> {
        let entries = pages
            .iter()
            .flat_map(|page| page["entries"].as_array().unwrap());
        entries.cloned().collect()
    };
    assert_eq!(entries(&whole), entries(&parts));
    let mut end = None;
    for part in parts {
        let part: Trajectory = serde_json::from_value(part).unwrap();
        if let Some(end) = end {
            assert_eq!(part.start, end);
        }
        end = Some(replay(&part).unwrap().end);
    }
    for (query, status, code) in [
        ("?from=52", 422, "invalid-query"),
        ("?from=x", 400, "malformed-request"),
        ("?limit=x", 400, "malformed-request"),
        ("?to=3", 400, "malformed-request"),
    ] {
        let reply = client.get(&format!("{VECTOR}/trajectory{query}"));
        assert_eq!(reply.failure(), (status, code.to_owned()), "{query}");
    }
}

/// Old operations are dropped when they take too much memory; the rest is complete.
#[test]
fn a_long_trajectory_keeps_its_latest_operations() {
    let client = single();
    for _ in 0..3_000 {
        client
            .post(&format!("{ENV}/reset"), json!({"seed": 1}))
            .json();
        client
            .post(&format!("{ENV}/step"), json!({"action": 0}))
            .json();
    }
    let first = client.get(&format!("{ENV}/trajectory?limit=1")).json();
    let first_seq = first["first_seq"].as_u64().unwrap();
    assert!((1..6_000).contains(&first_seq), "{first_seq}");
    let gone = client.get(&format!("{ENV}/trajectory?from={}", first_seq - 1));
    assert_eq!(gone.failure().0, 422);
    let mut operations = 0;
    for page in pages(&client, ENV, 1_000) {
        let page: Trajectory = serde_json::from_value(page).unwrap();
        operations += replay(&page).unwrap().operations as u64;
    }
    assert_eq!(operations, 6_000 - first_seq);
}

#[test]
fn a_replay_finds_each_kind_of_difference() {
    let client = single();
    client.post(&format!("{ENV}/reset"), json!({"seed": 9}));
    (0..6).for_each(|_| drop(step(&client, ENV, json!([1]))));
    let page = client.get(&format!("{ENV}/trajectory")).json();
    let replay = |change: &dyn Fn(&mut Value)| {
        let mut page = page.clone();
        change(&mut page);
        let page: Trajectory = serde_json::from_value(page).unwrap();
        replay(&page).map(|replayed| replayed.steps)
    };
    assert_eq!(replay(&|_| ()), Ok(6));
    type Change = fn(&mut Value);
    let changes: [(Change, &str); 8] = [
        (
            |p| p["entries"][6]["reply"]["reward"] = json!(0.5),
            "operation 6: reply/reward",
        ),
        (
            |p| {
                let bit = &mut p["entries"][3]["reply"]["observation"][1];
                *bit = json!(1.0 - bit.as_f64().unwrap());
            },
            "operation 3: reply/observation/1",
        ),
        (
            |p| p["entries"][6]["body"]["action"] = json!(0),
            "operation 6: reply/reward",
        ),
        (
            |p| p["entries"][2]["body"]["action"] = json!(7),
            "operation 2: invalid-action",
        ),
        (
            |p| p["entries"][2]["seq"] = json!(9),
            "operation 9 follows where 2 must",
        ),
        (
            |p| p["start"]["spec_id"] = json!("Maze-v0"),
            "start: unknown-spec",
        ),
        (|p| p["version"] = json!(9), "version 9"),
        (
            |p| drop(p["entries"].as_array_mut().unwrap().remove(0)),
            "operation 1: needs-reset",
        ),
    ];
    for (change, message) in changes {
        let error = replay(&change).unwrap_err();
        assert!(error.contains(message), "{error}");
    }
}
