//! The two halves of a read by attention, for readers that need the weights on the tape: the weights of each row over its
//! slots, and the sum that they weigh. Empty slots at the end of a row cost nothing, as in a window at the beginning of an
//! episode.

use multiversion::multiversion;

use super::attention::{Head, Operands, Slots, softmax_of_filled, used, with_known_width};
use super::math::{add_scaled, dot};

/// Numbers of a vector. Shorter rows are summed number by number: those of a window over inputs have a few.
const LANES: usize = 8;

/// Σ aᵢ bᵢ of rows that may be short.
#[inline(always)]
fn product(a: &[f32], b: &[f32]) -> f32 {
    if a.len() >= LANES {
        return dot(a, b);
    }
    let pairs = a.iter().zip(b);
    pairs.fold(0.0, |sum, (a, b)| a.mul_add(*b, sum))
}

/// `out = Σ coefficient · row` over the filled slots, of rows that may be short.
#[inline(always)]
fn weighted_sum(out: &mut [f32], rows: Head<'_>, coefficients: &[f32], index: &[i32]) {
    if out.len() >= LANES {
        return rows.weighted_sum(out, coefficients, index);
    }
    let mut sums = [0.0; LANES];
    let sums = &mut sums[..out.len()];
    for (coefficient, &entry) in coefficients.iter().zip(index) {
        if let Ok(entry) = usize::try_from(entry) {
            for (sum, number) in sums.iter_mut().zip(rows.row(entry)) {
                *sum = coefficient.mul_add(*number, *sum);
            }
        }
    }
    out.copy_from_slice(sums);
}

/// Writes `weights` `[rows, heads, slots]`; those of empty slots must be 0 beforehand. `v` of the operands is not read.
#[multiversion(targets("x86_64+avx+avx2+fma"))]
pub(crate) fn attention_weights(weights: &mut [f32], operands: Operands<'_>, slots: Slots<'_>) {
    with_known_width!(operands, weigh_rows(weights, operands, slots));
}

#[inline(always)]
fn weigh_rows(weights: &mut [f32], operands: Operands<'_>, slots: Slots<'_>) {
    let Operands {
        q,
        k,
        bias,
        offsets,
        d,
        ..
    } = operands;
    let heads = slots.heads;
    for (m, index) in slots.index.chunks_exact(slots.slots).enumerate() {
        let used = used(index);
        for head in 0..heads {
            let row = m * heads + head;
            let keys = Head::apart(k, (head, heads), d);
            let slots_of_row = row * slots.slots..row * slots.slots + used;
            let offsets = match offsets.is_empty() {
                true => offsets,
                false => &offsets[slots_of_row.clone()],
            };
            let (weights, index) = (&mut weights[slots_of_row], &index[..used]);
            let q = &q[row * d..][..d];
            for (weight, &entry) in weights.iter_mut().zip(index) {
                *weight = f32::NEG_INFINITY;
                if let Ok(entry) = usize::try_from(entry) {
                    let bias = if bias.is_empty() { 0.0 } else { bias[entry] };
                    *weight = product(q, keys.row(entry)).mul_add(slots.scale, bias);
                }
            }
            for (weight, offset) in weights.iter_mut().zip(offsets) {
                *weight += offset;
            }
            softmax_of_filled(weights, index);
        }
    }
}

/// Output buffers for the gradients of the operands of [`attention_weights`], as in a whole read.
pub(crate) struct WeightGradients<'a> {
    pub q: &'a mut [f32],
    pub k: &'a mut [f32],
    pub bias: &'a mut [f32],
    pub offsets: &'a mut [f32],
}

/// Backward pass of [`attention_weights`], from the gradient of the weights, which is replaced by that of the scores.
#[multiversion(targets("x86_64+avx+avx2+fma"))]
pub(crate) fn attention_weights_gradient(
    gradients: WeightGradients<'_>,
    d_weights: &mut [f32],
    weights: &[f32],
    operands: Operands<'_>,
    slots: Slots<'_>,
) {
    with_known_width!(
        operands,
        weight_gradients(gradients, d_weights, weights, operands, slots)
    );
}

#[inline(always)]
fn weight_gradients(
    gradients: WeightGradients<'_>,
    d_weights: &mut [f32],
    weights: &[f32],
    operands: Operands<'_>,
    slots: Slots<'_>,
) {
    let Operands { q, k, d, .. } = operands;
    let heads = slots.heads;
    for (m, index) in slots.index.chunks_exact(slots.slots).enumerate() {
        let used = used(index);
        for head in 0..heads {
            let row = m * heads + head;
            let keys = Head::apart(k, (head, heads), d);
            let slots_of_row = row * slots.slots..row * slots.slots + used;
            let weights = &weights[slots_of_row.clone()];
            let d_scores = &mut d_weights[slots_of_row.clone()];
            let mean = dot(d_scores, weights);
            for (d, weight) in d_scores.iter_mut().zip(weights) {
                *d = weight * (*d - mean);
            }
            if !gradients.offsets.is_empty() {
                gradients.offsets[slots_of_row].copy_from_slice(d_scores);
            }
            let q = &q[row * d..][..d];
            for (d_score, &entry) in d_scores.iter_mut().zip(index) {
                if let Ok(entry) = usize::try_from(entry) {
                    if !gradients.bias.is_empty() {
                        gradients.bias[entry] += *d_score;
                    }
                    *d_score *= slots.scale;
                    if !gradients.k.is_empty() {
                        add_scaled(&mut gradients.k[keys.start(entry)..][..d], *d_score, q);
                    }
                }
            }
            if !gradients.q.is_empty() {
                let dq = &mut gradients.q[row * d..][..d];
                weighted_sum(dq, keys, d_scores, &index[..used]);
            }
        }
    }
}

/// Writes `readout` `[rows, heads * dv]`, the sum of the rows of `v` that the slots point to, weighed by `weights`
/// `[rows, heads, slots]`.
#[multiversion(targets("x86_64+avx+avx2+fma"))]
pub(crate) fn weighted_read(
    readout: &mut [f32],
    weights: &[f32],
    v: &[f32],
    slots: Slots<'_>,
    dv: usize,
) {
    let heads = slots.heads;
    for (m, index) in slots.index.chunks_exact(slots.slots).enumerate() {
        let used = used(index);
        for head in 0..heads {
            let row = m * heads + head;
            let contents = Head::apart(v, (head, heads), dv);
            let weights = &weights[row * slots.slots..][..used];
            let readout = &mut readout[row * dv..][..dv];
            weighted_sum(readout, contents, weights, &index[..used]);
        }
    }
}

/// Backward pass of [`weighted_read`]: writes `d_weights`, whose numbers for empty slots must be 0 beforehand, and adds to
/// `d_v`. An empty buffer means that a gradient is not needed.
#[multiversion(targets("x86_64+avx+avx2+fma"))]
pub(crate) fn weighted_read_gradient(
    (d_weights, d_v): (&mut [f32], &mut [f32]),
    d_readout: &[f32],
    weights: &[f32],
    v: &[f32],
    slots: Slots<'_>,
    dv: usize,
) {
    let heads = slots.heads;
    for (m, index) in slots.index.chunks_exact(slots.slots).enumerate() {
        for head in 0..heads {
            let row = m * heads + head;
            let contents = Head::apart(v, (head, heads), dv);
            let first = row * slots.slots;
            let d_readout = &d_readout[row * dv..][..dv];
            for (slot, &entry) in index.iter().enumerate().take(used(index)) {
                if let Ok(entry) = usize::try_from(entry) {
                    if !d_weights.is_empty() {
                        d_weights[first + slot] = product(d_readout, contents.row(entry));
                    }
                    if !d_v.is_empty() {
                        let d_v = &mut d_v[contents.start(entry)..][..dv];
                        add_scaled(d_v, weights[first + slot], d_readout);
                    }
                }
            }
        }
    }
}
