//! Support for end-to-end tests: a real server, a server that can be killed, and a proxy that
//! loses messages.

mod mortal;
mod proxy;
pub mod storm;

pub use benchmark::run::embedded::EmbeddedServer;
pub use mortal::{MortalServer, serve_if_asked};
pub use proxy::{Faults, FaultyProxy};
