//! Support for programs that offer a service of their own in the way this server serves
//! environments: bodies in both encodings, problem documents, tokens, TLS, limits on connections,
//! requests and time, and draining.
//!
//! A route takes its body as [`Call`], answers with [`encoded`], and fails with a [`Failure`],
//! which is made from an [`env_protocol::Problem`]; [`run_routes`] serves such routes. With tokens,
//! each request has its [`Principal`](crate::Principal) in its extensions.

pub use crate::http::IDEMPOTENCY_REPLAYED;
pub use crate::http::bodies::Bodies;
pub use crate::http::codec::{Accept, BodyLimit, Call, encoded};
pub use crate::http::home::Home;
pub use crate::http::operations::explain_problem;
pub use crate::http::problem::Failure;
pub use crate::server::run_routes;
