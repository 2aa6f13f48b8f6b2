//! Scores: rows grouped by experiment and agent, with intervals, verdicts and normalised returns.

pub mod aggregate;
pub mod bsuite;
pub mod frontier;
pub mod quoted;
pub mod reference;
pub mod statistics;
pub mod summary;
pub mod verdict;
