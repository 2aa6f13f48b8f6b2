//! Bodies of requests and replies, in both encodings.

use env_protocol::{
    Array, CreateEnv, CreateVectorEnv, Encoding, EnvDescription, ForkRequest, LeaseRequest,
    Problem, ResetReply, ResetRequest, RestoreRequest, Snapshot, SpecList, SpecRequest, StepReply,
    StepRequest, Trajectory, Value, VectorEnvDescription, VectorResetReply, VectorResetRequest,
    VectorStepReply, VectorStepRequest,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Checks a JSON body of every type.
pub fn json(bytes: &[u8]) {
    every_body(Encoding::Json, bytes);
}

/// Checks a MessagePack body of every type.
pub fn messagepack(bytes: &[u8]) {
    every_body(Encoding::MessagePack, bytes);
}

fn every_body(encoding: Encoding, bytes: &[u8]) {
    macro_rules! check {
        ($($body:ty)+) => { $(check::<$body>(encoding, bytes);)+ };
    }
    check! {
        CreateEnv CreateVectorEnv ResetRequest VectorResetRequest StepRequest VectorStepRequest
        RestoreRequest ForkRequest LeaseRequest SpecRequest
        ResetReply VectorResetReply StepReply VectorStepReply EnvDescription VectorEnvDescription
        Snapshot Trajectory SpecList Problem Array Value
    }
}

/// Checks that a body that can be read can be written and read again with the same result, in the
/// other encoding too.
fn check<T: Serialize + DeserializeOwned>(encoding: Encoding, bytes: &[u8]) {
    let Ok(body) = encoding.decode::<T>(bytes) else {
        return;
    };
    read_again::<T>(encoding, &encoding.encode(&body)).expect("what has been written can be read");
    let json = Encoding::Json.encode(&body);
    match encoding {
        Encoding::Json => {
            let there = Encoding::MessagePack.encode(&body);
            let back = read_again::<T>(Encoding::MessagePack, &there).expect("it has been JSON");
            assert_eq!(text(&Encoding::Json.encode(&back)), text(&json));
        }
        // JSON has no infinities and no NaN and writes null for them.
        Encoding::MessagePack => assert!(
            read_again::<T>(Encoding::Json, &json).is_some() || text(&json).contains("null"),
            "{} cannot be read",
            text(&json)
        ),
    }
}

/// Reads written bytes. Writing the result again gives the same bytes, except for the type of a
/// number: JSON does not distinguish float32 from float64, so there the bytes are equal from the
/// second writing on.
fn read_again<T: Serialize + DeserializeOwned>(encoding: Encoding, written: &[u8]) -> Option<T> {
    let body: T = encoding.decode(written).ok()?;
    let again = encoding.encode(&body);
    let settled: T = encoding.decode(&again).expect("as before");
    assert_eq!(text(&encoding.encode(&settled)), text(&again));
    if encoding == Encoding::MessagePack {
        assert_eq!(text(&again), text(written));
    }
    Some(body)
}

/// Formats bytes so that a failed comparison shows them legibly.
fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
