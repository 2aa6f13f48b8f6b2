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

/// Returns the infos of the only lane, without masks.
pub(super) fn only_info(infos: Info) -> Info {
    let is_own = |(name, _): &(String, Value)| !name.starts_with('_');
    let infos = infos.into_iter().filter(is_own);
    infos.map(|(name, value)| (name, only_row(value))).collect()
}

/// Returns the reply to a step of a single environment.
pub(super) fn only_step(batch: StepBatch, seq: u64) -> StepReply {
    StepReply {
        observation: only_row(batch.observations),
        reward: batch.rewards[0],
        terminated: batch.terminations[0],
        truncated: batch.truncations[0],
        info: only_info(batch.infos),
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
