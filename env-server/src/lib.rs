//! Gym-style memory tasks over HTTP: exactly-once steps, vector environments, snapshots.
//!
//! [`run`] serves a listener until it is stopped, and [`Server`] does so in two steps; [`app`] is
//! the server as a service. The layers, each on top of the previous ones, are [`environments`]
//! (pure tasks), [`session`] (numbered operations on them), and the HTTP routes.

pub mod commands;
pub mod config;
#[cfg(test)]
mod counting;
pub mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod http;
pub mod journal;
mod openenv;
mod server;
pub mod session;

pub use config::ServerConfig;
pub use error::Error;
pub use hosts;
pub use http::document as openapi_document;
pub use journal::Durability;
pub use server::{Server, app, run};
pub use service::{
    Access, Grant, Principal, ServiceConfig, SocketTimes, StepBudget, Tls, check_exposure,
};
pub use session::Clock;
pub use session::Limits;
