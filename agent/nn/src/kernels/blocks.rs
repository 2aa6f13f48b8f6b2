//! Rows that belong to blocks in turn: row `r` is one of block `r % blocks`.

use multiversion::multiversion;

/// Copies the rows of one block of `x` `[rows, columns]` to `out`, whose earlier content is dropped.
#[multiversion(targets = "simd")]
pub(crate) fn gather_block(
    out: &mut Vec<f32>,
    x: &[f32],
    columns: usize,
    (block, blocks): (usize, usize),
) {
    out.clear();
    for row in x.chunks_exact(columns).skip(block).step_by(blocks) {
        out.extend_from_slice(row);
    }
}

/// Copies `rows` to where [`gather_block`] took them from.
#[multiversion(targets = "simd")]
pub(crate) fn scatter_block(
    out: &mut [f32],
    rows: &[f32],
    columns: usize,
    (block, blocks): (usize, usize),
) {
    let places = out.chunks_exact_mut(columns).skip(block).step_by(blocks);
    for (place, row) in places.zip(rows.chunks_exact(columns)) {
        place.copy_from_slice(row);
    }
}
