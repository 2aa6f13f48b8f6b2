//! Rows that belong to blocks in turn: row `r` is one of block `r % blocks`.

use multiversion::multiversion;

use super::math::{add_scaled, dot, sigmoid};

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

/// Sizes of a read of one entry by several blocks: of a query, which is also that of the key before the value in an entry.
#[derive(Clone, Copy)]
pub(crate) struct EntryRead {
    pub blocks: usize,
    pub key: usize,
    pub value: usize,
    /// Factor on q·k.
    pub scale: f32,
}

/// Each of `blocks` queries `[lanes * blocks, key]` reads the one entry of its lane, `entries` `[lanes, key + value]`, with
/// the weight σ(scale · q·k). Writes `read` `[lanes * blocks, value]` and the scores `[lanes * blocks]`.
#[multiversion(targets = "simd")]
pub(crate) fn read_entry(
    (read, scores): (&mut [f32], &mut [f32]),
    queries: &[f32],
    entries: &[f32],
    sizes: EntryRead,
) {
    let rows = queries
        .chunks_exact(sizes.key)
        .zip(read.chunks_exact_mut(sizes.value));
    for (row, ((query, read), score)) in rows.zip(scores).enumerate() {
        let entry = &entries[row / sizes.blocks * (sizes.key + sizes.value)..];
        let (key, value) = entry[..sizes.key + sizes.value].split_at(sizes.key);
        *score = sizes.scale * dot(query, key);
        let weight = sigmoid(*score);
        for (read, value) in read.iter_mut().zip(value) {
            *read = weight * value;
        }
    }
}

/// Backward pass of [`read_entry`]: writes `d_queries` and adds to `d_entries`.
#[multiversion(targets = "simd")]
pub(crate) fn read_entry_gradient(
    (d_queries, d_entries): (&mut [f32], &mut [f32]),
    d_read: &[f32],
    (queries, entries, scores): (&[f32], &[f32], &[f32]),
    sizes: EntryRead,
) {
    let width = sizes.key + sizes.value;
    let rows = d_queries
        .chunks_exact_mut(sizes.key)
        .zip(d_read.chunks_exact(sizes.value));
    for (row, (d_query, d_read)) in rows.enumerate() {
        let start = row / sizes.blocks * width;
        let (key, value) = entries[start..start + width].split_at(sizes.key);
        let (d_key, d_value) = d_entries[start..start + width].split_at_mut(sizes.key);
        let weight = sigmoid(scores[row]);
        let d_score = sizes.scale * weight * (1.0 - weight) * dot(d_read, value);
        for (d, key) in d_query.iter_mut().zip(key) {
            *d = d_score * key;
        }
        add_scaled(d_key, d_score, &queries[row * sizes.key..][..sizes.key]);
        add_scaled(d_value, weight, d_read);
    }
}
