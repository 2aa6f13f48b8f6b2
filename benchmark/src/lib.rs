//! The benchmark: trains agents on memory tasks and reports who remembers what, for how long, at
//! what cost.
//!
//! A [`plan`] says what to run, [`run`] runs it through the [`run::contender`] seam and keeps
//! [`records`], and the [`report`] is made from those and nothing else.

pub mod cli;
pub mod contenders;
mod error;
mod files;
pub mod format;
pub mod plan;
pub mod records;
pub mod report;
pub mod run;
pub mod scores;

#[cfg(test)]
mod fixtures;

pub use error::Error;
