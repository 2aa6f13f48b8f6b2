//! Converts JSON text to MessagePack, without building a document.
//!
//! Entries of a trajectory have the structure of JSON in either encoding: arrays are nested lists,
//! as in a file for people. Numbers are converted as serde_json reads them.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// Appends JSON text as MessagePack.
///
/// # Errors
/// When the text is not JSON.
pub(super) fn to_messagepack(json: &[u8], out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    Transcode(out).deserialize(&mut reader)?;
    reader.end()
}

struct Transcode<'a>(&'a mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for Transcode<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// Bytes reserved for the head of a list or map, until its length is known.
const HEAD: usize = 5;

impl Transcode<'_> {
    /// Writes to memory, which cannot fail.
    fn put<T, E>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<T, E>) {
        assert!(write(self.0).is_ok(), "into memory");
    }

    /// Fills in the head of the list or map that begins at `start`.
    fn close(&mut self, start: usize, head: impl FnOnce(&mut Vec<u8>)) {
        let mut written = Vec::with_capacity(HEAD);
        head(&mut written);
        let unused = start + written.len()..start + HEAD;
        self.0.drain(unused);
        self.0[start..start + written.len()].copy_from_slice(&written);
    }
}

impl<'de> Visitor<'de> for Transcode<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(mut self) -> Result<(), E> {
        self.put(rmp::encode::write_nil);
        Ok(())
    }

    fn visit_bool<E>(mut self, value: bool) -> Result<(), E> {
        self.put(|out| rmp::encode::write_bool(out, value));
        Ok(())
    }

    fn visit_i64<E>(mut self, value: i64) -> Result<(), E> {
        self.put(|out| rmp::encode::write_sint(out, value));
        Ok(())
    }

    fn visit_u64<E>(mut self, value: u64) -> Result<(), E> {
        self.put(|out| rmp::encode::write_uint(out, value));
        Ok(())
    }

    fn visit_f64<E>(mut self, value: f64) -> Result<(), E> {
        self.put(|out| rmp::encode::write_f64(out, value));
        Ok(())
    }

    fn visit_str<E>(mut self, value: &str) -> Result<(), E> {
        self.put(|out| rmp::encode::write_str(out, value));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        let start = self.0.len();
        self.0.extend([0; HEAD]);
        let mut len = 0;
        while items.next_element_seed(Transcode(self.0))?.is_some() {
            len += 1;
        }
        self.close(start, |head| {
            rmp::encode::write_array_len(head, len).expect("into memory");
        });
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<(), A::Error> {
        let start = self.0.len();
        self.0.extend([0; HEAD]);
        let mut len = 0;
        while entries.next_key_seed(Transcode(self.0))?.is_some() {
            entries.next_value_seed(Transcode(self.0))?;
            len += 1;
        }
        self.close(start, |head| {
            rmp::encode::write_map_len(head, len).expect("into memory");
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn it_is_what_a_document_would_be() {
        let long: Vec<_> = (0..70_000).map(|i| i % 300).collect();
        for value in [
            json!(null),
            json!([true, -1, 7, 300, u64::MAX, i64::MIN, 0.1, 1e300, "text", ""]),
            json!({"a": [[1, 2], [], [[]]], "b": {}, "longer": long, "c": {"d": null}}),
            json!([long, [long[..20]], {"x": long[..15]}]),
        ] {
            let mut bytes = Vec::new();
            to_messagepack(value.to_string().as_bytes(), &mut bytes).unwrap();
            assert_eq!(bytes, rmp_serde::to_vec_named(&value).unwrap(), "{value}");
            assert_eq!(rmp_serde::from_slice::<Value>(&bytes).unwrap(), value);
        }
        assert!(to_messagepack(b"[1,", &mut Vec::new()).is_err());
        assert!(to_messagepack(b"1 1", &mut Vec::new()).is_err());
    }
}
