//! One wave of load: environments that are abandoned, and connections, half of them left half-open.
//!
//! On loopback a peer cannot vanish like a peer behind a cut cable. A socket whose owner neither
//! reads, writes nor closes it looks the same to the server: nothing arrives, and nothing says that
//! nothing will.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use env_protocol::{Encoding, Space, SpecList};

use crate::support::{Connection, find, request};

/// The size of a wave.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Environments that are created, played for a few steps and abandoned.
    pub environments: usize,
    /// Connections: half of them to create environments on, half of them half-open.
    pub connections: usize,
    /// Lease of each environment.
    pub ttl_s: u64,
    /// Most environments created per second.
    pub creations_per_s: f64,
}

/// Threads that create environments.
const CREATORS: usize = 4;

/// An environment that can be created.
#[derive(Clone, Debug)]
pub struct Task {
    spec_id: String,
    /// A valid action, as JSON.
    action: String,
}

impl Task {
    /// Returns a task for each spec of the server.
    pub fn all(address: &str) -> Vec<Task> {
        let mut connection = Connection::open(address);
        let mut bytes = Vec::new();
        request("GET", "/v1/specs", Encoding::Json, b"", &mut bytes);
        connection.send(&bytes);
        let catalogue: SpecList = Encoding::Json
            .decode(connection.receive())
            .expect("the catalogue");
        let specs = catalogue.specs.into_iter();
        specs
            .map(|spec| Task {
                action: match &spec.action_space {
                    Space::Discrete { start, .. } => start.to_string(),
                    Space::MultiDiscrete { nvec } => format!("{:?}", vec![0; nvec.len()]),
                    Space::Box { .. } => format!("{:?}", vec![0; spec.action_space.flat_size()]),
                    space => panic!("{} takes actions of {space:?}", spec.id),
                },
                spec_id: spec.id,
            })
            .collect()
    }
}

/// The answers to the clients of a wave.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// Environments created.
    pub created: usize,
    /// Refusals with a time to retry, by status.
    pub refusals: BTreeMap<u16, usize>,
    /// Answers that are neither a success nor such a refusal.
    pub errors: Vec<String>,
}

impl Answers {
    /// Counts an answer, and returns whether it was a success.
    pub fn take(&mut self, connection: &mut Connection) -> bool {
        let reply = connection.receive_any();
        let says_when = find(reply.head, b"retry-after: ").is_some();
        match reply.status {
            200..300 => return true,
            429 | 503 if says_when => *self.refusals.entry(reply.status).or_default() += 1,
            status => {
                let text = String::from_utf8_lossy(reply.body);
                self.errors.push(format!("{status}: {text}"));
            }
        }
        false
    }

    /// Adds the answers of other clients.
    pub fn add(&mut self, others: Answers) {
        self.created += others.created;
        for (status, count) in others.refusals {
            *self.refusals.entry(status).or_default() += count;
        }
        self.errors.extend(others.errors);
    }
}

/// A wave whose environments exist and whose connections are open.
pub struct Wave {
    /// The answers so far.
    pub answers: Answers,
    /// Connections on which requests were answered.
    live: Vec<Connection>,
    half_open: Vec<TcpStream>,
}

impl Wave {
    /// Creates environments of the tasks in turn, on half of the connections, and then opens the
    /// other half, so that all exist at the same time. `name` must be new, since ids begin with it.
    pub fn begin(address: &str, scale: Scale, tasks: &[Task], name: &str) -> Self {
        let half = scale.connections / 2;
        let mut shares: Vec<Vec<Connection>> = (0..CREATORS).map(|_| Vec::new()).collect();
        for i in half..scale.connections {
            shares[i % CREATORS].push(Connection::open(address));
        }
        let done: Vec<_> = std::thread::scope(|scope| {
            let creators: Vec<_> = shares
                .into_iter()
                .enumerate()
                .map(|(i, share)| scope.spawn(move || create(share, i, scale, tasks, name)))
                .collect();
            let done = creators.into_iter().map(|creator| creator.join());
            done.map(|done| done.expect("a creator")).collect()
        });
        let mut wave = Wave {
            answers: Answers::default(),
            live: Vec::new(),
            half_open: (0..half).map(|i| half_open(address, i)).collect(),
        };
        for (connections, answers) in done {
            wave.live.extend(connections);
            wave.answers.add(answers);
        }
        wave
    }

    /// Closes the connections that were answered, and waits until the server has closed the
    /// half-open ones. Returns how many it has not closed after `time`.
    pub fn end(self, time: Duration) -> usize {
        drop(self.live);
        let deadline = Instant::now() + time;
        let still_open = self.half_open.into_iter();
        still_open
            .filter(|stream| !is_closed_by(stream, deadline))
            .count()
    }
}

/// Opens a connection that falls silent: before its first byte, within the head of a request, or
/// with an unread answer that is larger than most.
fn half_open(address: &str, index: usize) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("a connection");
    let sent: &[u8] = match index % 3 {
        0 => b"",
        1 => b"POST /v1/envs HTTP/1.1\r\nhost: localhost\r\ncontent-",
        _ => b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n",
    };
    stream.write_all(sent).expect("sent");
    stream
}

/// Whether the other end closes the connection before the deadline. Bytes received are discarded.
fn is_closed_by(mut stream: &TcpStream, deadline: Instant) -> bool {
    let mut unread = [0; 1 << 14];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let patience = left.max(Duration::from_millis(1));
        stream.set_read_timeout(Some(patience)).expect("a timeout");
        match stream.read(&mut unread) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return false;
            }
            // Reset, because it was closed with unread bytes.
            Err(_) => return true,
        }
    }
}

/// Creates a share of the environments, on each connection in turn, and begins an episode in each.
fn create(
    mut connections: Vec<Connection>,
    creator: usize,
    scale: Scale,
    tasks: &[Task],
    name: &str,
) -> (Vec<Connection>, Answers) {
    let mut answers = Answers::default();
    let mut bytes = Vec::new();
    let began = Instant::now();
    let num_connections = connections.len();
    for (turn, i) in (creator..scale.environments).step_by(CREATORS).enumerate() {
        let due = began + Duration::from_secs_f64(i as f64 / scale.creations_per_s);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let Task { spec_id, action } = &tasks[i % tasks.len()];
        let path = format!("/v1/envs/{name}-{i}");
        let creation = format!(r#"{{"spec_id":"{spec_id}","ttl_s":{}}}"#, scale.ttl_s);
        let connection = &mut connections[turn % num_connections];
        let mut ask = |method: &str, path: &str, body: &str| {
            request(method, path, Encoding::Json, body.as_bytes(), &mut bytes);
            connection.send(&bytes);
            answers.take(connection)
        };
        let is_there = ask("PUT", &path, &creation);
        if is_there {
            ask("POST", &format!("{path}/reset"), r#"{"seq":0}"#);
            let step = format!(r#"{{"seq":1,"action":{action}}}"#);
            ask("POST", &format!("{path}/step"), &step);
        }
        answers.created += usize::from(is_there);
    }
    (connections, answers)
}
