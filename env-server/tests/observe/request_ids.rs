//! Every reply carries the id of its request.

use crate::client::Client;

fn id_of(client: &Client, path: &str, headers: &[&str]) -> String {
    let reply = client.send("GET", path, headers, Vec::new());
    reply.header("x-request-id").to_owned()
}

#[test]
fn a_clients_id_is_returned() {
    let client = Client::new();
    for path in ["/healthz", "/v1/envs/nobody", "/nowhere", "/openapi.json"] {
        let id = id_of(&client, path, &["x-request-id: run-7.step_12"]);
        assert_eq!(id, "run-7.step_12", "{path}");
    }
}

#[test]
fn a_request_without_an_id_gets_a_new_one() {
    let client = Client::new();
    let (first, second) = (
        id_of(&client, "/healthz", &[]),
        id_of(&client, "/healthz", &[]),
    );
    assert!(
        first.ends_with("-1") && second.ends_with("-2"),
        "{first} {second}"
    );
    assert_eq!(
        first.split_once('-').map(|x| x.0),
        second.split_once('-').map(|x| x.0)
    );
}

#[test]
fn an_unsafe_id_is_replaced() {
    let client = Client::new();
    let long = format!("x-request-id: {}", "a".repeat(65));
    let mut seen = Vec::new();
    for bad in [
        "x-request-id: a b",
        "x-request-id: \"}",
        "x-request-id: é",
        &long,
    ] {
        let id = id_of(&client, "/healthz", &[bad]);
        let is_ours = id.len() <= 64 && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        assert!(is_ours, "{bad} gave {id}");
        seen.push(id);
    }
    seen.dedup();
    assert_eq!(seen.len(), 4);
}
