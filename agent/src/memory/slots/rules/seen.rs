//! The entries of a memory as rules see them.

use crate::memory::slots::state::array;
use crate::memory::{Segment, State};
use crate::nn::{Graph, Tensor};

/// A segment as rules see it.
pub struct Seen<'a> {
    /// The segment.
    pub segment: &'a Segment<'a>,
    /// Numbers in a row of its decisions.
    pub width: usize,
    /// Embedded entries, the null slot first: `[E, mem_dim]`.
    pub pool: &'a Tensor,
    /// Where the first row's own entry is in the pool.
    pub own: usize,
    /// Entries that each row has in its slots, the null slot first, -1 for an empty one: `[T*B, slots + 1]`.
    pub index: &'a [i32],
    /// Embeddings of the rows: `[T*B, mem_dim]`.
    pub embedding: &'a Tensor,
    /// Steps of the episode: `[T*B]`.
    pub ages: &'a [f32],
}

/// The table of embeddings of all lanes, null slots among them: `[batch * (slots + 1), mem_dim]`.
pub fn embedded(graph: &Graph<'_>, state: &State) -> Tensor {
    let table = &state.arrays[array::EMBEDDING];
    let rows = state.arrays[array::GATE].data.len();
    graph.constant(table.data.clone(), (rows, table.data.len() / rows))
}
