//! Memories that read by attention, and what such reading is made of.

pub mod episodic_transformer;
pub(super) mod lag;
pub(super) mod layer;
pub mod window;
