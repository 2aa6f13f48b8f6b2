//! Gym-style memory tasks behind HTTP: exactly-once steps, vector environments, snapshots.
//!
//! [`run`] serves a listener until it is told to end, [`Server`] in two steps; [`app`] is the same as a service. The layers,
//! each of which knows only those before it: [`environments`] (pure tasks), [`session`] (numbered
//! operations on them), and the HTTP routes.

pub mod access;
pub mod config;
#[cfg(test)]
mod counting;
pub mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod http;
pub mod journal;
pub mod observe;
mod openenv;
pub mod replay;
mod server;
pub mod service;
pub mod session;
pub mod signals;
pub mod tls;
pub mod verify;

pub use access::{Access, Grant, Principal};
pub use config::ServerConfig;
pub use error::Error;
pub use http::{SocketTimes, document as openapi_document};
pub use journal::Durability;
pub use server::{Server, app, check_exposure, run};
pub use session::Clock;
pub use session::StepBudget;
pub use session::store::Limits;
pub use tls::Tls;
