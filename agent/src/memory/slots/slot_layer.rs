//! A layer in which the entries of a memory attend to each other before the present reads them.

use std::cmp::Ordering;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::state::EMPTY;
use crate::memory::sequence::block::Block;
use crate::memory::{CoreContext, Slots};
use crate::nn::{Graph, GruGateParams, Tensor, values};

/// How the entries of a memory are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum MemoryReader {
    /// The present attends to the entries.
    Attention,
    /// Before that, all entries attend to each other.
    Transformer,
    /// Before that, each entry attends to its neighbours.
    Graph,
}

/// The time of an entry that is no single step's: a sum's.
pub const TIMELESS: f32 = f32::INFINITY;
/// Edges from an entry to those most like it.
const NEAREST: usize = 4;
/// Edges of an entry: to itself, to those written just before and after it, and to those most like it.
const EDGES: usize = 3 + NEAREST;

/// A block of a transformer whose result joins the entries through a gate (Parisotto et al. 2020, arXiv:1910.06764,
/// section 3.2).
pub struct SlotLayer {
    block: Block,
    gate: GruGateParams,
    has_edges: bool,
}

impl SlotLayer {
    /// Adds its parameters to the context's; a reader that needs no layer has none.
    pub fn new(reader: MemoryReader, context: &mut CoreContext<'_>) -> Option<Self> {
        let has_edges = match reader {
            MemoryReader::Attention => return None,
            MemoryReader::Transformer => false,
            MemoryReader::Graph => true,
        };
        let dim = context.hyper.get::<Slots>().mem_dim;
        let heads = if dim.is_multiple_of(2) { 2 } else { 1 };
        let block = Block::new("core.reader", dim, heads, context);
        // At first entries are read nearly as they are.
        let gate = context.gru_gate("core.reader.gate", dim);
        Some(Self {
            block,
            gate,
            has_edges,
        })
    }

    /// Passes on entries `[rows * width, mem_dim]`, of `width` places in each row. `times`, as many: the step at which each
    /// was written, [`TIMELESS`], or [`EMPTY`].
    pub fn pass(
        &self,
        graph: &mut Graph<'_>,
        entries: &Tensor,
        times: &[f32],
        width: usize,
    ) -> Tensor {
        let dim = values(entries).len() / times.len().max(1);
        let index = match self.has_edges {
            true => edges(values(entries), dim, times, width),
            false => everyone(times, width),
        };
        let passed = self.block.pass(graph, entries, None, &index);
        graph.gru_gate(entries, &passed.stream, &self.gate)
    }
}

/// Every entry of a row: `[rows * width, width]`, -1 for an empty place.
fn everyone(times: &[f32], width: usize) -> Vec<i32> {
    let mut index = Vec::with_capacity(times.len() * width);
    for (row, times) in times.chunks_exact(width).enumerate() {
        let first = (row * width) as i32;
        let entries = (first..).zip(times);
        let filled = entries.map(|(entry, &time)| if time == EMPTY { -1 } else { entry });
        for _ in times {
            index.extend(filled.clone());
        }
    }
    index
}

/// The neighbours of every entry: `[rows * width, EDGES]`, -1 where there are fewer.
fn edges(entries: &[f32], dim: usize, times: &[f32], width: usize) -> Vec<i32> {
    let mut index = Vec::with_capacity(times.len() * EDGES);
    for (row, times) in times.chunks_exact(width).enumerate() {
        let first = row * width;
        let entries = &entries[first * dim..][..width * dim];
        for place in 0..width {
            let begin = index.len();
            if times[place] != EMPTY {
                let neighbours = neighbours(entries, dim, times, place);
                index.extend(neighbours.iter().map(|&place| (first + place) as i32));
            }
            index.resize(begin + EDGES, -1);
        }
    }
    index
}

/// The neighbours of one entry of a row: itself, those next to it in time, and of the others those most like it.
fn neighbours(entries: &[f32], dim: usize, times: &[f32], place: usize) -> Vec<usize> {
    let others = || (0..times.len()).filter(|&other| times[other] != EMPTY && other != place);
    let timed = || others().filter(|&other| times[other] < TIMELESS);
    let by_time = |&a: &usize, &b: &usize| times[a].total_cmp(&times[b]);
    let mut found = vec![place];
    if times[place] < TIMELESS {
        let before = timed().filter(|&other| times[other] < times[place]);
        let after = timed().filter(|&other| times[other] > times[place]);
        found.extend(before.max_by(by_time));
        found.extend(after.min_by(by_time));
    }
    let entry = |place: usize| &entries[place * dim..][..dim];
    let distance = |other: usize| -> f32 {
        let pairs = entry(place).iter().zip(entry(other));
        pairs.map(|(a, b)| (a - b) * (a - b)).sum()
    };
    let mut rest: Vec<(f32, usize)> = others()
        .filter(|other| !found.contains(other))
        .map(|other| (distance(other), other))
        .collect();
    let nearer = |a: &(f32, usize), b: &(f32, usize)| -> Ordering {
        a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
    };
    rest.sort_unstable_by(nearer);
    found.extend(rest.iter().take(NEAREST).map(|&(_, other)| other));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_entries_of_a_row_see_each_other() {
        let times = [3.0, EMPTY, TIMELESS, 0.0];
        assert_eq!(everyone(&times, 2), [0, -1, 0, -1, 2, 3, 2, 3]);
    }

    /// Eight places of one number each: six steps, a sum, and an empty one. The entry of step 3 sees itself, steps 2 and 5,
    /// and of the others the four nearest to 0.
    #[test]
    fn edges_by_hand() {
        let times = [3.0, 0.0, EMPTY, 1.0, 2.0, 5.0, 6.0, TIMELESS];
        let entries = [0.0, 4.0, 0.1, -1.0, 9.0, 7.0, 2.0, 3.0];
        let near = neighbours(&entries, 1, &times, 0);
        assert_eq!(near, [0, 4, 5, 3, 6, 7, 1]);
        // No entry comes before the first in time, and sums have no place in time.
        assert_eq!(neighbours(&entries, 1, &times, 1), [1, 3, 7, 6, 5, 0]);
        assert_eq!(neighbours(&entries, 1, &times, 7), [7, 1, 6, 0, 3]);
        let index = edges(&entries, 1, &times, 8);
        assert_eq!(index.len(), 8 * EDGES);
        assert_eq!(index[7 * EDGES..], [7, 1, 6, 0, 3, -1, -1]);
        assert_eq!(index[2 * EDGES..3 * EDGES], [-1; EDGES]);
        // The second of two rows points to its own places.
        let twice = edges(&[entries, entries].concat(), 1, &[times, times].concat(), 8);
        assert_eq!(twice[15 * EDGES..], [15, 9, 14, 8, 11, -1, -1]);
    }
}
