//! Tables of past returns: action values without a network (Blundell et al. 2016, arXiv:1606.04460).
//!
//! A table holds keys, which are features of the memory, and the return that followed each. Tables are ordinary
//! parameters of fixed size, so that checkpoints, evaluation and serving need not know of them; no gradient reaches
//! them.

use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::nn::{Init, ParamId, Params};

/// Neighbours whose mean is the value of an unknown key: k of Blundell et al. 2016, Atari experiments.
const NEIGHBOURS: usize = 11;
/// Squared distance below which two keys are the same: rounding.
const SAME: f32 = 1e-6;

/// One table for each choice of each component of an action, side by side in one parameter.
///
/// A row is a key, its value, and the time of its last change. The rows in use come first; the time of the others is 0.
pub struct Tables {
    rows: ParamId,
    tables: usize,
    capacity: usize,
    key_size: usize,
}

/// A row that is near to a key.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Neighbour {
    squared_distance: f32,
    row: usize,
}

impl Tables {
    /// Adds `tables` empty tables of `capacity` rows to `params`.
    pub(super) fn new(
        params: &mut Params,
        tables: usize,
        capacity: usize,
        key_size: usize,
    ) -> Self {
        let shape = (tables * capacity, key_size + 2);
        // Zeros draw nothing from a generator.
        let mut unused = Xoshiro256PlusPlus::seed_from_u64(0);
        Self {
            rows: params.add("tables", shape, Init::Zeros, &mut unused),
            tables,
            capacity,
            key_size,
        }
    }

    fn width(&self) -> usize {
        self.key_size + 2
    }

    /// Returns the rows in use of one table.
    fn used<'a>(&self, params: &'a Params, table: usize) -> &'a [f32] {
        let width = self.width();
        let all = &params.data(self.rows)[table * self.capacity * width..][..self.capacity * width];
        let is_used = |row: usize| all[row * width + self.key_size + 1] > 0.0;
        let (mut low, mut high) = (0, self.capacity);
        while low < high {
            let middle = low.midpoint(high);
            if is_used(middle) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        &all[..low * width]
    }

    /// Returns the nearest rows to `key`, the nearest first; of equally near ones the earlier first.
    fn nearest(&self, used: &[f32], key: &[f32]) -> Vec<Neighbour> {
        let mut nearest: Vec<Neighbour> = Vec::with_capacity(NEIGHBOURS + 1);
        for (row, held) in used.chunks_exact(self.width()).enumerate() {
            let squares = held.iter().zip(key).map(|(a, b)| (a - b) * (a - b));
            let squared_distance = squares.sum();
            let is_near = |last: &Neighbour| squared_distance < last.squared_distance;
            if nearest.len() < NEIGHBOURS || nearest.last().is_some_and(is_near) {
                let place = nearest.partition_point(|n| n.squared_distance <= squared_distance);
                let found = Neighbour {
                    squared_distance,
                    row,
                };
                nearest.insert(place, found);
                nearest.truncate(NEIGHBOURS);
            }
        }
        nearest
    }

    /// Returns the value of each of `keys` (`[rows, key_size]`) in each table, `[rows, tables]`: the value of the same
    /// key, else the mean of its neighbours, and 0 in an empty table.
    pub(super) fn look_up(&self, params: &Params, keys: &[f32]) -> Vec<f32> {
        let mut values = Vec::with_capacity(keys.len() / self.key_size * self.tables);
        for key in keys.chunks_exact(self.key_size) {
            for table in 0..self.tables {
                let used = self.used(params, table);
                let nearest = self.nearest(used, key);
                let value = |n: &Neighbour| used[n.row * self.width() + self.key_size];
                values.push(match nearest.first() {
                    None => 0.0,
                    Some(first) if first.squared_distance < SAME => value(first),
                    Some(_) => nearest.iter().map(value).sum::<f32>() / nearest.len() as f32,
                });
            }
        }
        values
    }

    /// Writes a return that followed a choice. A known key keeps the larger of its value and this one; a new key takes
    /// a free row, or the row whose last change is the longest ago.
    ///
    /// `table`: column of the choice in a row of logits. `now`: a count of any kind that never falls, 1 to 2²⁴.
    pub fn write(&self, params: &mut Params, table: usize, key: &[f32], value: f32, now: f32) {
        let width = self.width();
        let used = self.used(params, table);
        let known = self.nearest(used, key).first().copied();
        let known = known.filter(|first| first.squared_distance < SAME);
        let changed_at = |row: usize| used[row * width + self.key_size + 1];
        let row = match known {
            Some(known) => known.row,
            None if used.len() < self.capacity * width => used.len() / width,
            None => (0..self.capacity)
                .min_by(|&a, &b| changed_at(a).total_cmp(&changed_at(b)))
                .expect("a table has rows"),
        };
        let first = (table * self.capacity + row) * width;
        let row = &mut params.data_mut(self.rows)[first..first + width];
        row[self.key_size] = match known {
            Some(_) => row[self.key_size].max(value),
            None => value,
        };
        row[..self.key_size].copy_from_slice(key);
        row[self.key_size + 1] = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(capacity: usize) -> (Params, Tables) {
        let mut params = Params::new();
        let tables = Tables::new(&mut params, 2, capacity, 1);
        (params, tables)
    }

    #[test]
    fn a_known_key_keeps_its_best_return_and_others_are_the_mean_of_neighbours() {
        let (mut params, tables) = tables(20);
        assert_eq!(tables.look_up(&params, &[1.0]), [0.0, 0.0]);
        tables.write(&mut params, 0, &[1.0], 3.0, 1.0);
        tables.write(&mut params, 0, &[1.0], 2.0, 2.0);
        tables.write(&mut params, 0, &[5.0], 7.0, 3.0);
        assert_eq!(tables.look_up(&params, &[1.0, 5.0]), [3.0, 0.0, 7.0, 0.0]);
        assert_eq!(tables.look_up(&params, &[4.0]), [5.0, 0.0]);
        // Of twelve rows the eleven nearest: all but the one at −100.
        for far in 0..9 {
            tables.write(&mut params, 0, &[10.0 + far as f32], 9.0, 4.0);
        }
        tables.write(&mut params, 0, &[-100.0], 1000.0, 4.0);
        assert_eq!(
            tables.look_up(&params, &[4.0])[0],
            (3.0 + 7.0 + 9.0 * 9.0) / 11.0
        );
    }

    #[test]
    fn a_full_table_gives_up_the_row_that_has_not_changed_for_longest() {
        let (mut params, tables) = tables(2);
        tables.write(&mut params, 1, &[1.0], 1.0, 1.0);
        tables.write(&mut params, 1, &[2.0], 2.0, 2.0);
        tables.write(&mut params, 1, &[1.0], 0.0, 3.0);
        tables.write(&mut params, 1, &[3.0], 3.0, 4.0);
        let values = tables.look_up(&params, &[1.0, 3.0, 2.0]);
        assert_eq!(
            values,
            [0.0, 1.0, 0.0, 3.0, 0.0, 2.0],
            "2 is the mean of 1 and 3"
        );
        assert_eq!(params.data(tables.rows).len(), 2 * 2 * 3);
    }
}
