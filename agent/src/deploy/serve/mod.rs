//! A trained agent as a service: a program in any language that plays an environment asks it for
//! actions.
//!
//! [`Service`] answers decoded bodies ([`wire`]); the program `agent serve` puts HTTP before it. The memory of the lanes
//! stays here, in a session behind an id ([`sessions`]), or travels with the caller as a sealed text (`token`).
//! Actions equal those of [`crate::evaluate`].

mod lanes;
mod limits;
mod observations;
mod request;
mod service;
pub mod sessions;
mod token;
pub mod wire;

pub use limits::Limits;
pub use service::Service;

#[cfg(test)]
mod tests;
