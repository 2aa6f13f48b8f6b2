//! The cost of a request compared with a bare axum handler that answers a fixed body of the same
//! size.
//!
//! Both servers are separate processes that the same raw client asks in turn. `scripts/bench-http`
//! pins this to one core, where a round trip measures servers rather than wake-ups. With the
//! argument `environments` it plays each spec in turn instead.

mod scenario;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "benches share it and need different parts")]
mod support;

use std::fmt::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use env_protocol::Encoding;
use environments::registry;
use scenario::Scenario;
use support::{Connection, Server, cpu, median, request};

/// Alternations; their median is reported.
const ROUNDS: usize = 5;
/// Duration of each of them.
const ROUND: Duration = Duration::from_millis(700);
/// Variable that names a file with the body of a bare server's answer.
const BARE_BODY: &str = "BENCH_BARE_BODY";
/// Lanes of every spec that are played with the argument [`ENVIRONMENTS`].
const LANES: usize = 256;
/// The argument that asks for every spec.
const ENVIRONMENTS: &str = "environments";

/// The comparisons made without arguments.
fn scenarios() -> Vec<Scenario> {
    use Encoding::{Json, MessagePack};
    vec![
        Scenario::single("single, JSON", Json, 1),
        Scenario::single("single, MessagePack", MessagePack, 1),
        Scenario::single("single, JSON, 16 connections", Json, 16),
        Scenario::lanes("256 lanes, MessagePack", MessagePack, 256),
        Scenario::lanes("256 lanes, JSON", Json, 256),
        Scenario::lanes("1,024 lanes, MessagePack", MessagePack, 1024),
    ]
}

/// Starts a server that always answers the same body.
fn bare(body: &[u8]) -> Server {
    let path = std::env::temp_dir().join(format!("bench-body-{}", std::process::id()));
    std::fs::write(&path, body).expect("a temporary file");
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.env(BARE_BODY, &path);
    let server = Server::start(command);
    // The server has read the body before it listens.
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

/// Environments on one server, each with its own connection.
struct Players<'a> {
    scenario: &'a Scenario,
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

impl<'a> Players<'a> {
    fn new(scenario: &'a Scenario, address: &str, tag: &str, creates: bool) -> Self {
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

    /// Steps every player; returns the last reply.
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

/// Measurements of servers in each alternation, the bare one first.
struct Measured {
    /// Bytes of a reply.
    body: usize,
    rounds: Vec<Vec<Figures>>,
}

impl Measured {
    /// Plays a scenario on a bare server and on these servers, in turn.
    fn of(scenario: &Scenario, servers: &[&Server]) -> Self {
        let tag = format!("bench-{}", scenario.name.replace([' ', ','], "-"));
        let mut players: Vec<Players> = servers
            .iter()
            .map(|server| Players::new(scenario, &server.address, &tag, true))
            .collect();
        let body = players[0].step(&mut Vec::new());
        let others = players.iter_mut().skip(1);
        others.for_each(|p| drop(p.step(&mut Vec::new())));
        let bare = bare(&body);
        let servers = [&[&bare], servers].concat();
        players.insert(0, Players::new(scenario, &bare.address, &tag, false));
        let mut rounds: Vec<Vec<Figures>> = vec![Vec::new(); servers.len()];
        for _ in 0..ROUNDS {
            for (i, server) in servers.iter().enumerate() {
                rounds[i].push(players[i].round(server));
            }
        }
        Measured {
            body: body.len(),
            rounds,
        }
    }

    /// Returns the median of a figure of the server.
    fn median(&self, server: usize, field: fn(&Figures) -> f64) -> f64 {
        median(self.rounds[server].iter().map(field).collect())
    }

    /// Returns the median of its ratios to the bare server, pair by pair.
    fn ratio(&self, server: usize, field: fn(&Figures) -> f64) -> f64 {
        let pairs = self.rounds[server].iter().zip(&self.rounds[0]);
        let ratios = pairs.map(|(mine, bare)| field(mine) / field(bare));
        median(ratios.collect())
    }
}

/// Starts our server in both of its modes, with the folder of the second.
fn ours() -> ([(&'static str, Server); 2], tempfile::TempDir) {
    let data = tempfile::tempdir().expect("a temporary folder");
    let durable = ["--data-dir".to_owned(), data.path().display().to_string()];
    let servers = [
        ("in memory", Server::ours(&[])),
        ("durability process", Server::ours(&durable)),
    ];
    (servers, data)
}

/// Formats all figures of a scenario.
fn compare(scenario: &Scenario) -> String {
    let (variants, _data) = ours();
    let servers = variants.each_ref().map(|(_, server)| server);
    let measured = Measured::of(scenario, &servers);
    let bare = format!("bare axum, {} B", measured.body);
    let names = [bare.as_str(), variants[0].0, variants[1].0];
    let mut text = format!("{}\n", scenario.name);
    for (i, name) in names.into_iter().enumerate() {
        let rate = measured.median(i, |f| f.per_second);
        let lanes = scenario
            .lanes
            .map(|n| format!(" {:>11.0} lanes/s", rate * n as f64));
        let _ = writeln!(
            text,
            "  {name:<28} {rate:>8.0}/s ({:.2}){} p50 {:>7.1} us ({:.2})  server {:>6.2} us ({:.2})  client {:>6.2} us",
            measured.ratio(i, |f| f.per_second),
            lanes.unwrap_or_default(),
            measured.median(i, |f| f.p50_us),
            measured.ratio(i, |f| f.p50_us),
            measured.median(i, |f| f.server_us),
            measured.ratio(i, |f| f.server_us),
            measured.median(i, |f| f.client_us),
        );
    }
    text
}

/// Prints a row for every spec whose name contains one of these parts, or for all.
fn environments(parts: &[String]) {
    println!("{LANES} lanes, MessagePack, SameStep, random actions; lane-steps/s\n");
    println!(
        "| spec | bytes a reply | bare axum | in memory | durability `process` | server's CPU a step |"
    );
    println!("|---|---|---|---|---|---|");
    let (variants, _data) = ours();
    let servers = variants.each_ref().map(|(_, server)| server);
    for spec in registry::specs() {
        if !parts.is_empty() && !parts.iter().any(|part| spec.id.contains(part)) {
            continue;
        }
        let encoding = Encoding::MessagePack;
        let scenario = Scenario::of_spec(&spec.id, &spec.action_space, encoding, LANES);
        let measured = Measured::of(&scenario, &servers);
        let millions = |i| measured.median(i, |f| f.per_second) * LANES as f64 / 1e6;
        println!(
            "| {} | {} | {:.1} M | {:.2} M ({:.2}) | {:.2} M ({:.2}) | {:.1} µs |",
            spec.id,
            measured.body,
            millions(0),
            millions(1),
            measured.ratio(1, |f| f.per_second),
            millions(2),
            measured.ratio(2, |f| f.per_second),
            measured.median(1, |f| f.server_us),
        );
    }
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
    println!(
        "medians of {ROUNDS} alternations; in parentheses the ratio to bare axum, pair by pair\n"
    );
    if arguments.first().is_some_and(|a| a == ENVIRONMENTS) {
        return environments(&arguments[1..]);
    }
    let wanted = |name: &str| arguments.is_empty() || arguments.iter().any(|a| name.contains(a));
    for scenario in scenarios().iter().filter(|s| wanted(&s.name)) {
        println!("{}", compare(scenario));
    }
}
