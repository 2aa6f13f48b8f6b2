//! Everything that an HTTP service of this project needs around its routes: bodies in two encodings,
//! problem documents, tokens, TLS, limits on connections, requests and time, observation, draining.
//!
//! A route takes its body as [`Call`], answers with [`encoded`], and fails with a [`Failure`], which
//! is made from an [`env_protocol::Problem`]; [`run_routes`] serves such routes. With tokens, each
//! request has its [`Principal`] in its extensions. Services with sessions find leases, quotas and
//! exactly-once operations in [`leases`].
//!
//! Two routes behind tokens and limits:
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::sync::Arc;
//!
//! use axum::response::Response;
//! use axum::routing::{get, post};
//! use axum::{Extension, Router};
//! use service::{
//!     Accept, Access, Bodies, BodyLimit, Call, Failure, Grant, Principal, ServiceConfig, encoded,
//! };
//! # use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! # use tokio::net::{TcpListener, TcpStream};
//!
//! #[derive(Clone)]
//! struct App(Arc<Bodies>);
//!
//! impl BodyLimit for App {
//!     fn bodies(&self) -> &Bodies {
//!         &self.0
//!     }
//! }
//!
//! #[derive(serde::Deserialize)]
//! struct Numbers {
//!     numbers: Vec<f64>,
//! }
//!
//! /// Answers in JSON or MessagePack, as the request prefers.
//! async fn sum(Call { body, reply, .. }: Call<Numbers>) -> Result<Response, Failure> {
//!     Ok(encoded(reply, &body.numbers.iter().sum::<f64>()))
//! }
//!
//! async fn name(Extension(who): Extension<Arc<Principal>>, Accept(reply): Accept) -> Response {
//!     encoded(reply, &who.name())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let grant = Grant {
//!     token: "ann-0123456789abcdef".to_owned(),
//!     max_requests_in_flight: Some(8),
//!     ..Grant::default()
//! };
//! let access = Access::from_grants(&BTreeMap::from([("ann".to_owned(), grant)]))?;
//! let config = ServiceConfig {
//!     access: Some(Arc::new(access)),
//!     max_connections: 100,
//!     ..ServiceConfig::default()
//! };
//! let router = Router::new()
//!     .route("/sum", post(sum))
//!     .route("/name", get(name))
//!     .with_state(App(Arc::new(Bodies::new(config.max_body_bytes))));
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let address = listener.local_addr()?;
//! let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
//! let shutdown = async { drop(stopped.await) };
//! let serving = tokio::spawn(async move {
//!     service::run_routes(listener, router, &["/sum", "/name"], &config, shutdown).await
//! });
//!
//! # async fn ask(address: std::net::SocketAddr, head: &str, body: &str) -> std::io::Result<String> {
//! #     let mut stream = TcpStream::connect(address).await?;
//! #     let head = format!(
//! #         "{head} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
//! #          content-length: {}\r\nauthorization: Bearer ann-0123456789abcdef\r\n\r\n{body}",
//! #         body.len()
//! #     );
//! #     stream.write_all(head.as_bytes()).await?;
//! #     let mut reply = String::new();
//! #     stream.read_to_string(&mut reply).await?;
//! #     Ok(reply)
//! # }
//! # let is = |reply: &str, status: &str, body: &str| {
//! #     assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")), "{reply}");
//! #     assert!(reply.contains(body), "{reply}");
//! # };
//! # is(&ask(address, "POST /sum", r#"{"numbers":[1.5,2]}"#).await?, "200", "3.5\n");
//! # is(&ask(address, "GET /name", "").await?, "200", "\"ann\"\n");
//! # is(&ask(address, "POST /sum", r#"{"numbers":7}"#).await?, "422", "\"invalid-body\"");
//! # is(&ask(address, "GET /nothing", "").await?, "404", "\"unknown-route\"");
//! # let mut stranger = TcpStream::connect(address).await?;
//! # stranger.write_all(b"GET /name HTTP/1.0\r\n\r\n").await?;
//! # let mut reply = String::new();
//! # stranger.read_to_string(&mut reply).await?;
//! # assert!(reply.contains(" 401 "), "{reply}");
//! // … requests are answered until the program ends.
//! drop(stop);
//! serving.await??;
//! # Ok(())
//! # }
//! ```

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

/// Header of a reply that is a repetition of an earlier one.
pub const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
