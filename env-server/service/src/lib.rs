//! The parts of an HTTP service that surround its routes: bodies in two encodings, problem
//! documents, tokens, TLS, limits on connections, requests and time, observation, and draining.
//!
//! A route takes its body as [`Call`], answers with [`encoded`], and fails with a [`Failure`],
//! which is made from an [`env_protocol::Problem`]; [`run_routes`] serves such routes. With tokens,
//! each request has its [`Principal`] in its extensions.

pub mod access;
pub mod aside;
pub mod bodies;
pub mod codec;
pub mod config;
pub mod error;
mod explain;
mod home;
pub mod leases;
pub mod observe;
pub mod problem;
pub mod room;
pub mod server;
pub mod signals;
pub mod socket;
pub mod tls;

use axum::http::HeaderName;

pub use access::{Access, Grant, Owner, Principal, StepBudget};
pub use bodies::Bodies;
pub use codec::{Accept, BodyLimit, Call, encoded};
pub use config::{ServiceConfig, SocketTimes};
pub use error::Error;
pub use explain::explain_problem;
pub use home::Home;
pub use problem::Failure;
pub use server::{Listening, Routes, check_exposure, check_names, run_routes};
pub use tls::Tls;

/// Header of a stored reply that was sent before.
pub const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
