//! From records to numbers: rows brought together, intervals, verdicts and normalised scores.

pub mod aggregate;
pub mod bsuite;
pub mod reference;
pub mod statistics;
pub mod summary;
pub mod verdict;
