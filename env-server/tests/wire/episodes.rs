//! Creating, playing, listing and closing.

use env_protocol::{
    Array, Data, Encoding, ErrorCode, VectorResetReply, VectorResetRequest, VectorStepReply,
    VectorStepRequest,
};
use serde_json::{Value, json};

use crate::client::Client;

#[test]
fn an_episode_by_hand() {
    let client = Client::new();
    let kwargs = json!({"delay": 2});
    let body = json!({"spec_id": "MemoryTask-v0", "kwargs": kwargs, "seed": 7});
    let created = client.post("/v1/envs", body);
    assert_eq!(created.status, 201);
    let described = created.json();
    let path = created.header("location").to_owned();
    assert_eq!(
        path,
        format!("/v1/envs/{}", described["env_id"].as_str().unwrap())
    );
    let shown = json!({"delay": 2, "difficulty": 0, "cue_time": "first", "num_bits": 1,
                       "cue_changes": 0});
    assert_eq!(described["kwargs"], shown);
    assert_eq!(
        (&described["seed"], &described["seq"]),
        (&json!(7), &json!(0))
    );

    let reset = client
        .send("POST", &format!("{path}/reset"), &[], Vec::new())
        .json();
    let target = reset["observation"][0].as_f64().unwrap();
    assert_eq!(
        reset,
        json!({"observation": [target, 0.0, 0.0], "info": {}, "seq": 1})
    );
    let step = format!("{path}/step");
    assert_eq!(
        client.post(&step, json!({"seq": 1, "action": 0})).json(),
        json!({"observation": [0.0, 0.0, 0.0], "reward": 0.0, "terminated": false,
               "truncated": false, "info": {}, "seq": 2})
    );
    let last = client
        .post(&step, json!({"seq": 2, "action": target as i64}))
        .json();
    assert_eq!(
        (&last["reward"], &last["terminated"]),
        (&json!(1.0), &json!(true))
    );
    let after = client.post(&step, json!({"action": 0}));
    assert_eq!(after.failure(), (409, "needs-reset".to_owned()));
    assert_eq!(client.get(&path).json()["seq"], 3);

    assert_eq!(client.delete(&path).status, 204);
    assert_eq!(client.delete(&path).status, 204);
    assert_eq!(client.get(&path).failure(), (410, "env-closed".to_owned()));
    let never = client.delete("/v1/envs/never");
    assert_eq!(never.failure(), (404, "unknown-env".to_owned()));
}

#[test]
fn put_is_idempotent() {
    let client = Client::new();
    let body = json!({"spec_id": "MemoryTask-v0", "kwargs": {"delay": 3}});
    let first = client.put("/v1/envs/mine", body.clone());
    assert_eq!(first.status, 201);
    client.post("/v1/envs/mine/reset", json!({}));
    let again = client.put("/v1/envs/mine", body.clone());
    assert_eq!(again.status, 200);
    assert_eq!(
        again.json()["seed"],
        first.json()["seed"],
        "the drawn seed is kept"
    );
    assert_eq!(again.json()["seq"], 1, "and the episode continues");
    let other = json!({"spec_id": "MemoryTask-v0", "kwargs": {"delay": 4}});
    let conflict = client.put("/v1/envs/mine", other.clone());
    assert_eq!(conflict.failure(), (409, "env-exists".to_owned()));
    let as_vector = json!({"spec_id": "MemoryTask-v0", "num_envs": 1});
    let conflict = client.put("/v1/vector-envs/mine", as_vector);
    assert_eq!(conflict.failure(), (409, "env-exists".to_owned()));
    client.delete("/v1/envs/mine");
    let closed = client.put("/v1/envs/mine", body);
    assert_eq!(closed.failure(), (410, "env-closed".to_owned()));
}

#[test]
fn lists_come_in_pages() {
    let client = Client::new();
    for id in ["c", "a", "b"] {
        client.put(
            &format!("/v1/envs/{id}"),
            json!({"spec_id": "MemoryTask-v0"}),
        );
    }
    client.put(
        "/v1/vector-envs/v",
        json!({"spec_id": "MemoryTask-v0", "num_envs": 2}),
    );
    let ids = |page: &Value| -> Vec<String> {
        let envs = page["envs"].as_array().unwrap().iter();
        envs.map(|e| e["env_id"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = client.get("/v1/envs?limit=2").json();
    assert_eq!(
        (ids(&first), &first["next"]),
        (vec!["a".into(), "b".into()], &json!("b"))
    );
    let second = client.get("/v1/envs?limit=2&after=b").json();
    assert_eq!((ids(&second), second.get("next")), (vec!["c".into()], None));
    let vectors = client.get("/v1/vector-envs").json();
    assert_eq!(vectors["vector_envs"][0]["env_id"], "v");
    assert_eq!(client.get("/v1/envs?limit=x").status, 400);
    assert_eq!(client.get("/v1/envs?page=1").status, 400);
}

/// The same seed and actions give the same trajectory in both encodings, alone and as a lane.
#[test]
fn every_way_of_playing_gives_the_same_trajectory() {
    const LANES: usize = 3;
    let client = Client::new();
    let kwargs = json!({"delay": 5, "delay_min": 2, "difficulty": 1});
    let vector = json!({"spec_id": "MemoryTask-v0", "kwargs": kwargs, "num_envs": LANES,
                        "autoreset_mode": "Disabled"});
    let mut trajectories = Vec::new();
    for (id, encoding) in [("j", Encoding::Json), ("m", Encoding::MessagePack)] {
        let path = format!("/v1/vector-envs/{id}");
        client.put(&path, vector.clone());
        let request = VectorResetRequest {
            seq: Some(0),
            seed: Some(env_protocol::Seed::First(41)),
            ..VectorResetRequest::default()
        };
        let reset = client.post_as(encoding, &format!("{path}/reset"), &request);
        let mut rows = vec![floats(reset.decode::<VectorResetReply>().observations)];
        for seq in 1..3 {
            let actions = Array::from_i64(vec![LANES], vec![1; LANES]).unwrap();
            let request = VectorStepRequest {
                seq: Some(seq),
                actions,
            };
            let reply = client.post_as(encoding, &format!("{path}/step"), &request);
            if reply.status == 409 {
                break;
            }
            let reply: VectorStepReply = reply.decode();
            rows.push(floats(reply.observations));
            rows.push(reply.rewards.to_f64s());
            rows.push(reply.terminations.to_f64s());
        }
        trajectories.push(rows);
    }
    assert_eq!(trajectories[0], trajectories[1]);
    for lane in 0..LANES {
        let path = format!("/v1/envs/{lane}");
        client.put(&path, json!({"spec_id": "MemoryTask-v0", "kwargs": kwargs}));
        let reset = client
            .post(&format!("{path}/reset"), json!({"seed": 41 + lane}))
            .json();
        let observation: Vec<f64> = serde_json::from_value(reset["observation"].clone()).unwrap();
        assert_eq!(observation, trajectories[0][0][3 * lane..3 * lane + 3]);
        let step = client
            .post(&format!("{path}/step"), json!({"action": 1}))
            .json();
        let observation: Vec<f64> = serde_json::from_value(step["observation"].clone()).unwrap();
        assert_eq!(observation, trajectories[0][1][3 * lane..3 * lane + 3]);
    }
}

fn floats(value: env_protocol::Value) -> Vec<f64> {
    value.into_array().expect("an array").to_f64s()
}

/// The form of a batch in MessagePack, down to the types.
#[test]
fn messagepack_batches_are_typed() {
    let client = Client::new();
    let body = json!({"spec_id": "MemoryTask-v0", "num_envs": 2, "kwargs": {"delay": 1},
                      "autoreset_mode": "SameStep", "seed": 1});
    client.put("/v1/vector-envs/v", body);
    client.post("/v1/vector-envs/v/reset", json!({}));
    // Any integer type is accepted, and so is a plain list.
    let typed = b"\x81\xa7actions\x83\xa5dtype\xa4int8\xa5shape\x91\x02\xa4data\xc4\x02\x01\x00";
    let plain = b"\x81\xa7actions\x92\x01\x00";
    for body in [&typed[..], &plain[..]] {
        let msgpack = ["content-type: application/vnd.msgpack"];
        let reply = client.send("POST", "/v1/vector-envs/v/step", &msgpack, body.to_vec());
        assert_eq!(reply.header("content-type"), "application/vnd.msgpack");
        let reply: VectorStepReply = reply.decode();
        let observations = reply.observations.into_array().unwrap();
        assert_eq!(observations.shape(), [2, 3]);
        assert!(matches!(observations.data(), Data::Float32(_)));
        assert!(matches!(reply.rewards.data(), Data::Float64(_)));
        assert_eq!(reply.terminations, Array::mask(vec![true, true]));
        assert_eq!(reply.truncations, Array::mask(vec![false, false]));
        let last = reply.infos["final_obs"].as_array().unwrap();
        assert_eq!(last, &Array::from_f32(vec![2, 3], vec![0.0; 6]).unwrap());
        assert_eq!(
            reply.infos["_final_obs"].as_array().unwrap(),
            &reply.terminations
        );
    }
    // Accept takes precedence over Content-Type.
    let headers = [
        "content-type: application/vnd.msgpack",
        "accept: application/json",
    ];
    let reply = client.send("POST", "/v1/vector-envs/v/step", &headers, plain.to_vec());
    assert_eq!(reply.json()["seq"], 4);
}

#[test]
fn reset_options_hold_for_the_episodes_that_begin_with_them() {
    let client = Client::new();
    client.put(
        "/v1/envs/e",
        json!({"spec_id": "MemoryTask-v0", "kwargs": {"delay": 2}}),
    );
    let episode_length = |options: Value| {
        client
            .post("/v1/envs/e/reset", json!({"options": options}))
            .json();
        let mut steps = 0;
        loop {
            steps += 1;
            let reply = client.post("/v1/envs/e/step", json!({"action": 0})).json();
            if reply["terminated"] == true {
                return steps;
            }
        }
    };
    assert_eq!(episode_length(json!({"delay": 5})), 5);
    assert_eq!(episode_length(json!({})), 2);
    assert!((3..=4).contains(&episode_length(json!({"delay": 4, "delay_min": 3}))));
}

#[test]
fn health_version_specs_and_problems_are_answered() {
    let client = Client::new();
    assert_eq!(client.get("/healthz").json(), json!({"status": "ok"}));
    assert_eq!(client.get("/readyz").json(), json!({"status": "ok"}));
    assert_eq!(client.get("/v1/version").json()["snapshot_version"], 1);
    let specs = client.get("/v1/specs").json();
    let spec = client.get("/v1/specs/MemoryTask-v0").json();
    assert_eq!(specs["specs"][0], spec);
    assert_eq!(spec["solved_threshold"], 0.95);
    let explained = client.get("/problems/seq-conflict");
    assert!(String::from_utf8_lossy(&explained.body).contains("expected_seq"));
}

/// A solved threshold belongs to the arguments: the catalogue has that of the default ones.
#[test]
fn a_spec_can_be_described_for_other_arguments() {
    let client = Client::new();
    let ask = |spec_id: &str, body: Value| client.post(&format!("/v1/specs/{spec_id}"), body);
    let threshold = |spec_id: &str, kwargs: Value| {
        let spec = ask(spec_id, json!({ "kwargs": kwargs })).json();
        assert_eq!(spec["id"], spec_id);
        spec.get("solved_threshold").cloned()
    };
    assert_eq!(
        ask("MemoryTask-v0", json!({})).json(),
        client.get("/v1/specs/MemoryTask-v0").json()
    );
    // 0.95 * 0.528, the return of the best player measured at the level.
    assert_eq!(threshold("HigherLower-v0", json!({})), Some(json!(0.502)));
    // Random actions earn 1.02, and the bonus arm 1.1.
    let chain = json!({"mapping_seed": 3});
    assert_eq!(
        threshold("BsuiteDiscountingChain-v0", chain),
        Some(json!(1.096))
    );
    // With custom penalties, the return of random actions is unknown, and so is the best one.
    let odd = json!({"corridor_length": 2000, "penalty": 0.5});
    assert_eq!(threshold("TMazePassive-v0", odd), None);
    let limited = json!({"max_episode_steps": 2});
    assert_eq!(threshold("MemoryTask-v0", limited), None);
    let refused = ask("MemoryTask-v0", json!({"kwargs": {"delay": 0}}));
    assert_eq!(refused.problem().code, ErrorCode::InvalidKwargs);
    assert_eq!(ask("None-v0", json!({})).status, 404);
}

/// The documentation page contains everything it needs.
#[test]
fn docs_need_no_other_host() {
    let client = Client::new();
    let page = client.get("/docs/");
    let html = String::from_utf8_lossy(&page.body).into_owned();
    let mut sources = html
        .split(['"', '\''])
        .filter(|s| s.ends_with(".js") || s.ends_with(".css"));
    assert!(sources.clone().count() >= 3, "{html}");
    assert!(sources.all(|source| {
        let path = format!("/docs/{}", source.trim_start_matches("./"));
        !source.contains("//") && client.get(&path).status == 200
    }));
}
