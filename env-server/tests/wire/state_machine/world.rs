//! A server and the models of its environments, side by side.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use env_protocol::Encoding;
use env_server::{Clock, ServerConfig};
use proptest::sample::Index;
use serde_json::{Value, json};

use super::model::{Body, Expected, Mode, Model, NUM_ENVS, Saved};
use super::requests::{BodyChoice, IdChoice, PutChoice, Request, SeqChoice, What};
use super::wire::{path, send, success};
use crate::client::{Client, Reply};

const FIRST: &str = "e";
/// Number of clients in concurrent requests.
const NUM_CLIENTS: usize = 4;

pub struct World {
    pub(super) client: Client,
    clock: Clock,
    pub(super) mode: Mode,
    pub(super) now_s: u64,
    /// Every environment so far.
    pub(super) lives: BTreeMap<String, Life>,
    pub(super) saved: Saved,
    num_forks: usize,
}

/// The present condition of an environment.
pub(super) enum Life {
    Open(Box<Open>),
    /// It is remembered for a while.
    Ended {
        code: &'static str,
        until_s: u64,
    },
    Forgotten,
}

pub(super) struct Open {
    pub(super) model: Model,
    /// The body that created it, or its ancestor if it is a fork.
    pub(super) creation: Value,
    pub(super) is_fork: bool,
    /// The state after its last operation.
    pub(super) snapshot: Value,
    /// Its operations, after those of its ancestors.
    pub(super) log: Vec<Body>,
    /// How many of these are its ancestors'.
    pub(super) num_inherited: usize,
}

impl World {
    /// Starts a server with one environment.
    pub fn new(mode: Mode, start: fn(ServerConfig) -> Client) -> Self {
        let config = ServerConfig::default();
        let clock = config.clock.clone();
        let mut world = World {
            client: start(config),
            clock,
            mode,
            now_s: 0,
            lives: BTreeMap::from([(FIRST.to_owned(), Life::Forgotten)]),
            saved: Saved {
                snapshot: Value::Null,
                lanes: Vec::new(),
                is_damaged: false,
            },
            num_forks: 0,
        };
        world.put(FIRST, PutChoice::Usual);
        world.save(FIRST);
        world
    }

    /// Sends the requests and checks everything that comes back.
    pub fn play(&mut self, requests: &[Request]) {
        for Request { about, what } in requests {
            let id = self.id(*about);
            match what {
                What::Operate {
                    body,
                    seq,
                    encoding,
                } => {
                    let body = self.body(&id, body);
                    if let Some(seq) = self.seq(&id, *seq) {
                        self.operate(&id, &body, seq, *encoding);
                    }
                }
                What::Repeat { encoding, before } => {
                    let done = self.open(&id).map(|open| &open.model.done);
                    let found = done.and_then(|done| {
                        let seq = done.len().checked_sub(1 + before)?;
                        Some((seq as u64, done[seq].0.clone()))
                    });
                    if let Some((seq, body)) = found {
                        self.operate(&id, &body, Some(seq), *encoding);
                    }
                }
                What::Storm { body } => {
                    let body = self.body(&id, body);
                    self.storm(&id, &body);
                }
                What::Race => self.race(&id),
                What::Put(choice) => self.put(&id, *choice),
                What::Lease { ttl_s } => self.renew(&id, *ttl_s),
                What::Wait { s } => {
                    self.clock.skip(Duration::from_secs(*s));
                    self.now_s += s;
                    // A server behind a socket collects expired leases once a second, so the models
                    // are brought in step now. Otherwise the next request notices.
                    if !self.client.is_over_sockets() {
                        continue;
                    }
                }
                What::Close => self.close(&id),
                What::Save => self.save(&id),
            }
            self.look();
        }
        let ids: Vec<String> = self.lives.keys().cloned().collect();
        for id in ids {
            self.compare_with_twin(&id);
        }
    }

    fn id(&self, about: Option<Index>) -> String {
        let ids: Vec<&String> = self.lives.keys().collect();
        about.map_or(FIRST.to_owned(), |about| (*about.get(&ids)).clone())
    }

    pub(super) fn open(&mut self, id: &str) -> Option<&mut Open> {
        match self.lives.get_mut(id)? {
            Life::Open(open) => Some(open),
            Life::Ended { .. } | Life::Forgotten => None,
        }
    }

    /// Notices, like any request, that a lease has expired or that an end is forgotten.
    pub(super) fn notice(&mut self, id: &str) {
        let now_s = self.now_s;
        let Some(life) = self.lives.get_mut(id) else {
            return;
        };
        match life {
            Life::Open(open) if open.model.expires_at_s <= now_s => {
                let (code, until_s) = ("lease-expired", now_s + open.model.ttl_s);
                *life = Life::Ended { code, until_s };
            }
            Life::Ended { until_s, .. } if *until_s <= now_s => *life = Life::Forgotten,
            _ => {}
        }
    }

    /// Returns the expected answer to a request about an environment that is not open.
    pub(super) fn absence(&mut self, id: &str) -> Option<(u16, String)> {
        self.notice(id);
        match self.lives.get(id) {
            Some(Life::Open(_)) => None,
            Some(Life::Ended { code, .. }) => Some((410, (*code).to_owned())),
            Some(Life::Forgotten) | None => Some((404, "unknown-env".to_owned())),
        }
    }

    fn body(&mut self, id: &str, choice: &BodyChoice) -> Body {
        let num_lanes = self.mode.map_or(1, |_| NUM_ENVS);
        match choice.clone() {
            BodyChoice::Reset { seed, delay, mask } => Body::Reset {
                seed,
                delay,
                mask: mask.filter(|_| self.mode.is_some()),
            },
            BodyChoice::Step {
                actions,
                is_misshapen,
            } => {
                let num_actions = match is_misshapen {
                    false => num_lanes,
                    true => 3 - num_lanes,
                };
                Body::Step(actions[..num_actions].to_vec())
            }
            BodyChoice::Restore { damage } => {
                let mut saved = self.saved.clone();
                saved.is_damaged = damage.is_some();
                match damage {
                    None => {}
                    Some(0) => saved.snapshot["version"] = json!(2),
                    Some(1) => saved.snapshot["spec_id"] = json!("RepeatFirst-v0"),
                    Some(2) => saved.snapshot["lanes"][0]["rng"] = json!("0".repeat(64)),
                    Some(_) => saved.snapshot["lanes"] = json!([]),
                }
                Body::Restore(saved)
            }
            BodyChoice::Fork { id: choice, ttl_s } => Body::Fork {
                env_id: match choice {
                    IdChoice::Fresh => self.fresh_id(),
                    IdChoice::Known(index) => match self.id(Some(index)) {
                        // A forgotten id could be used again, but not by a twin.
                        known if self.is_forgotten(&known) => self.fresh_id(),
                        known => known,
                    },
                    IdChoice::Malformed => format!("{id}/"),
                },
                ttl_s,
            },
        }
    }

    fn fresh_id(&self) -> String {
        format!("fork-{}", self.num_forks)
    }

    fn is_forgotten(&mut self, id: &str) -> bool {
        self.notice(id);
        matches!(self.lives.get(id), Some(Life::Forgotten))
    }

    /// Returns the seq of a request; `None` if there is no such number.
    fn seq(&mut self, id: &str, choice: SeqChoice) -> Option<Option<u64>> {
        let next = self.open(id).map_or(0, |open| open.model.seq);
        match choice {
            SeqChoice::None => Some(None),
            SeqChoice::Offset(offset) => next.checked_add_signed(offset).map(Some),
            SeqChoice::Largest => Some(Some(u64::MAX)),
        }
    }

    /// Returns the model's answer to an operation.
    fn expect(&mut self, id: &str, body: &Body, seq: Option<u64>) -> Expected {
        let Some(open) = self.open(id) else {
            unreachable!("it has been seen to be open");
        };
        let expected = open.model.expect(body, seq);
        let Body::Fork { env_id, .. } = body else {
            return expected;
        };
        match expected {
            Expected::Applied | Expected::Refused(_, "invalid-ttl") if env_id.ends_with('/') => {
                Expected::Refused(422, "invalid-env-id")
            }
            Expected::Applied => {
                self.notice(env_id);
                match self.lives.get(env_id) {
                    Some(Life::Open(_)) => Expected::Refused(409, "env-exists"),
                    Some(Life::Ended { code, .. }) => Expected::Refused(410, code),
                    Some(Life::Forgotten) | None => Expected::Applied,
                }
            }
            other => other,
        }
    }

    fn operate(&mut self, id: &str, body: &Body, seq: Option<u64>, encoding: Encoding) {
        let absence = self.absence(id);
        let reply = send(&self.client, self.mode, id, body, seq, encoding);
        if let Some(absence) = absence {
            assert_eq!(reply.failure(), absence);
            return;
        }
        let expected = self.expect(id, body, seq);
        self.check(id, body, seq, expected, &reply);
    }

    /// Compares a reply with the model's, and advances the model.
    fn check(
        &mut self,
        id: &str,
        body: &Body,
        seq: Option<u64>,
        expected: Expected,
        reply: &Reply,
    ) {
        let mode = self.mode;
        let replayed = reply.header("idempotency-replayed");
        match expected {
            Expected::Applied => {
                assert_eq!(replayed, "", "{reply:?}");
                let json = success(mode, body, reply);
                self.applied(id, body, json);
            }
            Expected::Replayed => {
                assert_eq!(replayed, "true", "{reply:?}");
                let json = success(mode, body, reply);
                let now_s = self.now_s;
                let open = self.open(id).expect("open");
                let seq = seq.expect("what has no number is no repetition");
                assert_eq!(json, open.model.done[seq as usize].1);
                open.model.renew(now_s);
            }
            Expected::Refused(status, code) => {
                assert_eq!(reply.failure(), (status, code.to_owned()), "{body:?}");
                let next = self.open(id).expect("open").model.seq;
                let told = (code == "seq-conflict").then_some(next);
                assert_eq!(reply.problem().expected_seq, told);
            }
        }
    }

    fn applied(&mut self, id: &str, body: &Body, reply: Value) {
        let (mode, now_s) = (self.mode, self.now_s);
        let snapshot = self
            .client
            .get(&format!("{}/snapshot", path(mode, id)))
            .json();
        let open = self.open(id).expect("open");
        assert_eq!(reply["seq"], open.model.seq + 1);
        let ended = open.model.apply(body, reply.clone(), now_s);
        if let Body::Step(_) = body {
            let told = match mode {
                None => json!([reply["terminated"]]),
                Some(_) => reply["terminations"].clone(),
            };
            assert_eq!(told, json!(ended));
        }
        open.snapshot = snapshot;
        open.log.push(body.clone());
        let Body::Fork { env_id, ttl_s } = body else {
            return;
        };
        let model = Model {
            seq: 0,
            done: Vec::new(),
            ttl_s: ttl_s.unwrap_or(open.model.ttl_s),
            ..open.model.clone()
        };
        let mut child = Open {
            model,
            creation: open.creation.clone(),
            is_fork: true,
            snapshot: open.snapshot.clone(),
            log: open.log.clone(),
            num_inherited: open.log.len(),
        };
        child.model.renew(now_s);
        self.lives
            .insert(env_id.clone(), Life::Open(Box::new(child)));
        self.num_forks += 1;
    }

    /// Sends an operation from several clients: it is applied once, and all get the same reply.
    fn storm(&mut self, id: &str, body: &Body) {
        if self.absence(id).is_some() {
            return;
        }
        let seq = self.seq(id, SeqChoice::Offset(0)).flatten();
        let expected = self.expect(id, body, seq);
        let mut replies = self.send_at_once(id, &vec![body.clone(); NUM_CLIENTS], seq);
        // Put the first reply first.
        replies.sort_by_key(|reply| reply.header("idempotency-replayed").to_owned());
        for (i, reply) in replies.iter().enumerate() {
            let expected = match expected {
                Expected::Applied if i > 0 => Expected::Replayed,
                expected => expected,
            };
            self.check(id, body, seq, expected, reply);
        }
    }

    /// Sends two operations with the same number: one is applied, the other is refused.
    fn race(&mut self, id: &str) {
        if self.absence(id).is_some() {
            return;
        }
        let seq = self.seq(id, SeqChoice::Offset(0)).flatten();
        let reset = |client: usize| Body::Reset {
            seed: Some(client as u64 % 2),
            delay: None,
            mask: None,
        };
        let bodies: Vec<Body> = (0..NUM_CLIENTS).map(reset).collect();
        let replies = self.send_at_once(id, &bodies, seq);
        let is_first =
            |reply: &Reply| reply.status == 200 && reply.header("idempotency-replayed").is_empty();
        let winner = replies.iter().position(is_first).expect("one was done");
        let (body, reply) = (&bodies[winner], &replies[winner]);
        self.check(id, body, seq, Expected::Applied, reply);
        for (i, reply) in replies.iter().enumerate().filter(|(i, _)| *i != winner) {
            let expected = self.expect(id, &bodies[i], seq);
            self.check(id, &bodies[i], seq, expected, reply);
        }
    }

    fn send_at_once(&self, id: &str, bodies: &[Body], seq: Option<u64>) -> Vec<Reply> {
        let (client, mode) = (&self.client, self.mode);
        thread::scope(|scope| {
            let clients: Vec<_> = bodies
                .iter()
                .map(|body| scope.spawn(|| send(client, mode, id, body, seq, Encoding::Json)))
                .collect();
            let replies = clients.into_iter().map(|client| client.join());
            replies.map(|reply| reply.expect("a reply")).collect()
        })
    }
}
