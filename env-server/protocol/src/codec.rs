//! Bodies to bytes and back, in both encodings.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

/// The encoding of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `application/json`, the default.
    Json,
    /// `application/vnd.msgpack`, several times faster for batches.
    MessagePack,
}

/// The reason why a body could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not JSON or not MessagePack: cut off, nested too deep, or followed by more.
    #[error("the body is not well-formed {encoding}: {detail}")]
    Malformed {
        /// Name of the encoding.
        encoding: &'static str,
        /// Message of the parser.
        detail: String,
    },
    /// The document is well-formed, but a field is unknown, missing or of the wrong type.
    #[error("{detail}")]
    Invalid {
        /// JSON pointer to the place; the empty string for the whole body.
        pointer: String,
        /// Description of the error at that place.
        detail: String,
    },
}

/// Deepest nesting of a MessagePack body. (JSON's own limit is 128.)
const MAX_DEPTH: usize = 64;

impl Encoding {
    /// The media type in `Content-Type` and `Accept`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Encoding::Json => "application/json",
            Encoding::MessagePack => "application/vnd.msgpack",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Encoding::Json => "JSON",
            Encoding::MessagePack => "MessagePack",
        }
    }

    /// Writes a body.
    ///
    /// # Panics
    /// When `T` cannot be written, which no type of this crate does.
    pub fn encode<T: Serialize>(self, body: &T) -> Vec<u8> {
        self.encode_about(body, 256)
    }

    /// Writes a body that is expected to take about `len` bytes. The buffer starts at that size, so
    /// a large body is not copied as it grows.
    ///
    /// # Panics
    /// As [`Encoding::encode`].
    pub fn encode_about<T: Serialize>(self, body: &T, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len);
        match self {
            Encoding::Json => serde_json::to_writer(&mut bytes, body).expect("JSON body"),
            Encoding::MessagePack => body
                .serialize(&mut rmp_serde::Serializer::new(&mut bytes).with_struct_map())
                .expect("MessagePack body"),
        }
        bytes
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] or [`DecodeError::Invalid`], the latter with a JSON pointer.
    pub fn decode<'de, T: Deserialize<'de>>(self, bytes: &'de [u8]) -> Result<T, DecodeError> {
        // Tracking the pointer costs time at every key, so only a failed body is read again for it.
        let malformed = match self {
            Encoding::Json => match serde_json::from_slice(bytes) {
                Ok(body) => return Ok(body),
                Err(e) if e.is_data() => None,
                Err(e) => Some(e.to_string()),
            },
            Encoding::MessagePack => match from_messagepack(bytes) {
                Ok(body) => return Ok(body),
                Err(e) => is_malformed(&e).then(|| describe(&e)),
            },
        };
        Err(match malformed {
            Some(detail) => DecodeError::Malformed {
                encoding: self.name(),
                detail,
            },
            None => self.locate::<T>(bytes),
        })
    }

    /// Reads an invalid body a second time, to find where it is wrong.
    fn locate<'de, T: Deserialize<'de>>(self, bytes: &'de [u8]) -> DecodeError {
        let (path, detail) = match self {
            Encoding::Json => {
                let mut reader = serde_json::Deserializer::from_slice(bytes);
                match serde_path_to_error::deserialize::<_, T>(&mut reader) {
                    Ok(_) => (String::new(), "trailing characters".to_owned()),
                    Err(e) => (pointer(e.path()), without_position(e.inner())),
                }
            }
            Encoding::MessagePack => {
                let mut reader = rmp_serde::Deserializer::from_read_ref(bytes);
                reader.set_max_depth(MAX_DEPTH);
                match serde_path_to_error::deserialize::<_, T>(&mut reader) {
                    Ok(_) => (String::new(), "trailing bytes".to_owned()),
                    Err(e) => (pointer(e.path()), describe(e.inner())),
                }
            }
        };
        let pointer = path;
        DecodeError::Invalid { pointer, detail }
    }
}

fn from_messagepack<'de, T: Deserialize<'de>>(
    bytes: &'de [u8],
) -> Result<T, rmp_serde::decode::Error> {
    use rmp_serde::decode::Error;
    let mut reader = rmp_serde::Deserializer::from_read_ref(bytes);
    reader.set_max_depth(MAX_DEPTH);
    let body = T::deserialize(&mut reader)?;
    match IgnoredAny::deserialize(&mut reader) {
        Err(Error::InvalidMarkerRead(_)) => Ok(body),
        _ => Err(Error::Uncategorized("bytes follow the body".to_owned())),
    }
}

fn is_malformed(error: &rmp_serde::decode::Error) -> bool {
    use rmp_serde::decode::Error;
    match error {
        Error::InvalidMarkerRead(_)
        | Error::InvalidDataRead(_)
        | Error::Uncategorized(_)
        | Error::Utf8Error(_)
        | Error::DepthLimitExceeded => true,
        Error::TypeMismatch(_)
        | Error::OutOfRange
        | Error::LengthMismatch(_)
        | Error::Syntax(_) => false,
    }
}

/// The message of an error, without the wording that the enum puts around it.
fn describe(error: &rmp_serde::decode::Error) -> String {
    use rmp_serde::decode::Error;
    match error {
        Error::Syntax(detail) | Error::Uncategorized(detail) => detail.clone(),
        Error::InvalidMarkerRead(_) | Error::InvalidDataRead(_) => "the body is cut off".to_owned(),
        Error::DepthLimitExceeded => format!("nested deeper than {MAX_DEPTH} levels"),
        other => other.to_string(),
    }
}

/// The message without serde_json's "at line 1 column 8": the pointer is more precise.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// A path as a JSON pointer (RFC 6901).
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } | Segment::Enum { variant: key } => {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            Segment::Unknown => {}
        }
    }
    pointer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CreateEnv, StepRequest, VectorStepRequest};
    use proptest::prelude::*;
    use serde::de::DeserializeOwned;

    fn json<T: DeserializeOwned>(text: &str) -> Result<T, DecodeError> {
        Encoding::Json.decode(text.as_bytes())
    }

    fn invalid_at<T: DeserializeOwned + std::fmt::Debug>(text: &str) -> (String, String) {
        match json::<T>(text).unwrap_err() {
            DecodeError::Invalid { pointer, detail } => (pointer, detail),
            malformed => panic!("{malformed}"),
        }
    }

    #[test]
    fn invalid_bodies_say_where() {
        let (pointer, detail) = invalid_at::<StepRequest>(r#"{"action":0,"sequence":1}"#);
        assert_eq!(pointer, "/sequence");
        assert!(detail.contains("unknown field"), "{detail}");
        let (pointer, _) = invalid_at::<VectorStepRequest>(r#"{"actions":[0,"x"]}"#);
        assert_eq!(pointer, "/actions/1");
        let (pointer, detail) = invalid_at::<CreateEnv>(r#"{"kwargs":{}}"#);
        assert_eq!(
            (pointer.as_str(), detail.as_str()),
            ("", "missing field `spec_id`")
        );
    }

    #[test]
    fn messagepack_errors_say_where_too() {
        let bytes = rmp_serde::to_vec_named(&serde_json::json!({"action": 0, "a/b": 1})).unwrap();
        let error = Encoding::MessagePack.decode::<StepRequest>(&bytes);
        let DecodeError::Invalid { pointer, .. } = error.unwrap_err() else {
            panic!("should be invalid");
        };
        assert_eq!(pointer, "/a~1b");
    }

    #[test]
    fn cut_off_and_trailing_bytes_are_malformed() {
        let body = StepRequest {
            seq: None,
            action: crate::Array::scalar(0),
        };
        for encoding in [Encoding::Json, Encoding::MessagePack] {
            let bytes = encoding.encode(&body);
            let cut = encoding.decode::<StepRequest>(&bytes[..bytes.len() - 1]);
            assert!(matches!(cut, Err(DecodeError::Malformed { .. })), "{cut:?}");
            let longer = [bytes.as_slice(), b"1"].concat();
            let trailing = encoding.decode::<StepRequest>(&longer);
            assert!(
                matches!(trailing, Err(DecodeError::Malformed { .. })),
                "{trailing:?}"
            );
            assert_eq!(encoding.decode::<StepRequest>(&bytes).unwrap(), body);
        }
    }

    #[test]
    fn hostile_lengths_and_depths_are_refused() {
        // {"action": <list that announces 4 294 967 295 elements and ends there>}
        let mut bytes = b"\x81\xa6action\xdd\xff\xff\xff\xff".to_vec();
        assert!(matches!(
            Encoding::MessagePack.decode::<StepRequest>(&bytes),
            Err(DecodeError::Malformed { .. })
        ));
        // The same with bytes: an announced length of 4 GiB.
        bytes =
            b"\x81\xa6action\x83\xa5dtype\xa5int64\xa5shape\x91\x01\xa4data\xc6\xff\xff\xff\xff"
                .to_vec();
        assert!(matches!(
            Encoding::MessagePack.decode::<StepRequest>(&bytes),
            Err(DecodeError::Malformed { .. })
        ));
        let deep = [
            b"\x82\xa7spec_id\xa1x\xa6kwargs\x81\xa1k".to_vec(),
            vec![0x91; 100_000],
        ]
        .concat();
        assert!(matches!(
            Encoding::MessagePack.decode::<CreateEnv>(&deep),
            Err(DecodeError::Malformed { .. })
        ));
        let deep = format!(r#"{{"spec_id":"x","kwargs":{{"k":{}"#, "[".repeat(100_000));
        assert!(matches!(
            json::<CreateEnv>(&deep),
            Err(DecodeError::Malformed { .. })
        ));
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for encoding in [Encoding::Json, Encoding::MessagePack] {
                let _ = encoding.decode::<VectorStepRequest>(&bytes);
                let _ = encoding.decode::<crate::VectorStepReply>(&bytes);
                let _ = encoding.decode::<crate::RestoreRequest>(&bytes);
            }
        }

        #[test]
        fn step_requests_round_trip(
            seq in proptest::option::of(any::<u64>()),
            actions in prop::collection::vec(any::<i64>(), 1..300),
        ) {
            let actions = crate::Array::from_i64(vec![actions.len()], actions).unwrap();
            let body = VectorStepRequest { seq, actions };
            for encoding in [Encoding::Json, Encoding::MessagePack] {
                let bytes = encoding.encode(&body);
                prop_assert_eq!(&encoding.decode::<VectorStepRequest>(&bytes).unwrap(), &body);
            }
        }

        #[test]
        fn arrays_survive_messagepack_bit_for_bit(
            bits in prop::collection::vec(any::<u32>(), 1..64),
        ) {
            let floats: Vec<f32> = bits.iter().map(|&b| f32::from_bits(b)).collect();
            let array = crate::Array::from_f32(vec![bits.len(), 1], floats).unwrap();
            let bytes = Encoding::MessagePack.encode(&array);
            let back: crate::Array = Encoding::MessagePack.decode(&bytes).unwrap();
            prop_assert_eq!(back.shape(), array.shape());
            let back: Vec<u32> = back.into_f32s().iter().map(|x| x.to_bits()).collect();
            prop_assert_eq!(back, bits);
        }
    }
}
