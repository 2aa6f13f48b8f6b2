//! Tests of exactly-once from an agent's view: a training run that loses requests and replies ends
//! with the same bytes as an undisturbed one.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use agent::algorithms;
use agent::env::remote::{RemoteEnvConfig, RemoteVectorEnv, RetryPolicy};
use agent::env::selection::EnvSelection;
use agent::env::{EnvError, ResetRequest, VectorEnv};
use agent::overrides;
use agent::run::checkpoint::Checkpoint;
use agent::run::config::TrainConfig;
use agent::run::train::{TrainOptions, train};
use agent::views::monitor::Silent;
use end_to_end::{EmbeddedServer, FaultyProxy, MortalServer, serve_if_asked};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde_json::json;

fn environment(servers: Vec<String>, num_envs: usize) -> Result<RemoteVectorEnv, EnvError> {
    let kwargs = json!({"delay": 4, "difficulty": 1});
    RemoteVectorEnv::connect(&RemoteEnvConfig {
        servers,
        token: None,
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
    let overrides = overrides! {
        num_envs: 16,
        num_minibatches: 2,
        early_stop: false,
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
    for kind in [
        &faults.requests_lost,
        &faults.replies_lost,
        &faults.replies_cut,
        &faults.duplicated,
    ] {
        assert!(kind.load(Ordering::Relaxed) >= 3, "{faults:?}");
    }
    assert!(
        calm.to_bytes() == troubled.to_bytes(),
        "the weights differ after {faults:?}"
    );
}

/// Runs the server in a process that [`MortalServer`] starts; does nothing in any other.
#[test]
#[ignore = "a server for other tests"]
fn serve() {
    serve_if_asked();
}

/// Kills and restarts a server at random moments, `kills` times or until `stop` is set. Returns the
/// number of kills.
fn kill_over_and_over(server: &mut MortalServer, seed: u64, kills: u64, stop: &AtomicBool) -> u64 {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    for done in 0..kills {
        if stop.load(Ordering::Relaxed) {
            return done;
        }
        thread::sleep(Duration::from_millis(rng.random_range(2..40)));
        server.kill().expect("SIGKILL");
        server.restart().expect("it restarts");
    }
    kills
}

/// Plays until `is_over` is true for the number of steps; returns the replies to all steps.
fn trajectory(server: String, is_over: impl Fn(u64) -> bool) -> Vec<agent::env::StepReply> {
    let mut env = environment(vec![server], 3).expect("a server");
    let reset = ResetRequest {
        seeds: Some(vec![7, 8, 9]),
        ..ResetRequest::default()
    };
    env.reset(&reset).expect("reset");
    let mut steps = Vec::new();
    while !is_over(steps.len() as u64) {
        let t = steps.len() as u32;
        steps.push(env.step(&[t % 2, t / 2 % 2, 1]).expect("step"));
    }
    steps
}

/// Number of kills. `KILLS=200` runs the full test, which takes about a minute.
fn wanted_kills() -> u64 {
    let text = std::env::var("KILLS").ok();
    text.map_or(40, |text| text.parse().expect("KILLS is a number"))
}

/// Least number of steps of every player.
const LEAST_STEPS: u64 = 100;

/// Requests are lost, doubled, delayed and cut, replies are lost after their operations were
/// applied, and the server is killed repeatedly. The players must get the same replies as on an
/// undisturbed server, with every step applied once.
#[test]
fn trajectories_under_faults_equal_undisturbed_ones() {
    let data = tempfile::tempdir().expect("a directory");
    let mut server = MortalServer::start(data.path(), "serve").expect("a server");
    let proxy = FaultyProxy::start(&server.url(), 5).expect("a proxy");
    let (stop, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
    let begun = Instant::now();
    // On a busy machine a player may take few steps between the kills. It continues after the last
    // one.
    let has_played = |t| t >= LEAST_STEPS && is_over.load(Ordering::Relaxed);
    let (played, kills) = thread::scope(|scope| {
        let player = || trajectory(proxy.url(), has_played);
        let players: Vec<_> = (0..4).map(|_| scope.spawn(player)).collect();
        let kills = kill_over_and_over(&mut server, 1, wanted_kills(), &stop);
        is_over.store(true, Ordering::Relaxed);
        let played: Vec<_> = players
            .into_iter()
            .map(|p| p.join().expect("a player"))
            .collect();
        (played, kills)
    });
    let longest = played.iter().map(Vec::len).max().expect("players");
    println!(
        "{kills} kills and {:?} in {:?}; {} steps of 3 lanes",
        proxy.faults(),
        begun.elapsed(),
        played.iter().map(Vec::len).sum::<usize>()
    );
    let calm = EmbeddedServer::start().expect("a server");
    let expected = trajectory(calm.url().into(), |t| t == longest as u64);
    for steps in &played {
        assert!(steps.len() as u64 >= LEAST_STEPS);
        assert!(*steps == expected[..steps.len()], "a step differs");
    }
}

#[test]
fn training_under_kills_and_faults_ends_with_the_same_bytes() {
    let calm_server = EmbeddedServer::start().expect("a server");
    let calm = trained(vec![calm_server.url().into()]);
    let data = tempfile::tempdir().expect("a directory");
    let mut server = MortalServer::start(data.path(), "serve").expect("a server");
    let proxy = FaultyProxy::start(&server.url(), 13).expect("a proxy");
    let stop = AtomicBool::new(false);
    let killed = AtomicU64::new(0);
    let troubled = thread::scope(|scope| {
        let killer = scope.spawn(|| {
            let kills = kill_over_and_over(&mut server, 2, u64::MAX, &stop);
            killed.store(kills, Ordering::Relaxed);
        });
        let troubled = trained(vec![proxy.url()]);
        stop.store(true, Ordering::Relaxed);
        killer.join().expect("the killer");
        troubled
    });
    let kills = killed.load(Ordering::Relaxed);
    println!("{kills} kills and {:?}", proxy.faults());
    assert!(kills >= 5, "{kills}");
    assert!(calm.to_bytes() == troubled.to_bytes(), "the weights differ");
}

#[test]
fn spreading_lanes_over_two_servers_changes_no_reply() {
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
            "a restored state continues identically"
        );
        (begun, steps)
    };
    let alone = play(vec![first.url().into()]);
    assert_eq!(play(vec![first.url().into(), second.url().into()]), alone);
    assert!(alone.1.iter().any(|step| step.terminations.contains(&true)));
}

#[test]
fn a_missing_server_is_reported_clearly_and_soon() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let config = RemoteEnvConfig {
        servers: vec![url.clone()],
        token: None,
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
        .expect("no server listens")
        .to_string();
    assert!(
        error.contains(&url) && error.contains("Is the server running?"),
        "{error}"
    );
}
