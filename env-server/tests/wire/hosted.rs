//! Environments of hosts, over HTTP: they are like any other, and a host that misbehaves hurts its
//! own sessions alone.

use std::path::Path;
use std::time::Duration;

use env_server::ServerConfig;
use env_server::hosts::{Host, Limits};
use serde_json::{Value, json};

use crate::client::Client;

const LANES: usize = 3;

fn limits() -> Limits {
    Limits {
        start: Duration::from_secs(20),
        step: Duration::from_secs(2),
        memory_bytes: 200 << 20,
        ..Limits::default()
    }
}

fn open(arguments: &str, limits: Limits) -> Host {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hosts/fickle.py");
    let host = Host::open("test", &format!("python3 {program} {arguments}"), limits);
    host.expect("a host")
}

fn config(host: &Host) -> ServerConfig {
    ServerConfig {
        hosts: vec![host.clone()],
        ..ServerConfig::default()
    }
}

fn server(arguments: &str) -> Client {
    Client::with(config(&open(arguments, limits())))
}

fn create(client: &Client, mode: &str) -> Value {
    let body =
        json!({"spec_id": "test/Count-v0", "num_envs": LANES, "seed": 7, "autoreset_mode": mode});
    let reply = client.put("/v1/vector-envs/e", body);
    assert!(matches!(reply.status, 200 | 201), "{reply:?}");
    reply.json()
}

fn reset(client: &Client) -> Value {
    let reply = client.post("/v1/vector-envs/e/reset", json!({"seq": 0}));
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()
}

/// Takes the step with this number; the status and the body.
fn step(client: &Client, seq: u64) -> (u16, Value) {
    let actions: Vec<u64> = (0..LANES as u64).map(|lane| (seq + lane) % 4).collect();
    let body = json!({"seq": seq, "actions": actions});
    let reply = client.post("/v1/vector-envs/e/step", body);
    let body = serde_json::from_slice(&reply.body);
    (reply.status, body.expect("a document"))
}

/// Plays so many operations from the beginning, and returns all replies.
fn play(client: &Client, mode: &str, operations: u64) -> Vec<Value> {
    create(client, mode);
    let mut replies = vec![reset(client)];
    for seq in 1..operations {
        let (status, reply) = step(client, seq);
        assert_eq!(status, 200, "operation {seq}: {reply}");
        replies.push(reply);
    }
    replies
}

#[test]
fn a_hosted_environment_is_in_the_catalogue() {
    let client = server("");
    let specs = client.get("/v1/specs").json();
    let mut ids = specs["specs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|spec| &spec["id"]);
    assert_eq!(ids.next_back().unwrap(), "test/Count-v0");
    let spec = client.get("/v1/specs/test%2FCount-v0").json();
    assert_eq!(spec["parameters"][0]["name"], "bonus");
    let unknown = client.put("/v1/envs/x", json!({"spec_id": "test/Cuont-v0"}));
    assert_eq!(unknown.status, 404);
    assert!(unknown.problem().detail.contains("test/Count-v0"));
}

#[test]
fn lanes_are_seeded_stepped_and_reset_in_all_modes() {
    let rows = |reply: &Value| reply["observations"].clone();
    let client = server("");
    let replies = play(&client, "NextStep", 8);
    assert_eq!(
        rows(&replies[0]),
        json!([[7.0, 0.0], [8.0, 0.0], [9.0, 0.0]])
    );
    assert_eq!(
        rows(&replies[1]),
        json!([[7.0, 1.0], [8.0, 1.0], [9.0, 1.0]])
    );
    assert_eq!(replies[1]["rewards"], json!([1.0, 2.0, 3.0]));
    assert_eq!(replies[5]["terminations"], json!([true, true, true]));
    assert_eq!(
        rows(&replies[6]),
        json!([[8.0, 0.0], [9.0, 0.0], [10.0, 0.0]])
    );
    assert_eq!(replies[6]["rewards"], json!([0.0, 0.0, 0.0]));
    assert_eq!(replies[7]["rewards"], json!([3.0, 0.0, 1.0]));

    let client = server("");
    let replies = play(&client, "SameStep", 6);
    assert_eq!(
        rows(&replies[5]),
        json!([[8.0, 0.0], [9.0, 0.0], [10.0, 0.0]])
    );
    let infos = &replies[5]["infos"];
    assert_eq!(
        infos["final_obs"],
        json!([[7.0, 5.0], [8.0, 5.0], [9.0, 5.0]])
    );
    assert_eq!(infos["_final_obs"], json!([true, true, true]));

    let client = server("");
    play(&client, "Disabled", 6);
    let (status, problem) = step(&client, 6);
    assert_eq!((status, &problem["code"]), (409, &json!("needs-reset")));
    let mask = json!({"seq": 6, "options": {"reset_mask": [false, true, true]}});
    let reply = client.post("/v1/vector-envs/e/reset", mask).json();
    assert_eq!(rows(&reply), json!([[7.0, 5.0], [9.0, 0.0], [10.0, 0.0]]));
}

#[test]
fn one_environment_has_rows_without_lanes() {
    let client = server("");
    client.put(
        "/v1/envs/e",
        json!({"spec_id": "test/Count-v0", "kwargs": {"bonus": 0.5}, "seed": 1}),
    );
    let reply = client.post("/v1/envs/e/reset", json!({})).json();
    assert_eq!(reply["observation"], json!([1.0, 0.0]));
    let reply = client.post("/v1/envs/e/step", json!({"action": 3})).json();
    assert_eq!(reply["observation"], json!([1.0, 1.0]));
    assert_eq!(reply["reward"], 3.5);
}

#[test]
fn requests_are_checked_before_the_host_sees_them() {
    let client = server("");
    create(&client, "NextStep");
    assert_eq!(step(&client, 0).1["code"], "needs-reset");
    reset(&client);
    let body = json!({"actions": [0, 4, 0]});
    let problem = client.post("/v1/vector-envs/e/step", body).problem();
    assert_eq!(problem.errors[0].pointer, "/actions/1");
    let body = json!({"options": {"bonus": 1.0}});
    let problem = client.post("/v1/vector-envs/e/reset", body).problem();
    assert_eq!(problem.code.as_str(), "invalid-options");
    for (kwargs, expected) in [
        (json!({"bonus": 10.0}), "a number from 0 to 9"),
        (json!({"bonus": 9.0}), "nine is too much"),
        (json!({"other": 1}), "unknown"),
    ] {
        let body = json!({"spec_id": "test/Count-v0", "kwargs": kwargs});
        let problem = client.put("/v1/envs/x", body).problem();
        assert_eq!(problem.code.as_str(), "invalid-kwargs");
        assert!(problem.detail.contains(expected), "{}", problem.detail);
    }
    // Nothing of this changed the environment.
    assert_eq!(step(&client, 1).0, 200);
    for path in ["snapshot", "trajectory"] {
        let reply = client.get(&format!("/v1/vector-envs/e/{path}"));
        assert_eq!(reply.status, 501, "{reply:?}");
    }
}

#[test]
fn old_operations_are_answered_again() {
    let client = server("");
    let replies = play(&client, "NextStep", 20);
    for seq in [19, 3, 4, 12] {
        assert_eq!(step(&client, seq), (200, replies[seq as usize].clone()));
    }
}

#[test]
fn lanes_are_divided_among_processes() {
    let whole = play(&server(""), "SameStep", 23);
    let limits = Limits {
        processes: 2,
        ..limits()
    };
    let host = open("", limits);
    let client = Client::with(config(&host));
    assert_eq!(play(&client, "SameStep", 23), whole);
    assert_eq!(host.process_ids().len(), 2);
}

/// Plays with a fault in the fourth step, once; returns the replies.
fn with_fault(arguments: &str, fault: &str, processes: usize) -> Vec<Value> {
    let dir = tempfile::tempdir().unwrap();
    let once = dir.path().join("once");
    let limits = Limits {
        processes,
        ..limits()
    };
    let arguments = format!("{arguments} --fault {fault}:4 --once {}", once.display());
    let replies = play(
        &Client::with(config(&open(&arguments, limits))),
        "NextStep",
        12,
    );
    assert!(once.exists(), "the fault happened");
    replies
}

#[test]
fn a_failure_is_repaired_and_changes_nothing() {
    let untroubled = play(&server(""), "NextStep", 12);
    let faults = [
        "exit",
        "kill",
        "hang",
        "garbage",
        "short",
        "huge",
        "memory",
        "nan",
        "outside",
        "shape",
        "dtype",
        "reward",
        "flags",
        "exception",
    ];
    for fault in faults {
        for kind in ["", "--no-save", "--not-deterministic"] {
            // Those that take long do so once.
            if kind.is_empty() || !matches!(fault, "hang" | "memory" | "huge") {
                assert_eq!(with_fault(kind, fault, 1), untroubled, "{fault} {kind}");
            }
        }
    }
    for fault in ["kill", "exception", "hang"] {
        assert_eq!(with_fault("", fault, 2), untroubled, "{fault}");
    }
}

#[test]
fn a_failure_that_cannot_be_repaired_names_host_call_and_last_lines() {
    for (arguments, expected) in [
        (
            "--fault exit:4",
            "host \"test\", call step: the process ended with exit status: 3; the last lines of its standard error: about to exit",
        ),
        (
            "--fault exception:4",
            "ValueError: it does not like this action",
        ),
        (
            "--fault outside:4",
            "number 0 of lane 0 is 1000000, which is not in [0, 100000]",
        ),
        ("--fault kill:4 --no-save --not-deterministic", "signal: 9"),
    ] {
        let client = server(arguments);
        let created = create(&client, "NextStep");
        let is_durable = !arguments.contains("--not-deterministic");
        assert_eq!(created.get("durable").is_none(), is_durable, "{created}");
        reset(&client);
        let lost = (1..=4)
            .map(|seq| step(&client, seq))
            .find(|(status, _)| *status != 200);
        let (status, problem) = lost.unwrap_or_else(|| panic!("it does not fail: {arguments}"));
        assert_eq!(
            (status, &problem["code"]),
            (410, &json!("env-lost")),
            "{arguments}"
        );
        assert!(
            problem["detail"].as_str().unwrap().contains(expected),
            "{problem}"
        );
        // It stays so, and another environment can be made.
        assert_eq!(step(&client, 4).1["code"], "env-lost");
        let body = json!({"spec_id": "test/Count-v0"});
        assert_eq!(client.put("/v1/envs/other", body).status, 201);
    }
}

#[test]
fn other_answers_after_a_repair_end_the_session() {
    let dir = tempfile::tempdir().unwrap();
    let once = dir.path().join("once");
    let client = server(&format!(
        "--no-save --fault different:4 --once {}",
        once.display()
    ));
    create(&client, "NextStep");
    reset(&client);
    let lost = (1..6)
        .map(|seq| step(&client, seq))
        .find(|(status, _)| *status != 200);
    let (status, problem) = lost.expect("it is noticed");
    assert_eq!(status, 410);
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("not-reproducible: the answer to operation 0"),
        "{detail}"
    );
}

#[test]
fn hosts_that_do_not_start_again_or_close_hold_nobody_up() {
    let dir = tempfile::tempdir().unwrap();
    let once = dir.path().join("once");
    let limits = Limits {
        start: Duration::from_secs(1),
        step: Duration::from_secs(1),
        ..limits()
    };
    let arguments = format!("--fault mute-again:4 --once {}", once.display());
    // The first start may take longer than a second on a busy machine.
    let host = open(
        &arguments,
        Limits {
            start: Duration::from_secs(5),
            ..limits.clone()
        },
    );
    let client = Client::with(config(&host));
    create(&client, "NextStep");
    reset(&client);
    (1..4).for_each(|seq| assert_eq!(step(&client, seq).0, 200));
    let (status, problem) = step(&client, 4);
    assert_eq!(status, 410, "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("no answer in time"), "{detail}");

    let client = Client::with(config(&open("--fault hang-in-close", limits)));
    create(&client, "NextStep");
    assert_eq!(client.delete("/v1/vector-envs/e").status, 204);
    std::thread::sleep(Duration::from_secs(3));
    let body = json!({"spec_id": "test/Count-v0"});
    assert_eq!(client.put("/v1/envs/other", body).status, 201);
}

fn in_folder(host: &Host, dir: &Path) -> Client {
    Client::with(ServerConfig {
        data_dir: Some(dir.to_owned()),
        ..config(host)
    })
}

#[test]
fn sessions_survive_the_server_and_their_digests_too() {
    let untroubled = play(&server(""), "NextStep", 30);
    for arguments in ["", "--no-save"] {
        let dir = tempfile::tempdir().unwrap();
        let host = open(arguments, limits());
        let mut replies = play(&in_folder(&host, dir.path()), "NextStep", 10);
        for seq in 10..30 {
            // Another server each time, as after a crash.
            let (status, reply) = step(&in_folder(&host, dir.path()), seq);
            assert_eq!(status, 200, "{reply}");
            replies.push(reply);
        }
        assert_eq!(replies, untroubled);
    }
    // The second host answers otherwise.
    let dir = tempfile::tempdir().unwrap();
    play(
        &in_folder(&open("--no-save", limits()), dir.path()),
        "NextStep",
        10,
    );
    let once = dir.path().join("exists");
    std::fs::write(&once, "").unwrap();
    let other = open(
        &format!("--no-save --fault different --once {}", once.display()),
        limits(),
    );
    let (status, problem) = step(&in_folder(&other, dir.path()), 10);
    assert_eq!((status, &problem["code"]), (410, &json!("env-lost")));
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("not-reproducible: "), "{detail}");
}

#[test]
fn a_host_that_cannot_be_used_is_refused_at_once() {
    let mute = Limits {
        start: Duration::from_millis(300),
        ..limits()
    };
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hosts/fickle.py");
    for (name, command, expected) in [
        (
            "test",
            format!("python3 {program} --fault mute"),
            "no answer in time",
        ),
        (
            "test",
            "python3 -c 1".to_owned(),
            "call hello: the process ended with exit status: 0",
        ),
        (
            "test",
            "no-such-program".to_owned(),
            "there is no program \"no-such-program\"",
        ),
        (
            "test",
            "python3 'a".to_owned(),
            "a quotation mark is not closed",
        ),
        ("a/b", "python3".to_owned(), "a name has 1 to 32"),
        (
            "test",
            format!("python3 {program} --spec 'a b'"),
            "an id has 1 to 96",
        ),
    ] {
        let error = Host::open(name, &command, mute.clone())
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
    }
}
