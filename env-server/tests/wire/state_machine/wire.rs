//! Requests and replies, for either kind of environment.

use env_protocol::{
    Encoding, ForkReply, ResetReply, RestoreReply, StepReply, VectorResetReply, VectorStepReply,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::model::{Body, DELAY, Mode, NUM_ENVS};
use super::requests::PutChoice;
use crate::client::{Client, Reply};

/// The lease with which environments are created.
pub const TTL_S: u64 = 1_000;

pub fn collection(mode: Mode) -> &'static str {
    mode.map_or("/v1/envs", |_| "/v1/vector-envs")
}

pub fn path(mode: Mode, id: &str) -> String {
    format!("{}/{id}", collection(mode))
}

pub fn creation(mode: Mode, choice: PutChoice) -> Value {
    let kwargs = json!({"delay": DELAY, "difficulty": 1});
    let mut body = json!({"spec_id": "MemoryTask-v0", "kwargs": kwargs, "seed": 3, "ttl_s": TTL_S});
    if let Some(mode) = mode {
        body["num_envs"] = json!(NUM_ENVS);
        body["autoreset_mode"] = json!(mode);
    }
    match choice {
        PutChoice::Usual => {}
        PutChoice::Other => body["seed"] = json!(4),
        PutChoice::UnknownSpec => body["spec_id"] = json!("Nothing-v0"),
        PutChoice::BadKwargs => body["kwargs"]["delay"] = json!(0),
        PutChoice::BadTtl => body["ttl_s"] = json!(0),
    }
    body
}

pub fn send(
    client: &Client,
    mode: Mode,
    id: &str,
    body: &Body,
    seq: Option<u64>,
    encoding: Encoding,
) -> Reply {
    let path = format!("{}/{}", path(mode, id), body.path());
    let content_type = format!("content-type: {}", encoding.content_type());
    client.send(
        "POST",
        &path,
        &[&content_type],
        body.encode(mode, seq, encoding),
    )
}

/// Returns a success as JSON, from either encoding.
pub fn success(mode: Mode, body: &Body, reply: &Reply) -> Value {
    fn json<T: DeserializeOwned + Serialize>(reply: &Reply) -> Value {
        serde_json::to_value(reply.decode::<T>()).expect("plain data")
    }
    let status = match body {
        Body::Fork { .. } => 201,
        _ => 200,
    };
    assert_eq!(reply.status, status, "{reply:?} to {body:?}");
    match (body, mode) {
        (Body::Reset { .. }, None) => json::<ResetReply>(reply),
        (Body::Reset { .. }, Some(_)) => json::<VectorResetReply>(reply),
        (Body::Step(_), None) => json::<StepReply>(reply),
        (Body::Step(_), Some(_)) => json::<VectorStepReply>(reply),
        (Body::Restore(_), _) => json::<RestoreReply>(reply),
        (Body::Fork { .. }, _) => json::<ForkReply>(reply),
    }
}

/// Returns the state before operation `from`, and the operations since with their replies, numbered
/// from 0.
pub fn trajectory(client: &Client, mode: Mode, id: &str, from: usize) -> (Value, Vec<Value>) {
    let query = format!("{}/trajectory?from={from}&limit=1000", path(mode, id));
    let page = client.get(&query).json();
    let renumbered = page["entries"]
        .as_array()
        .expect("entries")
        .iter()
        .map(|entry| {
            let mut entry = entry.clone();
            for number in ["/seq", "/reply/seq"] {
                let number = entry.pointer_mut(number).expect("a number");
                *number = json!(number.as_u64().expect("a number") - from as u64);
            }
            entry
        });
    (page["start"].clone(), renumbered.collect())
}
