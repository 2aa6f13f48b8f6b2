//! The contenders: this project's own agents, in this process or in others, and external programs.

pub mod any;
pub mod external;
mod judge;
pub mod ours;
pub mod remote;
