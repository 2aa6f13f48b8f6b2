//! Frames: messages between a caller and its workers, or the relay that carries calls to them.
//!
//! A frame is its length in bytes, 32 bits in network byte order, and so many bytes of MessagePack:
//! a map with one key, the kind of the frame, whose value is a map of its fields. Bodies are bytes,
//! whose meaning is up to the two programs.

use std::io::{self, ErrorKind, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::share::Shared;

/// Version of the frames. A caller refuses workers with another one.
pub const PROTOCOL: u32 = 2;

/// Largest length of a frame, in bytes: more than the checkpoint of any network that a CPU trains.
pub const MAX_FRAME_BYTES: u32 = 1 << 30;

/// A message between a caller and a worker, or a caller and a relay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Frame {
    /// A worker's first frame.
    Hello(Hello),
    /// A relay's first frame, if it can carry calls.
    Ready(Ready),
    /// A relay's first and last frame, if it cannot.
    Refused {
        /// The reason, for people, with the line that fixes it.
        reason: String,
    },
    /// Bytes that later calls name, from the caller. The receiver keeps the latest alone.
    Share(Shared),
    /// A call, from the caller.
    Call {
        /// Number that all frames of the answer repeat.
        id: u64,
        /// Name of the function.
        name: String,
        /// The argument.
        #[serde(with = "serde_bytes")]
        body: Vec<u8>,
        /// The last checkpoint of an earlier try, to continue from.
        #[serde(with = "serde_bytes")]
        checkpoint: Option<Vec<u8>>,
        /// Id of the share that the call needs.
        #[serde(deserialize_with = "Option::deserialize")]
        shared: Option<String>,
        /// To a relay: calls with the same number go to the same worker, as long as it lives.
        #[serde(deserialize_with = "Option::deserialize")]
        seat: Option<u64>,
    },
    /// Something that is known before the call is done.
    Part {
        /// Number of the call.
        id: u64,
        /// Whether the call can continue from this body in another worker.
        is_checkpoint: bool,
        /// The part.
        #[serde(with = "serde_bytes")]
        body: Vec<u8>,
    },
    /// The result of a call; nothing follows for it.
    Done {
        /// Number of the call.
        id: u64,
        /// The result.
        #[serde(with = "serde_bytes")]
        body: Vec<u8>,
    },
    /// The reason why a call has no result, and would not have one in any worker.
    Failed {
        /// Number of the call.
        id: u64,
        /// The reason, for people.
        reason: String,
    },
    /// From the caller to a relay: the call shall stop, its last checkpoint come back as a part.
    Stop {
        /// Number of the call.
        id: u64,
    },
    /// From a relay: the call was stopped; nothing follows for it.
    Stopped {
        /// Number of the call.
        id: u64,
    },
    /// From a relay: the call lost its worker. The relay sends it to another one, unless it was
    /// the last of its [`TRIES`](crate::TRIES); then nothing follows for it.
    Lost {
        /// Number of the call.
        id: u64,
        /// The reason, for people.
        reason: String,
    },
    /// From a relay: something that people should know.
    Warning {
        /// The warning.
        text: String,
    },
}

/// A relay's report on its cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ready {
    /// [`PROTOCOL`] of the relay.
    pub protocol: u32,
    /// Number of calls that it can have answered at once.
    pub slots: u64,
    /// Number of machines.
    pub nodes: u64,
    /// Warnings about them, for people.
    pub warnings: Vec<String>,
    /// SHA-256 of the program that it starts on them, in hexadecimal digits.
    pub program: String,
}

/// Identity of a worker. Workers of one caller run the same program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// [`PROTOCOL`] of the worker.
    pub protocol: u32,
    /// Version of its program.
    pub version: String,
    /// SHA-256 of the program, in hexadecimal digits.
    pub program: String,
    /// Class of its CPU: equal classes compute equal bits.
    pub cpu: String,
}

/// Writes a frame and flushes it.
///
/// # Errors
/// When it cannot be written; `InvalidInput` when it is longer than [`MAX_FRAME_BYTES`], and nothing
/// of it is written.
pub fn write(out: &mut dyn Write, frame: &Frame) -> io::Result<()> {
    write_message(out, frame, MAX_FRAME_BYTES)
}

/// Writes a message of any protocol with frames, and flushes it.
///
/// # Errors
/// When it cannot be written; `InvalidInput` when it is longer than `limit` bytes, and nothing of
/// it is written.
pub fn write_message(out: &mut dyn Write, message: &impl Serialize, limit: u32) -> io::Result<()> {
    let mut bytes = vec![0; 4];
    rmp_serde::encode::write_named(&mut bytes, message).map_err(io::Error::other)?;
    let length = u32::try_from(bytes.len() - 4)
        .ok()
        .filter(|length| *length <= limit)
        .ok_or_else(|| {
            let reason = too_long(bytes.len() - 4, limit);
            io::Error::new(ErrorKind::InvalidInput, reason)
        })?;
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    out.write_all(&bytes)?;
    out.flush()
}

/// Reads a frame; `None` at the end of the input.
///
/// A length reserves no memory; bytes that arrive do.
///
/// # Errors
/// When the input cannot be read; `UnexpectedEof` when it ends inside a frame; `InvalidData` for a
/// length beyond [`MAX_FRAME_BYTES`] and for bytes that are not a frame.
pub fn read(input: &mut dyn Read) -> io::Result<Option<Frame>> {
    read_message(input, MAX_FRAME_BYTES)
}

/// Reads a message of any protocol with frames; `None` at the end of the input.
///
/// # Errors
/// As [`read()`], with `limit` as the largest length.
pub fn read_message<T: DeserializeOwned>(
    input: &mut dyn Read,
    limit: u32,
) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    if !fill(input, &mut length)? {
        return Ok(None);
    }
    let length = u32::from_be_bytes(length);
    if length > limit {
        return Err(damaged(too_long(length as usize, limit)));
    }
    let mut bytes = Vec::new();
    input.take(u64::from(length)).read_to_end(&mut bytes)?;
    if bytes.len() < length as usize {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    decode_message(&bytes).map(Some)
}

/// Decodes the bytes of a frame, without its length.
///
/// # Errors
/// `InvalidData` for bytes that are not a frame, or that something follows.
pub fn decode(bytes: &[u8]) -> io::Result<Frame> {
    decode_message(bytes)
}

fn decode_message<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    let mut rest = bytes;
    let message = rmp_serde::decode::from_read(&mut rest)
        .map_err(|error| damaged(format!("bytes that are not a frame: {error}")))?;
    match rest {
        [] => Ok(message),
        rest => Err(damaged(format!("{} bytes after a frame", rest.len()))),
    }
}

/// Fills `buffer`; false if the input ends before its first byte.
fn fill(input: &mut dyn Read, buffer: &mut [u8]) -> io::Result<bool> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) if filled == 0 => return Ok(false),
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn too_long(length: usize, limit: u32) -> String {
    format!("a frame of {length} bytes; the limit is {limit}")
}

fn damaged(reason: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(any::<u8>(), 0..40)
    }

    fn frames() -> impl Strategy<Value = Frame> {
        let hello = (any::<u32>(), "\\PC*", "\\PC*", "\\PC*").prop_map(
            |(protocol, version, program, cpu)| {
                Frame::Hello(Hello {
                    protocol,
                    version,
                    program,
                    cpu,
                })
            },
        );
        let share = bytes().prop_map(|body| Frame::Share(Shared::new(body)));
        let options = (
            prop::option::of(bytes()),
            prop::option::of("\\PC*"),
            any::<Option<u64>>(),
        );
        let call = (any::<u64>(), "\\PC*", bytes(), options).prop_map(
            |(id, name, body, (checkpoint, shared, seat))| Frame::Call {
                id,
                name,
                body,
                checkpoint,
                shared,
                seat,
            },
        );
        let part = (any::<u64>(), any::<bool>(), bytes()).prop_map(|(id, is_checkpoint, body)| {
            Frame::Part {
                id,
                is_checkpoint,
                body,
            }
        });
        let done = (any::<u64>(), bytes()).prop_map(|(id, body)| Frame::Done { id, body });
        let failed = (any::<u64>(), "\\PC*").prop_map(|(id, reason)| Frame::Failed { id, reason });
        prop_oneof![hello, share, call, part, done, failed, frames_of_relays()]
    }

    fn frames_of_relays() -> impl Strategy<Value = Frame> {
        let warnings = prop::collection::vec("\\PC*", 0..3);
        let ready = (any::<u32>(), any::<u64>(), any::<u64>(), warnings, "\\PC*").prop_map(
            |(protocol, slots, nodes, warnings, program)| {
                Frame::Ready(Ready {
                    protocol,
                    slots,
                    nodes,
                    warnings,
                    program,
                })
            },
        );
        let refused = "\\PC*".prop_map(|reason| Frame::Refused { reason });
        let stop = any::<u64>().prop_map(|id| Frame::Stop { id });
        let stopped = any::<u64>().prop_map(|id| Frame::Stopped { id });
        let lost = (any::<u64>(), "\\PC*").prop_map(|(id, reason)| Frame::Lost { id, reason });
        let warning = "\\PC*".prop_map(|text| Frame::Warning { text });
        prop_oneof![ready, refused, stop, stopped, lost, warning]
    }

    proptest! {
        #[test]
        fn frames_are_read_as_they_were_written(sent in prop::collection::vec(frames(), 0..5)) {
            let mut wire = Vec::new();
            for frame in &sent {
                write(&mut wire, frame).unwrap();
            }
            let mut input = wire.as_slice();
            let mut received = Vec::new();
            while let Some(frame) = read(&mut input).unwrap() {
                received.push(frame);
            }
            prop_assert_eq!(received, sent);
        }

        #[test]
        fn a_frame_that_is_cut_off_is_an_error(frame in frames(), share in 0.0..1.0) {
            let mut wire = Vec::new();
            write(&mut wire, &frame).unwrap();
            let length = 1 + ((wire.len() - 2) as f64 * share) as usize;
            let error = read(&mut &wire[..length]).unwrap_err();
            prop_assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        }

        #[test]
        fn other_bytes_are_an_error_or_a_frame(bytes in bytes()) {
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn a_call_looks_like_this_on_the_wire() {
        let call = Frame::Call {
            id: 7,
            name: "job".to_owned(),
            body: vec![1, 2],
            checkpoint: None,
            shared: None,
            seat: Some(3),
        };
        let mut wire = Vec::new();
        write(&mut wire, &call).unwrap();
        let expected = [
            &[0, 0, 0, 55, 0x81, 0xa4][..],
            b"call",
            &[0x86, 0xa2],
            b"id",
            &[7, 0xa4],
            b"name",
            &[0xa3],
            b"job",
            &[0xa4],
            b"body",
            &[0xc4, 2, 1, 2, 0xaa],
            b"checkpoint",
            &[0xc0, 0xa6],
            b"shared",
            &[0xc0, 0xa4],
            b"seat",
            &[3],
        ];
        assert_eq!(wire, expected.concat());
    }

    #[test]
    fn a_call_without_one_of_its_fields_is_refused() {
        let fields = ["id", "name", "body", "checkpoint", "shared", "seat"];
        let without = |left_out: &str| {
            // {"call": {…}}
            let mut bytes = [&[0x81, 0xa4][..], b"call"].concat();
            let kept: Vec<_> = fields.iter().filter(|name| **name != left_out).collect();
            bytes.push(0x80 | u8::try_from(kept.len()).unwrap());
            for name in kept {
                bytes.push(0xa0 | u8::try_from(name.len()).unwrap());
                bytes.extend(name.bytes());
                let value: &[u8] = match *name {
                    "id" => &[1],
                    "name" => &[0xa1, b'n'],
                    "body" => &[0xc4, 0],
                    _ => &[0xc0],
                };
                bytes.extend(value);
            }
            bytes
        };
        decode(&without("")).unwrap();
        for name in fields {
            let error = decode(&without(name)).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn a_share_of_other_bytes_is_no_frame() {
        let shared = Shared::new(b"weights".to_vec());
        let sha256 = "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c";
        assert_eq!(shared.id(), sha256);
        let mut wire = Vec::new();
        write(&mut wire, &Frame::Share(shared.clone())).unwrap();
        assert_eq!(
            read(&mut wire.as_slice()).unwrap(),
            Some(Frame::Share(shared))
        );
        let last = wire.len() - 1;
        wire[last] ^= 1;
        let error = read(&mut wire.as_slice()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(
            error.to_string().contains("a share of the bytes"),
            "{error}"
        );
    }

    #[test]
    fn lengths_beyond_the_limit_are_refused_before_anything_is_read() {
        let mut wire = (MAX_FRAME_BYTES + 1).to_be_bytes().to_vec();
        wire.push(0x81);
        let mut input = wire.as_slice();
        let error = read(&mut input).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert_eq!(input, [0x81]);
    }

    #[test]
    fn bytes_after_a_frame_and_unknown_fields_are_refused() {
        let mut wire = Vec::new();
        let failed = Frame::Failed {
            id: 1,
            reason: "no".to_owned(),
        };
        write(&mut wire, &failed).unwrap();
        assert_eq!(decode(&wire[4..]).unwrap(), failed);
        wire.push(0);
        assert!(
            decode(&wire[4..])
                .unwrap_err()
                .to_string()
                .contains("1 bytes after")
        );
        // {"done": {"id": 1, "body": b"", "more": 1}}
        let unknown = [
            &[0x81, 0xa4][..],
            b"done",
            &[0x83, 0xa2],
            b"id",
            &[1, 0xa4],
            b"body",
            &[0xc4, 0, 0xa4],
            b"more",
            &[1],
        ];
        decode(&unknown.concat()).unwrap_err();
    }
}
