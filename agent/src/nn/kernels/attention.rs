//! Soft attention of every row over its own few entries of a shared table.

use multiversion::multiversion;

use super::math::{add_scaled, dot, exp};

/// Who reads what: row `m` reads the entries `index[m * slots..][..slots]`; -1 is an empty slot.
#[derive(Clone, Copy)]
pub(crate) struct Slots<'a> {
    pub index: &'a [i32],
    pub slots: usize,
    pub heads: usize,
    /// Factor on q·k.
    pub scale: f32,
}

/// The table and its readers: `q` `[rows, heads * d]`, `k` `[entries, heads * d]`, `v`
/// `[entries, heads * dv]`, `bias` `[entries]` or empty.
#[derive(Clone, Copy)]
pub(crate) struct Operands<'a> {
    pub q: &'a [f32],
    pub k: &'a [f32],
    pub v: &'a [f32],
    pub bias: &'a [f32],
    pub d: usize,
    pub dv: usize,
}

/// Writes `weights` `[rows, heads, slots]` (0 in empty slots) and `readout` `[rows, heads * dv]`.
#[multiversion(targets = "simd")]
pub(crate) fn attention_read(
    readout: &mut [f32],
    weights: &mut [f32],
    operands: Operands<'_>,
    slots: Slots<'_>,
) {
    let Operands {
        q,
        k,
        v,
        bias,
        d,
        dv,
    } = operands;
    let heads = slots.heads;
    for (m, index) in slots.index.chunks_exact(slots.slots).enumerate() {
        for head in 0..heads {
            let row = m * heads + head;
            let q = &q[row * d..][..d];
            let weights = &mut weights[row * slots.slots..][..slots.slots];
            for (weight, &entry) in weights.iter_mut().zip(index) {
                *weight = f32::NEG_INFINITY;
                if let Ok(entry) = usize::try_from(entry) {
                    let k = &k[(entry * heads + head) * d..][..d];
                    let bias = if bias.is_empty() { 0.0 } else { bias[entry] };
                    *weight = dot(q, k).mul_add(slots.scale, bias);
                }
            }
            softmax_of_filled(weights, index);
            let readout = &mut readout[row * dv..][..dv];
            readout.fill(0.0);
            for (&weight, &entry) in weights.iter().zip(index) {
                if let Ok(entry) = usize::try_from(entry) {
                    add_scaled(readout, weight, &v[(entry * heads + head) * dv..][..dv]);
                }
            }
        }
    }
}

/// Softmax in place over the slots that are filled; 0 in the others.
#[inline(always)]
fn softmax_of_filled(scores: &mut [f32], index: &[i32]) {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for (score, &entry) in scores.iter_mut().zip(index) {
        *score = if entry < 0 {
            0.0
        } else {
            exp(*score - largest)
        };
        sum += *score;
    }
    if sum != 0.0 {
        let factor = 1.0 / sum;
        scores.iter_mut().for_each(|score| *score *= factor);
    }
}

/// Where the gradients of the operands go, in their shapes; all are added to. Empty: unwanted.
pub(crate) struct OperandGradients<'a> {
    pub q: &'a mut [f32],
    pub k: &'a mut [f32],
    pub v: &'a mut [f32],
    pub bias: &'a mut [f32],
}

/// Backward of [`attention_read`] from the gradient of the readout.
#[multiversion(targets = "simd")]
pub(crate) fn attention_read_gradient(
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
    } = gradients;
    let heads = slots.heads;
    let mut d_scores = vec![0.0; slots.slots];
    for (m, index) in slots.index.chunks_exact(slots.slots).enumerate() {
        for head in 0..heads {
            let row = m * heads + head;
            let q = &q[row * d..][..d];
            let d_readout = &d_readout[row * dv..][..dv];
            let weights = &weights[row * slots.slots..][..slots.slots];
            for ((d_score, &weight), &entry) in d_scores.iter_mut().zip(weights).zip(index) {
                *d_score = 0.0;
                if let Ok(entry) = usize::try_from(entry) {
                    let at = (entry * heads + head) * dv;
                    *d_score = dot(d_readout, &v[at..][..dv]);
                    if !d_v.is_empty() {
                        add_scaled(&mut d_v[at..][..dv], weight, d_readout);
                    }
                }
            }
            let mean = dot(&d_scores, weights);
            for ((&d_score, &weight), &entry) in d_scores.iter().zip(weights).zip(index) {
                if let Ok(entry) = usize::try_from(entry) {
                    let d_score = weight * (d_score - mean);
                    let at = (entry * heads + head) * d;
                    if !dq.is_empty() {
                        add_scaled(
                            &mut dq[row * d..][..d],
                            d_score * slots.scale,
                            &k[at..][..d],
                        );
                    }
                    if !dk.is_empty() {
                        add_scaled(&mut dk[at..][..d], d_score * slots.scale, q);
                    }
                    if !d_bias.is_empty() {
                        d_bias[entry] += d_score;
                    }
                }
            }
        }
    }
}
