//! Invalid input: the right status, a message that names the error and its place, and no change.

use env_protocol::{Array, Encoding, VectorStepRequest};
use env_server::{Limits, ServerConfig, ServiceConfig};
use serde_json::{Value, json};

use crate::client::{Client, Reply};

/// A single environment `e` and a vector environment `v` of three lanes, both in an episode.
fn playing() -> Client {
    let client = Client::with(ServerConfig {
        service: ServiceConfig {
            max_body_bytes: 4_000,
            ..ServiceConfig::default()
        },
        limits: Limits {
            max_envs: 3,
            max_lanes_per_env: 8,
            max_lanes: 10,
            ..Limits::default()
        },
        ..ServerConfig::default()
    });
    client.put("/v1/envs/e", json!({"spec_id": "MemoryTask-v0"}));
    client.put(
        "/v1/vector-envs/v",
        json!({"spec_id": "MemoryTask-v0", "num_envs": 3}),
    );
    client.post("/v1/envs/e/reset", json!({"seed": 1}));
    client.post("/v1/vector-envs/v/reset", json!({"seed": 1}));
    client
}

/// Formats status, code, pointer and detail.
fn told(reply: &Reply) -> String {
    let problem = reply.problem();
    assert_eq!(&*problem.kind, format!("/problems/{}", problem.code));
    let pointers: Vec<_> = problem.errors.iter().map(|e| e.pointer.as_str()).collect();
    let place = match pointers.is_empty() {
        true => String::new(),
        false => format!(" at {:?}", pointers.join(", ")),
    };
    format!(
        "{} {}{place}: {}",
        problem.status, problem.code, problem.detail
    )
}

/// Paths and bodies of steps that are refused.
const BAD_STEPS: &[(&str, &str)] = &[
    ("/v1/envs/e/step", "{\"action\":0"),
    ("/v1/envs/e/step", "{\"action\":0} x"),
    ("/v1/envs/e/step", "[0]"),
    ("/v1/envs/e/step", "[1,0]"),
    ("/v1/envs/e/step", " \n[1,0]"),
    ("/v1/envs/e/step", "{}"),
    ("/v1/envs/e/step", "{\"action\":0,\"acton\":1}"),
    ("/v1/envs/e/step", "{\"action\":2}"),
    ("/v1/envs/e/step", "{\"action\":-1}"),
    ("/v1/envs/e/step", "{\"action\":1.0}"),
    ("/v1/envs/e/step", "{\"action\":NaN}"),
    ("/v1/envs/e/step", "{\"action\":null}"),
    ("/v1/envs/e/step", "{\"action\":\"left\"}"),
    ("/v1/envs/e/step", "{\"action\":true}"),
    ("/v1/envs/e/step", "{\"action\":[0]}"),
    ("/v1/envs/e/step", "{\"action\":9223372036854775808}"),
    ("/v1/envs/e/step", "{\"action\":{\"dtype\":\"int64\"}}"),
    ("/v1/envs/e/step", "{\"action\":0,\"seq\":-1}"),
    (
        "/v1/envs/e/step",
        "{\"action\":0,\"seq\":18446744073709551615}",
    ),
    ("/v1/envs/e/step", "{\"action\":0,\"seq\":7}"),
    ("/v1/envs/e/step", "{\"action\":0,\"seq\":0}"),
];

/// Paths and bodies of other requests that are refused.
const BAD_OTHERS: &[(&str, &str)] = &[
    ("/v1/envs/e/reset", "{\"seed\":-1}"),
    ("/v1/envs/e/reset", "{\"seed\":[1]}"),
    ("/v1/envs/e/reset", "{\"ttl_s\":1}"),
    ("/v1/envs/e/reset", "{\"options\":{\"delay\":0}}"),
    ("/v1/envs/e/reset", "{\"options\":{\"delay\":10000001}}"),
    ("/v1/envs/e/reset", "{\"options\":{\"difficulty\":1}}"),
    ("/v1/envs/e/reset", "{\"options\":{\"target\":1}}"),
    (
        "/v1/envs/e/reset",
        "{\"options\":{\"delay\":2,\"delay_min\":3}}",
    ),
    ("/v1/envs/e/reset", "{\"options\":{\"reset_mask\":[true]}}"),
    ("/v1/vector-envs/v/step", "{\"actions\":[0,1]}"),
    ("/v1/vector-envs/v/step", "{\"actions\":[0,1,2]}"),
    ("/v1/vector-envs/v/step", "{\"actions\":[0,0.5,1]}"),
    ("/v1/vector-envs/v/step", "{\"actions\":[[0],[1],[1]]}"),
    ("/v1/vector-envs/v/step", "{\"actions\":[0,1,\"x\"]}"),
    ("/v1/vector-envs/v/step", "{\"actions\":[[0],1,1]}"),
    ("/v1/vector-envs/v/step", "{\"actions\":[]}"),
    ("/v1/vector-envs/v/reset", "{\"seed\":[1,2]}"),
    (
        "/v1/vector-envs/v/reset",
        "{\"options\":{\"reset_mask\":[true]}}",
    ),
    (
        "/v1/vector-envs/v/reset",
        "{\"options\":{\"reset_mask\":[]}}",
    ),
    (
        "/v1/vector-envs/v/reset",
        "{\"options\":{\"reset_mask\":[false,false,false]}}",
    ),
    (
        "/v1/vector-envs/v/reset",
        "{\"options\":{\"reset_mask\":[1,0,0]}}",
    ),
    (
        "/v1/vector-envs/v/reset",
        "{\"options\":{\"reset_mask\":[true,false,1]}}",
    ),
    ("/v1/vector-envs/v/restore", "{\"snapshot\":{}}"),
];

#[test]
fn bad_bodies_are_told_apart() {
    let client = playing();
    let before = (
        client.get("/v1/envs/e/snapshot").json(),
        client.get("/v1/vector-envs/v/snapshot").json(),
    );
    let deep = format!("{{\"action\":{}", "[".repeat(1_000));
    let huge = format!("{{\"action\":0{}}}", " ".repeat(4_000));
    let long = [("/v1/envs/e/step", &*deep), ("/v1/envs/e/step", &huge)];
    let posts = BAD_STEPS.iter().chain(&long).chain(BAD_OTHERS);
    let mut report = String::new();
    for (path, body) in posts {
        let reply = client.post_text(path, body);
        let (path, shown) = (path.trim_start_matches("/v1"), &body[..body.len().min(60)]);
        report.push_str(&format!("{path} {shown}\n  {}\n", told(&reply)));
    }
    insta::assert_snapshot!(report);
    let after = (
        client.get("/v1/envs/e/snapshot").json(),
        client.get("/v1/vector-envs/v/snapshot").json(),
    );
    assert_eq!(after, before);
}

#[test]
fn bad_creations_are_told_apart() {
    let client = playing();
    let vector = |extra: Value| {
        let mut body = json!({"spec_id": "MemoryTask-v0", "num_envs": 2});
        body.as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        ("/v1/vector-envs", body)
    };
    let single = |kwargs: Value| {
        (
            "/v1/envs",
            json!({"spec_id": "MemoryTask-v0", "kwargs": kwargs}),
        )
    };
    let mut report = String::new();
    for (path, body) in [
        ("/v1/envs", json!({"spec_id": "Maze-v0"})),
        (
            "/v1/envs",
            json!({"spec_id": "MemoryTask-v0", "num_envs": 2}),
        ),
        ("/v1/envs", json!({"spec_id": 5})),
        single(json!({"delay": 0})),
        single(json!({"delay": 10_000_001})),
        single(json!({"delay": 2.5})),
        single(json!({"delay": "4"})),
        single(json!({"delay": 2, "delay_min": 3})),
        single(json!({"difficulty": 2})),
        single(json!({"a/b~c": 2})),
        vector(json!({"num_envs": 0})),
        vector(json!({"num_envs": 1_000_000_000})),
        vector(json!({"num_envs": 1e30})),
        vector(json!({"num_envs": 8})),
        vector(json!({"autoreset_mode": "Sometimes"})),
        vector(json!({"seed": [1, 2, 3]})),
        vector(json!({"seed": "x"})),
        vector(json!({"color": "red"})),
    ] {
        let reply = client.post(path, body.clone());
        report.push_str(&format!("{path} {body}\n  {}\n", told(&reply)));
    }
    for id in [".hidden", "a%20b", &"x".repeat(65)] {
        let reply = client.put(
            &format!("/v1/envs/{id}"),
            json!({"spec_id": "MemoryTask-v0"}),
        );
        report.push_str(&format!("PUT {id}\n  {}\n", told(&reply)));
    }
    insta::assert_snapshot!(report);
}

#[test]
fn typed_arrays_are_checked() {
    let client = playing();
    let step = "/v1/vector-envs/v/step";
    let post = |body: &[u8]| {
        let msgpack = ["content-type: application/vnd.msgpack"];
        told(&client.send("POST", step, &msgpack, body.to_vec()))
    };
    let floats = Array::vector(vec![f64::NAN, 0.0, 1.0]);
    let request = VectorStepRequest {
        seq: None,
        actions: floats,
    };
    let mut report = format!("NaN\n  {}\n", post(&Encoding::MessagePack.encode(&request)));
    for (name, array) in [
        ("short data", &b"\x83\xa5dtype\xa5int64\xa5shape\x91\x03\xa4data\xc4\x01\x00"[..]),
        ("whole but too few", b"\x83\xa5dtype\xa4int8\xa5shape\x91\x03\xa4data\xc4\x02\x00\x00"),
        (
            "overflowing shape",
            b"\x83\xa5dtype\xa4int8\xa5shape\x92\xcf\xff\xff\xff\xff\xff\xff\xff\xff\x02\xa4data\xc4\x00",
        ),
        ("unknown type", b"\x83\xa5dtype\xa4int9\xa5shape\x91\x01\xa4data\xc4\x01\x00"),
        ("unknown field", b"\x81\xa5order\xa1C"),
        ("no data", b"\x82\xa5dtype\xa4int8\xa5shape\x91\x03"),
        ("declared 4 GiB", b"\x83\xa5dtype\xa4int8\xa5shape\x91\x03\xa4data\xc6\xff\xff\xff\xff"),
        ("declared 4 G elements", b"\xdd\xff\xff\xff\xff"),
        ("text", b"\xa1x"),
        ("bytes", b"\xc4\x03\x00\x01\x00"),
        ("nil", b"\xc0"),
    ] {
        let body = [b"\x81\xa7actions", array].concat();
        report.push_str(&format!("{name}\n  {}\n", post(&body)));
    }
    report.push_str(&format!(
        "a list for a body\n  {}\n",
        post(b"\x92\x01\x93\x00\x00\x00")
    ));
    let deep = [b"\x81\xa7actions".to_vec(), vec![0x91; 2_000]].concat();
    report.push_str(&format!("deep\n  {}\n", post(&deep)));
    let trailing = b"\x81\xa7actions\x93\x00\x00\x00\x00";
    report.push_str(&format!("trailing\n  {}\n", post(trailing)));
    insta::assert_snapshot!(report);
}

/// MessagePack has numbers that JSON lacks. Converted to null they would omit an argument.
#[test]
fn numbers_that_are_not_finite_are_refused_with_their_place() {
    let client = playing();
    let msgpack = ["content-type: application/vnd.msgpack"];
    for (number, said) in [
        (&b"\xcb\x7f\xf8\0\0\0\0\0\0"[..], "NaN"),
        (b"\xcb\x7f\xf0\0\0\0\0\0\0", "inf"),
        (b"\xca\xff\x80\0\0", "-inf"),
    ] {
        let creation = b"\x82\xa7spec_id\xadMemoryTask-v0\xa6kwargs\x81\xb1observation_noise";
        let reset = b"\x81\xa7options\x81\xa5delay";
        for (path, body, place) in [
            ("/v1/envs", &creation[..], "/kwargs/observation_noise"),
            ("/v1/envs/e/reset", reset, "/options/delay"),
            ("/v1/vector-envs/v/reset", reset, "/options/delay"),
        ] {
            let reply = client.send("POST", path, &msgpack, [body, number].concat());
            let expected = format!(
                "422 invalid-body at {place:?}: invalid value: floating point `{said}`, expected a finite number"
            );
            assert_eq!(told(&reply), expected, "{path}");
        }
    }
}

#[test]
fn the_router_answers_with_problems_too() {
    let client = playing();
    let mut report = String::new();
    for (method, path, headers) in [
        ("GET", "/nowhere", &[][..]),
        ("GET", "/v1/envs/e/step", &[]),
        ("PATCH", "/v1/envs/e", &[]),
        ("GET", "/v1/envs/%ff", &[]),
        ("GET", "/v1/envs/v", &[]),
        ("GET", "/v1/specs/Maze-v0", &[]),
        ("GET", "/v1/envs/e", &["accept: text/html"]),
        ("POST", "/v1/envs/e/step", &["content-type: text/plain"]),
        ("POST", "/v1/envs/e/reset", &["accept: image/png"]),
        ("GET", "/docs/missing.js", &[]),
        ("GET", "/problems/boredom", &[]),
    ] {
        let reply = client.send(method, path, headers, Vec::new());
        report.push_str(&format!(
            "{method} {path} {headers:?}\n  {}\n",
            told(&reply)
        ));
        assert_eq!(reply.problem().instance.as_deref(), Some(path));
        if reply.status == 405 {
            report.push_str(&format!("  allow: {}\n", reply.header("allow")));
        }
    }
    insta::assert_snapshot!(report);
}

#[test]
fn quotas_are_enforced_and_freed_by_closing() {
    let client = playing();
    let create = |body: Value| client.post("/v1/vector-envs", body);
    let full = create(json!({"spec_id": "MemoryTask-v0", "num_envs": 7}));
    assert_eq!(
        full.failure(),
        (429, "quota-exceeded".to_owned()),
        "4 + 7 lanes of 10"
    );
    assert_eq!(full.header("retry-after"), "1");
    assert!(full.problem().retryable);
    let last = create(json!({"spec_id": "MemoryTask-v0", "num_envs": 6}));
    assert_eq!(last.status, 201);
    client.delete("/v1/vector-envs/v");
    assert_eq!(
        create(json!({"spec_id": "MemoryTask-v0", "num_envs": 3})).status,
        201
    );
    client.delete("/v1/envs/e");
    assert_eq!(
        create(json!({"spec_id": "MemoryTask-v0", "num_envs": 1})).status,
        201
    );
    let full = create(json!({"spec_id": "MemoryTask-v0", "num_envs": 1}));
    assert_eq!(
        full.failure(),
        (429, "quota-exceeded".to_owned()),
        "three environments"
    );
}

#[test]
fn a_whole_problem_document() {
    let client = playing();
    let reply = client.post("/v1/envs/e/step", json!({"seq": 9, "action": 0}));
    insta::assert_json_snapshot!(serde_json::from_slice::<Value>(&reply.body).unwrap());
}
