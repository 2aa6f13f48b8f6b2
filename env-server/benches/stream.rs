//! The cost of a step as a message on one WebSocket, compared with the same step as an HTTP
//! request.
//!
//! One server in a separate process is asked in turn by raw clients. Run it pinned to one core,
//! `taskset -c 0 cargo bench -p env-server --bench stream`, as `scripts/bench-http` does.

#[expect(dead_code, reason = "benches share it and need different parts")]
mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process;
use std::time::{Duration, Instant};

use env_protocol::{Array, Encoding, StepRequest, StreamId, StreamKind, StreamOp, StreamRequest};
use support::{Connection, Server, median, request};

/// Alternations; their median is reported.
const ROUNDS: usize = 5;
/// Duration of each of them.
const ROUND: Duration = Duration::from_millis(700);

/// A way to take one step in each of several environments.
trait Wire {
    fn step(&mut self, seq: u64);
}

fn body(encoding: Encoding, seq: u64) -> Vec<u8> {
    let action = Array::scalar(1);
    let seq = Some(seq);
    encoding.encode(&StepRequest { seq, action })
}

/// A connection for each environment.
struct Http {
    encoding: Encoding,
    players: Vec<(Connection, String)>,
}

impl Wire for Http {
    fn step(&mut self, seq: u64) {
        let body = body(self.encoding, seq);
        let mut out = Vec::new();
        for (connection, path) in &mut self.players {
            request("POST", path, self.encoding, &body, &mut out);
            connection.send(&out);
        }
        for (connection, _) in &mut self.players {
            connection.receive();
        }
    }
}

/// One socket for all environments.
struct Socket {
    encoding: Encoding,
    names: Vec<String>,
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Bytes of the buffer that have been read but not used.
    filled: usize,
}

impl Socket {
    fn open(address: &str, encoding: Encoding, names: &[String]) -> Self {
        let mut connection = Connection::open(address);
        let upgrade = "GET /v1/stream HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        connection.send(upgrade.as_bytes());
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            connection.stream.read_exact(&mut byte).expect("a reply");
            head.extend_from_slice(&byte);
        }
        assert!(head.starts_with(b"HTTP/1.1 101"));
        Socket {
            encoding,
            names: names.to_vec(),
            stream: connection.stream,
            buffer: vec![0; 1 << 20],
            filled: 0,
        }
    }

    /// Receives one message, which must be a successful reply.
    fn receive(&mut self) {
        loop {
            if let Some((start, end)) = frame(&self.buffer[..self.filled]) {
                let message = &self.buffer[start..end];
                let is_good = match self.encoding {
                    Encoding::Json => support::find(message, b"\"status\":200").is_some(),
                    // 200 as an unsigned byte.
                    Encoding::MessagePack => support::find(message, b"\xcc\xc8").is_some(),
                };
                assert!(is_good, "{}", String::from_utf8_lossy(message));
                self.buffer.copy_within(end..self.filled, 0);
                self.filled -= end;
                return;
            }
            let read = self
                .stream
                .read(&mut self.buffer[self.filled..])
                .expect("a reply");
            assert!(read > 0, "the server has closed the socket");
            self.filled += read;
        }
    }
}

impl Wire for Socket {
    fn step(&mut self, seq: u64) {
        let body = body(self.encoding, seq);
        let mut out = Vec::new();
        for (i, name) in self.names.iter().enumerate() {
            let message = StreamRequest {
                id: StreamId::Number(i as u64),
                op: StreamOp::Step,
                kind: StreamKind::Env,
                env_id: Some(name.clone()),
                body: &body,
            };
            write_frame(self.encoding, &message.encode(self.encoding), &mut out);
        }
        self.stream.write_all(&out).expect("sent");
        for _ in 0..self.names.len() {
            self.receive();
        }
    }
}

/// Writes a client's frame, masked with zeros.
fn write_frame(encoding: Encoding, message: &[u8], out: &mut Vec<u8>) {
    out.push(match encoding {
        Encoding::Json => 0x81,
        Encoding::MessagePack => 0x82,
    });
    match message.len() {
        len @ 0..126 => out.push(0x80 | len as u8),
        len => {
            out.push(0x80 | 126);
            out.extend_from_slice(&u16::try_from(len).expect("short").to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(message);
}

/// Returns the range of the first frame's message, once it has arrived.
fn frame(bytes: &[u8]) -> Option<(usize, usize)> {
    let &len = bytes.get(1)?;
    let (start, len) = match len {
        126 => {
            let len = bytes.get(2..4)?.try_into().expect("two bytes");
            (4, usize::from(u16::from_be_bytes(len)))
        }
        len => (2, usize::from(len)),
    };
    (bytes.len() >= start + len).then_some((start, start + len))
}

/// Returns operations per second, microseconds per round trip, and the server's processor time per
/// operation.
fn round(wire: &mut dyn Wire, seq: &mut u64, num_envs: usize, server: &Server) -> [f64; 3] {
    let mut step = || {
        wire.step(*seq);
        *seq += 1;
    };
    (0..50).for_each(|_| step());
    let mut times = Vec::new();
    let before = server.cpu();
    let begun = Instant::now();
    while begun.elapsed() < ROUND {
        let at = Instant::now();
        step();
        times.push(at.elapsed().as_secs_f64() * 1e6);
    }
    let operations = (times.len() * num_envs) as f64;
    let server_us = (server.cpu() - before).as_secs_f64() * 1e6 / operations;
    let rate = operations / begun.elapsed().as_secs_f64();
    [rate, median(times), server_us]
}

fn create(server: &Server, names: &[String]) {
    let mut connection = Connection::open(&server.address);
    let mut out = Vec::new();
    for name in names {
        let item = format!("/v1/envs/{name}");
        let creation =
            br#"{"spec_id":"MemoryTask-v0","kwargs":{"delay":10000000,"difficulty":1},"seed":1}"#;
        request("PUT", &item, Encoding::Json, creation, &mut out);
        connection.send(&out);
        connection.receive();
        let reset = format!("{item}/reset");
        request("POST", &reset, Encoding::Json, br#"{"seq":0}"#, &mut out);
        connection.send(&out);
        connection.receive();
    }
}

fn compare(name: &str, encoding: Encoding, num_envs: usize, arguments: &[String]) {
    let server = Server::ours(arguments);
    let names = |tag: &str| -> Vec<_> { (0..num_envs).map(|i| format!("{tag}-{i}")).collect() };
    let (of_http, of_socket) = (names("http"), names("socket"));
    create(&server, &of_http);
    create(&server, &of_socket);
    let player = |name: &String| {
        let path = format!("/v1/envs/{name}/step");
        (Connection::open(&server.address), path)
    };
    let mut http = Http {
        encoding,
        players: of_http.iter().map(player).collect(),
    };
    let mut socket = Socket::open(&server.address, encoding, &of_socket);
    let mut rounds = [Vec::new(), Vec::new()];
    let mut seqs = [1, 1];
    for _ in 0..ROUNDS {
        rounds[0].push(round(&mut http, &mut seqs[0], num_envs, &server));
        rounds[1].push(round(&mut socket, &mut seqs[1], num_envs, &server));
    }
    println!("{name}");
    for (wire, rounds) in ["HTTP", "socket"].iter().zip(&rounds) {
        let of = |i: usize| median(rounds.iter().map(|figures| figures[i]).collect());
        println!(
            "  {wire:<8} {:>8.0}/s  p50 {:>7.1} us  server {:>6.2} us an operation",
            of(0),
            of(1),
            of(2)
        );
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    if arguments.iter().any(|a| a == "--test") {
        process::exit(0);
    }
    println!("medians of {ROUNDS} alternations\n");
    for (form, encoding) in [
        ("JSON", Encoding::Json),
        ("MessagePack", Encoding::MessagePack),
    ] {
        for num_envs in [1, 16] {
            let name = format!("{num_envs} environments, {form}");
            compare(&name, encoding, num_envs, &arguments);
        }
    }
}
