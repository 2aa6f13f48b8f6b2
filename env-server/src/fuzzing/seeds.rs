//! Seeds: bytes that the program itself writes and reads, so that mutations of them get far.

use env_protocol::{
    CreateEnv, CreateVectorEnv, Encoding, ForkRequest, Kwargs, LeaseRequest, ResetRequest,
    RestoreRequest, StepRequest, StreamId, StreamKind, StreamOp, StreamReply, StreamRequest,
    VectorResetRequest, VectorStepRequest,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::messages::with_server;
use crate::Limits;
use crate::session::store::Store;
use crate::session::{Clock, Creation, Session, fuzzing};
use environments::registry;

/// A seed and the name of its file.
pub(crate) struct Seed {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

impl Seed {
    pub(crate) fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Seed {
            name: name.into(),
            bytes: bytes.into(),
        }
    }
}

/// Generates the seeds of a target.
pub(super) fn made(target: &str) -> Vec<Seed> {
    match target {
        "json" => bodies(Encoding::Json),
        "messagepack" => bodies(Encoding::MessagePack),
        "stream_frame" => stream_frames(),
        "websocket" => websockets(),
        "openenv" => openenv(),
        "snapshot" => snapshots(),
        "trajectory" => trajectories(),
        "operation" => fuzzing::seeds::operations(),
        "record" => fuzzing::seeds::records(),
        "journal" => fuzzing::seeds::segments(),
        "tokens" => tokens(),
        "worker_frame" => worker_frames(),
        other => panic!("no seeds for {other}"),
    }
}

/// A message in a conversation, with its answer.
struct Exchange {
    name: String,
    request: Vec<u8>,
    request_body: Vec<u8>,
    reply_body: Vec<u8>,
}

/// Every operation on both kinds of environment, valid and invalid: operation, kind, id, body. The
/// snapshots of `Restore` come from the replies.
fn script() -> Vec<(StreamOp, StreamKind, &'static str, Value)> {
    use StreamKind::{Env, VectorEnv};
    use StreamOp::*;
    let kwargs = json!({"delay": 3, "difficulty": 1});
    let creation = json!({"spec_id": "MemoryTask-v0", "kwargs": kwargs, "seed": 7, "ttl_s": 60});
    let mut vector_creation = creation.clone();
    vector_creation["num_envs"] = json!(2);
    vector_creation["seed"] = json!([1, 2]);
    vector_creation["autoreset_mode"] = json!("SameStep");
    let masked = json!({"reset_mask": [true, false], "delay": 1});
    vec![
        (Create, Env, "", creation.clone()),
        (Put, Env, "f", creation),
        (Describe, Env, "f", json!({})),
        (
            Reset,
            Env,
            "f",
            json!({"seq": 0, "seed": 9, "options": {"delay": 2}}),
        ),
        (Step, Env, "f", json!({"seq": 1, "action": 1})),
        (Step, Env, "f", json!({"seq": 2, "action": 7})),
        (Step, Env, "f", json!({"seq": 9, "action": 0})),
        (Lease, Env, "f", json!({"ttl_s": 90})),
        (Fork, Env, "f", json!({"seq": 2, "env_id": "g", "ttl_s": 5})),
        (Snapshot, Env, "f", json!({})),
        (Restore, Env, "f", json!({"seq": 3})),
        (Trajectory, Env, "f", json!({"from": 0, "limit": 50})),
        (List, Env, "", json!({"limit": 1})),
        (Put, VectorEnv, "w", vector_creation),
        (Reset, VectorEnv, "w", json!({"seq": 0})),
        (Reset, VectorEnv, "w", json!({"seq": 1, "options": masked})),
        (Step, VectorEnv, "w", json!({"seq": 2, "actions": [1, 0]})),
        (Snapshot, VectorEnv, "w", json!({})),
        (Restore, VectorEnv, "w", json!({"seq": 3})),
        (Trajectory, VectorEnv, "w", json!({"from": 2})),
        (List, VectorEnv, "", json!({})),
        (Close, VectorEnv, "w", json!({})),
        (Step, VectorEnv, "w", json!({"actions": [1, 0]})),
    ]
}

/// Plays the script on the server of the targets.
fn conversation(encoding: Encoding) -> Vec<Exchange> {
    let mut snapshots = Vec::new();
    let mut exchanges = Vec::new();
    with_server(|ask| {
        for (op, kind, env_id, mut body) in script() {
            if op == StreamOp::Restore {
                body["snapshot"] = snapshots.pop().expect("one was taken");
            }
            let request_body = encode(encoding, op, kind, &body);
            let request = StreamRequest {
                id: StreamId::Number(exchanges.len() as u64),
                op,
                kind,
                env_id: op.needs_env_id().then(|| env_id.to_owned()),
                body: &request_body,
            };
            let request = request.encode(encoding);
            let reply = ask(encoding, &request);
            let reply_body = StreamReply::decode(encoding, &reply)
                .expect("a reply")
                .body
                .to_vec();
            if op == StreamOp::Snapshot {
                let snapshot = encoding.decode::<env_protocol::Snapshot>(&reply_body);
                snapshots.push(json!(snapshot.expect("a snapshot")));
            }
            exchanges.push(Exchange {
                name: format!("{:02}-{}-{}", exchanges.len(), kind.as_str(), op.as_str()),
                request,
                request_body,
                reply_body,
            });
        }
    });
    exchanges
}

/// Encodes a body as clients do.
fn encode(encoding: Encoding, op: StreamOp, kind: StreamKind, body: &Value) -> Vec<u8> {
    fn typed<T: DeserializeOwned + Serialize>(body: &Value) -> Vec<u8> {
        let request: T = serde_json::from_value(body.clone()).expect("a body of its type");
        Encoding::MessagePack.encode(&request)
    }
    match (encoding, op, kind) {
        (Encoding::Json, ..) => body.to_string().into_bytes(),
        (_, StreamOp::Create | StreamOp::Put, StreamKind::Env) => typed::<CreateEnv>(body),
        (_, StreamOp::Create | StreamOp::Put, _) => typed::<CreateVectorEnv>(body),
        (_, StreamOp::Reset, StreamKind::Env) => typed::<ResetRequest>(body),
        (_, StreamOp::Reset, _) => typed::<VectorResetRequest>(body),
        (_, StreamOp::Step, StreamKind::Env) => typed::<StepRequest>(body),
        (_, StreamOp::Step, _) => typed::<VectorStepRequest>(body),
        (_, StreamOp::Restore, _) => typed::<RestoreRequest>(body),
        (_, StreamOp::Fork, _) => typed::<ForkRequest>(body),
        (_, StreamOp::Lease, _) => typed::<LeaseRequest>(body),
        _ => Encoding::MessagePack.encode(body),
    }
}

fn bodies(encoding: Encoding) -> Vec<Seed> {
    let exchanges = conversation(encoding).into_iter();
    let mut seeds: Vec<Seed> = exchanges
        .flat_map(|exchange| {
            let name = exchange.name;
            [
                Seed::new(format!("{name}-request"), exchange.request_body),
                Seed::new(format!("{name}-reply"), exchange.reply_body),
            ]
        })
        .filter(|seed| seed.bytes.len() > 4)
        .collect();
    let specs = env_protocol::SpecList {
        specs: registry::specs()[..1].to_vec(),
    };
    seeds.push(Seed::new("specs", encoding.encode(&specs)));
    let nested = json!({"a": [[1, 2], [3, 4]], "b": [[0.5], [1, true]], "c": {"d": -3, "e": []}});
    let nested: env_protocol::Value = serde_json::from_value(nested).expect("a value");
    seeds.push(Seed::new("value", encoding.encode(&nested)));
    seeds
}

fn stream_frames() -> Vec<Seed> {
    let exchanges = conversation(Encoding::Json).into_iter();
    let lines: Vec<Vec<u8>> = exchanges.map(|exchange| exchange.request).collect();
    let mut seeds = vec![Seed::new("conversation.json", lines.join(&b'\n'))];
    for encoding in [Encoding::Json, Encoding::MessagePack] {
        let suffix = match encoding {
            Encoding::Json => "json",
            Encoding::MessagePack => "msgpack",
        };
        let exchanges = conversation(encoding).into_iter();
        seeds
            .extend(exchanges.map(|exchange| {
                Seed::new(format!("{}.{suffix}", exchange.name), exchange.request)
            }));
    }
    seeds
}

/// Encodes frames as a client sends them, with a mask of zeros (RFC 6455, section 5.2).
fn websockets() -> Vec<Seed> {
    const TEXT: u8 = 0x81;
    const TEXT_BEGUN: u8 = 0x01;
    const BINARY: u8 = 0x82;
    const REST: u8 = 0x80;
    const CLOSE: u8 = 0x88;
    const PING: u8 = 0x89;
    fn frame(head: u8, payload: &[u8]) -> Vec<u8> {
        let length = match payload.len() {
            len @ ..126 => vec![0x80 | len as u8],
            len => {
                let len = u16::try_from(len).expect("a short message").to_be_bytes();
                vec![0x80 | 126, len[0], len[1]]
            }
        };
        [&[head][..], &length, &[0; 4], payload].concat()
    }
    let messages = |encoding| conversation(encoding).into_iter().map(|e| e.request);
    let texts: Vec<u8> = messages(Encoding::Json)
        .flat_map(|message| frame(TEXT, &message))
        .collect();
    let binaries: Vec<u8> = messages(Encoding::MessagePack)
        .flat_map(|message| frame(BINARY, &message))
        .collect();
    let list = br#"{"id":1,"op":"list","kind":"env"}"#;
    let parts = [
        frame(TEXT_BEGUN, &list[..9]),
        frame(PING, b"there?"),
        frame(REST, &list[9..]),
        frame(CLOSE, &1000u16.to_be_bytes()),
    ];
    vec![
        Seed::new("texts", texts),
        Seed::new("binaries", binaries),
        Seed::new("in-parts-with-ping-and-close", parts.concat()),
        Seed::new("close-with-reason", frame(CLOSE, b"\x03\xe9gone")),
        Seed::new("not-utf8", frame(TEXT, b"\xff")),
        Seed::new("nothing", b"".as_slice()),
    ]
}

fn openenv() -> Vec<Seed> {
    let messages = [
        (
            "reset",
            json!({"type": "reset", "data": {"seed": 7, "episode_id": "a", "delay": 3}}),
        ),
        (
            "step",
            json!({"type": "step", "data": {"action": [1, 0], "metadata": {}}}),
        ),
        ("state", json!({"type": "state"})),
        ("close", json!({"type": "close"})),
        (
            "mcp",
            json!({"type": "mcp", "data": {"jsonrpc": "2.0", "method": "tools/list", "id": 3}}),
        ),
        ("wrong", json!({"type": "step", "data": 7, "more": [null]})),
    ];
    let seeds = messages.into_iter();
    seeds
        .map(|(name, message)| Seed::new(name, message.to_string()))
        .collect()
}

/// Creates a session of a spec with its default arguments and plays a few steps.
fn played(creation: Creation) -> std::sync::Arc<Session> {
    let store = Store::new(Limits::default(), Clock::default());
    let session = store
        .create(creation, None)
        .expect("good arguments")
        .session;
    fuzzing::plays_on(&session, 5);
    session
}

fn single(spec_id: &str) -> Creation {
    Creation::Single(CreateEnv {
        spec_id: spec_id.to_owned(),
        kwargs: Kwargs::new(),
        seed: Some(7),
        ttl_s: None,
    })
}

fn vector(spec_id: &str) -> Creation {
    let body = json!({"spec_id": spec_id, "num_envs": 2, "seed": 7});
    Creation::Vector(serde_json::from_value(body).expect("a body"))
}

fn snapshots() -> Vec<Seed> {
    let specs = registry::specs().iter();
    let mut seeds: Vec<Seed> = specs
        .map(|spec| {
            let snapshot = played(single(&spec.id)).snapshot().expect("it is sound");
            Seed::new(
                format!("{}.json", spec.id),
                Encoding::Json.encode(&snapshot),
            )
        })
        .collect();
    let snapshot = played(vector("MemoryTask-v0"))
        .snapshot()
        .expect("it is sound");
    for (name, encoding) in [
        ("vector.json", Encoding::Json),
        ("vector.msgpack", Encoding::MessagePack),
    ] {
        seeds.push(Seed::new(name, encoding.encode(&snapshot)));
    }
    seeds
}

fn trajectories() -> Vec<Seed> {
    let sessions = [
        ("single", played(single("MemoryTask-v0"))),
        ("vector", played(vector("MemoryTask-v0"))),
        ("cards", played(single("RepeatPrevious-v0"))),
    ];
    let seeds = sessions.into_iter().map(|(name, session)| {
        let page = session.told(None, 100).expect("it is sound");
        Seed::new(name, Encoding::Json.encode(&page))
    });
    seeds.collect()
}

fn tokens() -> Vec<Seed> {
    let file = "# Who may play\n[alice]\ntoken = \"Yt3rJ0kM5sGq8ZcW1nUe7A\"\n\
                previous_token = \"h2VxP9bQe4LdK6mTa0RzNw\"\nmax_envs = 100\nmax_lanes = 4096\n\
                max_requests_in_flight = 32\nmax_requests_per_s = 1000\n\n[bob]\n\
                token = \"bob-0123456789abcdef\"\n";
    vec![
        Seed::new("file.toml", file),
        Seed::new("header", "Bearer Yt3rJ0kM5sGq8ZcW1nUe7A"),
    ]
}

/// A conversation with a worker: all kinds of frames, one after the other.
fn worker_frames() -> Vec<Seed> {
    use workers::{Frame, Hello, PROTOCOL, Shared, frame};
    let weights = Shared::new(b"weights".to_vec());
    let frames = [
        Frame::Hello(Hello {
            protocol: PROTOCOL,
            version: "0.1.0".to_owned(),
            program: "0badc0de".to_owned(),
            cpu: "x86_64+avx2".to_owned(),
        }),
        Frame::Call {
            id: 1,
            name: "job".to_owned(),
            body: b"{}".to_vec(),
            checkpoint: Some(vec![0x80]),
            shared: None,
            seat: None,
        },
        Frame::Share(weights.clone()),
        Frame::Call {
            id: 3,
            name: "collect".to_owned(),
            body: vec![0x80],
            checkpoint: None,
            shared: Some(weights.id().to_owned()),
            seat: Some(4),
        },
        Frame::Part {
            id: 1,
            is_checkpoint: true,
            body: vec![0x80],
        },
        Frame::Done {
            id: 1,
            body: vec![1, 2, 3],
        },
        Frame::Failed {
            id: 2,
            reason: "no such call".to_owned(),
        },
    ];
    let mut bytes = Vec::new();
    for one in &frames {
        frame::write(&mut bytes, one).expect("a frame is written to memory");
    }
    vec![Seed::new("conversation", bytes)]
}
