//! Memories whose state is a linear function of the state before. What a step keeps and writes depends on inputs alone, so
//! that learning takes all products of a sequence at once and passes over time without any.

pub mod lru;
pub mod mingru;
pub mod shm;
pub mod stack;

#[cfg(test)]
mod parity;
