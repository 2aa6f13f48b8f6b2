//! The contenders: this project's own agents and programs from outside.

pub mod any;
pub mod external;
mod judge;
pub mod ours;
