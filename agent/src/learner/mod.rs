//! How experience becomes weights.

pub mod ppo;
