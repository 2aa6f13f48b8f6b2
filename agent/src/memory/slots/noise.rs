//! Noise that helps to learn what to keep.

use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus;

/// While learning, every so many lanes one keeps entries without noise, as evaluation does. A
/// reader that never met the contents of such a memory (the cue and the entries most like it) need
/// not read it well: at delay 256 EASY one of two seeds solved the task with noise and scored 0.00
/// without.
const NOISELESS_EVERY: usize = 4;

/// Returns whether a lane keeps entries without noise while learning.
pub fn is_noiseless(lane: usize) -> bool {
    lane % NOISELESS_EVERY == NOISELESS_EVERY - 1
}

/// A standard Gumbel variable: the race for the largest `u + g` picks entries in proportion to `exp(u)`.
pub fn gumbel(rng: &mut Xoshiro256PlusPlus) -> f32 {
    let uniform: f64 = rng.random_range(f64::MIN_POSITIVE..1.0);
    -(-uniform.ln()).ln() as f32
}
