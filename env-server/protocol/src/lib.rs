//! The wire format between an environment server and its players.
//!
//! Everything here is plain data with one serde implementation for both encodings, JSON and
//! MessagePack. Field names are Gymnasium's. A client needs only this crate and an HTTP library.
//!
//! # The main path
//!
//! A client creates an environment with [`CreateVectorEnv`] (or [`CreateEnv`] for a single one),
//! begins episodes with [`VectorResetRequest`], takes actions with [`VectorStepRequest`], and reads
//! the result of each step in a [`VectorStepReply`]. [`Encoding`] turns bodies into bytes and back:
//!
//! ```
//! use env_protocol::{Array, CreateVectorEnv, Encoding, VectorStepReply, VectorStepRequest};
//!
//! // POST /v1/vector-envs, in JSON: fields left out have their defaults.
//! let body = br#"{"spec_id": "MemoryTask-v0", "num_envs": 2, "seed": 7}"#;
//! let creation: CreateVectorEnv = Encoding::Json.decode(body)?;
//! assert_eq!(creation.seed.unwrap().lane(1), Some(8));
//!
//! // POST …/step, in MessagePack. `seq` numbers the operations, which makes a retry safe: a
//! // repeated operation is not applied again but answered with its stored reply.
//! let request = VectorStepRequest {
//!     seq: Some(1),
//!     actions: Array::from_i64(vec![2], vec![0, 1]).unwrap(),
//! };
//! let body = Encoding::MessagePack.encode(&request);
//! assert_eq!(
//!     Encoding::MessagePack.decode::<VectorStepRequest>(&body)?,
//!     request
//! );
//!
//! // The reply, in JSON.
//! let body = br#"{
//!     "observations": [[0.0, 1.0], [1.0, 0.0]],
//!     "rewards": [0.0, 1.0],
//!     "terminations": [false, true],
//!     "truncations": [false, false],
//!     "infos": {},
//!     "seq": 2
//! }"#;
//! let reply: VectorStepReply = Encoding::Json.decode(body)?;
//! assert_eq!(reply.observations.as_array().unwrap().shape(), [2, 2]);
//! assert_eq!(reply.rewards.to_f64s(), [0.0, 1.0]);
//! assert_eq!(reply.seq, 2);
//! # Ok::<(), env_protocol::DecodeError>(())
//! ```
//!
//! A reply with a status of 400 or more has a [`Problem`] as its body, whose [`ErrorCode`] says
//! what went wrong and whether a retry can help:
//!
//! ```
//! use env_protocol::{ErrorCode, Problem};
//!
//! let problem = Problem::new(ErrorCode::NeedsReset, "lane 1 has ended");
//! assert_eq!((problem.status, problem.retryable), (409, false));
//! assert_eq!(problem.code.advice(), "Reset first.");
//! ```
//!
//! # Contents
//!
//! - Bodies of requests and replies: [`CreateEnv`], [`StepRequest`], [`StepReply`] and the rest,
//!   with the terms they share: [`Kwargs`], [`Info`], [`Seed`], [`AutoresetMode`].
//! - Observations and actions: [`Space`], [`Value`], [`Array`].
//! - The catalogue of environments: [`Spec`], [`Parameter`], [`Returns`].
//! - Saved states and histories: [`Snapshot`], [`Trajectory`].
//! - Messages on a WebSocket: [`StreamRequest`], [`StreamReply`].
//! - Errors: [`Problem`], [`ErrorCode`], [`DecodeError`].

mod address;
mod array;
mod array_serde;
mod bodies;
mod codec;
mod finite;
mod json_text;
mod nearest;
mod nested;
#[cfg(feature = "openapi")]
mod openapi;
mod problem;
mod read;
mod snapshot;
mod space;
mod spec;
mod stream;
mod terms;
mod trajectory;
mod value;

pub use address::is_loopback;
pub use array::{Array, ArrayError, Data, Dtype, MAX_DIMS};
pub use bodies::{
    CreateEnv, CreateVectorEnv, EnvDescription, EnvList, ForkReply, ForkRequest, Health,
    LeaseReply, LeaseRequest, OracleReply, ResetReply, ResetRequest, RestoreReply, RestoreRequest,
    SpecList, SpecRequest, StepReply, StepRequest, VectorEnvDescription, VectorEnvList,
    VectorOracleReply, VectorResetOptions, VectorResetReply, VectorResetRequest, VectorStepReply,
    VectorStepRequest, Version,
};
pub use codec::{DecodeError, Encoding};
pub use finite::FiniteMap;
pub use nearest::{did_you_mean, hint};
pub use problem::{ErrorCode, FieldError, PROBLEM_CONTENT_TYPE, Problem};
pub use snapshot::{LanePhase, LaneSnapshot, SNAPSHOT_FORMAT, SNAPSHOT_VERSION, Snapshot};
pub use space::{Bound, Space};
pub use spec::{Domain, Parameter, Returns, SOLVED_SCORE, Spec};
pub use stream::{
    EnvelopeError, MAX_STREAM_ID_BYTES, StreamId, StreamKind, StreamOp, StreamReply, StreamRequest,
};
pub use terms::{AutoresetMode, Info, Kwargs, Seed};
pub use trajectory::{
    OperationKind, TRAJECTORY_FORMAT, TRAJECTORY_VERSION, Trajectory, TrajectoryEntry,
};
pub use value::Value;
