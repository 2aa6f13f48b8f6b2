//! Layer normalisation (Ba et al. 2016, arXiv 1607.06450).
//!
//! Sums within a row end with vectors that are folded to a number. Sixteen rows are folded together, which keeps the order of
//! additions of [`sum`] and [`dot`].

use multiversion::multiversion;

use super::folds::fold;
use super::lanes::LANES;
use super::math::{dot, fma_lanes, one_by_one, sum, zip_lanes};

/// Added to the variance; the usual value.
const EPSILON: f32 = 1e-5;

/// Numbers of the rows that are computed in blocks: whole blocks, if rows are whole vectors.
#[inline(always)]
fn in_blocks(len: usize, columns: usize) -> usize {
    match columns.is_multiple_of(LANES) {
        true => len / (LANES * columns) * (LANES * columns),
        false => 0,
    }
}

/// For each row of `x` `[rows, columns]`: `normalised = (x - mean) / sd`, `y = normalised * gain +
/// bias`. `scale[row]` becomes 1 / sd.
#[multiversion(targets = "simd")]
pub(crate) fn layer_norm(
    y: &mut [f32],
    normalised: &mut [f32],
    scale: &mut [f32],
    x: &[f32],
    gain: &[f32],
    bias: &[f32],
) {
    let columns = gain.len();
    let whole = in_blocks(x.len(), columns);
    let (blocks, x) = x.split_at(whole);
    let (y_blocks, y) = y.split_at_mut(whole);
    let (normalised_blocks, normalised) = normalised.split_at_mut(whole);
    let (scales, scale) = scale.split_at_mut(whole / columns.max(1));
    let block = LANES * columns;
    if !blocks.is_empty() {
        let outputs = y_blocks
            .chunks_exact_mut(block)
            .zip(normalised_blocks.chunks_exact_mut(block))
            .zip(scales.as_chunks_mut::<LANES>().0);
        for (x, ((y, normalised), scale)) in blocks.chunks_exact(block).zip(outputs) {
            norm_block((y, normalised, scale), x, gain, bias);
        }
    }
    norm_rows((y, normalised, scale), x, gain, bias);
}

#[inline(always)]
fn norm_block(
    (y, normalised, scale): (&mut [f32], &mut [f32], &mut [f32; LANES]),
    x: &[f32],
    gain: &[f32],
    bias: &[f32],
) {
    let columns = gain.len();
    let mut vectors = [[0.0; LANES]; LANES];
    for (sums, x) in vectors.iter_mut().zip(x.chunks_exact(columns)) {
        for x in x.as_chunks::<LANES>().0 {
            *sums = zip_lanes(*sums, *x, |sum, x| sum + x);
        }
    }
    let totals = fold(&vectors);
    let rows = x
        .chunks_exact(columns)
        .zip(normalised.chunks_exact_mut(columns));
    for ((squares, total), (x, normalised)) in vectors.iter_mut().zip(totals).zip(rows) {
        let mean = total / columns as f32;
        *squares = [0.0; LANES];
        let chunks = normalised.as_chunks_mut::<LANES>().0.iter_mut();
        for (n, x) in chunks.zip(x.as_chunks::<LANES>().0) {
            *n = x.map(|x| x - mean);
            *squares = fma_lanes(*n, *n, *squares);
        }
    }
    // Like `dot`, which adds what is left of a row: nothing.
    let squares = fold(&vectors).map(|square| square + 0.0);
    for row in 0..LANES {
        let variance = squares[row] / columns as f32;
        scale[row] = 1.0 / (variance + EPSILON).sqrt();
    }
    let rows = y
        .chunks_exact_mut(columns)
        .zip(normalised.chunks_exact_mut(columns));
    for ((y, normalised), scale) in rows.zip(&*scale) {
        let chunks = y.as_chunks_mut::<LANES>().0.iter_mut();
        let chunks = chunks.zip(normalised.as_chunks_mut::<LANES>().0);
        let weights = gain.as_chunks::<LANES>().0.iter();
        let weights = weights.zip(bias.as_chunks::<LANES>().0);
        for ((y, n), (gain, bias)) in chunks.zip(weights) {
            one_by_one();
            *n = n.map(|n| n * scale);
            *y = fma_lanes(*n, *gain, *bias);
        }
    }
}

#[inline(always)]
fn norm_rows(
    (y, normalised, scale): (&mut [f32], &mut [f32], &mut [f32]),
    x: &[f32],
    gain: &[f32],
    bias: &[f32],
) {
    let columns = gain.len();
    // Loops whose bounds are checked inside do not become vectors.
    let bias = &bias[..columns];
    let rows = x.chunks_exact(columns).zip(scale);
    let outputs = y
        .chunks_exact_mut(columns)
        .zip(normalised.chunks_exact_mut(columns));
    for ((x, scale), (y, normalised)) in rows.zip(outputs) {
        let mean = sum(x) / columns as f32;
        for (n, x) in normalised.iter_mut().zip(x) {
            *n = x - mean;
        }
        let variance = dot(normalised, normalised) / columns as f32;
        *scale = 1.0 / (variance + EPSILON).sqrt();
        for i in 0..columns {
            normalised[i] *= *scale;
            y[i] = normalised[i].mul_add(gain[i], bias[i]);
        }
    }
}

/// Turns the gradient of `y` into the gradient of `x`, in place, and adds to the gradient of the
/// gain. (The gradient of the bias is the sum of the rows of `dy`.)
#[multiversion(targets = "simd")]
pub(crate) fn layer_norm_gradient(
    dy: &mut [f32],
    d_gain: &mut [f32],
    normalised: &[f32],
    scale: &[f32],
    gain: &[f32],
) {
    let columns = gain.len();
    let whole = in_blocks(dy.len(), columns);
    let (blocks, dy) = dy.split_at_mut(whole);
    let (normalised_blocks, normalised) = normalised.split_at(whole);
    let (scales, scale) = scale.split_at(whole / columns.max(1));
    let block = LANES * columns;
    if !blocks.is_empty() {
        let saved = normalised_blocks.chunks_exact(block);
        let saved = saved.zip(scales.as_chunks::<LANES>().0);
        for (dy, (normalised, scale)) in blocks.chunks_exact_mut(block).zip(saved) {
            gradient_block(dy, d_gain, normalised, scale, gain);
        }
    }
    gradient_rows(dy, d_gain, normalised, scale, gain);
}

#[inline(always)]
fn gradient_block(
    dy: &mut [f32],
    d_gain: &mut [f32],
    normalised: &[f32],
    scale: &[f32; LANES],
    gain: &[f32],
) {
    let columns = gain.len();
    let (mut sums, mut products) = ([[0.0; LANES]; LANES], [[0.0; LANES]; LANES]);
    let rows = dy
        .chunks_exact_mut(columns)
        .zip(normalised.chunks_exact(columns));
    for ((sums, products), (dy, normalised)) in sums.iter_mut().zip(&mut products).zip(rows) {
        let chunks = dy.as_chunks_mut::<LANES>().0.iter_mut();
        let chunks = chunks.zip(normalised.as_chunks::<LANES>().0);
        let weights = d_gain.as_chunks_mut::<LANES>().0.iter_mut();
        let weights = weights.zip(gain.as_chunks::<LANES>().0);
        for ((d, n), (d_gain, gain)) in chunks.zip(weights) {
            *d_gain = fma_lanes(*d, *n, *d_gain);
            *d = zip_lanes(*d, *gain, |d, gain| d * gain);
            *sums = zip_lanes(*sums, *d, |sum, d| sum + d);
            *products = fma_lanes(*d, *n, *products);
        }
    }
    let (sums, products) = (fold(&sums), fold(&products));
    let rows = dy
        .chunks_exact_mut(columns)
        .zip(normalised.chunks_exact(columns));
    for (row, (dy, normalised)) in rows.enumerate() {
        let mean = sums[row] / columns as f32;
        let slope = (products[row] + 0.0) / columns as f32;
        let chunks = dy.as_chunks_mut::<LANES>().0.iter_mut();
        for (d, n) in chunks.zip(normalised.as_chunks::<LANES>().0) {
            one_by_one();
            *d = zip_lanes(*d, *n, |d, n| scale[row] * (d - mean - n * slope));
        }
    }
}

#[inline(always)]
fn gradient_rows(
    dy: &mut [f32],
    d_gain: &mut [f32],
    normalised: &[f32],
    scale: &[f32],
    gain: &[f32],
) {
    let columns = gain.len();
    let d_gain = &mut d_gain[..columns];
    let rows = dy
        .chunks_exact_mut(columns)
        .zip(normalised.chunks_exact(columns));
    for ((dy, normalised), scale) in rows.zip(scale) {
        for i in 0..columns {
            d_gain[i] = dy[i].mul_add(normalised[i], d_gain[i]);
            dy[i] *= gain[i];
        }
        let mean = sum(dy) / columns as f32;
        let slope = dot(dy, normalised) / columns as f32;
        for (d, n) in dy.iter_mut().zip(normalised) {
            *d = scale * (*d - mean - n * slope);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(len: usize, step: f32) -> Vec<f32> {
        (0..len).map(|i| (i as f32 * step).sin()).collect()
    }

    /// Rows that are computed in blocks and one by one have the same bits.
    #[test]
    fn blocks_equal_rows() {
        for columns in [32, 64, 24] {
            let rows = 2 * LANES + 3;
            let (x, dy) = (wave(rows * columns, 0.7), wave(rows * columns, 1.3));
            let (gain, bias) = (wave(columns, 0.4), wave(columns, 0.9));
            let run = |blocks: bool| {
                let [mut y, mut normalised] = [0, 1].map(|_| vec![0.0; rows * columns]);
                let (mut scale, mut d, mut d_gain) =
                    (vec![0.0; rows], dy.clone(), vec![0.5; columns]);
                if blocks {
                    layer_norm(&mut y, &mut normalised, &mut scale, &x, &gain, &bias);
                    layer_norm_gradient(&mut d, &mut d_gain, &normalised, &scale, &gain);
                } else {
                    norm_rows((&mut y, &mut normalised, &mut scale), &x, &gain, &bias);
                    gradient_rows(&mut d, &mut d_gain, &normalised, &scale, &gain);
                }
                [y, normalised, scale, d, d_gain].concat()
            };
            assert_eq!(run(true), run(false));
        }
    }
}
