//! A player: its environments, its calls with their fates, and the expected replies.

use std::collections::VecDeque;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use rand::seq::IndexedRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde_json::{Value, json};

use super::calm::Calm;
use super::connection::Connection;
use super::request::{Kind, Op, Reply, Request};
use super::{Fate, Shared};

/// Environments of a player at a time.
const NUM_ENVS: usize = 6;
/// Most operations sent before the first is answered: as many as the server promises to keep
/// replies for.
const LONGEST_PIPELINE: usize = 32;
/// Operations of an environment that a player remembers.
const MEMORY: usize = 200;
/// Latest operations of an environment that the server must be able to answer again.
const WINDOW: usize = 64;
/// Time without any answer after which the server counts as not having come back.
const PATIENCE: Duration = Duration::from_secs(60);

/// Parameters of environments: spec, arguments, number of lanes (0: a single one), number of
/// actions.
const TASKS: [(&str, &str, usize, u64); 6] = [
    ("MemoryTask-v0", r#"{"delay":5,"difficulty":1}"#, 0, 2),
    (
        "RepeatPrevious-v0",
        r#"{"level":"easy","is_first":true}"#,
        0,
        4,
    ),
    ("TMazePassive-v0", r#"{"corridor_length":6}"#, 0, 4),
    ("MemoryTask-v0", r#"{"delay":3,"num_bits":2}"#, 3, 2),
    (
        "CountRecall-v0",
        r#"{"observation_noise":0,"previous_action":true}"#,
        2,
        2,
    ),
    ("BsuiteMemorySize-v0", r#"{"num_bits":4}"#, 5, 2),
];

pub(super) struct Player<'a> {
    shared: &'a Shared,
    rng: Xoshiro256PlusPlus,
    calm: Calm,
    name: String,
    num_made: u64,
    envs: Vec<Env>,
    connection: Option<Connection>,
}

/// A player's knowledge of an environment.
struct Env {
    id: String,
    kind: Kind,
    creation: String,
    num_lanes: usize,
    num_actions: u64,
    /// The number of the next operation.
    seq: u64,
    needs_reset: bool,
    snapshot: Option<Value>,
    /// The latest operations and their replies, oldest first.
    past: VecDeque<(Request, Reply)>,
}

impl Env {
    fn request(&self, op: Op, body: String) -> Request {
        Request {
            op,
            kind: self.kind,
            env_id: self.id.clone(),
            body,
        }
    }
}

impl<'a> Player<'a> {
    pub(super) fn new(shared: &'a Shared, number: u64) -> Self {
        Self {
            shared,
            rng: Xoshiro256PlusPlus::seed_from_u64(shared.storm.seed ^ (number + 1) << 32),
            calm: Calm::new(),
            name: format!("p{number}"),
            num_made: 0,
            envs: Vec::new(),
            connection: None,
        }
    }

    /// Plays until the storm is over, then checks that every environment is in the expected state.
    pub(super) fn play(mut self) {
        while !self.shared.is_over() {
            if self.envs.len() < NUM_ENVS {
                self.create();
                continue;
            }
            let env = self.rng.random_range(0..self.envs.len());
            match self.rng.random_range(0..100) {
                0..30 => self.play_clean(env),
                30..40 => self.play_lost(env),
                40..50 => self.play_cut(env),
                50..58 => self.play_doubled(env),
                58..61 => self.play_pipelined(env),
                61..76 => self.play_stale(env),
                76..86 => self.play_future(env),
                86..98 => self.play_garbage(env),
                98 => self.look(env),
                _ => self.close(env),
            }
        }
        while let Some(env) = self.envs.pop() {
            self.compare_state(&env);
        }
    }

    // Sending.

    fn connection(&mut self) -> io::Result<Connection> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => Connection::open(self.shared.storm.transport, &self.shared.address),
        }
    }

    /// Sends one request and waits for its reply.
    fn ask(&mut self, request: &Request) -> io::Result<Reply> {
        let mut connection = self.connection()?;
        connection.send(std::slice::from_ref(request))?;
        let reply = connection.receive()?;
        self.connection = Some(connection);
        Ok(reply)
    }

    /// Sends a request until it is answered.
    fn ask_until_answered(&mut self, request: &Request, mut fate: Fate) -> Reply {
        let begun = Instant::now();
        loop {
            self.shared.count(fate);
            fate = Fate::Repeated;
            match self.ask(request) {
                Ok(reply) if !reply.is_retryable() => return reply,
                Ok(reply) if begun.elapsed() > PATIENCE => return reply,
                Err(error) if begun.elapsed() > PATIENCE => {
                    panic!("{} is not answered: {error}", request.path())
                }
                _ => thread::sleep(Duration::from_millis(2)),
            }
        }
    }

    // Expected replies.

    fn expect(&self, fate: Fate, request: &Request, found: &Reply, expected: &Reply) {
        self.shared
            .compared
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if found.status != expected.status || found.body != expected.body {
            self.shared.mismatch(format!(
                "{fate:?} {} {}: {} {} where {} {} was due",
                request.path(),
                request.body,
                found.status,
                found.body,
                expected.status,
                expected.body
            ));
        }
    }

    fn expect_problem(&self, fate: Fate, request: &Request, found: &Reply, codes: &[&str]) {
        self.shared
            .compared
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if !codes.contains(&found.code()) {
            self.shared.mismatch(format!(
                "{fate:?} {} {}: {} {} where one of {codes:?} was due",
                request.path(),
                request.body,
                found.status,
                found.body
            ));
        }
    }

    // Operations.

    fn create(&mut self) {
        let (spec_id, kwargs, num_lanes, num_actions) =
            *TASKS.choose(&mut self.rng).expect("tasks");
        let id = format!("{}-{}", self.name, self.num_made);
        self.num_made += 1;
        let seed = self.rng.random_range(0..1_000_000);
        let (kind, lanes) = match num_lanes {
            0 => (Kind::Single, String::new()),
            lanes => (
                Kind::Vector,
                format!(
                    r#","num_envs":{lanes},"autoreset_mode":"{}""#,
                    ["NextStep", "SameStep"]
                        .choose(&mut self.rng)
                        .expect("modes")
                ),
            ),
        };
        let creation =
            format!(r#"{{"spec_id":"{spec_id}","kwargs":{kwargs},"seed":{seed}{lanes}}}"#);
        let env = Env {
            id,
            kind,
            creation,
            num_lanes,
            num_actions,
            seq: 0,
            needs_reset: true,
            snapshot: None,
            past: VecDeque::new(),
        };
        let request = env.request(Op::Put, env.creation.clone());
        let expected = self.calm.ask(&request);
        assert_eq!(expected.status, 201, "{}", expected.body);
        let found = self.ask_until_answered(&request, Fate::Clean);
        self.expect_description(&request, &found, &expected);
        self.envs.push(env);
    }

    /// Checks that a description is the same, except for the rest of the lease.
    fn expect_description(&self, request: &Request, found: &Reply, expected: &Reply) {
        let without_clock = |body: &Value| {
            let mut body = body.clone();
            if let Some(fields) = body.as_object_mut() {
                fields.remove("expires_in_s");
            }
            body
        };
        let due = Reply {
            // A repeated creation answers 200 instead of 201.
            status: match (found.status, expected.status) {
                (200, 201) => 200,
                (_, status) => status,
            },
            is_replayed: false,
            body: without_clock(&expected.body),
        };
        let found = Reply {
            body: without_clock(&found.body),
            ..found.clone()
        };
        self.expect(Fate::Clean, request, &found, &due);
    }

    /// Returns the next operation of an environment and its expected reply.
    fn next(&mut self, env: usize) -> (Request, Reply) {
        let seq = self.envs[env].seq;
        let choice = self.rng.random_range(0..100);
        let seed = self.rng.random_range(0..1_000_000);
        let num_lanes = self.envs[env].num_lanes;
        let num_actions = self.envs[env].num_actions;
        let actions: Vec<u64> = (0..num_lanes.max(1))
            .map(|_| self.rng.random_range(0..num_actions))
            .collect();
        let known = &mut self.envs[env];
        let request = match (&known.snapshot, choice) {
            _ if known.needs_reset => known.request(Op::Reset, format!(r#"{{"seq":{seq}}}"#)),
            (_, 0..3) => known.request(Op::Reset, format!(r#"{{"seq":{seq},"seed":{seed}}}"#)),
            (Some(snapshot), 3..5) => {
                let body = json!({"seq": seq, "snapshot": snapshot});
                known.request(Op::Restore, body.to_string())
            }
            _ if num_lanes == 0 => known.request(
                Op::Step,
                format!(r#"{{"seq":{seq},"action":{}}}"#, actions[0]),
            ),
            _ => known.request(
                Op::Step,
                format!(r#"{{"seq":{seq},"actions":{actions:?}}}"#),
            ),
        };
        let reply = self.calm.ask(&request);
        assert_eq!(reply.status, 200, "{} {}", request.body, reply.body);
        let known = &mut self.envs[env];
        known.seq += 1;
        known.needs_reset = match request.op {
            Op::Step => [&reply.body["terminated"], &reply.body["truncated"]]
                .iter()
                .any(|flag| **flag == json!(true)),
            // Restored states were saved while an episode was running.
            _ => false,
        };
        known.past.push_back((request.clone(), reply.clone()));
        if known.past.len() > MEMORY {
            known.past.pop_front();
        }
        if !self.envs[env].needs_reset && self.rng.random_range(0..50) == 0 {
            let look = self.envs[env].request(Op::Snapshot, String::new());
            self.envs[env].snapshot = Some(self.calm.ask(&look).body);
        }
        (request, reply)
    }

    fn play_clean(&mut self, env: usize) {
        let (request, expected) = self.next(env);
        let found = self.ask_until_answered(&request, Fate::Clean);
        self.expect(Fate::Clean, &request, &found, &expected);
    }

    /// Loses the reply; the operation may have been applied or not.
    fn play_lost(&mut self, env: usize) {
        let (request, expected) = self.next(env);
        self.shared.count(Fate::Lost);
        if let Ok(mut connection) = self.connection() {
            let _ = connection.send(std::slice::from_ref(&request));
        }
        let found = self.ask_until_answered(&request, Fate::Repeated);
        self.expect(Fate::Lost, &request, &found, &expected);
    }

    /// Cuts a request. Half a request is not a request, so its number is still free for another
    /// operation.
    fn play_cut(&mut self, env: usize) {
        let seq = self.envs[env].seq;
        let never = self.envs[env].request(Op::Reset, format!(r#"{{"seq":{seq},"seed":4711}}"#));
        let share = self.rng.random::<f64>();
        self.shared.count(Fate::Cut);
        if let Ok(connection) = self.connection() {
            let _ = connection.cut(&never, share);
        }
        let (request, expected) = self.next(env);
        let found = self.ask_until_answered(&request, Fate::Clean);
        self.expect(Fate::Cut, &request, &found, &expected);
    }

    /// Sends an operation on two connections at once: both get the same reply, or none.
    fn play_doubled(&mut self, env: usize) {
        let (request, expected) = self.next(env);
        let (transport, address) = (self.shared.storm.transport, &self.shared.address);
        let mut connections: Vec<Connection> = (0..2)
            .filter_map(|_| Connection::open(transport, address).ok())
            .collect();
        for connection in &mut connections {
            self.shared.count(Fate::Doubled);
            let _ = connection.send(std::slice::from_ref(&request));
        }
        for connection in &mut connections {
            if let Ok(found) = connection.receive()
                && !found.is_retryable()
            {
                self.expect(Fate::Doubled, &request, &found, &expected);
            }
        }
        let found = self.ask_until_answered(&request, Fate::Repeated);
        self.expect(Fate::Doubled, &request, &found, &expected);
    }

    /// Sends many operations at once; the connection ends before all are answered, and all are sent
    /// again.
    fn play_pipelined(&mut self, env: usize) {
        let length = self.rng.random_range(2..=LONGEST_PIPELINE);
        let (requests, expected): (Vec<Request>, Vec<Reply>) =
            (0..length).map(|_| self.next(env)).unzip();
        let num_read = self.rng.random_range(0..length);
        let mut sent = self.pipeline(Fate::Pipelined, &requests, &expected, num_read);
        // Repeat them at once on another connection, or one by one.
        self.connection = None;
        if self.rng.random() {
            sent = self.pipeline(Fate::Repeated, &requests, &expected, length);
        }
        if sent < length {
            for (request, expected) in requests.iter().zip(&expected) {
                let found = self.ask_until_answered(request, Fate::Repeated);
                self.expect(Fate::Pipelined, request, &found, expected);
            }
        }
    }

    /// Sends all requests and reads `num_read` of the replies. Returns how many were answered in
    /// order.
    fn pipeline(
        &mut self,
        fate: Fate,
        requests: &[Request],
        expected: &[Reply],
        num_read: usize,
    ) -> usize {
        let Ok(mut connection) = self.connection() else {
            return 0;
        };
        requests.iter().for_each(|_| self.shared.count(fate));
        if connection.send(requests).is_err() {
            return 0;
        }
        for (index, (request, expected)) in requests.iter().zip(expected).enumerate() {
            if index == num_read {
                return index;
            }
            match connection.receive() {
                Ok(found) if !found.is_retryable() => self.expect(fate, request, &found, expected),
                _ => return index,
            }
        }
        self.connection = Some(connection);
        requests.len()
    }

    /// Repeats an earlier operation, unchanged or changed.
    fn play_stale(&mut self, env: usize) {
        let known = &self.envs[env];
        if known.past.is_empty() {
            return self.play_clean(env);
        }
        let age = self.rng.random_range(1..=known.past.len());
        let (request, expected) = known.past[known.past.len() - age].clone();
        self.shared.count(Fate::Stale);
        if self.rng.random() {
            let Ok(found) = self.ask(&request) else {
                return;
            };
            if found.is_retryable() || (age > WINDOW && found.code() == "seq-conflict") {
                return;
            }
            self.expect(Fate::Stale, &request, &found, &expected);
            if !found.is_replayed {
                self.shared.mismatch(format!(
                    "{} {} is not called a repetition",
                    request.path(),
                    request.body
                ));
            }
        } else {
            let seq = self.envs[env].seq - age as u64;
            let body = format!(r#"{{"seq":{seq},"seed":{}}}"#, 2_000_000 + age);
            let changed = self.envs[env].request(Op::Reset, body);
            let Ok(found) = self.ask(&changed) else {
                return;
            };
            if !found.is_retryable() {
                let due: &[&str] = match age {
                    1 => &["seq-reused"],
                    _ => &["seq-conflict"],
                };
                self.expect_problem(Fate::Stale, &changed, &found, due);
            }
        }
    }

    fn play_future(&mut self, env: usize) {
        let known = &self.envs[env];
        let seq = known.seq + self.rng.random_range(1..1_000);
        let early = known.request(Op::Reset, format!(r#"{{"seq":{seq}}}"#));
        self.shared.count(Fate::Future);
        let Ok(found) = self.ask(&early) else {
            return;
        };
        if found.is_retryable() {
            return;
        }
        self.expect_problem(Fate::Future, &early, &found, &["seq-conflict"]);
        if found.body["expected_seq"] != json!(self.envs[env].seq) {
            self.shared.mismatch(format!(
                "{}: {} where {} comes next",
                early.path(),
                found.body,
                self.envs[env].seq
            ));
        }
    }

    fn play_garbage(&mut self, env: usize) {
        self.shared.count(Fate::Garbage);
        let seq = self.envs[env].seq;
        let known = &self.envs[env];
        let bodies = [
            (
                Op::Step,
                format!(r#"{{"seq":{seq},"action":99,"actions":[99]}}"#),
            ),
            (Op::Step, format!(r#"{{"seq":{seq}}}"#)),
            (Op::Step, format!(r#"{{"seq":-1,"action":{}}}"#, i64::MIN)),
            (Op::Reset, format!(r#"{{"seq":{seq},"colour":"red"}}"#)),
            (Op::Reset, format!(r#"{{"seq":"{seq}"}}"#)),
            (
                Op::Restore,
                format!(r#"{{"seq":{seq},"snapshot":{{"format":"x"}}}}"#),
            ),
            (Op::Fork, format!(r#"{{"seq":{seq},"env_id":"/../.."}}"#)),
            (Op::Lease, r#"{"ttl_s":-5}"#.to_owned()),
            (Op::Put, r#"{"spec_id":"Nothing-v0"}"#.to_owned()),
            (Op::Reset, "[".repeat(self.rng.random_range(1..300))),
        ];
        let choice = self.rng.random_range(0..bodies.len() + 1);
        let Some((op, body)) = bodies.get(choice).cloned() else {
            let mut noise = vec![0; self.rng.random_range(1..400)];
            self.rng.fill_bytes(&mut noise);
            if let Ok(connection) = self.connection()
                && let Ok(Some(status)) = connection.send_noise(&noise)
                && !(400..500).contains(&status)
            {
                self.shared.mismatch(format!("noise is answered {status}"));
            }
            return;
        };
        let request = known.request(op, body);
        let Ok(found) = self.ask(&request) else {
            self.connection = None;
            return;
        };
        if !(400..500).contains(&found.status) && !found.is_retryable() {
            self.shared.mismatch(format!(
                "{} {}: {} {} where a refusal was due",
                request.path(),
                request.body,
                found.status,
                found.body
            ));
        }
    }

    /// Describes an environment, creates it again (which is refused under the id of a fork), and
    /// requests another lease: none of this changes its state.
    fn look(&mut self, env: usize) {
        let known = &self.envs[env];
        let put = known.request(Op::Put, known.creation.clone());
        let lease = known.request(Op::Lease, r#"{"ttl_s":3600}"#.to_owned());
        let describe = known.request(Op::Describe, String::new());
        for request in [put, describe] {
            let expected = self.calm.ask(&request);
            let found = self.ask_until_answered(&request, Fate::Clean);
            self.expect_description(&request, &found, &expected);
        }
        let found = self.ask_until_answered(&lease, Fate::Clean);
        if found.status != 200 {
            self.shared
                .mismatch(format!("{}: {}", lease.path(), found.body));
        }
    }

    /// Forks a child, closes the parent, checks both, and continues with the child.
    fn close(&mut self, env: usize) {
        let known = &self.envs[env];
        let child_id = format!("{}-{}", self.name, self.num_made);
        self.num_made += 1;
        let body = format!(r#"{{"seq":{},"env_id":"{child_id}"}}"#, known.seq);
        let fork = known.request(Op::Fork, body);
        let expected = self.calm.ask(&fork);
        let found = self.ask_until_answered(&fork, Fate::Clean);
        self.expect(Fate::Clean, &fork, &found, &expected);
        let again = self.ask_until_answered(&fork, Fate::Stale);
        self.expect(Fate::Stale, &fork, &again, &expected);
        let mut known = self.envs.swap_remove(env);
        known.seq += 1;
        self.compare_state(&known);
        let close = known.request(Op::Close, String::new());
        self.calm.ask(&close);
        for fate in [Fate::Clean, Fate::Stale] {
            let found = self.ask_until_answered(&close, fate);
            if found.status != 204 {
                self.shared
                    .mismatch(format!("{}: {} {}", close.path(), found.status, found.body));
            }
        }
        let late = known.request(Op::Reset, format!(r#"{{"seq":{}}}"#, known.seq));
        let found = self.ask_until_answered(&late, Fate::Stale);
        self.expect_problem(Fate::Stale, &late, &found, &["env-closed"]);
        let child = Env {
            id: child_id,
            seq: 0,
            past: VecDeque::new(),
            ..known
        };
        self.compare_state(&child);
        self.envs.push(child);
    }

    /// Checks that the server has an environment in the expected state.
    fn compare_state(&mut self, env: &Env) {
        let describe = env.request(Op::Describe, String::new());
        let found = self.ask_until_answered(&describe, Fate::Clean);
        let expected = self.calm.ask(&describe);
        self.expect_description(&describe, &found, &expected);
        let snapshot = env.request(Op::Snapshot, String::new());
        let found = self.ask_until_answered(&snapshot, Fate::Clean);
        let expected = self.calm.ask(&snapshot);
        self.expect(Fate::Clean, &snapshot, &found, &expected);
    }
}
