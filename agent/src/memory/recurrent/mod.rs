//! Memories that carry vectors from step to step.

pub mod cell;
pub mod gru;
pub mod lstm;
#[cfg(test)]
mod parity;
pub mod rims;
