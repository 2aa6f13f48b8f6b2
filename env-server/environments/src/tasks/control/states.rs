//! Recorded states of poles and pendulums, which are compared with ours step by step.

use crate::kit::recording::ensure;

/// Greatest difference between a recorded state and ours that a different sine may cause.
const TOLERANCE: f64 = 1e-12;

/// Checks that the recorded states begin with the drawn state.
///
/// # Errors
/// When they do not.
pub(crate) fn ensure_first<const N: usize>(
    states: &[[f64; N]],
    initial: &[f64; N],
) -> Result<(), String> {
    ensure(states.first() == Some(initial), || {
        "the first state is not the initial one".to_owned()
    })
}

/// Checks that a state equals a recorded one, up to the last bits of a sine.
///
/// # Errors
/// Says what differs.
pub(crate) fn agree<const N: usize>(ours: &[f64; N], recorded: &[f64; N]) -> Result<(), String> {
    let is_close = |(a, b): (&f64, &f64)| (a - b).abs() <= TOLERANCE * (1.0 + b.abs());
    match ours.iter().zip(recorded).all(is_close) {
        true => Ok(()),
        false => Err(format!(
            "the state is {ours:?} here and {recorded:?} in the recording"
        )),
    }
}
