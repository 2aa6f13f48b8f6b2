//! The table of algorithms, a file per row. The command line, the documents and the benchmark read it.

mod algorithm;
#[cfg(test)]
mod check;
mod parts;
mod players;
mod ppo;
mod recurrent_ppo;
pub mod sections;
mod tracerl;
mod tracerl_notebook;

use crate::hyper::ConfigError;

pub use self::algorithm::Algorithm;

/// All algorithms, in the order in which lists and documents show them.
pub const ALGORITHMS: &[Algorithm] = &[
    ppo::ROW,
    recurrent_ppo::ROW,
    tracerl::ROW,
    tracerl_notebook::ROW,
    players::RANDOM,
    players::ORACLE,
];

/// Returns the rows that learn.
pub fn learners() -> impl Iterator<Item = &'static Algorithm> {
    ALGORITHMS.iter().filter(|row| row.learns())
}

/// Returns the row with this id.
///
/// # Errors
/// An unknown id; the error names the known ones.
pub fn find(id: &str) -> Result<&'static Algorithm, ConfigError> {
    ALGORITHMS
        .iter()
        .find(|row| row.id == id)
        .ok_or_else(|| ConfigError::UnknownAlgorithm {
            name: id.into(),
            meant: env_protocol::hint(id, ALGORITHMS.iter().map(|row| row.id)),
            known: ids(),
        })
}

/// Returns the ids of all rows, for messages.
pub fn ids() -> String {
    ALGORITHMS
        .iter()
        .map(|row| row.id)
        .collect::<Vec<_>>()
        .join(", ")
}
