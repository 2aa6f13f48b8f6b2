//! Operations: what request bodies ask of a session, and what refusals say to clients.

mod codec;

use std::sync::Arc;

use env_protocol::{
    Array, Data, Encoding, ErrorCode, ForkReply, ForkRequest, Info, OperationKind, Problem,
    ResetReply, ResetRequest, RestoreReply, RestoreRequest, SNAPSHOT_FORMAT, SNAPSHOT_VERSION,
    Seed, Snapshot, StepReply, StepRequest, VectorResetReply, VectorResetRequest, VectorStepReply,
    VectorStepRequest,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::keeper::Written;
use super::{Kind, Session};
use environments::pieces::Pieces;
use environments::vector::{Refusal, Reset};
use environments::{Arguments, KwargsError};

/// A change to an environment, in one form whatever the encoding it came in: two requests are the
/// same when their operations are equal.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// Begin episodes.
    Reset(Reset),
    /// Take actions, flat.
    Step(Vec<i64>),
    /// Put a state back.
    Restore(Box<Snapshot>),
    /// Branch off another environment, under this id.
    Fork {
        /// What was asked for, without its seq.
        request: ForkRequest,
        /// The id, which the server has drawn where the request has none.
        env_id: String,
    },
}

impl Operation {
    /// The path that asks for it.
    pub fn kind(&self) -> OperationKind {
        match self {
            Operation::Reset(_) => OperationKind::Reset,
            Operation::Step(_) => OperationKind::Step,
            Operation::Restore(_) => OperationKind::Restore,
            Operation::Fork { .. } => OperationKind::Fork,
        }
    }

    /// Whether a request for it is one for the other: an id that the server has drawn says
    /// nothing.
    pub(super) fn is_same_request(&self, other: &Operation) -> bool {
        match (self, other) {
            (Operation::Fork { request, .. }, Operation::Fork { request: other, .. }) => {
                request == other
            }
            _ => self == other,
        }
    }
}

/// The body that asks for an operation.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum RequestBody {
    Reset(ResetRequest),
    VectorReset(VectorResetRequest),
    Step(StepRequest),
    VectorStep(VectorStepRequest),
    Restore(Box<RestoreRequest>),
    Fork(ForkRequest),
}

/// What the names of a body's fields and of its arrays take at most, beside what [`Reply::content_bytes`] counts.
const NAMES_BYTES: usize = 256;

/// The body that answers an operation.
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
    /// As a body. Most of a large one is numbers, so that its size is known before.
    pub(crate) fn encode(&self, encoding: Encoding) -> Vec<u8> {
        encoding.encode_about(self, self.content_bytes() + NAMES_BYTES)
    }

    /// Writes it as a body.
    pub(crate) fn write(&self, encoding: Encoding, out: &mut Pieces) {
        match encoding {
            Encoding::Json => serde_json::to_writer(out, self).expect("into memory"),
            Encoding::MessagePack => self
                .serialize(&mut rmp_serde::Serializer::new(out).with_struct_map())
                .expect("into memory"),
        }
    }

    /// Bytes it takes in memory, about.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Reply>() + self.content_bytes()
    }

    /// Of these, what a body tells.
    fn content_bytes(&self) -> usize {
        match self {
            Reply::Reset(reply) => reply.observation.bytes() + info_bytes(&reply.info),
            Reply::VectorReset(reply) => reply.observations.bytes() + info_bytes(&reply.infos),
            Reply::Step(reply) => reply.observation.bytes() + info_bytes(&reply.info),
            Reply::VectorStep(reply) => {
                // Rewards take eight bytes a lane, the two ends one each.
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

/// A reply and whether it had been given before.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The body.
    pub reply: Arc<Reply>,
    /// Whether this is the stored reply to an operation applied before.
    pub is_replay: bool,
    /// How far the journal must be safe before the client may be told.
    pub written: Written,
}

impl Session {
    /// The operation that a reset body asks of a single environment.
    pub fn reset_operation(request: ResetRequest) -> Operation {
        Operation::Reset(Reset {
            mask: None,
            seed: request.seed.map(Seed::First),
            kwargs: request.options,
        })
    }

    /// The request that asks for an operation, without its seq.
    pub(super) fn request_of(&self, operation: Operation) -> RequestBody {
        match (operation, self.creation.kind()) {
            (Operation::Reset(reset), Kind::Single) => RequestBody::Reset(ResetRequest {
                seq: None,
                seed: reset.seed.and_then(|seed| seed.lane(0)),
                options: reset.kwargs,
            }),
            (Operation::Reset(reset), Kind::Vector) => {
                RequestBody::VectorReset(VectorResetRequest {
                    seq: None,
                    seed: reset.seed,
                    options: env_protocol::VectorResetOptions {
                        reset_mask: reset.mask,
                        kwargs: reset.kwargs,
                    },
                })
            }
            (Operation::Step(actions), kind) => {
                let actions = Array::from_i64(self.action_shape(), actions);
                let actions = actions.expect("actions fill their shape");
                match kind {
                    Kind::Single => RequestBody::Step(StepRequest {
                        seq: None,
                        action: actions,
                    }),
                    Kind::Vector => {
                        RequestBody::VectorStep(VectorStepRequest { seq: None, actions })
                    }
                }
            }
            (Operation::Restore(snapshot), _) => RequestBody::Restore(Box::new(RestoreRequest {
                seq: None,
                snapshot: *snapshot,
            })),
            (
                Operation::Fork {
                    mut request,
                    env_id,
                },
                _,
            ) => {
                request.env_id = Some(env_id);
                RequestBody::Fork(request)
            }
        }
    }

    /// The operation that a request asks for, as a trajectory has it.
    ///
    /// # Errors
    /// `invalid-body` and those of the request itself.
    pub(super) fn operation_of(
        &self,
        kind: OperationKind,
        body: serde_json::Value,
    ) -> Result<Operation, Problem> {
        fn read<T: DeserializeOwned>(body: serde_json::Value) -> Result<T, Problem> {
            serde_json::from_value(body)
                .map_err(|e| Problem::new(ErrorCode::InvalidBody, e.to_string()).at("/body"))
        }
        match (kind, self.creation.kind()) {
            (OperationKind::Reset, Kind::Single) => Ok(Session::reset_operation(read(body)?)),
            (OperationKind::Reset, Kind::Vector) => self.vector_reset_operation(read(body)?),
            (OperationKind::Step, Kind::Single) => {
                self.step_operation(read::<StepRequest>(body)?.action)
            }
            (OperationKind::Step, Kind::Vector) => {
                self.step_operation(read::<VectorStepRequest>(body)?.actions)
            }
            (OperationKind::Restore, _) => {
                let snapshot = read::<RestoreRequest>(body)?.snapshot;
                Ok(Operation::Restore(Box::new(snapshot)))
            }
            (OperationKind::Fork, _) => {
                let request: ForkRequest = read(body)?;
                let env_id = request.env_id.clone().unwrap_or_default();
                Ok(Operation::Fork { request, env_id })
            }
        }
    }

    /// The operation that a reset body asks of a vector environment.
    ///
    /// # Errors
    /// `invalid-seed` or `invalid-options`, when there is not one entry for each lane.
    pub fn vector_reset_operation(
        &self,
        request: VectorResetRequest,
    ) -> Result<Operation, Problem> {
        let num_envs = self.creation.num_envs() as usize;
        if let Some(seed) = &request.seed {
            check_seed(seed, num_envs)?;
        }
        let mask = request.options.reset_mask;
        if let Some(mask) = &mask {
            let refuse = |detail: String| {
                Err(Problem::new(ErrorCode::InvalidOptions, detail).at("/options/reset_mask"))
            };
            if mask.len() != num_envs {
                let len = mask.len();
                return refuse(format!("{len} entries for {num_envs} lanes"));
            }
            if !mask.contains(&true) {
                return refuse("no lane is to be reset".to_owned());
            }
        }
        Ok(Operation::Reset(Reset {
            mask,
            seed: request.seed,
            kwargs: request.options.kwargs,
        }))
    }

    /// The operation that an array of actions asks for.
    ///
    /// # Errors
    /// `invalid-action`, when it has another shape than the action space asks for, or is not of
    /// integers.
    pub fn step_operation(&self, actions: Array) -> Result<Operation, Problem> {
        let shape = self.action_shape();
        let field = self.action_field();
        let refuse = |detail: String, pointer: String| {
            Err(Problem::new(ErrorCode::InvalidAction, detail).at(pointer))
        };
        if actions.shape() != shape {
            let found = actions.shape();
            let detail = format!("the shape is {found:?}, but {shape:?} is needed");
            return refuse(detail, field.to_owned());
        }
        let fraction = match actions.into_data() {
            Data::Int64(actions) => return Ok(Operation::Step(actions)),
            Data::Uint8(actions) => {
                let widened = actions.into_iter().map(i64::from).collect();
                return Ok(Operation::Step(widened));
            }
            Data::Bool(_) => None,
            Data::Float32(x) => x.iter().position(|x| x.fract() != 0.0),
            Data::Float64(x) => x.iter().position(|x| x.fract() != 0.0),
        };
        let pointer = match fraction {
            Some(i) if shape.len() == 1 => format!("{field}/{i}"),
            _ => field.to_owned(),
        };
        refuse("actions must be integers".to_owned(), pointer)
    }

    /// Checks that there is an entry for each lane, where an operation comes from a file. Those
    /// that come by the wire are made so.
    pub(super) fn check_lengths(&self, operation: &Operation) -> Result<(), Problem> {
        let num_envs = self.creation.num_envs() as usize;
        let refuse = |code, len| {
            let detail = format!("{len} entries do not fit {num_envs} lanes");
            Err(Problem::new(code, detail))
        };
        match operation {
            Operation::Step(actions) => match actions.len() {
                len if len == self.action_shape().iter().product::<usize>() => Ok(()),
                _ => refuse(ErrorCode::InvalidAction, actions.len()),
            },
            Operation::Reset(Reset { mask, seed, .. }) => match (mask, seed) {
                (Some(mask), _) if mask.len() != num_envs => {
                    refuse(ErrorCode::InvalidOptions, mask.len())
                }
                (_, Some(seed)) => check_seed(seed, num_envs),
                _ => Ok(()),
            },
            Operation::Restore(_) | Operation::Fork { .. } => Ok(()),
        }
    }

    fn action_shape(&self) -> Vec<usize> {
        let mut shape = self.spaces.action.shape().unwrap_or_default();
        if self.creation.kind() == Kind::Vector {
            shape.insert(0, self.creation.num_envs() as usize);
        }
        shape
    }

    /// Checks that a snapshot is one of this very environment.
    pub(super) fn check_snapshot(&self, snapshot: &Snapshot) -> Result<(), Problem> {
        let same = |field: &str, found: String, expected: String| {
            if found == expected {
                return Ok(());
            }
            let detail = format!("{field} is {found}, but {expected} is needed");
            let pointer = format!("/snapshot/{field}");
            Err(Problem::new(ErrorCode::InvalidSnapshot, detail).at(pointer))
        };
        let kwargs = self.arguments.to_kwargs();
        // Parameters added since the snapshot was made had their defaults then.
        let found = Arguments::resolve(&self.spec.parameters, &snapshot.kwargs)
            .map_or_else(|_| snapshot.kwargs.clone(), |found| found.to_kwargs());
        let mode = self.creation.autoreset_mode();
        same(
            "format",
            snapshot.format.clone(),
            SNAPSHOT_FORMAT.to_owned(),
        )?;
        same(
            "version",
            snapshot.version.to_string(),
            SNAPSHOT_VERSION.to_string(),
        )?;
        same("spec_id", snapshot.spec_id.clone(), self.spec.id.clone())?;
        same("kwargs", format!("{found:?}"), format!("{kwargs:?}"))?;
        let found = format!("{:?}", snapshot.autoreset_mode);
        same("autoreset_mode", found, format!("{mode:?}"))
    }

    fn action_field(&self) -> &'static str {
        match self.creation.kind() {
            Kind::Single => "/action",
            Kind::Vector => "/actions",
        }
    }

    /// A refusal by the environments, in terms of the request.
    pub(super) fn problem(&self, refusal: Refusal) -> Problem {
        let detail = refusal.to_string();
        match refusal {
            Refusal::NeedsReset { .. } => match self.creation.kind() {
                // A single environment is its only lane.
                Kind::Single => {
                    let detail = detail.trim_start_matches("lane 0: ");
                    Problem::new(ErrorCode::NeedsReset, detail)
                }
                Kind::Vector => Problem::new(ErrorCode::NeedsReset, detail),
            },
            Refusal::Action { lane, position, .. } => {
                let mut pointer = self.action_field().to_owned();
                if self.creation.kind() == Kind::Vector {
                    pointer.push_str(&format!("/{lane}"));
                }
                if self.spaces.action.shape() != Some(Vec::new()) {
                    pointer.push_str(&format!("/{position}"));
                }
                Problem::new(ErrorCode::InvalidAction, detail).at(pointer)
            }
            Refusal::Options(KwargsError { name, .. }) => {
                let pointer = format!("/options/{}", escape(&name));
                Problem::new(ErrorCode::InvalidOptions, detail).at(pointer)
            }
            Refusal::Snapshot { pointer, .. } => {
                let pointer = format!("/snapshot{pointer}");
                Problem::new(ErrorCode::InvalidSnapshot, detail).at(pointer)
            }
        }
    }
}

/// Checks that there is a seed for each lane.
pub(super) fn check_seed(seed: &Seed, num_envs: usize) -> Result<(), Problem> {
    match seed {
        Seed::Each(seeds) if seeds.len() != num_envs => {
            let detail = format!("{} seeds for {num_envs} lanes", seeds.len());
            Err(Problem::new(ErrorCode::InvalidSeed, detail).at("/seed"))
        }
        _ => Ok(()),
    }
}

/// A name as a token of a JSON pointer (RFC 6901).
pub(super) fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use env_protocol::{AutoresetMode, CreateVectorEnv, Kwargs};
    use serde_json::json;

    use super::*;
    use crate::session::store::{Limits, Store};
    use crate::session::{Clock, Creation};
    use environments::registry;

    /// Else it is moved as it grows, all of it.
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
                operation = session.step_operation(actions).unwrap();
            }
        }
    }
}
