//! Soft attention of every row over its own few entries of a shared table.
//!
//! The kernels use vectors of eight numbers. Heads are 8 to 64 wide, and folding sixteen partial
//! sums of such short rows costs more time than it saves (measured: AVX-512 is a third slower than
//! AVX2 here).

use multiversion::multiversion;

use super::dots::{ROWS, dots};
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
    table: &'a [f32],
    /// Numbers of an entry.
    stride: usize,
    /// Where the part of an entry begins.
    first: usize,
    columns: usize,
}

impl<'a> Head<'a> {
    /// A head that has its own columns of each entry.
    #[inline(always)]
    pub fn apart(table: &'a [f32], (head, heads): (usize, usize), columns: usize) -> Self {
        Self {
            table,
            stride: heads * columns,
            first: head * columns,
            columns,
        }
    }

    #[inline(always)]
    pub fn start(&self, entry: usize) -> usize {
        entry * self.stride + self.first
    }

    #[inline(always)]
    pub fn row(&self, entry: usize) -> &[f32] {
        &self.table[self.start(entry)..][..self.columns]
    }

    /// Writes the products of `a` with the row of each slot; those of empty slots mean nothing.
    #[inline(always)]
    fn products(&self, out: &mut [f32], a: &[f32], index: &[i32]) {
        let (out, _) = out.as_chunks_mut::<ROWS>();
        let (index, _) = index.as_chunks::<ROWS>();
        for (out, index) in out.iter_mut().zip(index) {
            let starts = index.map(|entry| self.start(entry.max(0) as usize));
            *out = dots(a, self.table, starts);
        }
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

/// The slots of a row up to the last filled one, filled up to whole groups of [`ROWS`].
struct Row {
    index: Vec<i32>,
    /// How many of the row's slots they are, all numbers in whole groups if there are further ones.
    used: usize,
}

impl Row {
    fn new() -> Self {
        let index = Vec::new();
        Self { index, used: 0 }
    }

    #[inline(always)]
    fn set(&mut self, index: &[i32]) {
        self.used = used(index);
        self.index.clear();
        self.index.extend_from_slice(&index[..self.used]);
        self.index.resize(self.used.next_multiple_of(ROWS), -1);
    }
}

/// Returns the number of slots up to the last filled one, in whole vectors as far as there are slots: what is left of a
/// vector would be computed number by number.
#[inline(always)]
pub(super) fn used(index: &[i32]) -> usize {
    let filled = index.iter().rposition(|&entry| entry >= 0);
    let used = filled.map_or(0, |last| last + 1);
    used.next_multiple_of(ROWS).min(index.len())
}

/// Writes `weights` `[rows, heads, slots]`, whose numbers for empty slots must be 0 beforehand, and `readout`
/// `[rows, heads * dv]`.
#[multiversion(targets("x86_64+avx+avx2+fma"))]
pub(crate) fn attention_read(
    readout: &mut [f32],
    weights: &mut [f32],
    operands: Operands<'_>,
    slots: Slots<'_>,
) {
    with_known_width!(operands, read_rows(readout, weights, operands, slots));
}

/// A head of the keys and of the values.
#[inline(always)]
fn tables(operands: Operands<'_>, head: usize, heads: usize) -> [Head<'_>; 2] {
    let Operands { k, v, d, dv, .. } = operands;
    [(k, d), (v, dv)].map(|(table, columns)| Head::apart(table, (head, heads), columns))
}

#[inline(always)]
fn read_rows(readout: &mut [f32], weights: &mut [f32], operands: Operands<'_>, slots: Slots<'_>) {
    let Operands {
        q, offsets, d, dv, ..
    } = operands;
    let mut row_slots = Row::new();
    let mut scores = vec![0.0; slots.slots.next_multiple_of(ROWS)];
    for (m, index) in slots.index.chunks_exact(slots.slots).enumerate() {
        row_slots.set(index);
        let (index, used) = (&row_slots.index[..], row_slots.used);
        let scores = &mut scores[..index.len()];
        for head in 0..slots.heads {
            let row = m * slots.heads + head;
            let [keys, contents] = tables(operands, head, slots.heads);
            let offsets = match offsets.is_empty() {
                true => offsets,
                false => &offsets[row * slots.slots..][..used],
            };
            keys.products(scores, &q[row * d..][..d], index);
            add_terms(scores, (operands.bias, offsets), index, slots.scale);
            weigh(scores, index, slots.weighting);
            weights[row * slots.slots..][..used].copy_from_slice(&scores[..used]);
            let readout = &mut readout[row * dv..][..dv];
            contents.weighted_sum(readout, &scores[..used], index);
        }
    }
}

/// Turns scores into weights, in place; 0 in empty slots.
#[inline(always)]
pub(super) fn weigh(scores: &mut [f32], index: &[i32], way: Weighting) {
    match way {
        Weighting::Softmax => softmax_of_filled(scores, index),
        Weighting::StickBreaking { margin } => break_stick(scores, index, margin),
    }
}

/// Turns the gradient of weights, 0 in empty slots, into that of scores, in place.
#[inline(always)]
pub(super) fn weigh_gradient(d: &mut [f32], weights: &[f32], index: &[i32], way: Weighting) {
    match way {
        Weighting::Softmax => softmax_gradient(d, weights),
        Weighting::StickBreaking { .. } => stick_gradient(d, weights, index),
    }
}

/// Turns products into scores, those of empty slots into -∞.
#[inline(always)]
fn add_terms(scores: &mut [f32], (bias, offsets): (&[f32], &[f32]), index: &[i32], scale: f32) {
    for (score, &entry) in scores.iter_mut().zip(index) {
        let bias = match usize::try_from(entry) {
            Ok(entry) if !bias.is_empty() => bias[entry],
            Ok(_) => 0.0,
            Err(_) => f32::NEG_INFINITY,
        };
        *score = score.mul_add(scale, bias);
    }
    for (score, offset) in scores.iter_mut().zip(offsets) {
        *score += offset;
    }
}

/// Stick-breaking in place over the filled slots; 0 in empty ones. An empty first slot takes nothing, and scores 0.
#[inline(always)]
fn break_stick(scores: &mut [f32], index: &[i32], margin: f32) {
    let has_first = index.first().is_some_and(|&entry| entry >= 0);
    let bar = margin + if has_first { scores[0] } else { 0.0 };
    for (score, &entry) in scores.iter_mut().zip(index) {
        let share = 1.0 / (1.0 + exp(bar - *score));
        *score = if entry < 0 { 0.0 } else { share };
    }
    let Some((first, others)) = scores.split_first_mut() else {
        return;
    };
    let mut left = 1.0;
    for share in others {
        let rest = share.mul_add(-left, left);
        *share *= left;
        left = rest;
    }
    *first = if has_first { left } else { 0.0 };
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

/// Output buffers for the gradients of the operands, in the operands' shapes. The gradient of `q` is overwritten, as is that of
/// `offsets`, whose numbers for empty slots must be 0 beforehand; the others are added to. An empty buffer means that a gradient is
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
    read: (&[f32], &[f32]),
    operands: Operands<'_>,
    slots: Slots<'_>,
) {
    with_known_width!(operands, gradient_rows(gradients, read, operands, slots));
}

#[inline(always)]
fn gradient_rows(
    mut gradients: OperandGradients<'_>,
    (d_readout, weights): (&[f32], &[f32]),
    operands: Operands<'_>,
    slots: Slots<'_>,
) {
    let Operands { q, d, dv, .. } = operands;
    let mut row_slots = Row::new();
    let mut d_scores = vec![0.0; slots.slots.next_multiple_of(ROWS)];
    for (m, index) in slots.index.chunks_exact(slots.slots).enumerate() {
        row_slots.set(index);
        let (index, used) = (&row_slots.index[..], row_slots.used);
        for head in 0..slots.heads {
            let row = m * slots.heads + head;
            let [keys, contents] = tables(operands, head, slots.heads);
            let d_readout = &d_readout[row * dv..][..dv];
            let weights = &weights[row * slots.slots..][..used];
            contents.products(&mut d_scores, d_readout, index);
            let d_scores = &mut d_scores[..used];
            for (d_weight, &entry) in d_scores.iter_mut().zip(index) {
                *d_weight = if entry < 0 { 0.0 } else { *d_weight };
            }
            weigh_gradient(d_scores, weights, index, slots.weighting);
            if !gradients.offsets.is_empty() {
                gradients.offsets[row * slots.slots..][..used].copy_from_slice(d_scores);
            }
            let asked = (&q[row * d..][..d], d_readout);
            gradients.scatter((keys, contents), asked, (d_scores, weights), index, slots);
            if !gradients.q.is_empty() {
                keys.weighted_sum(&mut gradients.q[row * d..][..d], d_scores, index);
            }
        }
    }
}

impl OperandGradients<'_> {
    /// Adds what one head of a row gives to the terms, keys and values of its entries, and turns the gradient of its scores
    /// into that of products.
    #[inline(always)]
    fn scatter(
        &mut self,
        (keys, contents): (Head<'_>, Head<'_>),
        (q, d_readout): (&[f32], &[f32]),
        (d_scores, weights): (&mut [f32], &[f32]),
        index: &[i32],
        slots: Slots<'_>,
    ) {
        for ((d_score, &weight), &entry) in d_scores.iter_mut().zip(weights).zip(index) {
            let Ok(entry) = usize::try_from(entry) else {
                continue;
            };
            if !self.bias.is_empty() {
                self.bias[entry] += *d_score;
            }
            *d_score *= slots.scale;
            if !self.k.is_empty() {
                let dk = &mut self.k[keys.start(entry)..][..keys.columns];
                add_scaled(dk, *d_score, q);
                if self.shared {
                    add_scaled(dk, weight, d_readout);
                }
            }
            if !self.v.is_empty() {
                let dv = &mut self.v[contents.start(entry)..][..contents.columns];
                add_scaled(dv, weight, d_readout);
            }
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
    let Some((first, others)) = d.split_first_mut() else {
        return;
    };
    let (mut left, mut of_first) = (1.0, 0.0);
    for (d, &weight) in others.iter_mut().zip(&weights[1..]) {
        let gain = weight * *d;
        after -= gain;
        // The rest may have been rounded to nothing. An empty slot took no share.
        let share = if left > weight { weight / left } else { 1.0 };
        let share = if weight > 0.0 { share } else { 0.0 };
        *d = gain - share * (gain + after);
        of_first -= *d;
        left -= weight;
    }
    *first = if index[0] < 0 { 0.0 } else { of_first };
}

/// `out[m, h, s] = rows[m, h]·table[index[m, s]]`, 0 where the index is -1. `rows` `[M, heads, width]`, `table` `[K, width]`,
/// `index` `[M, slots]`. `out` must be 0 beforehand.
#[multiversion(targets("x86_64+avx+avx2+fma"))]
pub(crate) fn gather_dot(
    out: &mut [f32],
    rows: &[f32],
    table: &[f32],
    slots: (&[i32], usize),
    width: usize,
) {
    match width {
        12 => gather_dot_rows(out, rows, table, slots, 12),
        _ => gather_dot_rows(out, rows, table, slots, width),
    }
}

#[inline(always)]
fn gather_dot_rows(
    out: &mut [f32],
    rows: &[f32],
    table: &[f32],
    (index, slots): (&[i32], usize),
    width: usize,
) {
    let heads = out.len() / index.len().max(1);
    let table = Head::apart(table, (0, 1), width);
    let mut row_slots = Row::new();
    let mut products = vec![0.0; slots.next_multiple_of(ROWS)];
    for (m, index) in index.chunks_exact(slots).enumerate() {
        row_slots.set(index);
        let (index, used) = (&row_slots.index[..], row_slots.used);
        for row in m * heads..(m + 1) * heads {
            table.products(&mut products, &rows[row * width..][..width], index);
            let out = &mut out[row * slots..][..used];
            for ((out, &product), &entry) in out.iter_mut().zip(&products).zip(index) {
                *out = if entry < 0 { 0.0 } else { product };
            }
        }
    }
}

/// Backward pass of [`gather_dot`]: writes `d_rows` `[M, heads, width]`.
#[multiversion(targets("x86_64+avx+avx2+fma"))]
pub(crate) fn gather_dot_gradient(
    d_rows: &mut [f32],
    d_out: &[f32],
    table: &[f32],
    (index, slots): (&[i32], usize),
    width: usize,
) {
    let heads = d_out.len() / index.len().max(1);
    let table = Head::apart(table, (0, 1), width);
    for (m, index) in index.chunks_exact(slots).enumerate() {
        let index = &index[..used(index)];
        for row in m * heads..(m + 1) * heads {
            let d_row = &mut d_rows[row * width..][..width];
            table.weighted_sum(d_row, &d_out[row * slots..][..slots], index);
        }
    }
}
