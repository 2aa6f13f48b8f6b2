//! The encoding of the step at which an entry was written.

/// Time constants, in steps, of the write-time features `exp(−t/τ)`: bounded, distinct near an episode's beginning,
/// and the same for all late times, so that a memory trained on hundreds of steps meets nothing new at thousands.
pub const TIME_CONSTANTS: [f32; 4] = [1.0, 4.0, 16.0, 64.0];

/// The features of a write time, a step of the episode.
pub fn time_features(time: f32) -> [f32; TIME_CONSTANTS.len()] {
    TIME_CONSTANTS.map(|tau| (-time / tau).exp())
}
