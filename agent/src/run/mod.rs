//! A training run: the loop, its configuration, and the folder that it is resumed from.

mod autosave;
pub mod checkpoint;
pub mod collect;
pub mod config;
pub mod folder;
pub mod load;
pub mod lock;
pub mod settings;
pub mod statistics;
pub mod train;
