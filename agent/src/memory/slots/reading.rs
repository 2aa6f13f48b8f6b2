//! Reading more than the slots as they are: sums of dropped entries as further entries, and a layer in which entries attend
//! to each other.

use super::head::Heads;
use super::slot_layer::{MemoryReader, SlotLayer, TIMELESS};
use super::state::EMPTY;
use super::summaries::Summaries;
use crate::memory::CoreContext;
use crate::memory::attention::lag;
use crate::nn::{AttentionRead, Graph, ParamId, ScoreTerms, Tensor, values};

/// The entries that the rows of a read attend to.
pub struct Pool {
    /// Embedded entries, with null slots among them: `[E, mem_dim]`.
    pub entries: Tensor,
    /// Terms of the entries' scores: `[E, 1]`.
    pub gates: Option<Tensor>,
    /// The entries of each row, the null slot first, -1 for an empty slot: `[rows, width]`.
    pub index: Vec<i32>,
    /// Their lags, as [`lag::LagTerms::scores`] takes them.
    pub lags: Vec<i32>,
    /// When each was written, without the null slot: `[rows, width - 1]`.
    pub times: Vec<f32>,
}

/// The question to the entries.
#[derive(Clone, Copy)]
pub struct Asking<'a> {
    /// The heads.
    pub heads: &'a Heads,
    /// The present, `[rows, …]`.
    pub present: &'a Tensor,
    /// The same, with its phases where they count.
    pub dated: &'a Tensor,
    /// The null slot's embedding.
    pub null: ParamId,
}

impl Pool {
    /// Adds `count` entries to each row: those of `added` `[rows * count, mem_dim]` that are `filled`.
    fn extend(&mut self, graph: &mut Graph<'_>, added: &Tensor, filled: &[bool], count: usize) {
        let rows = filled.len() / count;
        let first = values(&self.entries).len() * filled.len() / values(added).len();
        self.entries = graph.concat_rows(&[&self.entries, added]);
        if let Some(gates) = &self.gates {
            let open = graph.constant(vec![0.0; filled.len()], (filled.len(), 1));
            self.gates = Some(graph.concat_rows(&[gates, &open]));
        }
        let entry = |at: usize| if filled[at] { (first + at) as i32 } else { -1 };
        let time = |at: usize| if filled[at] { TIMELESS } else { EMPTY };
        self.index = widened(&self.index, rows, count, entry);
        self.lags = widened(&self.lags, rows, count, |_| lag::NONE);
        self.times = widened(&self.times, rows, count, time);
    }

    /// Gives each row entries of its own, behind one null slot: what `pass` makes of `[rows * (width - 1), mem_dim]`.
    fn pass(
        &mut self,
        graph: &mut Graph<'_>,
        null: &Tensor,
        pass: impl FnOnce(&mut Graph<'_>, &Tensor, &[f32], usize) -> Tensor,
    ) {
        let rows = self.index.len() - self.times.len();
        let width = self.index.len() / rows;
        let slots = || self.index.chunks_exact(width).flat_map(|row| &row[1..]);
        let gathered: Vec<u32> = slots().map(|&entry| entry.max(0) as u32).collect();
        let entries = graph.gather_rows(&self.entries, &gathered);
        let passed = pass(graph, &entries, &self.times, width - 1);
        if let Some(gates) = &self.gates {
            let (open, own) = (
                graph.constant(vec![0.0], (1, 1)),
                graph.gather_rows(gates, &gathered),
            );
            self.gates = Some(graph.concat_rows(&[&open, &own]));
        }
        let mut index = Vec::with_capacity(self.index.len());
        for (row, times) in self.times.chunks_exact(width - 1).enumerate() {
            let own = (1 + row * (width - 1)) as i32..;
            index.push(0);
            index.extend(own.zip(times).map(|(at, &time)| match time == EMPTY {
                true => -1,
                false => at,
            }));
        }
        (self.entries, self.index) = (graph.concat_rows(&[null, &passed]), index);
    }
}

/// Appends `count` columns to each row of a matrix.
fn widened<T: Copy>(old: &[T], rows: usize, count: usize, new: impl Fn(usize) -> T) -> Vec<T> {
    let width = old.len() / rows;
    let mut wide = Vec::with_capacity(old.len() + rows * count);
    for (row, old) in old.chunks_exact(width).enumerate() {
        wide.extend_from_slice(old);
        wide.extend((row * count..(row + 1) * count).map(&new));
    }
    wide
}

/// The parts of a read besides the slots as they are.
pub struct Reading {
    layer: Option<SlotLayer>,
    /// Sums of dropped entries, if any are kept.
    pub summaries: Option<Summaries>,
}

impl Reading {
    /// Adds the parameters of a reader and of `sums` sums to the context's.
    pub fn new(reader: MemoryReader, sums: usize, context: &mut CoreContext<'_>) -> Self {
        Self {
            layer: SlotLayer::new(reader, context),
            summaries: Summaries::new(sums, context),
        }
    }

    /// Returns whether the slots are read as they are, and nothing else is.
    pub fn is_of_slots_alone(&self) -> bool {
        self.layer.is_none() && self.summaries.is_none()
    }

    /// Reads a pool together with sums `[rows, count, sum_size]`. The weights are those of the null slot and of the slots:
    /// `[rows, heads, width]`.
    pub fn read(
        &self,
        graph: &mut Graph<'_>,
        asking: Asking<'_>,
        mut pool: Pool,
        sums: &[f32],
    ) -> AttentionRead {
        let rows = pool.index.len() - pool.times.len();
        let width = pool.index.len() / rows;
        if let Some(summaries) = &self.summaries {
            let embedded = summaries.embed(graph, sums);
            let filled = summaries.filled(sums);
            pool.extend(graph, &embedded, &filled, summaries.count());
        }
        if let Some(layer) = &self.layer {
            let null = graph.param(asking.null);
            pool.pass(graph, &null, |graph, entries, times, width| {
                layer.pass(graph, entries, times, width)
            });
        }
        let (entries, index) = (&pool.entries, &pool.index);
        let ask = (asking.heads).ask(graph, (asking.present, asking.dated), &pool.lags, None);
        let terms = ScoreTerms {
            entry: pool.gates.as_ref(),
            slot: ask.terms.as_ref(),
        };
        let read = graph.pool_read(&ask.query, entries, terms, index, &asking.heads.ways);
        let wide = read.weights.chunks_exact(index.len() / rows);
        AttentionRead {
            weights: wide.flat_map(|row| &row[..width]).copied().collect(),
            readout: read.readout,
        }
    }
}
