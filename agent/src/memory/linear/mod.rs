//! Memories whose state is a linear function of the state before. Gates and writes depend on inputs alone, so learning
//! computes all products with weights for a whole sequence at once; only elementwise work is left for the pass over time.

pub mod lru;
pub mod mingru;
pub mod shm;
pub mod stack;

#[cfg(test)]
mod parity;
