//! How experience becomes weights.

pub mod advantage;
pub mod auxiliary;
pub mod exploration;
pub mod ppo;
pub mod stopping;
