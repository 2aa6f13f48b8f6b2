//! Memories whose features are keys of tables of past returns.

pub mod embedded;
pub mod history;
