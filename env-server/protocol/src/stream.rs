//! Messages of `GET /v1/stream`: the operations of the HTTP routes, many at a time on one socket.
//!
//! A text frame holds one JSON message, a binary frame one MessagePack message, and the reply has
//! the encoding of its request. In JSON a message is an object. In MessagePack it is an array whose
//! last element is the body, so that the body can be read without a copy:
//!
//! ```text
//! request  {"id":1,"op":"step","kind":"env","env_id":"e","body":{…}}   [id, op, kind, env_id, body]
//! reply    {"id":1,"status":200,"body":{…}}                            [id, status, replayed, body]
//! ```
//!
//! Bodies are exactly those of the HTTP routes.

use std::fmt;

use rmp::Marker;
use rmp::decode::{read_array_len, read_int, read_str_from_slice};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::codec::{DecodeError, Encoding};

/// Greatest length of a text that is the id of a message, in bytes.
pub const MAX_STREAM_ID_BYTES: usize = 64;

/// Greatest length of an environment's id in a message, in bytes. (The ids of existing environments
/// are shorter.)
const MAX_ENV_ID_BYTES: usize = 256;

/// A client's name for a request, repeated in the reply: a number or a short text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum StreamId {
    /// A number.
    Number(u64),
    /// A text of up to 64 bytes.
    Text(String),
}

/// The operation of a request. Each one corresponds to an HTTP route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum StreamOp {
    /// `POST` on the collection.
    Create,
    /// `PUT` on an id.
    Put,
    /// `GET` on the collection; the body holds the query parameters `after` and `limit`.
    List,
    /// `GET` on an id.
    Describe,
    /// `DELETE` on an id.
    Close,
    /// `POST …/reset`
    Reset,
    /// `POST …/step`
    Step,
    /// `POST …/lease`
    Lease,
    /// `GET …/snapshot`
    Snapshot,
    /// `POST …/restore`
    Restore,
    /// `POST …/fork`
    Fork,
    /// `GET …/trajectory`; the body holds the query parameters `from` and `limit`.
    Trajectory,
}

impl StreamOp {
    /// Every operation.
    pub const ALL: [StreamOp; 12] = [
        StreamOp::Create,
        StreamOp::Put,
        StreamOp::List,
        StreamOp::Describe,
        StreamOp::Close,
        StreamOp::Reset,
        StreamOp::Step,
        StreamOp::Lease,
        StreamOp::Snapshot,
        StreamOp::Restore,
        StreamOp::Fork,
        StreamOp::Trajectory,
    ];

    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            StreamOp::Create => "create",
            StreamOp::Put => "put",
            StreamOp::List => "list",
            StreamOp::Describe => "describe",
            StreamOp::Close => "close",
            StreamOp::Reset => "reset",
            StreamOp::Step => "step",
            StreamOp::Lease => "lease",
            StreamOp::Snapshot => "snapshot",
            StreamOp::Restore => "restore",
            StreamOp::Fork => "fork",
            StreamOp::Trajectory => "trajectory",
        }
    }

    /// Whether the operation needs the id of an environment.
    pub const fn needs_env_id(self) -> bool {
        !matches!(self, StreamOp::Create | StreamOp::List)
    }
}

/// The kind of environment that a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum StreamKind {
    /// Environments under `/v1/envs`.
    Env,
    /// Vector environments under `/v1/vector-envs`.
    VectorEnv,
}

impl StreamKind {
    /// Both kinds.
    pub const ALL: [StreamKind; 2] = [StreamKind::Env, StreamKind::VectorEnv];

    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            StreamKind::Env => "env",
            StreamKind::VectorEnv => "vector-env",
        }
    }
}

/// A message with a request. In MessagePack it is the list of these values, body last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StreamRequest<'a> {
    /// Id of the request, repeated in the reply.
    pub id: StreamId,
    /// Operation to carry out.
    pub op: StreamOp,
    /// Kind of the environment.
    pub kind: StreamKind,
    /// Id of the environment; absent for `create` and `list`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env_id: Option<String>,
    /// The body of the HTTP route as the client wrote it, in the encoding of the message; empty if
    /// the message has none.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub body: &'a [u8],
}

/// A message with a reply. In MessagePack it is the list of these values, body last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StreamReply<'a> {
    /// Id of the request; null when it could not be read.
    pub id: Option<StreamId>,
    /// Status that the HTTP reply would have.
    pub status: u16,
    /// Whether this is the stored reply to an operation applied earlier. Absent in JSON unless
    /// true.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<bool>))]
    pub replayed: bool,
    /// The body of the HTTP reply, in the encoding of the message; a problem document if the status
    /// is 400 or more, and empty if the reply has none.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub body: &'a [u8],
}

/// The reason why a request could not be read, with its id if that could be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct EnvelopeError {
    /// The id of the request.
    pub id: Option<StreamId>,
    /// The error. Its pointer leads into the message.
    pub error: DecodeError,
}

impl<'a> StreamRequest<'a> {
    /// Reads a message up to its body, which is borrowed undecoded. Never panics, whatever the
    /// bytes.
    ///
    /// # Errors
    /// As [`Encoding::decode`], with the id of the message where it can be read.
    pub fn decode(encoding: Encoding, message: &'a [u8]) -> Result<Self, EnvelopeError> {
        let request = match encoding {
            Encoding::Json => request_from_json(message)?,
            Encoding::MessagePack => request_from_messagepack(message)?,
        };
        let (op, id) = (request.op, &request.env_id);
        let detail = match (id, op.needs_env_id()) {
            (None, true) => format!("{} needs an env_id", op.as_str()),
            (Some(_), false) => format!("{} takes no env_id", op.as_str()),
            (Some(id), true) if id.len() > MAX_ENV_ID_BYTES => {
                format!("longer than {MAX_ENV_ID_BYTES} bytes")
            }
            _ => return Ok(request),
        };
        let pointer = match encoding {
            Encoding::Json => "/env_id",
            Encoding::MessagePack => "/3",
        };
        Err(EnvelopeError {
            error: invalid(pointer, detail),
            id: Some(request.id),
        })
    }

    /// Writes the message.
    pub fn encode(&self, encoding: Encoding) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.body.len() + 128);
        let env_id = self.env_id.as_deref();
        match encoding {
            Encoding::Json => {
                out.extend_from_slice(b"{\"id\":");
                write_json(&mut out, &self.id);
                let (op, kind) = (self.op.as_str(), self.kind.as_str());
                out.extend_from_slice(format!(r#","op":"{op}","kind":"{kind}""#).as_bytes());
                if let Some(env_id) = env_id {
                    out.extend_from_slice(b",\"env_id\":");
                    write_json(&mut out, &env_id);
                }
                write_json_body(&mut out, self.body);
            }
            Encoding::MessagePack => {
                out.push(0x95);
                write_messagepack(&mut out, &self.id);
                write_messagepack(&mut out, &self.op.as_str());
                write_messagepack(&mut out, &self.kind.as_str());
                write_messagepack(&mut out, &env_id);
                write_messagepack_body(&mut out, self.body);
            }
        }
        out
    }
}

impl<'a> StreamReply<'a> {
    /// Reads a message up to its body, which is borrowed undecoded.
    ///
    /// # Errors
    /// As [`Encoding::decode`].
    pub fn decode(encoding: Encoding, message: &'a [u8]) -> Result<Self, DecodeError> {
        match encoding {
            Encoding::Json => {
                #[derive(Deserialize)]
                struct Message<'a> {
                    id: Option<StreamId>,
                    status: u16,
                    #[serde(default)]
                    replayed: bool,
                    #[serde(borrow)]
                    body: Option<&'a RawValue>,
                }
                let message: Message<'a> = encoding.decode(message)?;
                Ok(StreamReply {
                    id: message.id,
                    status: message.status,
                    replayed: message.replayed,
                    body: raw(message.body),
                })
            }
            Encoding::MessagePack => {
                let mut rest = message;
                match read_array_len(&mut rest) {
                    Ok(4) => {}
                    _ => return Err(malformed("a reply is an array of 4")),
                }
                let id = match rest.first() {
                    Some(&NIL) => {
                        rest = &rest[1..];
                        None
                    }
                    _ => Some(read_id(&mut rest)?),
                };
                let status = read_int(&mut rest).map_err(|_| invalid("/1", "not a status"))?;
                let replayed = match rest.split_first() {
                    Some((0xc2, _)) => false,
                    Some((0xc3, _)) => true,
                    _ => return Err(invalid("/2", "not a boolean")),
                };
                Ok(StreamReply {
                    id,
                    status,
                    replayed,
                    body: without_nil(&rest[1..]),
                })
            }
        }
    }

    /// Writes the message.
    pub fn encode(&self, encoding: Encoding) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.body.len() + 64);
        match encoding {
            Encoding::Json => {
                out.extend_from_slice(b"{\"id\":");
                write_json(&mut out, &self.id);
                out.extend_from_slice(b",\"status\":");
                write_json(&mut out, &self.status);
                if self.replayed {
                    out.extend_from_slice(b",\"replayed\":true");
                }
                write_json_body(&mut out, self.body);
            }
            Encoding::MessagePack => {
                out.push(0x94);
                write_messagepack(&mut out, &self.id);
                write_messagepack(&mut out, &self.status);
                write_messagepack(&mut out, &self.replayed);
                write_messagepack_body(&mut out, self.body);
            }
        }
        out
    }
}

/// MessagePack's nil.
const NIL: u8 = 0xc0;

fn request_from_json(message: &[u8]) -> Result<StreamRequest<'_>, EnvelopeError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Message<'a> {
        id: StreamId,
        op: StreamOp,
        kind: StreamKind,
        env_id: Option<String>,
        #[serde(borrow)]
        body: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct OnlyId {
        id: Option<StreamId>,
    }

    // The derived decoder would also accept a list of values, so the first character is checked.
    let first = message.iter().find(|byte| !byte.is_ascii_whitespace());
    let read = match first {
        Some(b'{') | None => Encoding::Json.decode::<Message<'_>>(message),
        Some(_) => match Encoding::Json.decode::<de::IgnoredAny>(message) {
            Ok(_) => Err(invalid("", "a message is an object")),
            Err(error) => Err(error),
        },
    };
    match read {
        Ok(message) => Ok(StreamRequest {
            id: message.id,
            op: message.op,
            kind: message.kind,
            env_id: message.env_id,
            body: raw(message.body),
        }),
        Err(error) => {
            let id = match error {
                DecodeError::Invalid { .. } if first == Some(&b'{') => {
                    serde_json::from_slice::<OnlyId>(message).ok()
                }
                _ => None,
            };
            Err(EnvelopeError {
                id: id.and_then(|only| only.id),
                error,
            })
        }
    }
}

fn request_from_messagepack(message: &[u8]) -> Result<StreamRequest<'_>, EnvelopeError> {
    let unreadable = |error| EnvelopeError { id: None, error };
    let mut rest = message;
    let Ok(len @ (4 | 5)) = read_array_len(&mut rest) else {
        let detail = "a message is an array [id, op, kind, env_id, body]";
        return Err(unreadable(malformed(detail)));
    };
    let id = read_id(&mut rest).map_err(unreadable)?;
    let mut fields = || {
        let op = read_name(&mut rest, "/1", &StreamOp::ALL, StreamOp::as_str)?;
        let kind = read_name(&mut rest, "/2", &StreamKind::ALL, StreamKind::as_str)?;
        let env_id = match rest.first() {
            Some(&NIL) => {
                rest = &rest[1..];
                None
            }
            _ => Some(read_text(&mut rest, "/3")?.to_owned()),
        };
        match len == 5 {
            false if !rest.is_empty() => Err(malformed("bytes follow the message")),
            true if rest.is_empty() => Err(malformed("the message is cut off")),
            _ => Ok((op, kind, env_id)),
        }
    };
    match fields() {
        Ok((op, kind, env_id)) => Ok(StreamRequest {
            id,
            op,
            kind,
            env_id,
            body: without_nil(rest),
        }),
        Err(error) => Err(EnvelopeError {
            id: Some(id),
            error,
        }),
    }
}

fn read_id(rest: &mut &[u8]) -> Result<StreamId, DecodeError> {
    let marker = rest.first().map(|&byte| Marker::from_u8(byte));
    let id = match marker {
        Some(Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32) => {
            StreamId::from_text(read_text(rest, "/0")?)
        }
        Some(_) => read_int(rest).ok().map(StreamId::Number),
        None => return Err(malformed("the message is cut off")),
    };
    id.ok_or_else(|| invalid("/0", EXPECTED_ID))
}

fn read_text<'a>(rest: &mut &'a [u8], pointer: &str) -> Result<&'a str, DecodeError> {
    let bytes: &'a [u8] = rest;
    match read_str_from_slice(bytes) {
        Ok((text, behind)) => {
            *rest = behind;
            Ok(text)
        }
        Err(_) => Err(invalid(pointer, "not a string")),
    }
}

fn read_name<T: Copy>(
    rest: &mut &[u8],
    pointer: &str,
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<T, DecodeError> {
    let text = read_text(rest, pointer)?;
    let found = all.iter().copied().find(|&one| name(one) == text);
    found.ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|&one| name(one)).collect();
        invalid(pointer, format!("expected one of {}", names.join(", ")))
    })
}

const EXPECTED_ID: &str = "expected an unsigned integer or a text of up to 64 bytes";

impl StreamId {
    fn from_text(text: &str) -> Option<Self> {
        (text.len() <= MAX_STREAM_ID_BYTES).then(|| StreamId::Text(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for StreamId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Id;

        impl Visitor<'_> for Id {
            type Value = StreamId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED_ID.trim_start_matches("expected "))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<StreamId, E> {
                Ok(StreamId::Number(number))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<StreamId, E> {
                StreamId::from_text(text).ok_or_else(|| E::custom(EXPECTED_ID))
            }
        }

        deserializer.deserialize_any(Id)
    }
}

fn raw(body: Option<&RawValue>) -> &[u8] {
    body.map_or(&[], |body| body.get().as_bytes())
}

fn without_nil(body: &[u8]) -> &[u8] {
    match body {
        [NIL] => &[],
        body => body,
    }
}

fn write_json<T: Serialize>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("plain data into memory");
}

/// Writes the body as the last field, if there is one, and closes the object.
fn write_json_body(out: &mut Vec<u8>, body: &[u8]) {
    if !body.is_empty() {
        out.extend_from_slice(b",\"body\":");
        out.extend_from_slice(body);
    }
    out.push(b'}');
}

fn write_messagepack<T: Serialize>(out: &mut Vec<u8>, value: &T) {
    rmp_serde::encode::write(out, value).expect("plain data into memory");
}

fn write_messagepack_body(out: &mut Vec<u8>, body: &[u8]) {
    match body.is_empty() {
        true => out.push(NIL),
        false => out.extend_from_slice(body),
    }
}

fn invalid(pointer: &str, detail: impl Into<String>) -> DecodeError {
    DecodeError::Invalid {
        pointer: pointer.to_owned(),
        detail: detail.into(),
    }
}

fn malformed(detail: &str) -> DecodeError {
    DecodeError::Malformed {
        encoding: "MessagePack",
        detail: detail.to_owned(),
    }
}

#[cfg(test)]
mod tests;
