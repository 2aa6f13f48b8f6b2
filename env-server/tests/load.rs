//! Resources that clients leave behind are reclaimed. `scripts/load` tests this at full size, and
//! measures it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use gauges::Gauges;
use support::Server;
use wave::{Scale, Task, Wave};

#[path = "../benches/load/gauges.rs"]
mod gauges;
#[path = "../benches/support/mod.rs"]
#[expect(dead_code, reason = "benches share it and need different parts")]
mod support;
#[path = "../benches/load/wave.rs"]
mod wave;

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(120);

const SCALE: Scale = Scale {
    environments: 1_000,
    connections: 100,
    ttl_s: 5,
    creations_per_s: 1e6,
};

fn server(settings: &str) -> Server {
    let settings: Vec<_> = settings.split(' ').map(str::to_owned).collect();
    Server::ours(&settings)
}

#[test]
fn abandoned_environments_and_half_open_connections_are_reclaimed() {
    let server = server("--header-timeout-ms 3000 --idle-timeout-ms 3000");
    let tasks = Task::all(&server.address);
    for name in ["first", "second"] {
        let wave = Wave::begin(&server.address, SCALE, &tasks, name);
        assert_eq!(wave.answers.errors, [""; 0]);
        assert_eq!(wave.answers.created, SCALE.environments);
        assert_eq!(wave.end(PATIENCE), 0, "half-open connections left open");
        let only_me = Gauges {
            environments: 0,
            connections: 1,
        };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let held = Gauges::read(&server.address);
            if held == only_me {
                break;
            }
            assert!(Instant::now() < deadline, "{held:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

#[test]
fn creations_over_the_limit_are_refused_with_a_time_to_retry() {
    let server = server("--max-envs 900");
    let tasks = Task::all(&server.address);
    let scale = Scale {
        ttl_s: PATIENCE.as_secs(),
        ..SCALE
    };
    let wave = Wave::begin(&server.address, scale, &tasks, "wave");
    assert_eq!(wave.answers.errors, [""; 0]);
    assert_eq!(wave.answers.created, 900);
    assert_eq!(wave.answers.refusals, BTreeMap::from([(429, 100)]));
}
