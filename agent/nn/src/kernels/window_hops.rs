//! Hops of a memory network over windows of entries (Sukhbaatar et al. 2015, arXiv:1503.08895): the attention of each row
//! to its own entries, and what it finds there.
//!
//! Entries have a few numbers, windows many slots. So a window is turned round first, all first numbers of its entries
//! before all second ones: then a vector holds slots, and every hop and the backward pass read it so.

use multiversion::multiversion;

use super::folds::fold;
use super::lanes::{LANES, softmax};
use super::math::fma_lanes;
use super::transpose::transpose_into;

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

    /// Numbers of a window that is turned round: those of the entries, and 1 for each filled slot, else 0. It has whole
    /// vectors of slots, the last ones empty.
    pub fn window(self) -> usize {
        (self.entry + 1) * self.slots.next_multiple_of(LANES)
    }
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
    let HopSizes { slots, entry, .. } = sizes;
    let padded = slots.next_multiple_of(LANES);
    let mut by_row = vec![0.0; LANES * padded];
    let mut by_slot = vec![[0.0; LANES]; padded];
    let groups = asked
        .chunks(LANES * sizes.asked())
        .zip(windows.chunks(LANES * sizes.window()));
    for (found, (asked, windows)) in found.chunks_mut(LANES * sizes.found()).zip(groups) {
        by_row.fill(f32::NEG_INFINITY);
        let rows = asked
            .chunks_exact(sizes.asked())
            .zip(windows.chunks_exact(sizes.window()));
        for (scores, (asked, window)) in by_row.chunks_exact_mut(padded).zip(rows) {
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
        }
        let to = (by_slot.as_flattened_mut(), LANES);
        transpose_into(to, (&by_row, padded), (LANES, padded));
        softmax(&mut by_slot);
        let from = (by_slot.as_flattened(), LANES);
        transpose_into((&mut by_row, padded), from, (padded, LANES));
        let weights = by_row.chunks_exact(padded);
        for (found, weights) in found.chunks_exact_mut(sizes.found()).zip(weights) {
            found[..slots].copy_from_slice(&weights[..slots]);
        }
        dot_products((found, sizes.found()), &by_row, windows, sizes);
    }
}

/// Backward pass of [`attend`]: writes the gradient of `asked` to `d_asked` from that of `found`, `d_found`. It leaves out the
/// columns of the kept question, which attention does not read.
#[multiversion(targets = "simd")]
pub(crate) fn attend_gradient(
    d_asked: &mut [f32],
    d_found: &[f32],
    found: &[f32],
    windows: &[f32],
    sizes: HopSizes,
) {
    let HopSizes { slots, entry, .. } = sizes;
    let padded = slots.next_multiple_of(LANES);
    let [mut d_scores, mut weights] = [0, 1].map(|_| vec![0.0; LANES * padded]);
    let groups = d_found
        .chunks(LANES * sizes.found())
        .zip(found.chunks(LANES * sizes.found()))
        .zip(windows.chunks(LANES * sizes.window()));
    for (d_asked, ((d_found, found), windows)) in
        d_asked.chunks_mut(LANES * sizes.asked()).zip(groups)
    {
        let mut products = [[0.0; LANES]; LANES];
        let rows = d_found
            .chunks_exact(sizes.found())
            .zip(found.chunks_exact(sizes.found()))
            .zip(windows.chunks_exact(sizes.window()));
        let of_rows = d_scores
            .chunks_exact_mut(padded)
            .zip(weights.chunks_exact_mut(padded))
            .zip(&mut products);
        for (((d_scores, weights), products), ((d_found, found), window)) in of_rows.zip(rows) {
            weights[..slots].copy_from_slice(&found[..slots]);
            d_scores[..slots].copy_from_slice(&d_found[..slots]);
            d_scores[slots..].fill(0.0);
            add_products(d_scores, &d_found[slots..], &window[..entry * padded]);
            *products = product(d_scores, weights);
        }
        let means = fold(&products);
        let rows = d_scores
            .chunks_exact_mut(padded)
            .zip(weights.chunks_exact(padded))
            .zip(means);
        for (d_asked, ((d_scores, weights), mean)) in
            d_asked.chunks_exact_mut(sizes.asked()).zip(rows)
        {
            for (d, weight) in d_scores.iter_mut().zip(weights) {
                *d = weight * (*d - mean);
            }
            d_asked[..slots].copy_from_slice(&d_scores[..slots]);
        }
        dot_products((d_asked, sizes.asked()), &d_scores, windows, sizes);
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

/// Parts of Σ aᵢ bᵢ, of whole vectors.
#[inline(always)]
fn product(a: &[f32], b: &[f32]) -> [f32; LANES] {
    let mut sums = [0.0; LANES];
    let vectors = a.as_chunks::<LANES>().0.iter();
    for (a, b) in vectors.zip(b.as_chunks::<LANES>().0) {
        sums = fma_lanes(*a, *b, sums);
    }
    sums
}

/// Writes the sums of each row's entries, weighed by `weights` `[LANES, slots]`, to the rows of `out` behind the numbers of
/// their slots. `out` comes with the length of its rows. There may be fewer rows than lanes.
#[inline(always)]
fn dot_products(
    (out, len): (&mut [f32], usize),
    weights: &[f32],
    windows: &[f32],
    sizes: HopSizes,
) {
    let padded = sizes.slots.next_multiple_of(LANES);
    for number in 0..sizes.entry {
        let mut vectors = [[0.0; LANES]; LANES];
        let rows = weights
            .chunks_exact(padded)
            .zip(windows.chunks_exact(sizes.window()));
        for (vector, (weights, window)) in vectors.iter_mut().zip(rows) {
            *vector = product(weights, &window[number * padded..][..padded]);
        }
        for (out, sum) in out.chunks_exact_mut(len).zip(fold(&vectors)) {
            out[sizes.slots + number] = sum;
        }
    }
}
