//! The benchmark: trains agents on memory tasks and reports who remembers what, for how long, at what cost.
//!
//! A [`plan`] says what to run, the [`runner`] runs it through the [`contender`] seam and keeps [`records`], and
//! the [`table`] and the [`report`] are made from those and nothing else.

pub mod agent_contender;
pub mod aggregate;
pub mod bsuite;
pub mod cli;
pub mod compare;
pub mod contender;
pub mod contenders;
pub mod directory;
pub mod embedded;
mod error;
pub mod export;
pub mod external;
mod files;
pub mod format;
pub mod json;
mod judge;
pub mod plan;
mod precautions;
pub mod progress;
pub mod records;
pub mod reference;
pub mod report;
pub mod runner;
mod sealed;
pub mod statistics;
pub mod summary;
pub mod table;
mod turn;
pub mod verdict;

#[cfg(test)]
mod fixtures;

pub use error::Error;
