//! Leases: what nobody plays goes away, and says so.

use std::thread::sleep;
use std::time::Duration;

use serde_json::json;

use crate::client::Client;

const ENV: &str = "/v1/envs/e";

fn create(client: &Client, ttl_s: u64) {
    let body = json!({"spec_id": "MemoryTask-v0", "ttl_s": ttl_s});
    assert_eq!(client.put(ENV, body).status, 201);
}

#[test]
fn an_expired_environment_is_gone_and_says_so() {
    let client = Client::new();
    create(&client, 1);
    client.post(&format!("{ENV}/reset"), json!({})).json();
    sleep(Duration::from_millis(1_050));
    let expired = (410, "lease-expired".to_owned());
    assert_eq!(
        client
            .post(&format!("{ENV}/step"), json!({"action": 0}))
            .failure(),
        expired
    );
    assert_eq!(client.get(ENV).failure(), expired);
    assert_eq!(
        client.post(&format!("{ENV}/lease"), json!({})).failure(),
        expired
    );
    // Its id is not free yet, closing it is no error, and it is in no list.
    let again = json!({"spec_id": "MemoryTask-v0", "ttl_s": 1});
    assert_eq!(client.put(ENV, again.clone()).failure(), expired);
    assert_eq!(client.delete(ENV).status, 204);
    assert_eq!(client.get("/v1/envs").json()["envs"], json!([]));
    // The tombstone lives as long as a lease.
    sleep(Duration::from_millis(1_050));
    assert_eq!(client.put(ENV, again).status, 201);
}

#[test]
fn operations_and_renewals_keep_it_alive() {
    let client = Client::new();
    create(&client, 1);
    for _ in 0..3 {
        sleep(Duration::from_millis(600));
        client.post(&format!("{ENV}/reset"), json!({})).json();
        sleep(Duration::from_millis(600));
        let lease = client.post(&format!("{ENV}/lease"), json!({})).json();
        assert_eq!(lease, json!({"ttl_s": 1, "expires_in_s": 1}));
    }
    let lease = client
        .post(&format!("{ENV}/lease"), json!({"ttl_s": 600}))
        .json();
    assert_eq!(lease, json!({"ttl_s": 600, "expires_in_s": 600}));
    assert_eq!(client.get(ENV).json()["ttl_s"], 600);
}

#[test]
fn a_lease_out_of_range_is_refused() {
    let client = Client::new();
    for ttl_s in [0, u64::MAX] {
        let body = json!({"spec_id": "MemoryTask-v0", "ttl_s": ttl_s});
        let problem = client.put(ENV, body).problem();
        assert_eq!(
            (problem.status, problem.code.as_str()),
            (422, "invalid-ttl")
        );
        assert_eq!(problem.errors[0].pointer, "/ttl_s");
    }
    create(&client, 60);
    let refused = client.post(&format!("{ENV}/lease"), json!({"ttl_s": 0}));
    assert_eq!(refused.failure(), (422, "invalid-ttl".to_owned()));
    assert_eq!(client.get(ENV).json()["ttl_s"], 60);
}
