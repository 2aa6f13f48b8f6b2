//! Replies made from the results of environments.

use env_protocol::{Array, Info, StepReply, Value, VectorStepReply};
use environments::vector::StepBatch;

/// Returns the row of the only lane, without the dimension of lanes.
pub(super) fn only_row(observations: Value) -> Value {
    match observations {
        Value::Array(array) => {
            let shape = array.shape()[1..].to_vec();
            let row = Array::new(shape, array.into_data());
            row.expect("one lane is one row").into()
        }
        Value::Tuple(values) => Value::Tuple(values.into_iter().map(only_row).collect()),
        Value::Dict(values) => {
            let rows = values.into_iter();
            Value::Dict(rows.map(|(name, value)| (name, only_row(value))).collect())
        }
    }
}

/// Returns the reply to a step of a single environment.
pub(super) fn only_step(batch: StepBatch, seq: u64) -> StepReply {
    StepReply {
        observation: only_row(batch.observations),
        reward: batch.rewards[0],
        terminated: batch.terminations[0],
        truncated: batch.truncations[0],
        info: Info::new(),
        seq,
    }
}

/// Returns the reply to a step of a vector environment.
pub(super) fn vector_step(batch: StepBatch, seq: u64) -> VectorStepReply {
    VectorStepReply {
        observations: batch.observations,
        rewards: Array::vector(batch.rewards),
        terminations: Array::mask(batch.terminations),
        truncations: Array::mask(batch.truncations),
        infos: batch.infos,
        seq,
    }
}
