//! Experience: what is kept of playing for learning.

mod collector;
mod rollout;

pub use self::collector::{Collection, Collector, Lanes};
pub use self::rollout::{Episode, Rollout};
