//! What tasks are built from: checked arguments, draws, recorded draws, batches.

pub mod arguments;
pub(crate) mod batch;
pub mod draws;
pub(crate) mod recording;
pub mod script;
