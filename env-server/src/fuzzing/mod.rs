//! Fuzz targets for all decoders of outside input: one function each, which panics when a promise
//! is broken and does nothing otherwise.
//!
//! They are called by `cargo fuzz` (in `env-server/fuzz`, see `docs/testing.md`) and by a plain
//! test, over the same seeds and mutations of them. Neither the program nor the library contains
//! this module.

mod bodies;
mod messages;
#[cfg(test)]
mod mutation;
#[cfg(test)]
pub(crate) mod seeds;
#[cfg(test)]
mod tests;

pub use crate::openenv::fuzz_message as openenv;
pub use crate::session::fuzzing::{operation, record, snapshot, trajectory};
pub use bodies::{json, messagepack};
pub use messages::{stream_frame, websocket};

use service::access;

use crate::journal;

/// A decoder under test.
pub struct Target {
    /// Its name, shared by its function here, its file in `fuzz_targets` and its folder of seeds.
    pub name: &'static str,
    /// Runs it on an input.
    pub run: fn(&[u8]),
}

macro_rules! targets {
    ($($name:ident)+) => {
        /// Every target.
        pub const TARGETS: &[Target] = &[$(Target { name: stringify!($name), run: $name }),+];
    };
}

targets! {
    json messagepack stream_frame websocket openenv snapshot trajectory operation record journal tokens
    worker_frame
}

/// Reads a segment of a journal, as it is and with corrected checksums.
pub fn journal(bytes: &[u8]) {
    for bytes in [bytes, &journal::with_sound_checksums(bytes)] {
        let recovered = journal::fuzz_segment(bytes);
        assert_eq!(recovered.bytes, bytes.len() as u64);
        assert!(recovered.torn_tail_bytes <= recovered.bytes);
    }
}

/// Reads frames between a caller and a worker; what is read is written with the same meaning.
pub fn worker_frame(mut bytes: &[u8]) {
    while let Ok(Some(frame)) = workers::frame::read(&mut bytes) {
        let mut again = Vec::new();
        workers::frame::write(&mut again, &frame).expect("a frame that was read can be written");
        let read = workers::frame::read(&mut again.as_slice());
        assert_eq!(read.expect("a frame"), Some(frame));
    }
}

/// Parses a file of tokens, and an `Authorization` header.
pub fn tokens(bytes: &[u8]) {
    access::fuzz_header(bytes);
    if let Ok(text) = str::from_utf8(bytes) {
        access::fuzz_file(text);
    }
}
