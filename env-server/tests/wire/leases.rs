//! Leases: unused environments end, and requests for them say so.

use std::time::Duration;

use env_server::{Clock, ServerConfig};
use serde_json::json;

use crate::client::Client;

const ENV: &str = "/v1/envs/e";

/// Starts a server, and returns its clock.
fn server() -> (Client, Clock) {
    let config = ServerConfig::default();
    let clock = config.clock.clone();
    (Client::with(config), clock)
}

fn create(client: &Client, ttl_s: u64) {
    let body = json!({"spec_id": "MemoryTask-v0", "ttl_s": ttl_s});
    assert_eq!(client.put(ENV, body).status, 201);
}

#[test]
fn an_expired_environment_answers_that_it_has_expired() {
    let (client, clock) = server();
    create(&client, 60);
    client.post(&format!("{ENV}/reset"), json!({})).json();
    clock.skip(Duration::from_secs(60));
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
    // Its id is not free yet, closing it again is not an error, and no list contains it.
    let again = json!({"spec_id": "MemoryTask-v0", "ttl_s": 60});
    assert_eq!(client.put(ENV, again.clone()).failure(), expired);
    assert_eq!(client.delete(ENV).status, 204);
    assert_eq!(client.get("/v1/envs").json()["envs"], json!([]));
    // The tombstone is kept for the length of a lease.
    clock.skip(Duration::from_secs(60));
    assert_eq!(client.put(ENV, again).status, 201);
}

#[test]
fn operations_and_renewals_keep_it_alive() {
    let (client, clock) = server();
    create(&client, 60);
    for _ in 0..3 {
        clock.skip(Duration::from_secs(40));
        client.post(&format!("{ENV}/reset"), json!({})).json();
        clock.skip(Duration::from_secs(40));
        let lease = client.post(&format!("{ENV}/lease"), json!({})).json();
        assert_eq!(lease, json!({"ttl_s": 60, "expires_in_s": 60}));
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

/// The same holds if its lease has expired unnoticed.
#[test]
fn an_expired_environment_is_not_created_again() {
    let (client, clock) = server();
    create(&client, 60);
    client
        .put("/v1/envs/f", json!({"spec_id": "MemoryTask-v0"}))
        .json();
    clock.skip(Duration::from_secs(60));
    let fork = json!({"env_id": "e"});
    let expired = (410, "lease-expired".to_owned());
    let forked = client.post("/v1/envs/f/fork", fork);
    assert_eq!(forked.failure(), expired);
    let again = json!({"spec_id": "MemoryTask-v0", "ttl_s": 60});
    assert_eq!(client.put(ENV, again).failure(), expired);
}
