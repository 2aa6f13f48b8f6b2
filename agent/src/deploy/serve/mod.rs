//! A trained agent as a service: whoever plays an environment, in whatever language, asks it for actions.
//!
//! [`Service`] answers decoded bodies ([`wire`]); the program `agent serve` puts HTTP before it. The memory of the lanes
//! stays here, in a session behind an id ([`sessions`]), or travels with the caller as a sealed text (`token`).
//! Actions are those that [`crate::evaluate`] would take.

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
