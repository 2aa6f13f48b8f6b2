//! Which requests count as repetitions.

use serde_json::json;

use crate::client::Client;

/// The same body means the same content: an encoding, an integer type or an omitted default does
/// not matter.
#[test]
fn bodies_are_compared_by_content() {
    let client = Client::new();
    let path = "/v1/vector-envs/v";
    client.put(path, json!({"spec_id": "MemoryTask-v0", "num_envs": 2}));
    client
        .post(
            &format!("{path}/reset"),
            json!({"seq": 0, "seed": 1, "options": {}}),
        )
        .json();
    let again = client.post(&format!("{path}/reset"), json!({"seed": 1, "seq": 0}));
    assert_eq!(again.header("idempotency-replayed"), "true");

    let step = format!("{path}/step");
    let first = client
        .post(&step, json!({"seq": 1, "actions": [1, 0]}))
        .json();
    let int8 = b"\x82\xa3seq\x01\xa7actions\x83\xa5shape\x91\x02\xa5dtype\xa5uint8\xa4data\xc4\x02\x01\x00";
    let headers = [
        "content-type: application/vnd.msgpack",
        "accept: application/json",
    ];
    let again = client.send("POST", &step, &headers, int8.to_vec());
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.json(), first);
    let other = client.post(&step, json!({"seq": 1, "actions": [0, 0]}));
    assert_eq!(other.failure(), (422, "seq-reused".to_owned()));
    let other_operation = client.post(&format!("{path}/reset"), json!({"seq": 1}));
    assert_eq!(other_operation.failure(), (422, "seq-reused".to_owned()));
}
