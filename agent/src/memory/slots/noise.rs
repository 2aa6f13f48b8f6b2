//! Noise that helps to learn what to keep.

use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::seeds::LaneGenerators;

/// While learning, every so many lanes one keeps entries without noise, as evaluation does. A
/// reader that never met the contents of such a memory (the cue and the entries most like it) need
/// not read it well: at delay 256 EASY one of two seeds solved the task with noise and scored 0.00
/// without.
const NOISELESS_EVERY: usize = 4;

/// Returns the generator of a lane's noise; nothing in a lane that keeps entries without noise, and outside of learning.
/// Lanes are counted among all of the run, whoever plays them.
pub fn noise_of(
    generators: Option<&mut LaneGenerators>,
    lane: usize,
) -> Option<&mut Xoshiro256PlusPlus> {
    let generators = generators?;
    let is_noiseless = generators.number(lane) % NOISELESS_EVERY == NOISELESS_EVERY - 1;
    (!is_noiseless).then(|| generators.of(lane))
}

/// A standard Gumbel variable: the race for the largest `u + g` picks entries in proportion to `exp(u)`.
pub fn gumbel(rng: &mut Xoshiro256PlusPlus) -> f32 {
    let uniform: f64 = rng.random_range(f64::MIN_POSITIVE..1.0);
    -(-uniform.ln()).ln() as f32
}
