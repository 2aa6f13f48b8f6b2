//! Memories that carry vectors from step to step.

pub mod cell;
pub mod gru;
pub mod lstm;
pub mod rims;
