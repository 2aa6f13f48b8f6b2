//! What people and files see of a run: measurements as they come ([`monitor`]), and what a memory holds ([`heatmap`]).

pub mod heatmap;
pub mod monitor;
