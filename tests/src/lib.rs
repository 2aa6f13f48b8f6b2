//! What end-to-end tests share: a real server, one that can be killed, and a proxy that loses things.

mod mortal;
mod proxy;
pub mod storm;

pub use benchmark::run::embedded::EmbeddedServer;
pub use mortal::{MortalServer, serve_if_asked};
pub use proxy::{Faults, FaultyProxy};
