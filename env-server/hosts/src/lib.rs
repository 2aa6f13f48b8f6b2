//! Hosts: programs that play environments for the server on their standard streams.
//!
//! ```text
//! server                        host
//!   │ ◀── hello ─────────────────  │   once: the specs
//!   │ ─── create, reset, step … ▶  │   one call at a time
//!   │ ◀── created, observed, … ──  │
//!   │ ─── end of input ─────────▶  │   end
//! ```
//!
//! docs/hosting.md is the specification for authors of hosts, and [`protocol`] its frames. A
//! [`Host`] starts processes of one command when they are needed, deals vectors over them, and ends
//! them when they misbehave. A [`HostedVector`] is lanes of one environment, divided among the
//! processes; it checks every answer. It does not repair itself: the server, which has its
//! operations, makes another one and repeats them.

pub mod protocol;

mod answers;
mod command;
mod host;
mod process;
mod processes;
mod spaces;
mod vector;
mod watch;

pub use host::{Host, OpenError};
pub use process::Fault;
pub use processes::Limits;
pub use vector::{CreateError, Digest, HostedVector};
