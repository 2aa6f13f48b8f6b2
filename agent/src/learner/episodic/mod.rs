//! Episodic control: learners that write the returns of episodes into tables.

mod episodes;
mod index;
pub mod mfec;
pub mod nec;
#[cfg(test)]
mod tests;
mod transitions;

use crate::learner::{Diverged, Group, Metrics};
use crate::policy::Policy;

/// Returns the error of a return or reward that is no number.
fn not_finite(number: f32) -> Diverged {
    Diverged {
        loss: f64::from(number),
        grad_norm: 0.0,
    }
}

/// Returns measurements after so many episodes have been written.
fn written(policy: &Policy, episodes: usize) -> Metrics {
    let tables = policy.tables().expect("a row with tables");
    let used = (0..tables.len()).map(|table| tables.used(&policy.params, table));
    let mut metrics = Metrics::default();
    metrics
        .put(Group::Train, "episodes_written", episodes as f64)
        .put(Group::Memory, "table_rows", used.sum::<usize>() as f64);
    metrics
}
