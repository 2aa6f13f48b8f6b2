//! Episodic control: learners that write the returns of episodes into tables.

mod episodes;
mod index;
pub mod mfec;
pub mod nec;
#[cfg(test)]
mod tests;
mod transitions;

use crate::learner::Diverged;

/// Returns the error of a return or reward that is no number.
fn not_finite(number: f32) -> Diverged {
    Diverged {
        loss: f64::from(number),
        grad_norm: 0.0,
    }
}
