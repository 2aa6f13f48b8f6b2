//! Sessions: an environment behind an id, whose operations are numbered and applied exactly once.
//!
//! From the ground up: `creation` (the body that creates one), `operation` (changes and replies),
//! `blueprint` (the effect of an operation on environments), `session` (numbers, history, lease,
//! journal), `store` (all sessions, with limits), and `recovery` from the journal.

mod blueprint;
pub mod context;
mod creation;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod history;
mod limits;
pub mod operation;
mod oracle;
mod records;
pub mod recovery;
mod replies;
mod requests;
mod rerun;
#[expect(clippy::module_inception, reason = "one session")]
mod session;
#[cfg(test)]
mod sizes;
pub mod store;
mod trajectory;
mod transcode;
mod wire_bytes;

pub use blueprint::Blueprint;
pub use creation::{Creation, Description, Kind};
pub(crate) use creation::{refused_kwargs, unknown_spec};
pub use limits::{Limits, PAGE_BYTES};
pub use operation::{Answer, Operation, Reply};
pub use service::leases::Clock;
pub use session::Session;
pub use trajectory::{Replayed, replay};
