//! What end-to-end tests share: a real server, and a proxy that loses things.

mod proxy;

pub use benchmark::embedded::EmbeddedServer;
pub use proxy::{Faults, FaultyProxy};
