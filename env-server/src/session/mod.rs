//! Sessions: an environment behind an id, whose operations are numbered and applied exactly once.
//!
//! From the ground up: `operation` (changes and replies), `lanes` (of built-in tasks and of hosts),
//! `catalogue` (the specs), `creation` (the body that creates a session),
//! `blueprint` (the effect of an operation on environments), `session` (numbers, history, lease,
//! journal), `store` (all sessions, with limits), and `recovery` from the journal.

mod blueprint;
pub mod catalogue;
pub mod context;
mod creation;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod history;
mod lanes;
mod limits;
pub mod operation;
mod oracle;
mod position;
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
pub use catalogue::Catalogue;
pub use creation::{Creation, Description, Kind};
pub use limits::{Limits, PAGE_BYTES};
pub use operation::{Answer, Operation, Reply};
pub use service::leases::Clock;
pub use session::Session;
pub use trajectory::{Replayed, replay};
