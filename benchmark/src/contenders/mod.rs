//! The contenders: this project's own agents and external programs.

pub mod any;
pub mod external;
mod judge;
pub mod ours;
