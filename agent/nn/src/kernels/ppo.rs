//! The pointwise part of PPO's policy loss, over all rows at once.

use std::ops::Range;

use multiversion::multiversion;

use super::math::{exp, exp_m1, ln};
use crate::normal::HALF_LN_TAU;

/// Distribution of one component of an action in every row: log-probabilities and probabilities of
/// every choice, and the entropy of each row. They are stored choice by choice (`[A, M]`), so that
/// neighbouring rows share a vector register.
pub(crate) struct Policy {
    /// The component's columns in the logits.
    pub columns: Range<usize>,
    pub log_probs: Vec<f32>,
    pub probs: Vec<f32>,
    pub entropy: Vec<f32>,
}

/// Softmax of some columns of `logits` `[M, width]`.
#[multiversion(targets = "simd")]
pub(crate) fn policy(logits: &[f32], width: usize, columns: Range<usize>) -> Policy {
    let rows = logits.len() / width;
    let (first, num_actions) = (columns.start, columns.len());
    let mut log_probs = vec![0.0; rows * num_actions];
    let mut probs = vec![0.0; rows * num_actions];
    let mut largest = vec![f32::NEG_INFINITY; rows];
    for (action, column) in log_probs.chunks_exact_mut(rows.max(1)).enumerate() {
        for ((x, row), largest) in column.iter_mut().zip(0..).zip(&mut largest) {
            *x = logits[row * width + first + action];
            *largest = if *x > *largest { *x } else { *largest };
        }
    }
    let mut sums = vec![0.0; rows];
    let actions = log_probs
        .chunks_exact_mut(rows.max(1))
        .zip(probs.chunks_exact_mut(rows.max(1)));
    for (column, probs) in actions {
        for (((x, prob), largest), sum) in column.iter_mut().zip(probs).zip(&largest).zip(&mut sums)
        {
            *x -= largest;
            *prob = exp(*x);
            *sum += *prob;
        }
    }
    let mut entropy = vec![0.0; rows];
    let log_sums: Vec<f32> = sums.iter().map(|sum| ln(*sum)).collect();
    let actions = log_probs
        .chunks_exact_mut(rows.max(1))
        .zip(probs.chunks_exact_mut(rows.max(1)));
    for (column, probs) in actions {
        for row in 0..rows {
            column[row] -= log_sums[row];
            probs[row] /= sums[row];
            entropy[row] -= probs[row] * column[row];
        }
    }
    Policy {
        columns,
        log_probs,
        probs,
        entropy,
    }
}

/// Normal distribution of one number of an action in every row, at the number that was taken.
pub(crate) struct Normal {
    /// The column of the mean μ.
    pub mean: usize,
    /// The column of the logarithm s of the deviation.
    pub log_std: usize,
    /// `−½ z² − s − ½ ln 2π`, where `z = (a − μ) e^{−s}`.
    pub log_probs: Vec<f32>,
    /// `s + ½ ln 2πe`.
    pub entropy: Vec<f32>,
    /// `z`.
    apart: Vec<f32>,
    /// `e^{−s}`.
    precision: Vec<f32>,
}

/// Distributions whose means and log deviations are two columns of `outputs` `[M, width]`, at the numbers `actions`.
#[multiversion(targets = "simd")]
pub(crate) fn normal(
    outputs: &[f32],
    width: usize,
    (mean, log_std): (usize, usize),
    actions: &[f32],
) -> Normal {
    let rows = actions.len();
    let [mut log_probs, mut entropy, mut apart, mut precision] =
        std::array::from_fn(|_| vec![0.0; rows]);
    for row in 0..rows {
        let s = outputs[row * width + log_std];
        precision[row] = exp(-s);
        apart[row] = (actions[row] - outputs[row * width + mean]) * precision[row];
        log_probs[row] = -0.5 * apart[row] * apart[row] - s - HALF_LN_TAU;
        entropy[row] = s + 0.5 + HALF_LN_TAU;
    }
    Normal {
        mean,
        log_std,
        log_probs,
        entropy,
        apart,
        precision,
    }
}

/// Writes the two columns of a number in the gradient `[M, width]` that [`logits_gradient`] writes: `slope z e^{−s}` for μ
/// and `slope (z² − 1) − ent_coef` for s, weighted.
#[multiversion(targets = "simd")]
pub(crate) fn normal_gradient(
    normal: &Normal,
    slope: &[f32],
    weights: &[f32],
    ent_coef: f32,
    width: usize,
    gradient: &mut [f32],
) {
    for row in 0..weights.len() {
        let (z, first) = (normal.apart[row], row * width);
        gradient[first + normal.mean] = weights[row] * slope[row] * z * normal.precision[row];
        gradient[first + normal.log_std] = weights[row] * (slope[row] * (z * z - 1.0) - ent_coef);
    }
}

/// Terms of each row before weighting, and the slope of the policy loss.
pub(crate) struct Surrogate {
    /// `max(-A r, -A clip(r))`.
    pub loss: Vec<f32>,
    /// Its derivative with respect to the log-probability of the action.
    pub slope: Vec<f32>,
    /// `(r - 1) - ln r`.
    pub kl: Vec<f32>,
    /// 1 where `r` is outside the range.
    pub clipped: Vec<f32>,
}

/// The clipped surrogate from log-ratios and advantages.
#[multiversion(targets = "simd")]
pub(crate) fn surrogate(log_ratios: &[f32], advantages: &[f32], clip: f32) -> Surrogate {
    let rows = log_ratios.len();
    let [mut loss, mut slope, mut kl, mut clipped] = std::array::from_fn(|_| vec![0.0; rows]);
    for row in 0..rows {
        let change = exp_m1(log_ratios[row]);
        let unclipped_loss = -advantages[row] * (change + 1.0);
        let clipped_loss = -advantages[row] * (change.clamp(-clip, clip) + 1.0);
        // The two are equal inside the range. `<` instead of `>=` passes a NaN on to the gradient.
        let constant = unclipped_loss < clipped_loss;
        loss[row] = if constant {
            clipped_loss
        } else {
            unclipped_loss
        };
        slope[row] = if constant { 0.0 } else { unclipped_loss };
        kl[row] = change - log_ratios[row];
        clipped[row] = if change.abs() > clip { 1.0 } else { 0.0 };
    }
    Surrogate {
        loss,
        slope,
        kl,
        clipped,
    }
}

/// Writes one component's columns of the gradient `[M, width]` of `Σ_m weight_m (policy loss -
/// ent_coef · entropy)` with respect to logits: `slope (1[action] - p) + ent_coef · p (ln p +
/// entropy)`, weighted. `actions` holds this component of the actions taken.
#[multiversion(targets = "simd")]
pub(crate) fn logits_gradient(
    policy: &Policy,
    slope: &[f32],
    actions: &[u32],
    weights: &[f32],
    ent_coef: f32,
    width: usize,
    gradient: &mut [f32],
) {
    let rows = actions.len();
    let first = policy.columns.start;
    for action in 0..policy.columns.len() {
        let log_probs = &policy.log_probs[action * rows..][..rows];
        let probs = &policy.probs[action * rows..][..rows];
        for row in 0..rows {
            let taken = if actions[row] as usize == action {
                1.0
            } else {
                0.0
            };
            let surprise = log_probs[row] + policy.entropy[row];
            let through_entropy = ent_coef * probs[row] * surprise;
            let d = slope[row].mul_add(taken - probs[row], through_entropy);
            gradient[row * width + first + action] = weights[row] * d;
        }
    }
}

/// `Σ weight · term`, in `f64` because thousands of small terms are added.
#[multiversion(targets = "simd")]
pub(crate) fn weighted_sum(terms: &[f32], weights: &[f32]) -> f64 {
    const LANES: usize = 8;
    let mut partial = [0.0f64; LANES];
    let ((terms, terms_tail), (weights, weights_tail)) =
        (terms.as_chunks::<LANES>(), weights.as_chunks::<LANES>());
    for (terms, weights) in terms.iter().zip(weights) {
        for lane in 0..LANES {
            partial[lane] += f64::from(terms[lane]) * f64::from(weights[lane]);
        }
    }
    let mut total = 0.0;
    for (term, weight) in terms_tail.iter().zip(weights_tail) {
        total += f64::from(*term) * f64::from(*weight);
    }
    for partial in partial {
        total += partial;
    }
    total
}
