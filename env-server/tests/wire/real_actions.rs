//! Actions that are real numbers: what is accepted, what is refused, and that a refusal changes nothing.

use env_protocol::{Array, Encoding, StepRequest};
use serde_json::{Value as Json, json};

use crate::client::Client;

/// Makes a pendulum that shows its previous action, and resets it. Returns its path.
fn pendulum(client: &Client) -> String {
    let body = json!({"spec_id": "PositionOnlyPendulum-v0", "seed": 1, "kwargs": {"previous_action": true}});
    let path = client.post("/v1/envs", body).header("location").to_owned();
    client.post(&format!("{path}/reset"), json!({})).json();
    path
}

fn previous_action(reply: &Json) -> f64 {
    let action = &reply["observation"]["previous_action"][0];
    action.as_f64().expect("a number")
}

#[test]
fn numbers_are_rounded_to_float32_and_never_clipped() {
    let client = Client::new();
    let path = format!("{}/step", pendulum(&client));
    // An integer, the bounds, a number that is no float32, and one that rounds to a bound.
    for (action, rounded) in [
        (json!([1]), 1.0),
        (json!([-2.0]), -2.0),
        (json!([2]), 2.0),
        (json!([0.1]), 0.1),
        (json!([2.000_000_01]), 2.0),
    ] {
        let reply = client.post(&path, json!({"action": action})).json();
        assert_eq!(previous_action(&reply), rounded, "{action}");
    }
}

#[test]
fn what_is_no_action_is_refused_and_changes_nothing() {
    let client = Client::new();
    let path = pendulum(&client);
    let before = client.get(&format!("{path}/snapshot")).json();
    for (action, code, pointer) in [
        (json!(0.5), "invalid-action", "/action"),
        (json!([]), "invalid-action", "/action"),
        (json!([0.0, 1.0]), "invalid-action", "/action"),
        (json!([[0.5]]), "invalid-action", "/action"),
        (json!([true]), "invalid-action", "/action"),
        (json!([2.5]), "invalid-action", "/action/0"),
        (json!([-2.000_000_3]), "invalid-action", "/action/0"),
        (json!([1e300]), "invalid-action", "/action/0"),
        (json!(["2"]), "invalid-body", "/action/0"),
        (json!([null]), "invalid-body", "/action/0"),
    ] {
        let reply = client.post(&format!("{path}/step"), json!({"action": action}));
        let problem = serde_json::to_value(reply.problem()).expect("plain data");
        assert_eq!(
            (reply.status, &problem["code"]),
            (422, &json!(code)),
            "{action}"
        );
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{action}");
    }
    for number in [f32::NAN, f32::INFINITY, 2.5] {
        let action = Array::from_f32(vec![1], vec![number]).expect("one number");
        let request = StepRequest { seq: None, action };
        let reply = client.post_as(Encoding::MessagePack, &format!("{path}/step"), &request);
        assert_eq!(reply.status, 422, "{number}");
    }
    assert_eq!(client.get(&format!("{path}/snapshot")).json(), before);
}

/// A retry has the same number in another form; a different number is another operation.
#[test]
fn a_retry_is_the_same_number_in_any_form() {
    let client = Client::new();
    let path = format!("{}/step", pendulum(&client));
    let first = client.post(&path, json!({"seq": 1, "action": [2]})).json();
    for same in [json!([2.0]), json!([2.000_000_01])] {
        let again = client.post(&path, json!({"seq": 1, "action": same})).json();
        assert_eq!(again, first);
    }
    let other = client.post(&path, json!({"seq": 1, "action": [1.5]}));
    assert_eq!(other.failure(), (422, "seq-reused".to_owned()));
}
