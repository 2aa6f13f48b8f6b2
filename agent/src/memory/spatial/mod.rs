//! Memories that are maps of places.

pub mod neural_map;
pub mod pose;
