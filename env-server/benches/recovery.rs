//! Time until a killed server is back with every environment: `cargo bench -p env-server --bench
//! recovery`.
//!
//! Environments with each kind of history are played over HTTP, the server is killed, and another
//! one is started on the same folder. It is back when `/readyz` answers 200.

#[expect(dead_code, reason = "benches share it and need different parts")]
mod support;

use std::time::Instant;

use env_protocol::Encoding;
use support::{Connection, Server, median, request};

/// Recoveries; the median is reported.
const ROUNDS: usize = 5;

struct Scenario {
    name: &'static str,
    environments: usize,
    /// `None` for single environments.
    lanes: Option<usize>,
    steps: u64,
}

const SCENARIOS: [Scenario; 3] = [
    Scenario {
        name: "10,000 single environments, 30 steps each",
        environments: 10_000,
        lanes: None,
        steps: 30,
    },
    Scenario {
        name: "10,000 single environments, 300 steps each",
        environments: 10_000,
        lanes: None,
        steps: 300,
    },
    Scenario {
        name: "1,000 environments of 64 lanes, 100 steps each",
        environments: 1_000,
        lanes: Some(64),
        steps: 100,
    },
];

impl Scenario {
    /// Returns the path, the creation and the body of a step, with `SEQ` in place of its number.
    fn wire(&self) -> (&'static str, String, String) {
        let kwargs = r#"{"delay":16,"difficulty":1}"#;
        match self.lanes {
            None => (
                "/v1/envs",
                r#"{"spec_id":"MemoryTask-v0","kwargs":{"delay":1000,"difficulty":1},"seed":1}"#
                    .to_owned(),
                r#"{"seq":SEQ,"action":1}"#.to_owned(),
            ),
            Some(lanes) => (
                "/v1/vector-envs",
                format!(
                    r#"{{"spec_id":"MemoryTask-v0","num_envs":{lanes},"kwargs":{kwargs},"seed":1,"autoreset_mode":"SameStep"}}"#
                ),
                format!(r#"{{"seq":SEQ,"actions":[{}1]}}"#, "1,".repeat(lanes - 1)),
            ),
        }
    }

    fn play(&self, server: &Server) {
        let (collection, creation, step) = self.wire();
        let mut connection = Connection::open(&server.address);
        let mut out = Vec::new();
        let mut ask = |method: &str, path: &str, body: &str| {
            request(method, path, Encoding::Json, body.as_bytes(), &mut out);
            connection.send(&out);
            connection.receive();
        };
        for i in 0..self.environments {
            let item = format!("{collection}/recovery-{i}");
            ask("PUT", &item, &creation);
            ask("POST", &format!("{item}/reset"), r#"{"seq":0}"#);
            let path = format!("{item}/step");
            for seq in 1..=self.steps {
                ask("POST", &path, &step.replace("SEQ", &seq.to_string()));
            }
        }
    }

    /// Checks the number of operations of the last environment.
    fn check(&self, server: &Server) {
        let (collection, ..) = self.wire();
        let path = format!("{collection}/recovery-{}", self.environments - 1);
        let mut out = Vec::new();
        request("GET", &path, Encoding::Json, b"", &mut out);
        let mut connection = Connection::open(&server.address);
        connection.send(&out);
        let reply = String::from_utf8_lossy(connection.receive()).into_owned();
        let seq = format!("\"seq\":{}", self.steps + 1);
        assert!(reply.contains(&seq), "{reply}");
    }
}

fn is_ready(server: &Server) {
    let mut out = Vec::new();
    request("GET", "/readyz", Encoding::Json, b"", &mut out);
    let mut connection = Connection::open(&server.address);
    connection.send(&out);
    connection.receive();
}

fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    for scenario in SCENARIOS {
        let data = tempfile::tempdir().expect("a temporary folder");
        let arguments = ["--data-dir".to_owned(), data.path().display().to_string()];
        let server = Server::ours(&arguments);
        scenario.play(&server);
        let steps = scenario.environments as u64 * scenario.steps;
        let step_us = server.cpu().as_secs_f64() * 1e6 / steps as f64;
        // This kills it, rather than asking it to end.
        drop(server);
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            let server = Server::ours(&arguments);
            is_ready(&server);
            times.push(begun.elapsed().as_secs_f64());
            scenario.check(&server);
        }
        let files = std::fs::read_dir(data.path()).expect("the folder");
        let bytes: u64 = files
            .filter_map(|file| Some(file.ok()?.metadata().ok()?.len()))
            .sum();
        println!(
            "{:<50} played at {step_us:.1} us of the server's a step, back in {:.2} s (median of {ROUNDS}), journal {:.1} MB",
            scenario.name,
            median(times),
            bytes as f64 / 1e6
        );
    }
}
