//! Memory tasks as pure state machines, alone or as vectors of lanes.
//!
//! A task does no I/O, reads no clock and owns no randomness: it asks its caller for every draw
//! through [`Draws`]. So a name, arguments, a seed and the actions determine an episode, on every
//! machine, and a recorded episode can be replayed by scripting its draws.
//!
//! The main path: find a task in the catalogue, check its arguments, make a vector of lanes, reset
//! it and step it.
//!
//! ```
//! use env_protocol::{AutoresetMode, Kwargs, Seed};
//! use environments::vector::Reset;
//! use environments::{Arguments, registry, render};
//!
//! let (entry, spec) = registry::find("MemoryTask-v0").expect("it is in the catalogue");
//! let kwargs: Kwargs = serde_json::from_str(r#"{"delay": 5}"#)?;
//! let arguments = Arguments::resolve(&spec.parameters, &kwargs)?;
//! let mut lanes = (entry.vector)(&arguments, 2, AutoresetMode::Disabled, &Seed::First(7))?;
//!
//! lanes.reset(&Reset::default())?;
//! let mut returns = [0.0; 2];
//! while lanes.num_running() == 2 {
//!     // The actions of a player that knows every hidden draw.
//!     let actions = lanes.oracle()?;
//!     let batch = lanes.step(&actions)?;
//!     returns = [returns[0] + batch.rewards[0], returns[1] + batch.rewards[1]];
//! }
//! assert_eq!(returns, [1.0, 1.0]);
//! println!("{}", render::to_ansi(&lanes.picture(0).expect("a lane"), false));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - [`Environment`], [`Catalogued`], [`Pictured`] and [`Recorded`] are the traits of a task: what
//!   plays, its entry in the catalogue, its picture, and how it repeats an original.
//! - [`tasks`] has a file for each task and the table of them all; [`registry`] looks names up.
//! - [`actions`] has the range of each number of an action.
//! - [`vector`] steps lanes of one task together; [`wrappers`] change what a task shows.
//! - [`render`] draws pictures; [`verify`] replays recorded episodes; [`check`] tests the contract
//!   that every task keeps.
//! - [`kit`] has what tasks are built from.
//!
//! To add a task, follow `docs/contributing/add-an-environment.md`.

pub mod actions;
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
