//! Exactly once, against a model small enough to be seen to be right.

use env_protocol::{Array, Encoding, ResetReply, ResetRequest, StepReply, StepRequest};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::client::{Client, Reply};

const DELAY: u32 = 3;
const ENV: &str = "/v1/envs/e";

/// A body without its seq.
#[derive(Clone, Debug, PartialEq)]
enum Body {
    Reset { seed: u64 },
    Step { action: i64 },
}

/// Which seq a request carries, as seen from the next one.
#[derive(Clone, Copy, Debug)]
enum SeqChoice {
    None,
    Offset(i64),
}

#[derive(Clone, Debug)]
struct Request {
    body: Body,
    seq: SeqChoice,
    encoding: Encoding,
}

fn request() -> impl Strategy<Value = Request> {
    let body = prop_oneof![
        1 => (0u64..2).prop_map(|seed| Body::Reset { seed }),
        // 2 is outside the action space.
        4 => (0i64..3).prop_map(|action| Body::Step { action }),
    ];
    let seq = prop_oneof![
        2 => Just(SeqChoice::None),
        8 => Just(SeqChoice::Offset(0)),
        6 => Just(SeqChoice::Offset(-1)),
        1 => Just(SeqChoice::Offset(-2)),
        1 => Just(SeqChoice::Offset(1)),
    ];
    let encoding = prop_oneof![Just(Encoding::Json), Just(Encoding::MessagePack)];
    (body, seq, encoding).prop_map(|(body, seq, encoding)| Request {
        body,
        seq,
        encoding,
    })
}

/// What the rules say of an environment.
#[derive(Default)]
struct Model {
    seq: u64,
    last: Option<(Body, Value)>,
    /// Steps to the end of the episode; `None` when there is no episode.
    remaining: Option<u32>,
}

/// What the rules say of a request.
#[derive(Debug, PartialEq)]
enum Expected {
    Applied,
    Replayed,
    Refused(&'static str),
}

impl Model {
    fn expect(&self, body: &Body, seq: Option<u64>) -> Expected {
        match seq {
            Some(seq) if seq + 1 == self.seq => match &self.last {
                Some((last, _)) if last == body => return Expected::Replayed,
                _ => return Expected::Refused("seq-reused"),
            },
            Some(seq) if seq != self.seq => return Expected::Refused("seq-conflict"),
            _ => {}
        }
        match (body, self.remaining) {
            (Body::Reset { .. }, _) => Expected::Applied,
            (Body::Step { .. }, None) => Expected::Refused("needs-reset"),
            (Body::Step { action: 2 }, Some(_)) => Expected::Refused("invalid-action"),
            (Body::Step { .. }, Some(_)) => Expected::Applied,
        }
    }

    fn apply(&mut self, body: Body, reply: Value) {
        self.seq += 1;
        self.remaining = match body {
            Body::Reset { .. } => Some(DELAY),
            Body::Step { .. } => self.remaining.map(|n| n - 1).filter(|&n| n > 0),
        };
        self.last = Some((body, reply));
    }
}

fn send(client: &Client, request: &Request, seq: Option<u64>) -> Reply {
    let encoding = request.encoding;
    match request.body {
        Body::Reset { seed } => {
            let body = ResetRequest {
                seq,
                seed: Some(seed),
                ..ResetRequest::default()
            };
            client.post_as(encoding, &format!("{ENV}/reset"), &body)
        }
        Body::Step { action } => {
            let action = Array::scalar(action);
            client.post_as(
                encoding,
                &format!("{ENV}/step"),
                &StepRequest { seq, action },
            )
        }
    }
}

/// The reply as JSON, whatever encoding it came in.
fn reply_json(body: &Body, reply: &Reply) -> Value {
    match body {
        Body::Reset { .. } => serde_json::to_value(reply.decode::<ResetReply>()),
        Body::Step { .. } => serde_json::to_value(reply.decode::<StepReply>()),
    }
    .expect("plain data")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_server_keeps_the_rules(requests in prop::collection::vec(request(), 1..40)) {
        let client = Client::new();
        let kwargs = json!({"delay": DELAY, "difficulty": 1});
        client.put(ENV, json!({"spec_id": "MemoryTask-v0", "kwargs": kwargs}));
        let mut model = Model::default();
        for request in requests {
            let seq = match request.seq {
                SeqChoice::None => None,
                SeqChoice::Offset(offset) => match model.seq.checked_add_signed(offset) {
                    Some(seq) => Some(seq),
                    None => continue,
                },
            };
            let before = client.get(&format!("{ENV}/snapshot")).json();
            let reply = send(&client, &request, seq);
            let replayed = reply.header("idempotency-replayed");
            match model.expect(&request.body, seq) {
                Expected::Applied => {
                    prop_assert_eq!(replayed, "");
                    let json = reply_json(&request.body, &reply);
                    model.apply(request.body, json.clone());
                    prop_assert_eq!(&json["seq"], &model.seq);
                    continue;
                }
                Expected::Replayed => {
                    prop_assert_eq!(replayed, "true");
                    let stored = model.last.as_ref().map(|(_, reply)| reply);
                    prop_assert_eq!(Some(&reply_json(&request.body, &reply)), stored);
                }
                Expected::Refused(code) => {
                    let problem = reply.problem();
                    prop_assert_eq!(problem.code.as_str(), code);
                    let expected_seq = (code == "seq-conflict").then_some(model.seq);
                    prop_assert_eq!(problem.expected_seq, expected_seq);
                }
            }
            // Neither a replay nor an error changes anything.
            prop_assert_eq!(client.get(&format!("{ENV}/snapshot")).json(), before);
            prop_assert_eq!(&client.get(ENV).json()["seq"], &model.seq);
        }
    }
}

/// The same body means the same content: an encoding, an integer type or an omitted default does
/// not matter.
#[test]
fn sameness_is_of_content() {
    let client = Client::new();
    let path = "/v1/vector-envs/v";
    client.put(path, json!({"spec_id": "MemoryTask-v0", "num_envs": 2}));
    client
        .post(
            &format!("{path}/reset"),
            json!({"seq": 0, "seed": 1, "options": {}}),
        )
        .json();
    let again = client.post(&format!("{path}/reset"), json!({"seed": 1, "seq": 0}));
    assert_eq!(again.header("idempotency-replayed"), "true");

    let step = format!("{path}/step");
    let first = client
        .post(&step, json!({"seq": 1, "actions": [1, 0]}))
        .json();
    let int8 = b"\x82\xa3seq\x01\xa7actions\x83\xa5shape\x91\x02\xa5dtype\xa5uint8\xa4data\xc4\x02\x01\x00";
    let headers = [
        "content-type: application/vnd.msgpack",
        "accept: application/json",
    ];
    let again = client.send("POST", &step, &headers, int8.to_vec());
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.json(), first);
    let other = client.post(&step, json!({"seq": 1, "actions": [0, 0]}));
    assert_eq!(other.failure(), (422, "seq-reused".to_owned()));
    let other_operation = client.post(&format!("{path}/reset"), json!({"seq": 1}));
    assert_eq!(other_operation.failure(), (422, "seq-reused".to_owned()));
}
