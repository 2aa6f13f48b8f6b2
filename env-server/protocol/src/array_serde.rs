//! The form of an [`Array`] on the wire.
//!
//! In MessagePack an array is `{"dtype", "shape", "data"}` with `data` as little-endian bytes in C
//! order, so that a batch costs one copy and nothing per element. In JSON it is nested lists. An
//! array without dimensions is a plain number in both.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::array::{Array, ArrayError, Data, Dtype};
use crate::json_text;
use crate::nested::{Builder, Level};
use crate::read;

impl Serialize for Array {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return json_text::serialize(self, serializer);
        }
        if self.shape().is_empty() {
            return match self.data() {
                Data::Bool(x) => serializer.serialize_bool(x[0]),
                Data::Uint8(x) => serializer.serialize_u8(x[0]),
                Data::Int64(x) => serializer.serialize_i64(x[0]),
                Data::Float32(x) => serializer.serialize_f32(x[0]),
                Data::Float64(x) => serializer.serialize_f64(x[0]),
            };
        }
        let mut typed = serializer.serialize_struct("Array", 3)?;
        typed.serialize_field("dtype", &self.dtype())?;
        typed.serialize_field("shape", self.shape())?;
        typed.serialize_field("data", serde_bytes::Bytes::new(&self.data().to_bytes()))?;
        typed.end()
    }
}

impl<'de> Deserialize<'de> for Array {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let typed = !deserializer.is_human_readable();
        deserializer.deserialize_any(ArrayVisitor { typed })
    }
}

/// Reads a number, nested lists or, if `typed`, the form with three fields.
struct ArrayVisitor {
    typed: bool,
}

impl<'de> Visitor<'de> for ArrayVisitor {
    type Value = Array;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.typed {
            true => "a number, nested lists of numbers or an array {dtype, shape, data}",
            false => "a number or nested lists of numbers",
        })
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Array, E> {
        Level::scalar(|level| level.visit_bool(flag))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Array, E> {
        Ok(Array::scalar(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Array, E> {
        Level::scalar(|level| level.visit_u64(number))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Array, E> {
        Level::scalar(|level| level.visit_f64(number))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Array, A::Error> {
        let mut builder = Builder::default();
        Level::root(&mut builder).visit_seq(seq)?;
        builder.finish().map_err(de::Error::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Array, A::Error> {
        if !self.typed {
            return Err(de::Error::invalid_type(de::Unexpected::Map, &self));
        }
        let first: Option<Cow<'de, str>> = map.next_key()?;
        read_typed(first, map)
    }
}

/// Reads the fields of `{"dtype", "shape", "data"}` in any order. The first key has been read
/// already and is `key`.
pub(crate) fn read_typed<'de, A: MapAccess<'de>>(
    mut key: Option<Cow<'de, str>>,
    mut map: A,
) -> Result<Array, A::Error> {
    let mut dtype: Option<Dtype> = None;
    let mut shape: Option<Vec<usize>> = None;
    let mut data: Option<Bytes<'de>> = None;
    while let Some(name) = key {
        match name.as_ref() {
            "dtype" => {
                let Named(name) = map.next_value()?;
                dtype = Some(name);
            }
            "shape" => shape = Some(map.next_value()?),
            "data" => data = Some(map.next_value()?),
            other => return Err(de::Error::unknown_field(other, &["dtype", "shape", "data"])),
        }
        key = map.next_key()?;
    }
    let dtype = dtype.ok_or_else(|| de::Error::missing_field("dtype"))?;
    let shape = shape.ok_or_else(|| de::Error::missing_field("shape"))?;
    let Bytes(bytes) = data.ok_or_else(|| de::Error::missing_field("data"))?;
    if bytes.len() % dtype.size_bytes() != 0 {
        let len = bytes.len();
        return Err(de::Error::custom(ArrayError::Bytes { dtype, len }));
    }
    Data::from_bytes(dtype, &bytes)
        .and_then(|data| Array::new(shape, data))
        .map_err(de::Error::custom)
}

/// An element type given by its name.
#[derive(Deserialize)]
struct Named(#[serde(deserialize_with = "read::name")] Dtype);

/// Bytes, borrowed from the body where the decoder allows it.
#[derive(Deserialize)]
struct Bytes<'a>(#[serde(borrow, with = "serde_bytes")] Cow<'a, [u8]>);
