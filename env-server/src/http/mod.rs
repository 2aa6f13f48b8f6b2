//! The server's HTTP side: routes by resource, two encodings, and one form of error.

pub(crate) mod app;
mod caller;
mod handlers;
mod home;
mod openapi;
mod queries;
mod refusals;
mod routes;
mod stream;

pub(crate) use app::{App, SharedApp};
pub(crate) use caller::FullCaller;
pub use routes::document;
pub(crate) use routes::routes;
#[cfg(any(test, fuzzing))]
pub(crate) use stream::{answer_message, only_route};
