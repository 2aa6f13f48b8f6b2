//! Exactly once, seen from an agent: a training run whose requests and replies are lost ends with the same bytes as a
//! calm one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agent::algorithms;
use agent::checkpoint::Checkpoint;
use agent::config::{EnvSelection, Overrides, TrainConfig};
use agent::env::remote::{RemoteEnvConfig, RemoteVectorEnv, RetryPolicy};
use agent::env::{EnvError, ResetRequest, VectorEnv};
use agent::monitor::Silent;
use agent::train::{TrainOptions, train};
use end_to_end::{EmbeddedServer, FaultyProxy};
use serde_json::json;

fn environment(servers: Vec<String>, num_envs: usize) -> Result<RemoteVectorEnv, EnvError> {
    let kwargs = json!({"delay": 4, "difficulty": 1});
    RemoteVectorEnv::connect(&RemoteEnvConfig {
        servers,
        spec_id: "MemoryTask-v0".into(),
        kwargs: kwargs.as_object().expect("an object").clone(),
        num_envs,
        retry: RetryPolicy {
            first_pause: Duration::from_millis(1),
            ..RetryPolicy::default()
        },
    })
}

fn trained(servers: Vec<String>) -> Checkpoint {
    let selection = EnvSelection {
        spec_id: "MemoryTask-v0".into(),
        kwargs: json!({"delay": 4, "difficulty": 1})
            .as_object()
            .expect("an object")
            .clone(),
        draws: Vec::new(),
    };
    let overrides = Overrides {
        num_envs: Some(16),
        num_minibatches: Some(2),
        early_stop: Some(false),
        ..Overrides::default()
    };
    let row = algorithms::find("tracerl").expect("a row of the table");
    let config =
        TrainConfig::resolve(row, &overrides, selection, 6_400, 3).expect("a valid configuration");
    let mut env = environment(servers, 16).expect("a server");
    let options = TrainOptions {
        out: None,
        checkpoint_interval: None,
        resume: None,
        stop: &AtomicBool::new(false),
    };
    train(&config, &mut env, options, &mut Silent)
        .expect("trained")
        .checkpoint
}

#[test]
fn a_training_run_under_faults_ends_with_the_same_bytes() {
    let server = EmbeddedServer::start().expect("a server");
    let calm = trained(vec![server.url().into()]);
    let proxy = FaultyProxy::start(server.url(), 11).expect("a proxy");
    let troubled = trained(vec![proxy.url()]);

    let faults = proxy.faults();
    assert!(
        faults.replies_lost.load(Ordering::Relaxed) >= 5,
        "{faults:?}"
    );
    assert!(faults.total() >= 10, "{faults:?}");
    assert!(
        calm.to_bytes() == troubled.to_bytes(),
        "the weights differ after {faults:?}"
    );
}

#[test]
fn dealing_lanes_over_two_servers_changes_nothing_that_is_seen() {
    let (first, second) = (
        EmbeddedServer::start().expect("a server"),
        EmbeddedServer::start().expect("a server"),
    );
    let play = |servers: Vec<String>| {
        let mut env = environment(servers, 5).expect("servers");
        let seeds = Some((40..45).collect());
        let begun = env
            .reset(&ResetRequest {
                seeds,
                ..ResetRequest::default()
            })
            .expect("reset");
        let steps: Vec<_> = (0..9)
            .map(|t| env.step(&[t % 2, 0, 1, 1, 0]).expect("step"))
            .collect();
        let snapshot = env.snapshot().expect("snapshot");
        let after = env.step(&[0; 5]).expect("step");
        env.restore(&snapshot).expect("restore");
        assert_eq!(
            env.step(&[0; 5]).expect("step"),
            after,
            "a restored state goes on as it did"
        );
        (begun, steps)
    };
    let alone = play(vec![first.url().into()]);
    assert_eq!(play(vec![first.url().into(), second.url().into()]), alone);
    assert!(alone.1.iter().any(|step| step.terminations.contains(&true)));
}

#[test]
fn a_server_that_is_not_there_is_a_clear_error_in_good_time() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let config = RemoteEnvConfig {
        servers: vec![url.clone()],
        spec_id: "MemoryTask-v0".into(),
        kwargs: serde_json::Map::new(),
        num_envs: 1,
        retry: RetryPolicy {
            give_up_after: Duration::from_millis(100),
            ..RetryPolicy::default()
        },
    };
    let error = RemoteVectorEnv::connect(&config)
        .err()
        .expect("nobody listens")
        .to_string();
    assert!(
        error.contains(&url) && error.contains("Is the server running?"),
        "{error}"
    );
}
