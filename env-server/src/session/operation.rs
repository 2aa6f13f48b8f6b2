//! Operations on a session, and the replies to them.

mod codec;

use std::sync::Arc;

use env_protocol::{
    Encoding, ForkReply, ForkRequest, Info, OperationKind, ResetReply, RestoreReply, Snapshot,
    StepReply, VectorResetReply, VectorStepReply,
};
use environments::pieces::Pieces;
use environments::vector::Reset;
use serde::Serialize;

use super::position::JournalPosition;

/// A change to an environment. It does not depend on the encoding of its request: two requests are
/// the same if their operations are equal.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// Begin episodes.
    Reset(Reset),
    /// Take actions, as a flat list: integers and float32 alike, each exact.
    Step(Vec<f64>),
    /// Restore a state.
    Restore(Box<Snapshot>),
    /// Create a branch of the environment under an id.
    Fork {
        /// The request, without its `seq`.
        request: ForkRequest,
        /// The id, drawn by the server if the request has none.
        env_id: String,
    },
}

impl Operation {
    /// Returns its kind, as in the path of a request.
    pub fn kind(&self) -> OperationKind {
        match self {
            Operation::Reset(_) => OperationKind::Reset,
            Operation::Step(_) => OperationKind::Step,
            Operation::Restore(_) => OperationKind::Restore,
            Operation::Fork { .. } => OperationKind::Fork,
        }
    }

    /// Whether both come from the same request: ids drawn by the server are not compared.
    pub(super) fn is_same_request(&self, other: &Operation) -> bool {
        match (self, other) {
            (Operation::Fork { request, .. }, Operation::Fork { request: other, .. }) => {
                request == other
            }
            _ => self == other,
        }
    }
}

/// Most bytes of the names of a body's fields and arrays, which [`Reply::content_bytes`] does not
/// count.
const NAMES_BYTES: usize = 256;

/// The body of the reply to an operation.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[expect(missing_docs, reason = "one variant a body")]
pub enum Reply {
    Reset(ResetReply),
    VectorReset(VectorResetReply),
    Step(StepReply),
    VectorStep(VectorStepReply),
    Restore(RestoreReply),
    Fork(ForkReply),
}

impl Reply {
    /// Encodes the body. A large one consists mostly of numbers, so its size is known in advance.
    pub(crate) fn encode(&self, encoding: Encoding) -> Vec<u8> {
        encoding.encode_about(self, self.content_bytes() + NAMES_BYTES)
    }

    /// Writes the body.
    pub(crate) fn write(&self, encoding: Encoding, out: &mut Pieces) {
        match encoding {
            Encoding::Json => serde_json::to_writer(out, self).expect("into memory"),
            Encoding::MessagePack => self
                .serialize(&mut rmp_serde::Serializer::new(out).with_struct_map())
                .expect("into memory"),
        }
    }

    /// Returns its estimated size in memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Reply>() + self.content_bytes()
    }

    /// Returns the bytes of its content, without the struct itself.
    fn content_bytes(&self) -> usize {
        match self {
            Reply::Reset(reply) => reply.observation.bytes() + info_bytes(&reply.info),
            Reply::VectorReset(reply) => reply.observations.bytes() + info_bytes(&reply.infos),
            Reply::Step(reply) => reply.observation.bytes() + info_bytes(&reply.info),
            Reply::VectorStep(reply) => {
                // Per lane: eight bytes of reward, and one for each of the two flags.
                reply.observations.bytes()
                    + 10 * reply.rewards.data().len()
                    + info_bytes(&reply.infos)
            }
            Reply::Restore(_) => 0,
            Reply::Fork(reply) => reply.env_id.len(),
        }
    }
}

fn info_bytes(info: &Info) -> usize {
    info.iter()
        .map(|(name, value)| name.len() + 64 + value.bytes())
        .sum()
}

/// A reply, and whether it is a repetition.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The body.
    pub reply: Arc<Reply>,
    /// Whether the operation was applied before, and this is its stored reply.
    pub is_replay: bool,
    /// The position up to which the journal must be durable before the client is answered.
    pub written: JournalPosition,
}

#[cfg(test)]
mod tests {
    use env_protocol::{AutoresetMode, CreateVectorEnv, Kwargs};
    use serde_json::json;

    use super::*;
    use crate::session::{Clock, Creation};
    use crate::session::{Limits, store::Store};
    use environments::registry;

    /// A body larger than expected would be moved as it grows, all of it.
    #[test]
    fn no_body_is_larger_than_was_expected() {
        let wrappers = json!({"previous_action": true, "previous_reward": true, "is_first": true});
        let wrappers: Kwargs = serde_json::from_value(wrappers).unwrap();
        for (spec, kwargs) in registry::specs()
            .iter()
            .flat_map(|spec| [(spec, Kwargs::new()), (spec, wrappers.clone())])
        {
            let store = Store::new(Limits::default(), Clock::default());
            let creation = Creation::Vector(CreateVectorEnv {
                spec_id: spec.id.clone(),
                num_envs: 3,
                kwargs,
                seed: None,
                autoreset_mode: AutoresetMode::SameStep,
                ttl_s: None,
            });
            let session = store.create_as("e", creation, None).unwrap().session;
            let mut operation = Operation::Reset(Reset::default());
            for _ in 0..60 {
                let reply = session.apply(None, operation).unwrap().reply;
                let len = reply.encode(Encoding::MessagePack).len();
                let expected = reply.content_bytes() + NAMES_BYTES;
                assert!(len <= expected, "{}: {len} > {expected}", spec.id);
                let (actions, _) = session.oracle().unwrap();
                operation = session.blueprint().step_operation(actions).unwrap();
            }
        }
    }
}
