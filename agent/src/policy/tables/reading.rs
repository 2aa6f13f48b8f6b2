//! Reading values.

use super::{OPTIMISTIC, Reading, Tables};
use crate::memory::MemoryContents;
use crate::nn::{self, Graph, Neighbour, Params, Tensor};

/// Name of the values of all choices, for inspection.
pub const VALUES: &str = "value of each choice";
/// Name of the returns of the neighbours, for inspection.
pub const RETURNS: &str = "returns of the neighbours, action by action, the nearest first";
/// Name of their distances.
pub const DISTANCES: &str = "distances to them (-1: none)";

impl Tables {
    /// Returns the neighbours that make a value: the same key alone, where the reading asks for it.
    pub(super) fn read<'a>(&self, found: &'a [Neighbour]) -> &'a [Neighbour] {
        match self.settings.reading {
            Reading::Mean if Self::is_known(found) => &found[..1],
            _ => found,
        }
    }

    /// Returns the value that neighbours of a table make; 0 without one.
    fn estimate(&self, params: &Params, table: usize, found: &[Neighbour]) -> f32 {
        let (mut sum, mut weights) = (0.0, 0.0);
        for neighbour in self.read(found) {
            let weight = match self.settings.reading {
                Reading::Mean => 1.0,
                Reading::Kernel { delta } => 1.0 / (neighbour.squared_distance + delta),
            };
            sum += weight * self.value(params, table, neighbour.row);
            weights += weight;
        }
        if weights > 0.0 { sum / weights } else { 0.0 }
    }

    /// Returns the value of each of `keys` `[rows, key_size]` in each table, `[rows, tables]`, without optimism.
    pub fn look_up(&self, params: &Params, keys: &[f32]) -> Vec<f32> {
        self.look_up_with_optimism(params, keys).1
    }

    /// Returns values with optimism, if the settings ask for it, and without: `[rows, tables]` each.
    pub(in crate::policy) fn look_up_with_optimism(
        &self,
        params: &Params,
        keys: &[f32],
    ) -> (Vec<f32>, Vec<f32>) {
        let padded = self.padded(keys);
        let rows = keys.len() / self.key_size;
        let mut estimates = vec![0.0; rows * self.tables];
        let mut hopes = estimates.clone();
        for table in 0..self.tables {
            let is_untried =
                self.settings.lookup.optimistic && self.used(params, table) <= self.neighbours();
            let found = self.nearest_of(params, table, &padded, self.neighbours());
            for (row, found) in found.iter().enumerate() {
                let estimate = self.estimate(params, table, found);
                estimates[row * self.tables + table] = estimate;
                hopes[row * self.tables + table] = match is_untried && !Self::is_known(found) {
                    true => OPTIMISTIC,
                    false => estimate,
                };
            }
        }
        (hopes, estimates)
    }

    /// Returns logits `[rows, tables]` of features `[rows, key_size]`, and the values without optimism. Where the reading
    /// lets a gradient through, a recording graph computes the values again, so that it reaches the features.
    pub(in crate::policy) fn forward(
        &self,
        graph: &mut Graph<'_>,
        features: &Tensor,
    ) -> (Tensor, Vec<f32>) {
        let keys = nn::values(features);
        let rows = keys.len() / self.key_size;
        let (hopes, estimates) = self.look_up_with_optimism(graph.params(), keys);
        let logits = match self.settings.reading {
            Reading::Kernel { delta } if graph.is_training() => {
                let columns: Vec<Tensor> = (0..self.tables)
                    .map(|table| self.read_on_tape(graph, features, table, delta))
                    .collect();
                graph.concat_cols(&columns.iter().collect::<Vec<_>>())
            }
            _ => graph.constant(hopes, (rows, self.tables)),
        };
        (logits, estimates)
    }

    /// Returns the values `[rows, 1]` of features in one table.
    fn read_on_tape(
        &self,
        graph: &mut Graph<'_>,
        features: &Tensor,
        table: usize,
        delta: f32,
    ) -> Tensor {
        let (params, count) = (graph.params(), self.neighbours());
        let found = self.nearest(params, table, nn::values(features), count);
        let mut keys = vec![0.0; found.len() * count * self.key_size];
        let mut values = vec![0.0; found.len() * count];
        for (row, found) in found.iter().enumerate() {
            for (i, neighbour) in found.iter().enumerate() {
                let at = row * count + i;
                keys[at * self.key_size..][..self.key_size].copy_from_slice(self.key(
                    params,
                    table,
                    neighbour.row,
                ));
                values[at] = self.value(params, table, neighbour.row);
            }
        }
        let counts: Vec<usize> = found.iter().map(Vec::len).collect();
        let keys = graph.constant(keys, (found.len() * count, self.key_size));
        let values = graph.constant(values, (found.len(), count));
        graph.distance_read(features, &keys, &values, &counts, delta)
    }

    /// Returns the neighbours of a key with their returns, table by table.
    pub(in crate::policy) fn inspect(&self, params: &Params, key: &[f32]) -> MemoryContents {
        let count = self.neighbours();
        let mut returns = vec![0.0; self.tables * count];
        let mut distances = vec![-1.0; self.tables * count];
        for table in 0..self.tables {
            let found = self.nearest(params, table, key, count);
            for (i, neighbour) in found[0].iter().enumerate() {
                returns[table * count + i] = self.value(params, table, neighbour.row);
                distances[table * count + i] = neighbour.squared_distance.sqrt();
            }
        }
        MemoryContents::Vectors(vec![
            (VALUES, self.look_up(params, key)),
            (RETURNS, returns),
            (DISTANCES, distances),
        ])
    }
}
