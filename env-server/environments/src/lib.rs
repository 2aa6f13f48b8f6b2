//! Environments: pure state machines, one file a task.
//!
//! An environment does no I/O, reads no clock and owns no randomness: what it draws comes through
//! [`Draws`], so that a spec, its arguments, a seed and the actions decide everything, and a
//! recorded episode can be replayed by scripting its draws.

#[cfg(test)]
mod best;
pub mod catalogue;
pub mod check;
mod element;
mod entry;
mod environment;
#[cfg(test)]
mod gallery;
pub mod kit;
pub mod pieces;
#[cfg(test)]
mod players;
pub mod recorded;
pub mod registry;
pub mod render;
pub mod tasks;
pub mod vector;
pub mod verify;
pub mod wrappers;

pub use catalogue::{Catalogued, Profile};
pub use element::Element;
pub use environment::{Environment, Transition};
pub use kit::arguments::{Arguments, KwargsError};
pub use kit::draws::{Draws, Rng};
pub use kit::script::{Draw, Script};
pub use recorded::Recorded;
pub use render::Pictured;
pub use wrappers::Wrapped;
pub use wrappers::parameters::Wrappers;
