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
/// Integers, eight bytes each, little-endian.
const STEP_WIDE: u8 = 2;
const RESET: u8 = 3;
const RESTORE: u8 = 4;
const FORK: u8 = 5;
/// Numbers that are float32, four bytes each, little-endian.
const STEP_FLOATS: u8 = 6;
/// Any finite numbers, eight bytes each, little-endian.
const STEP_DOUBLES: u8 = 7;

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
            STEP_BITS | STEP_BYTES | STEP_WIDE | STEP_FLOATS | STEP_DOUBLES => {
                Operation::Step(decode_actions(tag, rest)?)
            }
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

fn encode_actions(actions: &[f64], out: &mut Vec<u8>) {
    let tag = tag_of(actions);
    out.push(tag);
    write_length(out, actions.len());
    match tag {
        STEP_BITS => out.extend(actions.chunks(8).map(|eight| {
            let bits = eight.iter().enumerate();
            bits.fold(0, |byte, (i, &bit)| byte | (bit as u8) << i)
        })),
        STEP_BYTES => out.extend(actions.iter().map(|&action| action as u8)),
        STEP_WIDE => out.extend(actions.iter().flat_map(|&x| (x as i64).to_le_bytes())),
        STEP_FLOATS => out.extend(actions.iter().flat_map(|&x| (x as f32).to_le_bytes())),
        _ => out.extend(actions.iter().flat_map(|action| action.to_le_bytes())),
    }
}

/// Returns the shortest form that holds these actions exactly.
fn tag_of(actions: &[f64]) -> u8 {
    // −0 is no integer here: its sign would be lost.
    let is_integer = |&x: &f64| (x as i64 as f64).to_bits() == x.to_bits();
    if actions.iter().all(is_integer) {
        let all = actions.iter().fold(0, |all, &x| all | x as i64 as u64);
        return match all {
            0..=1 => STEP_BITS,
            2..=255 => STEP_BYTES,
            _ => STEP_WIDE,
        };
    }
    match actions.iter().all(|&x| f64::from(x as f32) == x) {
        true => STEP_FLOATS,
        false => STEP_DOUBLES,
    }
}

fn decode_actions(tag: u8, mut bytes: &[u8]) -> Result<Vec<f64>, String> {
    let count = read_length(&mut bytes).ok_or("a step without a number of actions")?;
    let expected = match tag {
        STEP_BITS => count.div_ceil(8),
        STEP_BYTES => count,
        STEP_FLOATS => count.saturating_mul(4),
        _ => count.saturating_mul(8),
    };
    if bytes.len() != expected {
        let found = bytes.len();
        return Err(format!("{count} actions in {found} bytes"));
    }
    let words = || bytes.as_chunks::<8>().0.iter().copied();
    let actions: Vec<f64> = match tag {
        STEP_BITS => {
            let bit = |i: usize| f64::from(bytes[i / 8] >> (i % 8) & 1);
            (0..count).map(bit).collect()
        }
        STEP_BYTES => bytes.iter().map(|&byte| f64::from(byte)).collect(),
        STEP_WIDE => words()
            .map(|word| i64::from_le_bytes(word) as f64)
            .collect(),
        STEP_FLOATS => {
            let floats = bytes.as_chunks::<4>().0.iter();
            floats
                .map(|&float| f64::from(f32::from_le_bytes(float)))
                .collect()
        }
        _ => words().map(f64::from_le_bytes).collect(),
    };
    match actions.iter().all(|x| x.is_finite()) {
        true => Ok(actions),
        false => Err("an action that is not a finite number".to_owned()),
    }
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
        assert_eq!(encoded(&Operation::Step(vec![1.0])), [STEP_BITS, 1, 1]);
        let nine = [0, 1, 1, 0, 0, 0, 0, 0, 1].map(f64::from).to_vec();
        assert_eq!(encoded(&Operation::Step(nine)), [STEP_BITS, 9, 0b110, 1]);
        let seven = Operation::Step(vec![0.0, 7.0]);
        assert_eq!(encoded(&seven), [STEP_BYTES, 2, 0, 7]);
        assert_eq!(encoded(&Operation::Step(vec![-1.0]))[0], STEP_WIDE);
    }

    #[test]
    fn real_actions_take_four_bytes_where_those_hold_them() {
        let step = |x: f64| encoded(&Operation::Step(vec![x]));
        assert_eq!(step(0.5), [STEP_FLOATS, 1, 0, 0, 0, 0x3f]);
        assert_eq!(step(-0.0), [STEP_FLOATS, 1, 0, 0, 0, 0x80]);
        assert_eq!(step(0.1)[0], STEP_DOUBLES);
        let infinite = [&[STEP_FLOATS, 1][..], &f32::INFINITY.to_le_bytes()].concat();
        assert!(Operation::decode(&infinite).is_err());
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
                prop::collection::vec((0..2).prop_map(f64::from), 0..40),
                prop::collection::vec((0..256).prop_map(f64::from), 0..40),
                prop::collection::vec(any::<i64>().prop_map(|x| x as f64), 0..40),
                prop::collection::vec(any::<f32>().prop_map(f64::from), 0..40),
                prop::collection::vec(any::<f64>(), 0..40),
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
