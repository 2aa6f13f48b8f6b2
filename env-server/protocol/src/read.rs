//! Readers for fields where serde's derive is too strict, or not strict enough.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, IntoDeserializer, Visitor};
use serde::{Deserialize, Deserializer};

/// Reads an unsigned integer that may be written as a float: `1.0` is an integer in JSON Schema,
/// and some JSON libraries write integers no other way.
///
/// # Errors
/// When the input is not an unsigned integer, or does not fit `T`.
pub(crate) fn whole<'de, D: Deserializer<'de>, T: TryFrom<u64>>(
    deserializer: D,
) -> Result<T, D::Error> {
    let Whole(number) = Whole::deserialize(deserializer)?;
    T::try_from(number).map_err(|_| {
        let found = de::Unexpected::Unsigned(number);
        de::Error::invalid_value(found, &"a smaller number")
    })
}

/// Reads an unsigned integer as [`whole`] does, or null.
pub(crate) fn whole_if_any<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u64>, D::Error> {
    let number = Option::<Whole>::deserialize(deserializer)?;
    Ok(number.map(|Whole(number)| number))
}

/// Reads a list of unsigned integers, each as [`whole`] does.
pub(crate) fn wholes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u64>, D::Error> {
    let numbers = Vec::<Whole>::deserialize(deserializer)?;
    Ok(numbers.into_iter().map(|Whole(number)| number).collect())
}

struct Whole(u64);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;

        impl Visitor<'_> for Number {
            type Value = Whole;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an unsigned integer")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Whole, E> {
                Ok(Whole(number))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Whole, E> {
                let unsigned = u64::try_from(number).map(Whole);
                unsigned.map_err(|_| E::invalid_value(de::Unexpected::Signed(number), &self))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Whole, E> {
                // The least float that is too large; all integers below it convert exactly.
                const END: f64 = (1_u128 << 64) as f64;
                match number.fract() == 0.0 && (0.0..END).contains(&number) {
                    true => Ok(Whole(number as u64)),
                    false => Err(E::invalid_value(de::Unexpected::Float(number), &self)),
                }
            }
        }

        deserializer.deserialize_any(Number)
    }
}

/// Reads a variant by its name. The derive would also accept its position (in MessagePack), and a
/// map with the name as key.
///
/// # Errors
/// When the input is not a string, or not the name of a variant.
pub(crate) fn name<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    struct Name<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Name<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a name")
        }

        fn visit_str<E: de::Error>(self, name: &str) -> Result<T, E> {
            T::deserialize(name.into_deserializer())
        }
    }

    deserializer.deserialize_str(Name(PhantomData))
}

/// Reads a variant as [`name`] does, or null.
pub(crate) fn name_if_any<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    struct Named<T>(T);

    impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            name(deserializer).map(Named)
        }
    }

    let named = Option::<Named<T>>::deserialize(deserializer)?;
    Ok(named.map(|Named(variant)| variant))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{AutoresetMode, CreateEnv, CreateVectorEnv, Encoding, Seed, VectorResetRequest};

    fn read<T: for<'de> serde::Deserialize<'de>>(body: serde_json::Value) -> Result<T, String> {
        let packed = rmp_serde::to_vec_named(&body).unwrap();
        let from_json = Encoding::Json.decode(body.to_string().as_bytes());
        let from_json = from_json.map_err(|e| e.to_string());
        let from_messagepack = Encoding::MessagePack.decode::<T>(&packed);
        assert_eq!(from_json.is_ok(), from_messagepack.is_ok(), "{body}");
        from_json
    }

    #[test]
    fn integers_may_be_written_as_floats() {
        let body = json!({"spec_id": "x", "seed": 9.0, "ttl_s": 1e3});
        let env: CreateEnv = read(body).unwrap();
        assert_eq!((env.seed, env.ttl_s), (Some(9), Some(1_000)));
        let body = json!({"seq": -0.0, "seed": [1.0, 2]});
        let reset: VectorResetRequest = read(body).unwrap();
        assert_eq!(reset.seq, Some(0));
        assert_eq!(reset.seed, Some(Seed::Each(vec![1, 2])));
        let largest = json!({"seq": u64::MAX, "seed": 18_446_744_073_709_549_568.0});
        let reset: VectorResetRequest = read(largest).unwrap();
        assert_eq!(reset.seq, Some(u64::MAX));
        assert_eq!(reset.seed, Some(Seed::First(u64::MAX - 2_047)));
    }

    #[test]
    fn anything_but_an_unsigned_integer_is_refused() {
        for seq in [
            json!(0.5),
            json!(-1),
            json!(-1.0),
            json!(18_446_744_073_709_551_616.0),
            json!("1"),
        ] {
            assert!(
                read::<VectorResetRequest>(json!({"seq": seq})).is_err(),
                "{seq}"
            );
            assert!(
                read::<VectorResetRequest>(json!({"seed": [seq]})).is_err(),
                "{seq}"
            );
        }
    }

    #[test]
    fn variants_are_read_by_name_only() {
        let read = |mode| {
            read::<CreateVectorEnv>(
                json!({"spec_id": "x", "num_envs": 2.0, "autoreset_mode": mode}),
            )
        };
        assert_eq!(
            read(json!("SameStep")).unwrap().autoreset_mode,
            AutoresetMode::SameStep
        );
        for mode in [
            json!(0),
            json!({"SameStep": null}),
            json!("samestep"),
            json!(null),
        ] {
            assert!(read(mode.clone()).is_err(), "{mode}");
        }
    }
}
