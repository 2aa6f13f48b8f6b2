//! Memories that carry a vector from step to step.

pub mod lstm;
