//! Sessions of environment servers: workers replace those that end during a pause, and a server that does not tell the state of
//! its environments is refused before a run has a folder.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use agent::run::collect::Workers;
use env_server::{Limits, ServerConfig};
use serde_json::json;
use workers::{CallError, Part, Pool, Request};

use crate::{Thread, alone, assert_equal, by_workers, config, support};

/// Longer than the lease of [`brief`].
const PAUSE: Duration = Duration::from_millis(2_200);

/// Starts a server whose environments live for a second without being used; returns its URL.
fn brief() -> String {
    let config = ServerConfig {
        limits: Limits {
            default_ttl_s: 1,
            ..Limits::default()
        },
        ..ServerConfig::default()
    };
    support::environments_of(config)
}

/// A pool that stands still before some of its calls.
struct Paused {
    pool: Arc<dyn Pool + Send + Sync>,
    calls: AtomicUsize,
    paused: [usize; 2],
}

impl Pool for Paused {
    fn call(
        &self,
        request: &Request,
        on_part: &mut dyn FnMut(Part<'_>),
        stop: &AtomicBool,
    ) -> Result<Vec<u8>, CallError> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        if self.paused.contains(&number) {
            std::thread::sleep(PAUSE);
        }
        self.pool.call(request, on_part, stop)
    }

    fn close(&self) {}

    fn kill_all(&self) {}
}

#[test]
fn environments_that_expire_during_a_pause_are_replaced_and_the_agent_is_the_same() {
    let task = json!({"delay": 5});
    let mut config = config("tracerl", "MemoryTask-v0", task, 48 * 16);
    let usual = support::environments();
    // With whole episodes a rollout has two calls, and the second continues what the first began.
    for whole_episodes in [false, true] {
        config.hyper = config
            .hyper
            .edited(|collection: &mut agent::experience::Collection| {
                collection.whole_episodes = whole_episodes;
            });
        let expected = alone(&config, &usual);
        let paused = Arc::new(Paused {
            pool: Thread::pool(usize::MAX),
            calls: AtomicUsize::new(0),
            // The first of the first group's calls begins the run.
            paused: [3, 6],
        });
        let workers = Workers {
            pools: vec![paused],
            servers: vec![brief()],
            on_lost: Arc::new(|_| {}),
        };
        let trained = by_workers(&config, &workers.servers[0], (&workers, 2), None).unwrap();
        assert_equal(&trained.checkpoint, &expected, "after pauses");
    }
}

/// Passes requests on to a server, one for each connection, but for those of snapshots. Returns its URL.
fn without_snapshots(server: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = server.strip_prefix("http://").unwrap().to_owned();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = server.clone();
            std::thread::spawn(move || pass_on(client, &server));
        }
    });
    url
}

fn pass_on(mut client: TcpStream, server: &str) -> io::Result<()> {
    let mut request = BufReader::new(client.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && request.read_line(&mut head)? > 0 {}
    let (first, rest) = head.split_once("\r\n").unwrap_or_default();
    if first.contains("/snapshot ") {
        let reply = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        return client.write_all(reply);
    }
    let length = rest.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse::<u64>().ok())?
    });
    let mut server = TcpStream::connect(server)?;
    write!(server, "{first}\r\nconnection: close\r\n{rest}")?;
    io::copy(&mut request.take(length.unwrap_or(0)), &mut server)?;
    io::copy(&mut server, &mut client).map(drop)
}

#[test]
fn a_server_without_snapshots_is_refused_before_a_run_has_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let server = without_snapshots(&support::environments());
    let train = |flags: &str| {
        let flags = format!(
            "train --algorithm ppo --env-arg delay=5 --total-timesteps 500 --no-progress \
             --give-up-after-s 5 --server {server} --out {flags}"
        );
        let mut agent = Command::new(env!("CARGO_BIN_EXE_agent"));
        agent.args(flags.split_whitespace());
        agent.current_dir(folder.path()).output().unwrap()
    };
    let refused = train("refused --workers 2");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    let reason = "the workers: they need environments whose state can be saved";
    assert!(said.contains(reason), "{said}");
    assert!(!folder.path().join("refused").exists());
}
