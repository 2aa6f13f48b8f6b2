//! Reads of several heads from one pool of entries: each head reads the whole of an entry, of which the key is the value. A row's
//! entries are gathered once for all heads, and get the gradients of all heads at once.

use multiversion::multiversion;

use super::attention::{
    OperandGradients, Operands, Slots, Weighting, used, weigh, weigh_gradient, with_known_width,
};
use super::dots::{ROWS, dots};
use super::math::fma_lanes;

/// Writes `weights` `[rows, heads, slots]`, whose numbers for empty slots must be 0 beforehand, and `readout`
/// `[rows, heads * d]`. Of the operands `k` `[entries, d]` is the pool. Each head weighs in its own way, whatever `slots` has.
#[multiversion(targets = "simd")]
pub(crate) fn pool_read(
    readout: &mut [f32],
    weights: &mut [f32],
    operands: Operands<'_>,
    slots: Slots<'_>,
    ways: &[Weighting],
) {
    with_known_width!(operands, read_rows(readout, weights, operands, slots, ways));
}

#[inline(always)]
fn read_rows(
    readout: &mut [f32],
    weights: &mut [f32],
    operands: Operands<'_>,
    slots: Slots<'_>,
    ways: &[Weighting],
) {
    let Operands { q, offsets, d, .. } = operands;
    let mut held = Held::default();
    let (mut biases, mut scores) = (Vec::new(), Vec::new());
    for (m, index) in slots.index.chunks_exact(slots.slots).enumerate() {
        held.gather(operands.k, d, index);
        let (index, used) = (&held.index[..], held.used);
        biases.clear();
        biases.extend(index.iter().map(|&entry| match usize::try_from(entry) {
            Ok(entry) if !operands.bias.is_empty() => operands.bias[entry],
            Ok(_) => 0.0,
            Err(_) => f32::NEG_INFINITY,
        }));
        scores.resize(index.len(), 0.0);
        for (head, &way) in ways.iter().enumerate() {
            let row = m * ways.len() + head;
            held.products(&mut scores, &q[row * d..][..d]);
            for (score, &bias) in scores.iter_mut().zip(&biases) {
                *score = score.mul_add(slots.scale, bias);
            }
            if !offsets.is_empty() {
                let offsets = &offsets[row * slots.slots..][..used];
                for (score, offset) in scores.iter_mut().zip(offsets) {
                    *score += offset;
                }
            }
            weigh(&mut scores, index, way);
            weights[row * slots.slots..][..used].copy_from_slice(&scores[..used]);
            held.weighted_sum(&mut readout[row * d..][..d], &scores);
        }
    }
}

/// Backward pass of [`pool_read`], from the gradient of the readout. The gradient of the pool is that of `k`.
#[multiversion(targets = "simd")]
pub(crate) fn pool_read_gradient(
    gradients: OperandGradients<'_>,
    (d_readout, weights): (&[f32], &[f32]),
    operands: Operands<'_>,
    slots: Slots<'_>,
    ways: &[Weighting],
) {
    let read = (d_readout, weights);
    with_known_width!(
        operands,
        gradient_rows(gradients, read, operands, slots, ways)
    );
}

#[inline(always)]
fn gradient_rows(
    gradients: OperandGradients<'_>,
    (d_readout, weights): (&[f32], &[f32]),
    operands: Operands<'_>,
    slots: Slots<'_>,
    ways: &[Weighting],
) {
    let Operands { q, d, .. } = operands;
    let heads = ways.len();
    let mut held = Held::default();
    // The gradients of the scores of all heads, `[heads, whole groups of slots]`, and their sums.
    let (mut of_heads, mut d_biases) = (Vec::new(), Vec::new());
    for (m, index) in slots.index.chunks_exact(slots.slots).enumerate() {
        held.gather(operands.k, d, index);
        let (index, used) = (&held.index[..], held.used);
        of_heads.resize(heads * index.len(), 0.0);
        d_biases.clear();
        d_biases.resize(index.len(), 0.0);
        let d_scores = of_heads.chunks_exact_mut(index.len().max(1));
        for (head, (d_scores, way)) in d_scores.zip(ways).enumerate() {
            let row = m * heads + head;
            let weights = &weights[row * slots.slots..][..used];
            held.products(d_scores, &d_readout[row * d..][..d]);
            weigh_gradient(&mut d_scores[..used], weights, index, *way);
            if !gradients.offsets.is_empty() {
                gradients.offsets[row * slots.slots..][..used].copy_from_slice(&d_scores[..used]);
            }
            for (d_bias, d_score) in d_biases.iter_mut().zip(d_scores.iter_mut()) {
                *d_bias += *d_score;
                *d_score *= slots.scale;
            }
            if !gradients.q.is_empty() {
                held.weighted_sum(&mut gradients.q[row * d..][..d], d_scores);
            }
        }
        let of_row = m * heads * d..(m + 1) * heads * d;
        let (q, d_readout) = (&q[of_row.clone()], &d_readout[of_row]);
        let weights = &weights[m * heads * slots.slots..][..heads * slots.slots];
        for (slot, &entry) in index.iter().enumerate() {
            let Ok(entry) = usize::try_from(entry) else {
                continue;
            };
            if !gradients.bias.is_empty() {
                gradients.bias[entry] += d_biases[slot];
            }
            if !gradients.k.is_empty() {
                let given = Given {
                    d_scores: &of_heads[slot..],
                    weights: &weights[slot..],
                    strides: (index.len(), slots.slots),
                    heads,
                    q,
                    d_readout,
                };
                given.add_to(&mut gradients.k[entry * d..][..d]);
            }
        }
    }
}

/// What all heads of a row give to an entry in one of its slots: the gradient of its product times the query, and its weight
/// times the gradient of the readout.
struct Given<'a> {
    /// From the slot's on; those of heads are so far apart.
    d_scores: &'a [f32],
    weights: &'a [f32],
    strides: (usize, usize),
    heads: usize,
    /// `[heads, d]`, both.
    q: &'a [f32],
    d_readout: &'a [f32],
}

impl Given<'_> {
    #[inline(always)]
    fn add_to(&self, d_entry: &mut [f32]) {
        let first = self.add_blocks::<32>(d_entry, 0);
        let first = self.add_blocks::<8>(d_entry, first);
        self.add_blocks::<1>(d_entry, first);
    }

    /// Adds all whole blocks of `WIDTH` columns from column `first`. Returns the first column that is left.
    #[inline(always)]
    fn add_blocks<const WIDTH: usize>(&self, d_entry: &mut [f32], mut first: usize) -> usize {
        let d = d_entry.len();
        while let Some(d_entry) = d_entry[first..].first_chunk_mut::<WIDTH>() {
            let mut sums = *d_entry;
            for head in 0..self.heads {
                let at = head * d + first;
                let q = self.q[at..].first_chunk::<WIDTH>();
                let d_readout = self.d_readout[at..].first_chunk::<WIDTH>();
                if let (Some(q), Some(d_readout)) = (q, d_readout) {
                    let d_score = self.d_scores[head * self.strides.0];
                    sums = fma_lanes([d_score; WIDTH], *q, sums);
                    let weight = self.weights[head * self.strides.1];
                    sums = fma_lanes([weight; WIDTH], *d_readout, sums);
                }
            }
            *d_entry = sums;
            first += WIDTH;
        }
        first
    }
}

/// The entries in the slots of a row up to the last filled one, in whole groups of [`ROWS`]; zeros in empty slots.
#[derive(Default)]
struct Held {
    index: Vec<i32>,
    /// How many of the row's own slots they are.
    used: usize,
    entries: Vec<f32>,
}

impl Held {
    #[inline(always)]
    fn gather(&mut self, pool: &[f32], d: usize, index: &[i32]) {
        self.used = used(index);
        self.index.clear();
        self.index.extend_from_slice(&index[..self.used]);
        self.index.resize(self.used.next_multiple_of(ROWS), -1);
        self.entries.resize(self.index.len() * d, 0.0);
        let entries = self.entries.chunks_exact_mut(d);
        for (held, &entry) in entries.zip(&self.index) {
            match usize::try_from(entry) {
                Ok(entry) => held.copy_from_slice(&pool[entry * d..][..d]),
                Err(_) => held.fill(0.0),
            }
        }
    }

    /// Writes the products of `a` with all entries.
    #[inline(always)]
    fn products(&self, out: &mut [f32], a: &[f32]) {
        let d = a.len();
        let (out, _) = out.as_chunks_mut::<ROWS>();
        let groups = self.entries.chunks_exact(ROWS * d);
        for (out, group) in out.iter_mut().zip(groups) {
            *out = dots(a, group, std::array::from_fn(|row| row * d));
        }
    }

    /// Computes `out = Σ coefficient · entry`, keeping a block of `out` in registers at a time.
    #[inline(always)]
    fn weighted_sum(&self, out: &mut [f32], coefficients: &[f32]) {
        let first = self.weighted_blocks::<32>(out, coefficients, 0);
        let first = self.weighted_blocks::<8>(out, coefficients, first);
        self.weighted_blocks::<1>(out, coefficients, first);
    }

    /// Computes all whole blocks of `WIDTH` columns from column `first`. Returns the first column that is left.
    #[inline(always)]
    fn weighted_blocks<const WIDTH: usize>(
        &self,
        out: &mut [f32],
        coefficients: &[f32],
        mut first: usize,
    ) -> usize {
        let d = out.len();
        while let Some(out) = out[first..].first_chunk_mut::<WIDTH>() {
            let mut sums = [0.0f32; WIDTH];
            for (coefficient, entry) in coefficients.iter().zip(self.entries.chunks_exact(d)) {
                if let Some(entry) = entry[first..].first_chunk::<WIDTH>() {
                    sums = fma_lanes([*coefficient; WIDTH], *entry, sums);
                }
            }
            *out = sums;
            first += WIDTH;
        }
        first
    }
}
