//! Hops of a memory network over windows of entries (Sukhbaatar et al. 2015, arXiv:1503.08895): the attention of each row
//! to its own entries, and what it finds there.
//!
//! Entries have a few numbers, windows many slots. So a window is turned round first, all first numbers of its entries
//! before all second ones: then a vector holds slots, and every hop and the backward pass read it so.

use multiversion::multiversion;

use super::math::{dot, exp, fma_lanes, max, sum};

/// Numbers of a vector. Windows have whole vectors of slots, the last ones empty.
const LANES: usize = 16;

/// Sizes of a row.
#[derive(Clone, Copy)]
pub(crate) struct HopSizes {
    /// Places of a window, K.
    pub slots: usize,
    /// Numbers of an entry, E.
    pub entry: usize,
    /// Numbers of a question, Q.
    pub question: usize,
}

impl HopSizes {
    /// Numbers that a question turns into: terms of the slots' scores, factors of an entry's numbers, and what is kept of
    /// the question.
    pub fn asked(self) -> usize {
        self.found() + self.question
    }

    /// Numbers that a row finds: the attention to each slot, and the entries' sum that it weighs.
    pub fn found(self) -> usize {
        self.slots + self.entry
    }

    /// Numbers of a window that is turned round: those of the entries, and 1 for each filled slot, else 0.
    pub fn window(self) -> usize {
        (self.entry + 1) * self.slots.next_multiple_of(LANES)
    }
}

/// Evaluates a call with the number of slots as a constant, if it is a usual one, so that the scores of a row stay in
/// registers.
macro_rules! with_known_slots {
    ($sizes:ident, $call:expr) => {
        with_known_slots!($sizes, $call, 16 32 64)
    };
    ($sizes:ident, $call:expr, $($known:literal)*) => {
        match $sizes.slots {
            $($known => {
                let $sizes = HopSizes { slots: $known, ..$sizes };
                $call
            })*
            _ => $call,
        }
    };
}

/// Turns the windows of some rows round: `windows` `[rows, window]`, which are overwritten, from the `table` `[entries, E]`
/// and `index` `[rows, K]`, where -1 is an empty slot.
#[multiversion(targets = "simd")]
pub(crate) fn turn_round(windows: &mut [f32], table: &[f32], index: &[i32], sizes: HopSizes) {
    let HopSizes { slots, entry, .. } = sizes;
    let padded = slots.next_multiple_of(LANES);
    windows.fill(0.0);
    let rows = windows.chunks_exact_mut(sizes.window());
    for (window, index) in rows.zip(index.chunks_exact(slots)) {
        let (numbers, filled) = window.split_at_mut(entry * padded);
        for (slot, &place) in index.iter().enumerate() {
            if let Ok(place) = usize::try_from(place) {
                filled[slot] = 1.0;
                let row = &table[place * entry..][..entry];
                for (number, &value) in row.iter().enumerate() {
                    numbers[number * padded + slot] = value;
                }
            }
        }
    }
}

/// Writes what rows find, `found` `[rows, found]`, from what they ask, `asked` `[rows, asked]`, of their `windows`.
#[multiversion(targets = "simd")]
pub(crate) fn attend(found: &mut [f32], asked: &[f32], windows: &[f32], sizes: HopSizes) {
    let mut scores = vec![0.0; sizes.slots.next_multiple_of(LANES)];
    with_known_slots!(
        sizes,
        attend_rows(found, asked, windows, &mut scores, sizes)
    );
}

#[inline(always)]
fn attend_rows(
    found: &mut [f32],
    asked: &[f32],
    windows: &[f32],
    scores: &mut [f32],
    sizes: HopSizes,
) {
    let HopSizes { slots, entry, .. } = sizes;
    let padded = slots.next_multiple_of(LANES);
    let scores = &mut scores[..padded];
    let rows = found
        .chunks_exact_mut(sizes.found())
        .zip(asked.chunks_exact(sizes.asked()));
    for ((found, asked), window) in rows.zip(windows.chunks_exact(sizes.window())) {
        let (numbers, filled) = window.split_at(entry * padded);
        scores[..slots].copy_from_slice(&asked[..slots]);
        add_products(scores, &asked[slots..][..entry], numbers);
        for (score, &filled) in scores.iter_mut().zip(filled) {
            *score = if filled > 0.0 {
                *score
            } else {
                f32::NEG_INFINITY
            };
        }
        let largest = max(scores);
        for (score, &filled) in scores.iter_mut().zip(filled) {
            let e = exp(*score - largest);
            *score = if filled > 0.0 { e } else { 0.0 };
        }
        let total = sum(scores);
        let factor = if total > 0.0 { 1.0 / total } else { 0.0 };
        scores.iter_mut().for_each(|score| *score *= factor);
        found[..slots].copy_from_slice(&scores[..slots]);
        dot_products(&mut found[slots..], scores, numbers);
    }
}

/// Backward pass of [`attend`]: writes the gradients of what rows ask, `d_asked` `[rows, asked]`, except for that of what is
/// kept of the question, from those of what they have found, `d_found`.
#[multiversion(targets = "simd")]
pub(crate) fn attend_gradient(
    d_asked: &mut [f32],
    d_found: &[f32],
    found: &[f32],
    windows: &[f32],
    sizes: HopSizes,
) {
    let mut scratch = vec![0.0; 2 * sizes.slots.next_multiple_of(LANES)];
    with_known_slots!(
        sizes,
        gradient_rows(d_asked, (d_found, found), windows, &mut scratch, sizes)
    );
}

#[inline(always)]
fn gradient_rows(
    d_asked: &mut [f32],
    (d_found, found): (&[f32], &[f32]),
    windows: &[f32],
    scratch: &mut [f32],
    sizes: HopSizes,
) {
    let HopSizes { slots, entry, .. } = sizes;
    let padded = slots.next_multiple_of(LANES);
    let (d_scores, weights) = scratch.split_at_mut(padded);
    let weights = &mut weights[..padded];
    let of_found = d_found
        .chunks_exact(sizes.found())
        .zip(found.chunks_exact(sizes.found()));
    let rows = d_asked.chunks_exact_mut(sizes.asked()).zip(of_found);
    for ((d_asked, (d_found, found)), window) in rows.zip(windows.chunks_exact(sizes.window())) {
        let numbers = &window[..entry * padded];
        weights[..slots].copy_from_slice(&found[..slots]);
        d_scores[..slots].copy_from_slice(&d_found[..slots]);
        d_scores[slots..].fill(0.0);
        add_products(d_scores, &d_found[slots..], numbers);
        let mean = dot(d_scores, weights);
        for (d, weight) in d_scores.iter_mut().zip(&*weights) {
            *d = weight * (*d - mean);
        }
        d_asked[..slots].copy_from_slice(&d_scores[..slots]);
        dot_products(&mut d_asked[slots..][..entry], d_scores, numbers);
    }
}

/// `slots += Σ factor · numbers` over the numbers of entries, `numbers` `[factors, slots]`.
#[inline(always)]
fn add_products(slots: &mut [f32], factors: &[f32], numbers: &[f32]) {
    let padded = slots.len();
    for (vector, slots) in slots.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        let mut sums = *slots;
        for (factor, numbers) in factors.iter().zip(numbers.chunks_exact(padded)) {
            let numbers = numbers[vector * LANES..].first_chunk::<LANES>();
            let numbers = numbers.expect("whole vectors");
            sums = fma_lanes([*factor; LANES], *numbers, sums);
        }
        *slots = sums;
    }
}

/// `out[number] = Σ weight · numbers[number]` over the slots, `numbers` `[out, slots]`.
#[inline(always)]
fn dot_products(out: &mut [f32], weights: &[f32], numbers: &[f32]) {
    for (out, numbers) in out.iter_mut().zip(numbers.chunks_exact(weights.len())) {
        *out = dot(weights, numbers);
    }
}
