//! Pieces of memories that are addressed by a controller, one lane at a time: lookup by content, reading, erasing and
//! adding (Graves et al. 2014, arXiv:1410.5401, sections 3.1 to 3.3), each with its gradient.
//!
//! A memory is `slots` rows of `width` numbers. All pieces are `#[inline(always)]`, so that they become part of the
//! multiversioned kernel that calls them. Gradients are added to, unless a piece says otherwise.

use std::ops::Range;

use multiversion::multiversion;

use super::math::{add_scaled, dot, exp, ln, max, sigmoid, sum};

/// Added below the root of a norm and to the product of two norms, as in the DNC's published code.
pub(crate) const EPSILON: f32 = 1e-6;

/// Sizes of a memory that is addressed by a controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemorySizes {
    /// Rows of the memory, N.
    pub slots: usize,
    /// Numbers of a row, W.
    pub width: usize,
    /// Read heads, R. One head writes.
    pub heads: usize,
    /// Off, nothing is written whatever the interface says.
    pub writes: bool,
}

impl MemorySizes {
    /// The range of a read head among parts of `width` numbers.
    #[inline(always)]
    pub(crate) fn head(self, head: usize, width: usize) -> Range<usize> {
        head * width..(head + 1) * width
    }
}

/// Evaluates a call with usual sizes as constants, so that the inner loops have fixed lengths.
macro_rules! with_known_sizes {
    ($sizes:ident, $call:expr) => {
        match ($sizes.slots, $sizes.width, $sizes.heads) {
            (8, 16, 1) => {
                let $sizes = MemorySizes {
                    slots: 8,
                    width: 16,
                    heads: 1,
                    ..$sizes
                };
                $call
            }
            _ => $call,
        }
    };
}
pub(crate) use with_known_sizes;

/// Cuts a slice into consecutive parts.
#[inline(always)]
pub(crate) fn parts<const N: usize>(mut rest: &[f32], lengths: [usize; N]) -> [&[f32]; N] {
    // A loop, because `map` is not always inlined, and lengths known at compile time would then be lost.
    let mut parts: [&[f32]; N] = [&[]; N];
    for number in 0..N {
        (parts[number], rest) = rest.split_at(lengths[number]);
    }
    parts
}

/// Cuts a slice into consecutive parts for writing.
#[inline(always)]
pub(crate) fn parts_mut<const N: usize>(
    mut rest: &mut [f32],
    lengths: [usize; N],
) -> [&mut [f32]; N] {
    let mut parts: [&mut [f32]; N] = std::array::from_fn(|_| <&mut [f32]>::default());
    for number in 0..N {
        (parts[number], rest) = rest.split_at_mut(lengths[number]);
    }
    parts
}

/// The values of a step of an addressed memory that its backward pass needs.
#[derive(Clone, Copy)]
pub(crate) struct Saved<'a> {
    /// The state before the step.
    pub before: &'a [f32],
    /// The interface before its activations.
    pub interface: &'a [f32],
    /// The state after the step.
    pub after: &'a [f32],
    /// Intermediate values.
    pub trace: &'a [f32],
}

/// Numbers of one lane.
#[derive(Clone, Copy)]
pub(crate) struct LaneSizes {
    pub state: usize,
    pub interface: usize,
    pub trace: usize,
}

impl Saved<'_> {
    /// The part of one lane.
    #[inline(always)]
    pub fn lane(self, lane: usize, sizes: LaneSizes) -> Self {
        Self {
            before: &self.before[lane * sizes.state..][..sizes.state],
            interface: &self.interface[lane * sizes.interface..][..sizes.interface],
            after: &self.after[lane * sizes.state..][..sizes.state],
            trace: &self.trace[lane * sizes.trace..][..sizes.trace],
        }
    }
}

/// `1 + ln(1 + eˣ)`.
#[inline(always)]
pub(crate) fn oneplus(x: f32) -> f32 {
    1.0 + x.max(0.0) + ln(1.0 + exp(-x.abs()))
}

/// Turns the gradient of [`oneplus`] into that of its arguments, in place.
#[inline(always)]
pub(crate) fn oneplus_gradient(d: &mut [f32], x: &[f32]) {
    for (d, x) in d.iter_mut().zip(x) {
        *d *= sigmoid(*x);
    }
}

/// `y = σ(x)`.
#[inline(always)]
pub(crate) fn sigmoids(y: &mut [f32], x: &[f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y = sigmoid(*x);
    }
}

/// `dx = dy · y (1 − y)` for `y = σ(x)`, in place.
#[inline(always)]
pub(crate) fn sigmoids_gradient(d: &mut [f32], y: &[f32]) {
    for (d, y) in d.iter_mut().zip(y) {
        *d *= y * (1.0 - y);
    }
}

/// Turns scores into a softmax, in place.
#[inline(always)]
pub(crate) fn softmax(scores: &mut [f32]) {
    let largest = max(scores);
    for score in scores.iter_mut() {
        *score = exp(*score - largest);
    }
    let factor = 1.0 / sum(scores);
    scores.iter_mut().for_each(|score| *score *= factor);
}

/// Turns the gradient of a softmax into that of its scores, in place.
#[inline(always)]
pub(crate) fn softmax_gradient(d: &mut [f32], y: &[f32]) {
    let mean = dot(d, y);
    for (d, y) in d.iter_mut().zip(y) {
        *d = y * (*d - mean);
    }
}

/// `√(Σx² + ε)`.
#[inline(always)]
fn norm(x: &[f32]) -> f32 {
    (dot(x, x) + EPSILON).sqrt()
}

/// The norms of a memory's rows.
#[inline(always)]
pub(crate) fn row_norms(norms: &mut [f32], memory: &[f32], width: usize) {
    for (out, row) in norms.iter_mut().zip(memory.chunks_exact(width)) {
        *out = norm(row);
    }
}

/// The operands of a lookup: `weights = softmax(strength · cos(key, row))` over the rows of a memory.
#[derive(Clone, Copy)]
pub(crate) struct Lookup<'a> {
    pub key: &'a [f32],
    /// Positive.
    pub strength: f32,
    pub memory: &'a [f32],
    /// Norms of the rows.
    pub norms: &'a [f32],
    /// Rows that take part. `None`: all.
    pub filled: Option<&'a [bool]>,
}

/// The results of a lookup, one for each row.
pub(crate) struct Found<'a> {
    pub weights: &'a mut [f32],
    pub cosines: &'a mut [f32],
}

impl Lookup<'_> {
    /// Computes weights and cosines. A row that does not take part has weight 0.
    #[inline(always)]
    pub fn weights(self, found: Found<'_>) {
        let Found { weights, cosines } = found;
        let (width, key_norm) = (self.key.len(), norm(self.key));
        let rows = self.memory.chunks_exact(width).zip(self.norms);
        for ((cosine, weight), (row, norm)) in cosines.iter_mut().zip(&mut *weights).zip(rows) {
            *cosine = dot(self.key, row) / key_norm.mul_add(*norm, EPSILON);
            *weight = self.strength * *cosine;
        }
        let Some(filled) = self.filled else {
            softmax(weights);
            return;
        };
        for (weight, filled) in weights.iter_mut().zip(filled) {
            *weight = if *filled { *weight } else { f32::NEG_INFINITY };
        }
        let largest = max(weights);
        for (weight, filled) in weights.iter_mut().zip(filled) {
            *weight = if *filled { exp(*weight - largest) } else { 0.0 };
        }
        let total = sum(weights);
        if total != 0.0 {
            let factor = 1.0 / total;
            weights.iter_mut().for_each(|weight| *weight *= factor);
        }
    }

    /// Adds to the gradients of the key and the memory, and returns that of the strength. `d` is the gradient of the
    /// weights and is overwritten.
    #[inline(always)]
    pub fn gradient(
        self,
        (d_key, d_memory): (&mut [f32], &mut [f32]),
        d: &mut [f32],
        weights: &[f32],
        cosines: &[f32],
    ) -> f32 {
        let (width, key_norm) = (self.key.len(), norm(self.key));
        softmax_gradient(d, weights);
        let d_strength = dot(d, cosines);
        let mut along_key = 0.0;
        let rows = self.memory.chunks_exact(width).zip(self.norms);
        let d_rows = d_memory.chunks_exact_mut(width);
        for (((d_score, cosine), (row, norm)), d_row) in d.iter().zip(cosines).zip(rows).zip(d_rows)
        {
            let d_cosine = self.strength * d_score;
            // Through the product k·m and through the product of the norms.
            let d_product = d_cosine / key_norm.mul_add(*norm, EPSILON);
            let d_norms = -d_product * cosine;
            add_scaled(d_key, d_product, row);
            add_scaled(d_row, d_product, self.key);
            add_scaled(d_row, d_norms * key_norm / norm, row);
            along_key = d_norms.mul_add(*norm, along_key);
        }
        add_scaled(d_key, along_key / key_norm, self.key);
        d_strength
    }
}

/// `word = Σ weight · row`.
#[inline(always)]
pub(crate) fn read(word: &mut [f32], weights: &[f32], memory: &[f32]) {
    word.fill(0.0);
    for (weight, row) in weights.iter().zip(memory.chunks_exact(word.len())) {
        add_scaled(word, *weight, row);
    }
}

/// Backward pass of [`read`].
#[inline(always)]
pub(crate) fn read_gradient(
    (d_weights, d_memory): (&mut [f32], &mut [f32]),
    d_word: &[f32],
    weights: &[f32],
    memory: &[f32],
) {
    let width = d_word.len();
    let rows = memory.chunks_exact(width);
    let d_rows = d_memory.chunks_exact_mut(width);
    for (((d_weight, weight), row), d_row) in
        d_weights.iter_mut().zip(weights).zip(rows).zip(d_rows)
    {
        *d_weight += dot(d_word, row);
        add_scaled(d_row, *weight, d_word);
    }
}

/// The operands of a write: `row' = row ⊙ (1 − weight · erase) + weight · add`.
#[derive(Clone, Copy)]
pub(crate) struct Write<'a> {
    pub weights: &'a [f32],
    pub erase: &'a [f32],
    pub add: &'a [f32],
}

/// The gradients of a write's operands.
pub(crate) struct WriteGradients<'a> {
    pub memory: &'a mut [f32],
    pub weights: &'a mut [f32],
    pub erase: &'a mut [f32],
    pub add: &'a mut [f32],
}

impl Write<'_> {
    /// Computes the memory after the write.
    #[inline(always)]
    pub fn apply(self, after: &mut [f32], before: &[f32]) {
        let width = self.add.len();
        let rows = after
            .chunks_exact_mut(width)
            .zip(before.chunks_exact(width));
        for ((after, before), weight) in rows.zip(self.weights) {
            let operands = before.iter().zip(self.erase).zip(self.add);
            for (after, ((before, erase), add)) in after.iter_mut().zip(operands) {
                let kept = (-weight).mul_add(*erase, 1.0);
                *after = before.mul_add(kept, weight * add);
            }
        }
    }

    /// Backward pass of [`Write::apply`]. `scratch` has the width of a row.
    #[inline(always)]
    pub fn gradient(
        self,
        d: WriteGradients<'_>,
        d_after: &[f32],
        before: &[f32],
        scratch: &mut [f32],
    ) {
        let width = self.add.len();
        let rows = d_after.chunks_exact(width).zip(before.chunks_exact(width));
        let d_rows = d.memory.chunks_exact_mut(width);
        let weights = self.weights.iter().zip(d.weights);
        for (((d_after, before), d_before), (weight, d_weight)) in rows.zip(d_rows).zip(weights) {
            for (product, (d, before)) in scratch.iter_mut().zip(d_after.iter().zip(before)) {
                *product = d * before;
            }
            *d_weight += dot(d_after, self.add) - dot(scratch, self.erase);
            add_scaled(d.erase, -weight, scratch);
            add_scaled(d.add, *weight, d_after);
            let operands = d_after.iter().zip(self.erase);
            for (d_before, (d, erase)) in d_before.iter_mut().zip(operands) {
                let kept = (-weight).mul_add(*erase, 1.0);
                *d_before = d.mul_add(kept, *d_before);
            }
        }
    }
}

/// Sizes of a read by content: keys of `width` numbers, `heads` for each lane, over `slots` rows.
#[derive(Clone, Copy)]
pub(crate) struct ReadSizes {
    pub slots: usize,
    pub width: usize,
    pub heads: usize,
}

/// The operands of reads by content: `memory` `[lanes, slots * width]`, `keys` `[lanes, heads * width]`, `strengths`
/// `[lanes, heads]`, `filled` `[lanes * slots]`.
#[derive(Clone, Copy)]
pub(crate) struct ContentReads<'a> {
    pub memory: &'a [f32],
    pub keys: &'a [f32],
    pub strengths: &'a [f32],
    pub filled: Option<&'a [bool]>,
}

impl<'a> ContentReads<'a> {
    /// The lookup of one head of one lane.
    #[inline(always)]
    fn lookup(self, lane: usize, head: usize, norms: &'a [f32], sizes: ReadSizes) -> Lookup<'a> {
        let ReadSizes {
            slots,
            width,
            heads,
        } = sizes;
        let of_lane = lane * slots..(lane + 1) * slots;
        Lookup {
            key: &self.keys[(lane * heads + head) * width..][..width],
            strength: self.strengths[lane * heads + head],
            memory: &self.memory[of_lane.start * width..of_lane.end * width],
            norms: &norms[of_lane.clone()],
            filled: self.filled.map(|filled| &filled[of_lane]),
        }
    }
}

/// The results of reads by content: `reads` `[lanes, heads * width]`, `weights` and `cosines` `[lanes, heads * slots]`,
/// `norms` `[lanes, slots]`.
pub(crate) struct ContentReadResults<'a> {
    pub reads: &'a mut [f32],
    pub weights: &'a mut [f32],
    pub cosines: &'a mut [f32],
    pub norms: &'a mut [f32],
}

/// Reads by content, every head of every lane.
#[multiversion(targets = "simd")]
pub(crate) fn content_read(
    results: ContentReadResults<'_>,
    operands: ContentReads<'_>,
    sizes: ReadSizes,
) {
    let ContentReadResults {
        reads,
        weights,
        cosines,
        norms,
    } = results;
    let ReadSizes {
        slots,
        width,
        heads,
    } = sizes;
    row_norms(norms, operands.memory, width);
    for (number, read_word) in reads.chunks_exact_mut(width).enumerate() {
        let of_head = number * slots..(number + 1) * slots;
        let lookup = operands.lookup(number / heads, number % heads, norms, sizes);
        let weights = &mut weights[of_head.clone()];
        lookup.weights(Found {
            weights,
            cosines: &mut cosines[of_head],
        });
        read(read_word, weights, lookup.memory);
    }
}

/// The values of reads by content that their backward pass needs, as in [`ContentReadResults`].
#[derive(Clone, Copy)]
pub(crate) struct ContentReadSaved<'a> {
    pub weights: &'a [f32],
    pub cosines: &'a [f32],
    pub norms: &'a [f32],
}

/// The gradients of the operands of reads by content, in their shapes.
pub(crate) struct ContentReadGradients<'a> {
    pub memory: &'a mut [f32],
    pub keys: &'a mut [f32],
    pub strengths: &'a mut [f32],
}

/// Backward pass of [`content_read`].
#[multiversion(targets = "simd")]
pub(crate) fn content_read_gradient(
    d: ContentReadGradients<'_>,
    d_reads: &[f32],
    saved: ContentReadSaved<'_>,
    operands: ContentReads<'_>,
    sizes: ReadSizes,
) {
    let ReadSizes {
        slots,
        width,
        heads,
    } = sizes;
    let mut d_weights = vec![0.0; slots];
    for (number, d_word) in d_reads.chunks_exact(width).enumerate() {
        let of_head = number * slots..(number + 1) * slots;
        let (lane, head) = (number / heads, number % heads);
        let lookup = operands.lookup(lane, head, saved.norms, sizes);
        let d_memory = &mut d.memory[lane * slots * width..][..slots * width];
        let d_key = &mut d.keys[number * width..][..width];
        let weights = &saved.weights[of_head.clone()];
        d_weights.fill(0.0);
        read_gradient((&mut d_weights, d_memory), d_word, weights, lookup.memory);
        d.strengths[number] += lookup.gradient(
            (d_key, d_memory),
            &mut d_weights,
            weights,
            &saved.cosines[of_head],
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f32, b: f32) -> bool {
        (a - b).abs() < 1e-5
    }

    fn found<'a>(weights: &'a mut [f32], cosines: &'a mut [f32]) -> Found<'a> {
        Found { weights, cosines }
    }

    /// Rows (1, 0), (0, 1), (2, 0) and the key (3, 0): cosines 1, 0, 1 whatever the lengths.
    #[test]
    fn content_is_compared_by_direction() {
        let memory = [1.0, 0.0, 0.0, 1.0, 2.0, 0.0];
        let (mut norms, mut weights, mut cosines) = ([0.0; 3], [0.0; 3], [0.0; 3]);
        row_norms(&mut norms, &memory, 2);
        let lookup = Lookup {
            key: &[3.0, 0.0],
            strength: 3.0f32.ln(),
            memory: &memory,
            norms: &norms,
            filled: None,
        };
        lookup.weights(found(&mut weights, &mut cosines));
        assert!(
            weights
                .iter()
                .zip([3.0 / 7.0, 1.0 / 7.0, 3.0 / 7.0])
                .all(|(a, b)| close(*a, b))
        );
        let masked = Lookup {
            filled: Some(&[true, true, false]),
            ..lookup
        };
        masked.weights(found(&mut weights, &mut cosines));
        assert!(close(weights[0], 0.75) && close(weights[1], 0.25) && weights[2] == 0.0);
        let nothing = Lookup {
            filled: Some(&[false; 3]),
            ..lookup
        };
        nothing.weights(found(&mut weights, &mut cosines));
        assert_eq!(weights, [0.0; 3]);
    }

    #[test]
    fn rows_of_zeros_are_found_alike_and_have_finite_gradients() {
        let memory = [0.0; 4];
        let (mut norms, mut weights, mut cosines) = ([0.0; 2], [0.0; 2], [0.0; 2]);
        row_norms(&mut norms, &memory, 2);
        let lookup = Lookup {
            key: &[0.0, 0.0],
            strength: 1.0,
            memory: &memory,
            norms: &norms,
            filled: None,
        };
        lookup.weights(Found {
            weights: &mut weights,
            cosines: &mut cosines,
        });
        assert_eq!(weights, [0.5, 0.5]);
        let (mut d_key, mut d_memory) = ([0.0; 2], [0.0; 4]);
        lookup.gradient(
            (&mut d_key, &mut d_memory),
            &mut [1.0, -1.0],
            &weights,
            &cosines,
        );
        assert!(d_key.iter().chain(&d_memory).all(|d| d.is_finite()));
    }

    #[test]
    fn a_full_write_replaces_a_row_exactly() {
        let write = Write {
            weights: &[0.0, 1.0],
            erase: &[1.0, 1.0],
            add: &[0.25, -0.75],
        };
        let mut after = [0.0; 4];
        write.apply(&mut after, &[0.1, 0.2, 1e8, -1e8]);
        assert_eq!(after, [0.1, 0.2, 0.25, -0.75]);
        let half = Write {
            weights: &[0.5, 0.0],
            ..write
        };
        half.apply(&mut after, &[2.0, 4.0, 1.0, 1.0]);
        assert_eq!(after, [1.125, 1.625, 1.0, 1.0]);
    }

    #[test]
    fn reading_is_a_weighted_sum() {
        let mut word = [9.0, 9.0];
        read(&mut word, &[0.5, 2.0], &[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(word, [6.5, 9.0]);
    }

    #[test]
    fn oneplus_by_hand() {
        assert!(close(oneplus(0.0), 1.0 + 2.0f32.ln()));
        assert!(close(oneplus(50.0), 51.0) && close(oneplus(-50.0), 1.0));
    }

    #[test]
    fn parts_follow_each_other() {
        let [a, b, c] = parts(&[1.0, 2.0, 3.0], [1, 0, 2]);
        assert_eq!((a, b, c), (&[1.0][..], &[][..], &[2.0, 3.0][..]));
        let mut numbers = [1.0, 2.0, 3.0];
        let [a, b] = parts_mut(&mut numbers, [2, 1]);
        std::mem::swap(&mut a[0], &mut b[0]);
        assert_eq!(numbers, [3.0, 2.0, 1.0]);
    }
}
