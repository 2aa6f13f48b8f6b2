//! Values: elements of spaces, single or in batches.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::array::Array;
use crate::array_serde::read_typed;

/// Name of the first field of an array in MessagePack.
const DTYPE: &str = "dtype";

/// An observation, a batch of them, or an entry of an info.
///
/// JSON does not distinguish a list of numbers from a tuple: such a list is read as an [`Array`],
/// and the space says which of the two it is. MessagePack distinguishes them.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// A number, or an array of any shape.
    Array(Array),
    /// An element of a `Tuple` space.
    Tuple(Vec<Value>),
    /// An element of a `Dict` space. No entry may be called `dtype`.
    Dict(BTreeMap<String, Value>),
}

impl Value {
    /// The array, if it is one.
    pub fn as_array(&self) -> Option<&Array> {
        match self {
            Value::Array(array) => Some(array),
            _ => None,
        }
    }

    /// Returns the array, if it is one, without a copy.
    pub fn into_array(self) -> Option<Array> {
        match self {
            Value::Array(array) => Some(array),
            _ => None,
        }
    }

    /// Approximate size in memory, in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Value::Array(array) => 48 + array.data().len() * array.data().dtype().size_bytes(),
            Value::Tuple(values) => values.iter().map(Value::bytes).sum(),
            Value::Dict(values) => {
                let entries = values.iter();
                entries
                    .map(|(name, value)| name.len() + 64 + value.bytes())
                    .sum()
            }
        }
    }

    /// Turns regular lists into arrays, other lists into tuples and objects into dicts.
    fn from_json(json: serde_json::Value) -> Result<Self, serde_json::Error> {
        use serde_json::Value as Json;
        match json {
            Json::Object(entries) => {
                let entries = entries.into_iter();
                let dict: Result<_, _> = entries
                    .map(|(k, v)| Ok((entry_name(k)?, Value::from_json(v)?)))
                    .collect();
                dict.map(Value::Dict)
            }
            Json::Array(items) => match Array::deserialize(Json::Array(items.clone())) {
                Ok(array) => Ok(Value::Array(array)),
                Err(_) => {
                    let items: Result<_, _> = items.into_iter().map(Value::from_json).collect();
                    items.map(Value::Tuple)
                }
            },
            scalar => Array::deserialize(scalar).map(Value::Array),
        }
    }
}

impl From<Array> for Value {
    fn from(array: Array) -> Self {
        Value::Array(array)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let json = serde_json::Value::deserialize(deserializer)?;
            Value::from_json(json).map_err(de::Error::custom)
        } else {
            deserializer.deserialize_any(ValueVisitor)
        }
    }
}

/// Returns the name of a dict's entry, unless it is `dtype`, which marks an array in MessagePack.
fn entry_name<E: de::Error>(name: String) -> Result<String, E> {
    match name.as_str() {
        DTYPE => Err(E::custom("an entry cannot be called dtype")),
        _ => Ok(name),
    }
}

/// Reads a value from MessagePack.
struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, an array, a list or a map")
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Value, E> {
        Array::deserialize(de::value::BoolDeserializer::new(flag)).map(Value::Array)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Value, E> {
        Ok(Array::scalar(number).into())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Value, E> {
        Array::deserialize(de::value::U64Deserializer::new(number)).map(Value::Array)
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Value, E> {
        Array::deserialize(de::value::F64Deserializer::new(number)).map(Value::Array)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::Tuple(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let first: Option<Cow<'de, str>> = map.next_key()?;
        // The writer puts `dtype` first, which distinguishes an array from a dict.
        if first.as_deref() == Some(DTYPE) {
            return read_typed(first, map).map(Value::Array);
        }
        let mut entries = BTreeMap::new();
        let mut key = first;
        while let Some(name) = key {
            entries.insert(entry_name(name.into_owned())?, map.next_value()?);
            key = map.next_key()?;
        }
        Ok(Value::Dict(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Encoding;

    /// Written in MessagePack, such a dict would be read as an array.
    #[test]
    fn no_entry_of_a_dict_is_called_dtype() {
        for json in [r#"{"dtype":1}"#, r#"{"a":2,"dtype":1}"#] {
            assert!(Encoding::Json.decode::<Value>(json.as_bytes()).is_err());
        }
        let last = b"\x82\xa1z\x02\xa5dtype\x01";
        assert!(Encoding::MessagePack.decode::<Value>(last).is_err());
    }

    #[test]
    fn a_value_survives_both_encodings() {
        let array = Value::Array(Array::from_i64(vec![2], vec![3, 4]).unwrap());
        let ragged = Value::Tuple(vec![array.clone(), Array::scalar(1).into()]);
        let dict = Value::Dict(BTreeMap::from([
            ("cards".to_owned(), ragged),
            ("score".to_owned(), array),
            ("empty".to_owned(), Value::Dict(BTreeMap::new())),
        ]));
        for encoding in [Encoding::Json, Encoding::MessagePack] {
            let bytes = encoding.encode(&dict);
            assert_eq!(encoding.decode::<Value>(&bytes).unwrap(), dict);
        }
    }
}
