//! Soft attention of every row over its own few entries of a shared table.
//!
//! The kernels use vectors of eight numbers. Heads are 8 to 64 wide, and folding sixteen partial
//! sums of such short rows costs more time than it saves (measured: AVX-512 is a third slower than
//! AVX2 here).

use multiversion::multiversion;

use super::math::{add_scaled, dot, exp, fma_lanes, max, sum};

/// The entries that each row reads: row `m` reads `index[m * slots..][..slots]`, where -1 is an
/// empty slot.
#[derive(Clone, Copy)]
pub(crate) struct Slots<'a> {
    pub index: &'a [i32],
    pub slots: usize,
    pub heads: usize,
    /// Factor on q·k.
    pub scale: f32,
    pub weighting: Weighting,
}

/// How a row's weights come from the scores of its filled slots.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Weighting {
    /// Softmax.
    Softmax,
    /// Stick-breaking (Tan et al. 2024, arXiv:2410.17980): each slot after the first takes the share `σ(score − first's
    /// score − margin)` of the stick, and leaves the rest to the next; the first slot takes the last rest. So of several
    /// entries that match, the first in order is read, however many follow.
    StickBreaking {
        /// How much an entry's score must be above that of the first slot to take half.
        margin: f32,
    },
}

/// The queries and the table: `q` `[rows, heads * d]`, `k` `[entries, heads * d]`, `v`
/// `[entries, heads * dv]`, `bias` `[entries]` or empty, `offsets` `[rows, heads, slots]` or empty.
#[derive(Clone, Copy)]
pub(crate) struct Operands<'a> {
    pub q: &'a [f32],
    pub k: &'a [f32],
    pub v: &'a [f32],
    pub bias: &'a [f32],
    pub offsets: &'a [f32],
    pub d: usize,
    pub dv: usize,
}

/// Evaluates a call with the width of a head as a constant, if it is a usual one, so that the inner
/// loops have fixed lengths.
macro_rules! with_known_width {
    ($operands:ident, $call:expr) => {
        with_known_width!($operands, $call, 8 16 32 64)
    };
    ($operands:ident, $call:expr, $($width:literal)*) => {
        match ($operands.d, $operands.dv) {
            $(($width, $width) => {
                let $operands = Operands { d: $width, dv: $width, ..$operands };
                $call
            })*
            _ => $call,
        }
    };
}

pub(super) use with_known_width;

/// One head of a table: its part of each entry's row.
#[derive(Clone, Copy)]
pub(super) struct Head<'a> {
    pub table: &'a [f32],
    pub heads: usize,
    pub head: usize,
    pub columns: usize,
}

impl Head<'_> {
    #[inline(always)]
    pub fn start(&self, entry: usize) -> usize {
        (entry * self.heads + self.head) * self.columns
    }

    #[inline(always)]
    pub fn row(&self, entry: usize) -> &[f32] {
        &self.table[self.start(entry)..][..self.columns]
    }

    /// Computes `out = Σ coefficient · row` over the filled slots, keeping a block of `out` in
    /// registers at a time.
    #[inline(always)]
    pub fn weighted_sum(&self, out: &mut [f32], coefficients: &[f32], index: &[i32]) {
        let mut first = 0;
        first = self.weighted_blocks::<32>(out, coefficients, index, first);
        first = self.weighted_blocks::<8>(out, coefficients, index, first);
        first = self.weighted_blocks::<4>(out, coefficients, index, first);
        self.weighted_blocks::<1>(out, coefficients, index, first);
    }

    /// Computes all whole blocks of `WIDTH` columns from column `first`. Returns the first column
    /// that is left.
    #[inline(always)]
    fn weighted_blocks<const WIDTH: usize>(
        &self,
        out: &mut [f32],
        coefficients: &[f32],
        index: &[i32],
        mut first: usize,
    ) -> usize {
        while let Some(out) = out[first..].first_chunk_mut::<WIDTH>() {
            let mut sums = [0.0f32; WIDTH];
            for (coefficient, &entry) in coefficients.iter().zip(index) {
                if let Ok(entry) = usize::try_from(entry) {
                    let row = self.table[self.start(entry) + first..].first_chunk::<WIDTH>();
                    let row = row.expect("entries lie within the table");
                    sums = fma_lanes([*coefficient; WIDTH], *row, sums);
                }
            }
            *out = sums;
            first += WIDTH;
        }
        first
    }
}

/// Writes `weights` `[rows, heads, slots]` (0 in empty slots) and `readout` `[rows, heads * dv]`.
#[multiversion(targets("x86_64+avx+avx2+fma"))]
pub(crate) fn attention_read(
    readout: &mut [f32],
    weights: &mut [f32],
    operands: Operands<'_>,
    slots: Slots<'_>,
) {
    with_known_width!(operands, read_rows(readout, weights, operands, slots));
}

#[inline(always)]
fn read_rows(readout: &mut [f32], weights: &mut [f32], operands: Operands<'_>, slots: Slots<'_>) {
    let Operands {
        q,
        k,
        v,
        bias,
        offsets,
        d,
        dv,
    } = operands;
    let heads = slots.heads;
    for (m, index) in slots.index.chunks_exact(slots.slots).enumerate() {
        for head in 0..heads {
            let row = m * heads + head;
            let q = &q[row * d..][..d];
            let keys = Head {
                table: k,
                heads,
                head,
                columns: d,
            };
            let weights = &mut weights[row * slots.slots..][..slots.slots];
            let offsets = match offsets.is_empty() {
                true => offsets,
                false => &offsets[row * slots.slots..][..slots.slots],
            };
            row_weights(weights, q, keys, (bias, offsets), index, slots);
            let contents = Head {
                table: v,
                heads,
                head,
                columns: dv,
            };
            contents.weighted_sum(&mut readout[row * dv..][..dv], weights, index);
        }
    }
}

/// Writes the weights of one head of one row, from the scores of its filled slots. `offsets` `[slots]` or empty.
#[inline(always)]
fn row_weights(
    weights: &mut [f32],
    q: &[f32],
    keys: Head<'_>,
    (bias, offsets): (&[f32], &[f32]),
    index: &[i32],
    slots: Slots<'_>,
) {
    for (weight, &entry) in weights.iter_mut().zip(index) {
        *weight = f32::NEG_INFINITY;
        if let Ok(entry) = usize::try_from(entry) {
            let bias = if bias.is_empty() { 0.0 } else { bias[entry] };
            *weight = dot(q, keys.row(entry)).mul_add(slots.scale, bias);
        }
    }
    for (weight, offset) in weights.iter_mut().zip(offsets) {
        *weight += offset;
    }
    match slots.weighting {
        Weighting::Softmax => softmax_of_filled(weights, index),
        Weighting::StickBreaking { margin } => break_stick(weights, index, margin),
    }
}

/// Stick-breaking in place over the filled slots; 0 in empty ones. An empty first slot takes nothing, and scores 0.
#[inline(always)]
fn break_stick(scores: &mut [f32], index: &[i32], margin: f32) {
    let Some((first, others)) = scores.split_first_mut() else {
        return;
    };
    let bar = margin + if index[0] < 0 { 0.0 } else { *first };
    let mut left = 1.0;
    for (score, &entry) in others.iter_mut().zip(&index[1..]) {
        *score = match entry < 0 {
            true => 0.0,
            false => left / (1.0 + exp(bar - *score)),
        };
        left -= *score;
    }
    *first = if index[0] < 0 { 0.0 } else { left };
}

/// Softmax in place over the filled slots; 0 in empty ones.
#[inline(always)]
pub(super) fn softmax_of_filled(scores: &mut [f32], index: &[i32]) {
    let largest = max(scores);
    for (score, &entry) in scores.iter_mut().zip(index) {
        *score = if entry < 0 {
            0.0
        } else {
            exp(*score - largest)
        };
    }
    let total = sum(scores);
    if total != 0.0 {
        let factor = 1.0 / total;
        scores.iter_mut().for_each(|score| *score *= factor);
    }
}

/// Output buffers for the gradients of the operands, in the operands' shapes. The gradients of `q`
/// and `offsets` are overwritten, the others are added to. An empty buffer means that a gradient is
/// not needed.
pub(crate) struct OperandGradients<'a> {
    pub q: &'a mut [f32],
    pub k: &'a mut [f32],
    /// Also empty if `k` and `v` are the same table: then `k` receives the whole gradient.
    pub v: &'a mut [f32],
    pub bias: &'a mut [f32],
    pub offsets: &'a mut [f32],
    /// Whether `k` and `v` are the same table.
    pub shared: bool,
}

/// Backward pass of [`attention_read`], from the gradient of the readout.
#[multiversion(targets("x86_64+avx+avx2+fma"))]
pub(crate) fn attention_read_gradient(
    gradients: OperandGradients<'_>,
    d_readout: &[f32],
    weights: &[f32],
    operands: Operands<'_>,
    slots: Slots<'_>,
) {
    with_known_width!(
        operands,
        gradient_rows(gradients, d_readout, weights, operands, slots)
    );
}

#[inline(always)]
fn gradient_rows(
    gradients: OperandGradients<'_>,
    d_readout: &[f32],
    weights: &[f32],
    operands: Operands<'_>,
    slots: Slots<'_>,
) {
    let Operands { q, k, v, d, dv, .. } = operands;
    let OperandGradients {
        q: dq,
        k: dk,
        v: d_v,
        bias: d_bias,
        offsets: d_offsets,
        shared,
    } = gradients;
    let heads = slots.heads;
    let mut d_scores = vec![0.0; slots.slots];
    for (m, index) in slots.index.chunks_exact(slots.slots).enumerate() {
        for head in 0..heads {
            let row = m * heads + head;
            let q = &q[row * d..][..d];
            let keys = Head {
                table: k,
                heads,
                head,
                columns: d,
            };
            let contents = Head {
                table: v,
                heads,
                head,
                columns: dv,
            };
            let d_readout = &d_readout[row * dv..][..dv];
            let weights = &weights[row * slots.slots..][..slots.slots];
            weight_gradient(&mut d_scores, d_readout, contents, index);
            match slots.weighting {
                Weighting::Softmax => softmax_gradient(&mut d_scores, weights),
                Weighting::StickBreaking { .. } => stick_gradient(&mut d_scores, weights, index),
            }
            if !d_offsets.is_empty() {
                d_offsets[row * slots.slots..][..slots.slots].copy_from_slice(&d_scores);
            }
            for ((d_score, &weight), &entry) in d_scores.iter_mut().zip(weights).zip(index) {
                if let Ok(entry) = usize::try_from(entry) {
                    if !d_bias.is_empty() {
                        d_bias[entry] += *d_score;
                    }
                    *d_score *= slots.scale;
                    if !dk.is_empty() {
                        let dk = &mut dk[keys.start(entry)..][..d];
                        add_scaled(dk, *d_score, q);
                        if shared {
                            add_scaled(dk, weight, d_readout);
                        }
                    }
                    if !d_v.is_empty() {
                        add_scaled(&mut d_v[contents.start(entry)..][..dv], weight, d_readout);
                    }
                }
            }
            if !dq.is_empty() {
                keys.weighted_sum(&mut dq[row * d..][..d], &d_scores, index);
            }
        }
    }
}

/// Writes the gradient of each filled slot's weight, 0 in empty ones.
#[inline(always)]
fn weight_gradient(d_weights: &mut [f32], d_readout: &[f32], contents: Head<'_>, index: &[i32]) {
    for (d_weight, &entry) in d_weights.iter_mut().zip(index) {
        *d_weight = 0.0;
        if let Ok(entry) = usize::try_from(entry) {
            *d_weight = dot(d_readout, contents.row(entry));
        }
    }
}

/// Backward pass of the softmax, in place: `d_score = weight · (d_weight - Σ weight · d_weight)`.
#[inline(always)]
fn softmax_gradient(d: &mut [f32], weights: &[f32]) {
    let mean = dot(d, weights);
    for (d, weight) in d.iter_mut().zip(weights) {
        *d = weight * (*d - mean);
    }
}

/// Backward pass of stick-breaking, in place. With a slot's share β of the rest before it:
/// `d_score = (1 - β) · weight · d_weight - β · Σ weight · d_weight`, the sum over the first slot and those after it.
#[inline(always)]
fn stick_gradient(d: &mut [f32], weights: &[f32], index: &[i32]) {
    let mut after = dot(d, weights);
    let mut left = 1.0;
    let mut of_first = 0.0;
    for ((d, &weight), &entry) in d.iter_mut().zip(weights).zip(index).skip(1) {
        if entry < 0 {
            continue;
        }
        let gain = weight * *d;
        after -= gain;
        // The rest may have been rounded to nothing.
        let share = if left > weight { weight / left } else { 1.0 };
        *d = (1.0 - share) * gain - share * after;
        of_first -= *d;
        left -= weight;
    }
    d[0] = if index[0] < 0 { 0.0 } else { of_first };
}

/// `out[m, s] = rows[m]·table[index[m, s]]`, 0 where the index is -1. `rows` `[M, width]`, `table`
/// `[K, width]`.
#[multiversion(targets("x86_64+avx+avx2+fma"))]
pub(crate) fn gather_dot(
    out: &mut [f32],
    rows: &[f32],
    table: &[f32],
    index: &[i32],
    width: usize,
) {
    let slots = slots_of(rows, index, width);
    for (m, row) in rows.chunks_exact(width).enumerate() {
        let of_row = m * slots..(m + 1) * slots;
        for (out, &entry) in out[of_row.clone()].iter_mut().zip(&index[of_row]) {
            *out = match usize::try_from(entry) {
                Ok(entry) => dot(row, &table[entry * width..][..width]),
                Err(_) => 0.0,
            };
        }
    }
}

/// Backward pass of [`gather_dot`]: adds to `d_rows` `[M, width]`.
#[multiversion(targets("x86_64+avx+avx2+fma"))]
pub(crate) fn gather_dot_gradient(
    d_rows: &mut [f32],
    d_out: &[f32],
    table: &[f32],
    index: &[i32],
    width: usize,
) {
    let slots = slots_of(d_rows, index, width);
    for (m, d_row) in d_rows.chunks_exact_mut(width).enumerate() {
        let of_row = m * slots..(m + 1) * slots;
        for (&d, &entry) in d_out[of_row.clone()].iter().zip(&index[of_row]) {
            if let Ok(entry) = usize::try_from(entry) {
                add_scaled(d_row, d, &table[entry * width..][..width]);
            }
        }
    }
}

fn slots_of(rows: &[f32], index: &[i32], width: usize) -> usize {
    index.len() / (rows.len() / width).max(1)
}
