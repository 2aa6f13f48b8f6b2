//! Operations as bytes, for histories and journals: a step of two lanes of bits takes three.
//!
//! Equal operations have equal bytes, so comparing bytes distinguishes a retry from another
//! operation.

use env_protocol::{ForkRequest, Snapshot};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Operation;
use crate::session::wire_bytes::{read_length, write_length};
use environments::vector::Reset;

/// Actions that are all 0 or 1, eight per byte, the first in the lowest bit.
const STEP_BITS: u8 = 0;
/// Actions below 256, one per byte.
const STEP_BYTES: u8 = 1;
/// Any actions, eight bytes each, little-endian.
const STEP_WIDE: u8 = 2;
const RESET: u8 = 3;
const RESTORE: u8 = 4;
const FORK: u8 = 5;

impl Operation {
    /// Appends the encoded operation.
    pub(in crate::session) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Operation::Step(actions) => encode_actions(actions, out),
            Operation::Reset(reset) => encode_named(RESET, reset, out),
            Operation::Restore(snapshot) => encode_named(RESTORE, snapshot, out),
            Operation::Fork { request, env_id } => encode_named(FORK, &(request, env_id), out),
        }
    }

    /// Decodes an operation that takes all the bytes.
    ///
    /// # Errors
    /// Describes what is wrong with bytes that [`Self::encode`] has not written.
    pub(in crate::session) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let (&tag, rest) = bytes.split_first().ok_or("an operation without a byte")?;
        Ok(match tag {
            STEP_BITS | STEP_BYTES | STEP_WIDE => Operation::Step(decode_actions(tag, rest)?),
            RESET => Operation::Reset(decode_named::<Reset>(rest)?),
            RESTORE => Operation::Restore(Box::new(decode_named::<Snapshot>(rest)?)),
            FORK => {
                let (request, env_id) = decode_named::<(ForkRequest, String)>(rest)?;
                Operation::Fork { request, env_id }
            }
            other => return Err(format!("there is no operation {other}")),
        })
    }
}

fn encode_actions(actions: &[i64], out: &mut Vec<u8>) {
    let all = actions.iter().fold(0, |all, &action| all | action as u64);
    let tag = match all {
        0..=1 => STEP_BITS,
        2..=255 => STEP_BYTES,
        _ => STEP_WIDE,
    };
    out.push(tag);
    write_length(out, actions.len());
    match tag {
        STEP_BITS => out.extend(actions.chunks(8).map(|eight| {
            let bits = eight.iter().enumerate();
            bits.fold(0, |byte, (i, &bit)| byte | (bit as u8) << i)
        })),
        STEP_BYTES => out.extend(actions.iter().map(|&action| action as u8)),
        _ => out.extend(actions.iter().flat_map(|action| action.to_le_bytes())),
    }
}

fn decode_actions(tag: u8, mut bytes: &[u8]) -> Result<Vec<i64>, String> {
    let count = read_length(&mut bytes).ok_or("a step without a number of actions")?;
    let expected = match tag {
        STEP_BITS => count.div_ceil(8),
        STEP_BYTES => count,
        _ => count.saturating_mul(8),
    };
    if bytes.len() != expected {
        let found = bytes.len();
        return Err(format!("{count} actions in {found} bytes"));
    }
    Ok(match tag {
        STEP_BITS => {
            let bit = |i: usize| i64::from(bytes[i / 8] >> (i % 8) & 1);
            (0..count).map(bit).collect()
        }
        STEP_BYTES => bytes.iter().map(|&byte| i64::from(byte)).collect(),
        _ => {
            let words = bytes.as_chunks::<8>().0.iter();
            words.map(|&word| i64::from_le_bytes(word)).collect()
        }
    })
}

fn encode_named<T: Serialize>(tag: u8, content: &T, out: &mut Vec<u8>) {
    out.push(tag);
    rmp_serde::encode::write_named(out, content).expect("plain data into memory");
}

fn decode_named<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    rmp_serde::from_slice(bytes).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use env_protocol::{Kwargs, Seed};
    use proptest::prelude::*;

    fn encoded(operation: &Operation) -> Vec<u8> {
        let mut bytes = Vec::new();
        operation.encode(&mut bytes);
        bytes
    }

    #[test]
    fn a_step_of_bits_is_small() {
        assert_eq!(encoded(&Operation::Step(vec![1])), [STEP_BITS, 1, 1]);
        let nine = Operation::Step(vec![0, 1, 1, 0, 0, 0, 0, 0, 1]);
        assert_eq!(encoded(&nine), [STEP_BITS, 9, 0b110, 1]);
        assert_eq!(encoded(&Operation::Step(vec![0, 7])), [STEP_BYTES, 2, 0, 7]);
        assert_eq!(encoded(&Operation::Step(vec![-1]))[0], STEP_WIDE);
    }

    #[test]
    fn every_operation_comes_back() {
        for operation in [
            Operation::Reset(Reset::default()),
            Operation::Reset(Reset {
                mask: Some(vec![true, false]),
                seed: Some(Seed::Each(vec![u64::MAX, 0])),
                kwargs: Kwargs::from([("delay".to_owned(), serde_json::json!(3))]),
            }),
            Operation::Fork {
                request: ForkRequest::default(),
                env_id: "drawn".to_owned(),
            },
        ] {
            assert_eq!(Operation::decode(&encoded(&operation)), Ok(operation));
        }
    }

    proptest! {
        #[test]
        fn steps_come_back(
            actions in prop_oneof![
                prop::collection::vec(0i64..2, 0..40),
                prop::collection::vec(0i64..256, 0..40),
                prop::collection::vec(any::<i64>(), 0..40),
            ]
        ) {
            let operation = Operation::Step(actions);
            prop_assert_eq!(Operation::decode(&encoded(&operation)), Ok(operation));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            if let Ok(operation) = Operation::decode(&bytes) {
                prop_assert_eq!(Operation::decode(&encoded(&operation)), Ok(operation));
            }
        }
    }
}
