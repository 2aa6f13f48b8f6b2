//! The wire between an environment server and those who play: spaces, values, bodies, problems.
//!
//! Everything here is plain data with one serde implementation for both encodings. Field names are
//! Gymnasium's. A client needs nothing but this crate and an HTTP library:
//!
//! ```
//! use env_protocol::{Array, Encoding, VectorStepRequest};
//!
//! let request = VectorStepRequest {
//!     seq: Some(1),
//!     actions: Array::from_i64(vec![2], vec![0, 1]).unwrap(),
//! };
//! let body = Encoding::MessagePack.encode(&request);
//! assert_eq!(
//!     Encoding::MessagePack.decode::<VectorStepRequest>(&body).unwrap(),
//!     request
//! );
//! assert_eq!(
//!     Encoding::Json.encode(&request),
//!     br#"{"seq":1,"actions":[0,1]}"#
//! );
//! ```

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
