//! What any bytes from outside may meet: a function for each decoder, which panics when a promise is
//! broken and does nothing otherwise.
//!
//! Two programs call them: `cargo fuzz` (in `env-server/fuzz`, see `docs/testing.md`), and a plain
//! test, over the same seeds and mutations of them. Nobody else: the module is in neither the
//! program nor the library.

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
    /// Its name: that of its function here, its file in `fuzz_targets` and its folder of seeds.
    pub name: &'static str,
    /// Gives it bytes.
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
}

/// A segment of a journal, as it is and with checksums that hold.
pub fn journal(bytes: &[u8]) {
    for bytes in [bytes, &journal::with_sound_checksums(bytes)] {
        let recovered = journal::fuzz_segment(bytes);
        assert_eq!(recovered.bytes, bytes.len() as u64);
        assert!(recovered.torn_tail_bytes <= recovered.bytes);
    }
}

/// A file of tokens, and an `Authorization` header.
pub fn tokens(bytes: &[u8]) {
    access::fuzz_header(bytes);
    if let Ok(text) = str::from_utf8(bytes) {
        access::fuzz_file(text);
    }
}
