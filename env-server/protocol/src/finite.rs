//! Readers that accept finite numbers only.
//!
//! JSON has no other numbers, but MessagePack has. A NaN or an infinity in a MessagePack body is
//! refused with a pointer to it, instead of becoming a null that leaves an argument out.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Number, Value};

/// A map of JSON values whose numbers are all finite.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct FiniteMap(#[serde(deserialize_with = "map")] pub Map<String, Value>);

/// Reads a map of values by name.
///
/// # Errors
/// When the input is not a map, or a number in it is not finite.
pub(crate) fn map<'de, D, M>(deserializer: D) -> Result<M, D::Error>
where
    D: Deserializer<'de>,
    M: FromIterator<(String, Value)>,
{
    let entries = BTreeMap::<String, Finite>::deserialize(deserializer)?;
    let entries = entries.into_iter();
    Ok(entries.map(|(name, Finite(value))| (name, value)).collect())
}

/// Reads a value.
///
/// # Errors
/// As [`map`].
pub(crate) fn value<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    let Finite(value) = Finite::deserialize(deserializer)?;
    Ok(value)
}

/// Reads a list of numbers.
///
/// # Errors
/// When the input is not a list of numbers, or one of them is not finite.
pub(crate) fn numbers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
    struct Checked(f64);

    impl<'de> Deserialize<'de> for Checked {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            check(f64::deserialize(deserializer)?).map(Checked)
        }
    }

    let numbers = Vec::<Checked>::deserialize(deserializer)?;
    Ok(numbers.into_iter().map(|Checked(number)| number).collect())
}

fn check<E: de::Error>(number: f64) -> Result<f64, E> {
    match number.is_finite() {
        true => Ok(number),
        false => Err(E::invalid_value(
            de::Unexpected::Float(number),
            &"a finite number",
        )),
    }
}

/// A JSON value read from either encoding.
pub(crate) struct Finite(pub(crate) Value);

impl<'de> Deserialize<'de> for Finite {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FiniteVisitor).map(Finite)
    }
}

struct FiniteVisitor;

impl<'de> Visitor<'de> for FiniteVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON can express")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        value(deserializer)
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Value, E> {
        let number = Number::from_f64(check(number)?);
        Ok(number.map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Finite(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Map::new();
        while let Some((name, Finite(entry))) = map.next_entry()? {
            entries.insert(name, entry);
        }
        Ok(Value::Object(entries))
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;
    use serde::de::DeserializeOwned;
    use serde_json::json;

    use super::FiniteMap;
    use crate::{
        CreateEnv, CreateVectorEnv, DecodeError, Encoding, ResetRequest, RestoreRequest,
        VectorResetRequest,
    };

    /// Returns pointer and detail of the error with which a MessagePack body is refused.
    fn refused<T: DeserializeOwned + std::fmt::Debug>(body: impl Serialize) -> (String, String) {
        let bytes = rmp_serde::to_vec_named(&body).unwrap();
        match Encoding::MessagePack.decode::<T>(&bytes).unwrap_err() {
            DecodeError::Invalid { pointer, detail } => (pointer, detail),
            malformed => panic!("{malformed}"),
        }
    }

    #[derive(Serialize)]
    struct Creation<T> {
        spec_id: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        num_envs: Option<u64>,
        kwargs: Noise<T>,
    }

    #[derive(Serialize)]
    struct Noise<T> {
        observation_noise: T,
    }

    #[derive(Serialize)]
    struct Reset<T> {
        options: Noise<T>,
    }

    #[test]
    fn numbers_that_are_not_finite_are_refused_with_a_pointer() {
        for (number, said) in [
            (f64::NAN, "NaN"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            let noise = || Noise {
                observation_noise: number,
            };
            let places = [
                refused::<CreateEnv>(Creation {
                    spec_id: "x",
                    num_envs: None,
                    kwargs: noise(),
                }),
                refused::<CreateVectorEnv>(Creation {
                    spec_id: "x",
                    num_envs: Some(2),
                    kwargs: Noise {
                        observation_noise: (1, [number as f32]),
                    },
                }),
                refused::<ResetRequest>(Reset { options: noise() }),
                refused::<VectorResetRequest>(Reset { options: noise() }),
                refused::<FiniteMap>(Reset { options: noise() }),
            ];
            let expected = [
                "/kwargs/observation_noise",
                "/kwargs/observation_noise/1/0",
                "/options/observation_noise",
                "/options/observation_noise",
                "/options/observation_noise",
            ];
            for ((pointer, detail), expected) in places.iter().zip(expected) {
                assert_eq!(pointer, expected, "{detail}");
                let whole = format!("floating point `{said}`, expected a finite number");
                assert!(detail.contains(&whole), "{detail}");
            }
        }
    }

    #[derive(Serialize)]
    struct Restore {
        snapshot: Snapshot,
    }

    #[derive(Serialize)]
    struct Snapshot {
        format: &'static str,
        version: u32,
        spec_id: &'static str,
        kwargs: Noise<f64>,
        observations: [f64; 2],
        lanes: [Lane; 1],
    }

    #[derive(Serialize)]
    struct Lane {
        phase: &'static str,
        rng: &'static str,
        state: Noise<[f64; 1]>,
    }

    #[test]
    fn a_snapshot_is_finite_throughout() {
        let place = |noise, observation, state| {
            let snapshot = Snapshot {
                format: "environment-snapshot",
                version: 1,
                spec_id: "x",
                kwargs: Noise {
                    observation_noise: noise,
                },
                observations: [0.0, observation],
                lanes: [Lane {
                    phase: "new",
                    rng: "0",
                    state: Noise {
                        observation_noise: [state],
                    },
                }],
            };
            refused::<RestoreRequest>(Restore { snapshot }).0
        };
        let nan = f64::NAN;
        let noise = "/snapshot/kwargs/observation_noise";
        assert_eq!(place(nan, 0.0, 0.0), noise);
        assert_eq!(place(0.0, nan, 0.0), "/snapshot/observations/1");
        let state = "/snapshot/lanes/0/state/observation_noise/0";
        assert_eq!(place(0.0, 0.0, nan), state);
    }

    #[test]
    fn every_json_value_is_read_unchanged() {
        let body =
            json!({"a": [null, true, -1, 18_446_744_073_709_551_615_u64, 0.5, "x", {"b": {}}]});
        let packed = rmp_serde::to_vec_named(&body).unwrap();
        let FiniteMap(read) = Encoding::MessagePack.decode(&packed).unwrap();
        assert_eq!(serde_json::Value::Object(read), body);
        let FiniteMap(read) = Encoding::Json.decode(body.to_string().as_bytes()).unwrap();
        assert_eq!(serde_json::Value::Object(read), body);
    }
}
