//! Views of a run for people and files: measurements as they come ([`monitor`]), and the contents
//! of a memory ([`heatmap`]).

pub mod heatmap;
pub mod monitor;
