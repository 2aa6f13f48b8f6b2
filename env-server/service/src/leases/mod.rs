//! Sessions that live by leases, whose operations are numbered and applied exactly once.
//!
//! A service holds sessions behind ids that its clients choose. The parts of that are here; the
//! service puts them together with its own sessions:
//!
//! - [`check_id`], [`check_lanes`] and [`check_ttl_s`] check what a client asks for.
//! - [`Quotas`] count sessions and lanes, in all and by principal.
//! - A [`Lease`] ends a session that is not used; operations renew it.
//! - [`Tombstones`] remember ended sessions, so that a late repetition does not start a new one.
//! - [`turn`] tells the next operation from a repetition, and a [`Window`] keeps the last replies.
//!
//! ```
//! use service::leases::{Turn, Window};
//!
//! // A session that adds numbers: the last 64 replies are kept.
//! let (mut sum, mut seq, mut replies) = (0, 0, Window::new(64, 1 << 16));
//! let mut add = |number: u64, operation: i64| match replies.turn(Some(number), seq, &operation)? {
//!     Turn::Again(number) => Ok(*replies.get(number, seq).expect("it is kept").1),
//!     Turn::Next => {
//!         sum += operation;
//!         seq += 1;
//!         replies.push(operation, sum, 16);
//!         Ok::<_, env_protocol::Problem>(sum)
//!     }
//! };
//! assert_eq!(add(0, 3)?, 3);
//! assert_eq!(add(1, 4)?, 7);
//! // Its reply was lost on the way, so the client repeats it.
//! assert_eq!(add(1, 4)?, 7);
//! assert!(add(1, 5).is_err());
//! # Ok::<(), env_protocol::Problem>(())
//! ```

mod ids;
mod lease;
mod quotas;
mod tombstones;
mod turn;

pub use ids::{ID_PATTERN, check_id, check_lanes, check_ttl_s, drawn_seed};
pub use lease::{Clock, Lease, ms};
pub use quotas::{Quotas, Usage};
pub use tombstones::{Tombstone, Tombstones};
pub use turn::{Turn, Window, turn};
