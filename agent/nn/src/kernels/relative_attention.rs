//! Attention of rows to windows of the sequences that they stand in, with scores of contents and of distances (Dai et al.
//! 2019, arXiv:1901.02860, section 3.3).
//!
//! Some rows of a sequence, one after the other, read nearly the same entries. So a block of rows is computed with all the
//! entries that any of them reads, in matrix products; the scores beyond a row's own window are left out of its softmax.
//! Scores and weights stand with a line for each entry and a lane for each row: then a vector holds all rows of a block, and
//! sums over a window are sums of vectors.

use std::ops::Range;

use multiversion::multiversion;

use super::lanes::{LANES, softmax};
use super::math::{fma_lanes, one_by_one, zip_lanes};
use super::matmul::{add_matmul_transposed, append_matmul_bias};
use super::parts::{add_rows, copy_rows, put_rows};
use super::transpose::{transpose, transpose_into};

/// Sequences of entries, and how far the rows look back in them. Rows are time-major: row `t * sequences + s` is that of
/// the last steps of sequence `s`.
#[derive(Clone, Debug, Default)]
pub struct Windows {
    /// The entries of all sequences in the tables of keys and values, one sequence after another, the oldest entry first.
    pub entries: Vec<u32>,
    /// How many entries each sequence has. The last are those of its rows.
    pub counts: Vec<usize>,
    /// How many entries each row reads: the last is its own.
    pub lengths: Vec<u32>,
}

impl Windows {
    /// Returns the length of the longest window.
    pub fn longest(&self) -> usize {
        self.lengths.iter().copied().max().unwrap_or(0) as usize
    }

    /// Returns the entries that each row reads, the latest first, filled up with -1: `[rows, longest]`.
    pub(crate) fn index(&self) -> Vec<i32> {
        let longest = self.longest();
        let mut index = vec![-1; self.lengths.len() * longest];
        let mut first = 0;
        for (sequence, &count) in self.counts.iter().enumerate() {
            let entries = &self.entries[first..first + count];
            for Row { row, window } in self.rows(sequence, 0..self.steps()) {
                let places = index[row * longest..].iter_mut();
                for (place, &entry) in places.zip(entries[window].iter().rev()) {
                    *place = entry as i32;
                }
            }
            first += count;
        }
        index
    }

    fn steps(&self) -> usize {
        let sequences = self.counts.len();
        self.lengths.len().checked_div(sequences).unwrap_or(0)
    }

    /// Returns the rows of some steps of a sequence, with their windows among its entries.
    fn rows(&self, sequence: usize, steps: Range<usize>) -> impl Iterator<Item = Row> {
        let before = self.counts[sequence] - self.steps();
        steps.map(move |t| {
            let row = t * self.counts.len() + sequence;
            let end = before + t + 1;
            Row {
                row,
                window: end - self.lengths[row] as usize..end,
            }
        })
    }

    /// Returns all rows in blocks.
    fn blocks(&self) -> Vec<Block<'_>> {
        let (mut blocks, mut start) = (Vec::new(), 0);
        for (sequence, &count) in self.counts.iter().enumerate() {
            let entries = &self.entries[start..start + count];
            for t in (0..self.steps()).step_by(LANES) {
                let steps = t..(t + LANES).min(self.steps());
                let mut rows: Vec<Row> = self.rows(sequence, steps).collect();
                let first = rows.iter().map(|row| row.window.start).min().unwrap_or(0);
                let end = rows.last().map_or(first, |row| row.window.end);
                for row in &mut rows {
                    row.window = row.window.start - first..row.window.end - first;
                }
                blocks.push(Block {
                    numbers: rows.iter().map(|row| row.row as u32).collect(),
                    rows,
                    entries: &entries[first..end],
                });
            }
            start += count;
        }
        blocks
    }
}

/// A row, and its window among some entries.
struct Row {
    row: usize,
    window: Range<usize>,
}

/// Rows of a sequence that follow each other, at most [`LANES`], and the entries that they read.
struct Block<'a> {
    rows: Vec<Row>,
    /// The numbers of the rows.
    numbers: Vec<u32>,
    entries: &'a [u32],
}

impl Block<'_> {
    /// The windows of the rows, lane by lane; empty in lanes without a row.
    fn windows(&self) -> LaneWindows {
        let mut windows = LaneWindows {
            first: [0; LANES],
            end: [0; LANES],
        };
        for (lane, Row { window, .. }) in self.rows.iter().enumerate() {
            windows.first[lane] = window.start as u32;
            windows.end[lane] = window.end as u32;
        }
        windows
    }

    /// Where the scores of distances of the block's first entry begin, among those of all rows with paddings: a row's last
    /// distance, 0, belongs to the last entry of its window. Each row's begin one number less than `longest` after those of
    /// the row before.
    fn first_score(&self, longest: usize) -> usize {
        let end = self.rows.first().map_or(0, |row| row.window.end);
        self.entries.len() + longest - end
    }
}

/// The first place and the end of the windows of a block's rows, among its entries.
struct LaneWindows {
    first: [u32; LANES],
    end: [u32; LANES],
}

impl LaneWindows {
    /// Returns the scores of a place, −∞ in the lanes whose windows do not have it. They are passed by value, as to
    /// [`zip_lanes`].
    #[inline(always)]
    fn only_within(&self, place: u32, scores: [f32; LANES]) -> [f32; LANES] {
        let mut kept = scores;
        for lane in 0..LANES {
            let is_within = (place >= self.first[lane]) & (place < self.end[lane]);
            kept[lane] = if is_within {
                scores[lane]
            } else {
                f32::NEG_INFINITY
            };
        }
        kept
    }
}

/// The queries `q` `[rows, heads * d]`, the tables `k` and `v` `[entries, heads * d]`, what all queries ask of contents and
/// of distances `[heads * d]`, and the keys of distances `[longest, heads * d]` or more.
#[derive(Clone, Copy)]
pub(crate) struct Operands<'a> {
    pub q: &'a [f32],
    pub k: &'a [f32],
    pub v: &'a [f32],
    pub content_bias: &'a [f32],
    pub distance_bias: &'a [f32],
    pub distances: &'a [f32],
    pub heads: usize,
    /// Numbers of a head.
    pub d: usize,
    /// Factor on all scores.
    pub scale: f32,
}

impl Operands<'_> {
    /// The range of a head in a row of a matrix.
    fn part(&self, row: usize, head: usize) -> Range<usize> {
        let first = (row * self.heads + head) * self.d;
        first..first + self.d
    }

    /// Copies a head of the entries of a block to `out`, `[entries, d]`.
    fn gather(&self, out: &mut Vec<f32>, table: &[f32], block: &Block<'_>, head: usize) {
        out.resize(block.entries.len() * self.d, 0.0);
        copy_rows(out, table, block.entries, (head, self.heads));
    }

    /// Copies a head of the rows of a block to `out`, `[LANES, d]`, with zeros in lanes without a row.
    fn gather_rows(&self, out: &mut Vec<f32>, all: &[f32], block: &Block<'_>, head: usize) {
        out.resize(LANES * self.d, 0.0);
        let (filled, rest) = out.split_at_mut(block.rows.len() * self.d);
        copy_rows(filled, all, &block.numbers, (head, self.heads));
        rest.fill(0.0);
    }

    /// Writes what a head of the rows of a block asks, times the factor on scores, to `out`, as in
    /// [`gather_rows`](Self::gather_rows): `bias` and their queries.
    fn ask_rows(&self, out: &mut Vec<f32>, bias: &[f32], block: &Block<'_>, head: usize) {
        self.gather_rows(out, self.q, block, head);
        let filled = &mut out[..block.rows.len() * self.d];
        shift_and_scale(filled, &bias[self.part(0, head)], self.scale);
    }

    /// Returns the scores of all rows at the distances from 0 on, `[rows, heads, count]`.
    pub(crate) fn distance_scores(&self, count: usize) -> Vec<f32> {
        let rows = self.q.len() / (self.heads * self.d);
        let numbers: Vec<u32> = (0..rows.max(count) as u32).collect();
        let mut asked = self.q.to_vec();
        shift_and_scale(&mut asked, self.distance_bias, self.scale);
        let mut scores = vec![0.0; rows * self.heads * count];
        let mut queries = vec![0.0; rows * self.d];
        let (mut keys, mut products) = (vec![0.0; count * self.d], Vec::new());
        for head in 0..self.heads {
            let part = (head, self.heads);
            copy_rows(&mut queries, &asked, &numbers[..rows], part);
            copy_rows(&mut keys, self.distances, &numbers[..count], part);
            let keys = transpose(&keys, count, self.d);
            products.clear();
            append_matmul_bias(&mut products, &queries, &keys, &[], (rows, self.d, count));
            for (row, products) in products.chunks_exact(count).enumerate() {
                scores[(row * self.heads + head) * count..][..count].copy_from_slice(products);
            }
        }
        scores
    }

    /// Returns what all rows ask of contents, without the factor on scores.
    pub(crate) fn content_queries(&self) -> Vec<f32> {
        let mut asked = self.q.to_vec();
        shift_and_scale(&mut asked, self.content_bias, 1.0);
        asked
    }

    /// Returns the keys of distances for a head, `[longest, d]`, the longest first: as the entries of a window stand.
    fn reversed_distances(&self, longest: usize, head: usize) -> Vec<f32> {
        let distances = (0..longest).rev();
        distances
            .flat_map(|distance| &self.distances[self.part(distance, head)])
            .copied()
            .collect()
    }
}

/// `x = factor · (x + bias)`, row by row.
#[multiversion(targets = "simd")]
fn shift_and_scale(x: &mut [f32], bias: &[f32], factor: f32) {
    for row in x.chunks_exact_mut(bias.len()) {
        for (x, bias) in row.iter_mut().zip(bias) {
            *x = factor * (*x + bias);
        }
    }
}

/// Writes `readout` `[rows, heads * d]`, and returns the weights for [`relative_read_gradient`].
pub(crate) fn relative_read(
    readout: &mut [f32],
    operands: Operands<'_>,
    windows: &Windows,
) -> Vec<f32> {
    let (d, longest, blocks) = (operands.d, windows.longest(), windows.blocks());
    let entries = blocks.iter().map(|block| block.entries.len());
    let mut weights = Vec::with_capacity(operands.heads * LANES * entries.sum::<usize>());
    let [mut gathered, mut asked, mut of_distances, mut read] = std::array::from_fn(|_| Vec::new());
    let (mut queries, mut shifted) = (vec![0.0; d * LANES], Vec::new());
    for head in 0..operands.heads {
        let distances = operands.reversed_distances(longest, head);
        let distances = transpose(&distances, longest, d);
        for block in &blocks {
            let (rows, entries) = (block.rows.len(), block.entries.len());
            operands.ask_rows(&mut asked, operands.distance_bias, block, head);
            of_distances.clear();
            of_distances.resize(entries, 0.0);
            let asked_of_distances = &asked[..rows * d];
            let sizes = (rows, d, longest);
            append_matmul_bias(
                &mut of_distances,
                asked_of_distances,
                &distances,
                &[],
                sizes,
            );
            of_distances.resize(of_distances.len() + entries, 0.0);
            shifted.resize(entries * LANES, 0.0);
            let scores = (&of_distances[block.first_score(longest)..], longest - 1);
            transpose_into((&mut shifted, LANES), scores, (rows, entries));

            operands.ask_rows(&mut asked, operands.content_bias, block, head);
            transpose_into((&mut queries, LANES), (&asked, d), (LANES, d));
            operands.gather(&mut gathered, operands.k, block, head);
            let first = weights.len();
            append_matmul_bias(&mut weights, &gathered, &queries, &[], (entries, d, LANES));
            let weights = &mut weights[first..];
            softmax_of_windows(weights, &shifted, &block.windows());

            operands.gather(&mut gathered, operands.v, block, head);
            read.clear();
            add_matmul_transposed(&mut read, weights, &gathered, (LANES, entries, d));
            put_rows(
                readout,
                &read[..rows * d],
                &block.numbers,
                (head, operands.heads),
            );
        }
    }
    weights
}

/// Adds the scores of distances to the scores of contents, both `[entries, LANES]`, and replaces the sums by their softmax
/// over each lane's window, 0 beyond it.
#[multiversion(targets = "simd")]
fn softmax_of_windows(scores: &mut [f32], of_distances: &[f32], windows: &LaneWindows) {
    let scores = scores.as_chunks_mut::<LANES>().0;
    let of_distances = of_distances.as_chunks::<LANES>().0;
    for (place, (scores, shifted)) in scores.iter_mut().zip(of_distances).enumerate() {
        one_by_one();
        let sums = zip_lanes(*scores, *shifted, |score, shifted| score + shifted);
        *scores = windows.only_within(place as u32, sums);
    }
    softmax(scores);
}

/// Output buffers for the gradients of the operands, in the operands' shapes, of zeros. An empty buffer of keys or values
/// means that no gradient is needed.
pub(crate) struct Gradients<'a> {
    /// Of the queries as they ask of contents.
    pub content_queries: &'a mut [f32],
    /// Of the queries as they ask of distances.
    pub distance_queries: &'a mut [f32],
    pub k: &'a mut [f32],
    pub v: &'a mut [f32],
    pub distances: &'a mut [f32],
}

/// Backward pass of [`relative_read`], from the gradient of the readout.
#[expect(
    clippy::too_many_lines,
    reason = "one pass over the blocks, whose scratch space is shared by all of its parts"
)]
pub(crate) fn relative_read_gradient(
    gradients: Gradients<'_>,
    d_readout: &[f32],
    mut weights: &[f32],
    operands: Operands<'_>,
    windows: &Windows,
) {
    let (d, longest, blocks) = (operands.d, windows.longest(), windows.blocks());
    let [
        mut gathered,
        mut asked,
        mut d_read,
        mut d_scores,
        mut d_shifted,
    ] = std::array::from_fn(|_| Vec::new());
    let [mut d_asked, mut d_entries, mut by_row] = std::array::from_fn(|_| Vec::new());
    let mut d_read_by_lane = vec![0.0; d * LANES];
    for head in 0..operands.heads {
        let part = (head, operands.heads);
        let distances = operands.reversed_distances(longest, head);
        let mut d_distances = vec![0.0; distances.len()];
        for block in &blocks {
            let (rows, entries) = (block.rows.len(), block.entries.len());
            let of_block;
            (of_block, weights) = weights.split_at(entries * LANES);
            let numbers = &block.numbers;
            operands.gather_rows(&mut d_read, d_readout, block, head);
            // The entries' contents, then the scores.
            if !gradients.v.is_empty() {
                d_entries.clear();
                append_matmul_bias(&mut d_entries, of_block, &d_read, &[], (entries, LANES, d));
                add_rows(gradients.v, &d_entries, block.entries, part, 1.0);
            }
            transpose_into((&mut d_read_by_lane, LANES), (&d_read, d), (LANES, d));
            operands.gather(&mut gathered, operands.v, block, head);
            d_scores.clear();
            let sizes = (entries, d, LANES);
            append_matmul_bias(&mut d_scores, &gathered, &d_read_by_lane, &[], sizes);
            score_gradients(&mut d_scores, of_block);
            // Keys, and the queries of contents.
            if !gradients.k.is_empty() {
                operands.ask_rows(&mut asked, operands.content_bias, block, head);
                d_entries.clear();
                append_matmul_bias(&mut d_entries, &d_scores, &asked, &[], (entries, LANES, d));
                add_rows(gradients.k, &d_entries, block.entries, part, 1.0);
            }
            operands.gather(&mut gathered, operands.k, block, head);
            by_row.resize(LANES * entries, 0.0);
            transpose_into((&mut by_row, entries), (&d_scores, LANES), (entries, LANES));
            let by_row = &by_row[..rows * entries];
            d_asked.clear();
            append_matmul_bias(&mut d_asked, by_row, &gathered, &[], (rows, entries, d));
            add_rows(
                gradients.content_queries,
                &d_asked,
                numbers,
                part,
                operands.scale,
            );
            // Distances, and the queries of distances.
            d_shifted.clear();
            d_shifted.resize(rows * longest, 0.0);
            copy_windows(&mut d_shifted, by_row, block, longest);
            operands.ask_rows(&mut asked, operands.distance_bias, block, head);
            let asked = &asked[..rows * d];
            add_matmul_transposed(&mut d_distances, &d_shifted, asked, (longest, rows, d));
            d_asked.clear();
            let sizes = (rows, longest, d);
            append_matmul_bias(&mut d_asked, &d_shifted, &distances, &[], sizes);
            add_rows(
                gradients.distance_queries,
                &d_asked,
                numbers,
                part,
                operands.scale,
            );
        }
        for (distance, d_distance) in d_distances.rchunks_exact(d).enumerate() {
            gradients.distances[operands.part(distance, head)].copy_from_slice(d_distance);
        }
    }
}

/// Backward pass of [`softmax_of_windows`]: turns the gradient of the weights into that of the scores, both `[entries,
/// LANES]`.
#[multiversion(targets = "simd")]
fn score_gradients(d_scores: &mut [f32], weights: &[f32]) {
    let d_scores = d_scores.as_chunks_mut::<LANES>().0;
    let weights = weights.as_chunks::<LANES>().0;
    let mut mean = [0.0; LANES];
    for (d, weights) in d_scores.iter().zip(weights) {
        mean = fma_lanes(*d, *weights, mean);
    }
    for (d, weights) in d_scores.iter_mut().zip(weights) {
        one_by_one();
        let excess = zip_lanes(*d, mean, |d, mean| d - mean);
        *d = zip_lanes(*weights, excess, |weight, d| weight * d);
    }
}

/// Copies the windows of the rows of `scores` `[rows, entries]` to the ends of the rows of `shifted` `[rows, longest]`.
fn copy_windows(shifted: &mut [f32], scores: &[f32], block: &Block<'_>, longest: usize) {
    let rows = shifted.chunks_exact_mut(longest);
    let rows = rows.zip(scores.chunks_exact(block.entries.len()));
    for ((shifted, scores), Row { window, .. }) in rows.zip(&block.rows) {
        shifted[longest - window.len()..].copy_from_slice(&scores[window.clone()]);
    }
}
