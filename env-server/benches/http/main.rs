//! What a request costs beside a bare axum handler that answers a fixed body of the same size.
//!
//! Both servers are processes of their own, asked in turn by the same raw client. `scripts/bench-http`
//! runs this pinned to one core, where a round trip measures servers and not wake-ups.

#[expect(dead_code, reason = "benches share it and need different parts")]
mod support;

use std::fmt::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use env_protocol::{Array, Encoding, StepRequest, VectorStepRequest};
use support::{Connection, Server, cpu, median, request};

/// Alternations of which the median is told.
const ROUNDS: usize = 5;
/// How long each of them plays.
const ROUND: Duration = Duration::from_millis(700);
/// Names the body that a bare server answers, in a file.
const BARE_BODY: &str = "BENCH_BARE_BODY";

/// What is asked for over and over.
#[derive(Clone, Copy)]
struct Scenario {
    name: &'static str,
    encoding: Encoding,
    /// `None` for a single environment.
    lanes: Option<usize>,
    connections: usize,
}

const SCENARIOS: &[Scenario] = &[
    scenario("single, JSON", Encoding::Json, None, 1),
    scenario("single, MessagePack", Encoding::MessagePack, None, 1),
    scenario("single, JSON, 16 connections", Encoding::Json, None, 16),
    scenario(
        "256 lanes, MessagePack",
        Encoding::MessagePack,
        Some(256),
        1,
    ),
    scenario("256 lanes, JSON", Encoding::Json, Some(256), 1),
    scenario(
        "1,024 lanes, MessagePack",
        Encoding::MessagePack,
        Some(1024),
        1,
    ),
];

const fn scenario(
    name: &'static str,
    encoding: Encoding,
    lanes: Option<usize>,
    connections: usize,
) -> Scenario {
    Scenario {
        name,
        encoding,
        lanes,
        connections,
    }
}

impl Scenario {
    fn collection(self) -> &'static str {
        match self.lanes {
            None => "/v1/envs",
            Some(_) => "/v1/vector-envs",
        }
    }

    fn creation(self) -> String {
        match self.lanes {
            None => {
                r#"{"spec_id":"MemoryTask-v0","kwargs":{"delay":10000000,"difficulty":1},"seed":1}"#
                    .to_owned()
            }
            Some(lanes) => format!(
                r#"{{"spec_id":"MemoryTask-v0","num_envs":{lanes},"kwargs":{{"delay":16,"difficulty":1}},"seed":1,"autoreset_mode":"SameStep"}}"#
            ),
        }
    }

    /// The body of a step with this number.
    fn step(self, seq: u64) -> Vec<u8> {
        let seq = Some(seq);
        match self.lanes {
            None => self.encoding.encode(&StepRequest {
                seq,
                action: Array::scalar(1),
            }),
            Some(lanes) => {
                let actions = Array::from_i64(vec![lanes], vec![1; lanes]).expect("actions");
                self.encoding.encode(&VectorStepRequest { seq, actions })
            }
        }
    }
}

/// Answers the same body over and over.
fn bare(body: &[u8]) -> Server {
    let path = std::env::temp_dir().join(format!("bench-body-{}", std::process::id()));
    std::fs::write(&path, body).expect("a temporary file");
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.env(BARE_BODY, &path);
    let server = Server::start(command);
    // It has read the body before it listens.
    let _ = std::fs::remove_file(&path);
    server
}

/// The fixed answer.
#[tokio::main]
async fn serve_bare(body: Vec<u8>) {
    use axum::http::header::CONTENT_TYPE;
    use axum::serve::ListenerExt;
    let body = axum::body::Bytes::from(body);
    let answer = move |_: axum::body::Bytes| {
        let body = body.clone();
        async move { ([(CONTENT_TYPE, "application/json")], body) }
    };
    let app = axum::Router::new().route("/v1/{kind}/{id}/step", axum::routing::post(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    println!(
        "listening on http://{}",
        listener.local_addr().expect("an address")
    );
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, app).await.expect("serving");
}

/// Environments on one server, a connection each.
struct Players {
    scenario: Scenario,
    players: Vec<(Connection, String)>,
    seq: u64,
}

/// One round.
#[derive(Clone, Copy)]
struct Figures {
    per_second: f64,
    p50_us: f64,
    server_us: f64,
    client_us: f64,
}

impl Players {
    fn new(scenario: Scenario, address: &str, tag: &str, creates: bool) -> Self {
        let mut out = Vec::new();
        let players = (0..scenario.connections).map(|i| {
            let mut connection = Connection::open(address);
            let item = format!("{}/{tag}-{i}", scenario.collection());
            if creates {
                let creation = scenario.creation();
                request("PUT", &item, Encoding::Json, creation.as_bytes(), &mut out);
                connection.send(&out);
                connection.receive();
                let reset = format!("{item}/reset");
                request("POST", &reset, Encoding::Json, br#"{"seq":0}"#, &mut out);
                connection.send(&out);
                connection.receive();
            }
            (connection, format!("{item}/step"))
        });
        let players = players.collect();
        Players {
            scenario,
            players,
            seq: 1,
        }
    }

    /// A step of every player, and the length of the last reply.
    fn step(&mut self, out: &mut Vec<u8>) -> Vec<u8> {
        let body = self.scenario.step(self.seq);
        self.seq += 1;
        for (connection, path) in &mut self.players {
            request("POST", path, self.scenario.encoding, &body, out);
            connection.send(out);
        }
        let mut reply = Vec::new();
        for (connection, _) in &mut self.players {
            let bytes = connection.receive();
            if reply.is_empty() {
                reply.extend_from_slice(bytes);
            }
        }
        reply
    }

    fn round(&mut self, server: &Server) -> Figures {
        let mut out = Vec::new();
        for _ in 0..50 {
            self.step(&mut out);
        }
        let mut times = Vec::new();
        let (server_before, client_before) = (server.cpu(), cpu(std::process::id()));
        let begun = Instant::now();
        while begun.elapsed() < ROUND {
            let before = Instant::now();
            self.step(&mut out);
            times.push(before.elapsed());
        }
        let elapsed = begun.elapsed().as_secs_f64();
        let server_time = server.cpu() - server_before;
        let client_time = cpu(std::process::id()) - client_before;
        let requests = (times.len() * self.players.len()) as f64;
        times.sort_unstable();
        let us = |time: Duration| time.as_secs_f64() * 1e6;
        Figures {
            per_second: requests / elapsed,
            p50_us: us(times[times.len() / 2]),
            server_us: us(server_time) / requests,
            client_us: us(client_time) / requests,
        }
    }
}

fn compare(scenario: Scenario, variants: &[(String, Server)]) -> String {
    let mut ours: Vec<_> = variants.iter().collect::<Vec<_>>();
    let tag = format!("bench-{}", scenario.name.replace([' ', ','], "-"));
    let mut players: Vec<Players> = ours
        .iter()
        .map(|(_, server)| Players::new(scenario, &server.address, &tag, true))
        .collect();
    let body = players[0].step(&mut Vec::new());
    players
        .iter_mut()
        .skip(1)
        .for_each(|p| drop(p.step(&mut Vec::new())));
    let bare = (format!("bare axum, {} B", body.len()), bare(&body));
    ours.insert(0, &bare);
    players.insert(0, Players::new(scenario, &bare.1.address, &tag, false));
    let mut rounds: Vec<Vec<Figures>> = vec![Vec::new(); ours.len()];
    for _ in 0..ROUNDS {
        for (i, (_, server)) in ours.iter().enumerate() {
            rounds[i].push(players[i].round(server));
        }
    }
    let mut text = format!("{}\n", scenario.name);
    for (i, (name, _)) in ours.iter().enumerate() {
        let of = |field: fn(&Figures) -> f64| median(rounds[i].iter().map(field).collect());
        let ratio = |field: fn(&Figures) -> f64| {
            let pairs = rounds[i].iter().zip(&rounds[0]);
            median(
                pairs
                    .map(|(mine, bare)| field(mine) / field(bare))
                    .collect(),
            )
        };
        let rate = of(|f| f.per_second);
        let lanes = scenario
            .lanes
            .map(|n| format!(" {:>11.0} lanes/s", rate * n as f64));
        let _ = writeln!(
            text,
            "  {name:<28} {rate:>8.0}/s ({:.2}){} p50 {:>7.1} us ({:.2})  server {:>6.2} us ({:.2})  client {:>6.2} us",
            ratio(|f| f.per_second),
            lanes.unwrap_or_default(),
            of(|f| f.p50_us),
            ratio(|f| f.p50_us),
            of(|f| f.server_us),
            ratio(|f| f.server_us),
            of(|f| f.client_us),
        );
    }
    text
}

fn main() {
    if let Some(path) = std::env::var_os(BARE_BODY) {
        return serve_bare(std::fs::read(path).expect("the body"));
    }
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    if arguments.iter().any(|a| a == "--test") {
        return;
    }
    let wanted = |name: &str| arguments.is_empty() || arguments.iter().any(|a| name.contains(a));
    println!(
        "medians of {ROUNDS} alternations; in parentheses the ratio to bare axum, pair by pair\n"
    );
    for &scenario in SCENARIOS.iter().filter(|s| wanted(s.name)) {
        let data = tempfile::tempdir().expect("a temporary folder");
        let durable = ["--data-dir".to_owned(), data.path().display().to_string()];
        let servers = [
            ("in memory".to_owned(), Server::ours(&[])),
            ("durability process".to_owned(), Server::ours(&durable)),
        ];
        println!("{}", compare(scenario, &servers));
    }
}
