//! Gym-style memory tasks behind HTTP: exactly-once steps, vector environments, snapshots.

pub mod environments;
pub mod error;
pub mod session;
pub mod verify;
