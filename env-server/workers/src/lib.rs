//! Workers: programs that read *calls* on standard input, answer them on standard output, and end
//! at the end of their input.
//!
//! A call is a pure function of its bytes, the share that it names and its last checkpoint: it may be sent again, to any
//! worker, and every answer to it is the same. So a *pool* sends a call whose worker died to
//! another one, which continues from the last checkpoint that came back. Only the caller writes
//! results; what a lost worker still does means nothing.
//!
//! ```text
//! caller                        worker
//!   │ ◀── hello ─────────────────  │   once, before anything else
//!   │ ─── share ────────────────▶  │   bytes that many calls need, before the first of them
//!   │ ─── call ─────────────────▶  │
//!   │ ◀── part, part, … ─────────  │   progress, checkpoints
//!   │ ◀── done or failed ────────  │
//!   │ ─── end of input ─────────▶  │   stop: save a checkpoint, send it as a part, end
//! ```
//!
//! [`frame`] is the format of the bytes, [`serve()`] the worker's side, [`LocalPool`] the caller's.
//! [`RelayPool`] reaches workers on other machines through a *relay*, a program that carries the
//! calls of one caller, all at once; [`cluster`] starts the one to Ray. docs/cluster.md describes the protocol for programs in other languages, and
//! `examples/counter.rs` is a small worker.

pub mod cluster;
pub mod frame;
mod input;
mod pool;
mod process;
mod program;
mod relay;
mod serve;
mod share;

pub use frame::{Frame, Hello, MAX_FRAME_BYTES, PROTOCOL, Ready};
pub use pool::{CallError, LocalPool, Part, Pool, Request, TRIES};
pub use process::Process;
pub use program::Program;
pub use relay::{RelayError, RelayPool, Seat};
pub use serve::{Answer, Ended, Parts, panic_message, serve, serve_on_standard_streams};
pub use share::{Shared, sha256};
