//! Tables of past returns: action values without a layer (Blundell et al. 2016, arXiv:1606.04460; Pritzel et al. 2017,
//! arXiv:1703.01988).
//!
//! A table holds keys, which are features of the memory, and the return that followed each. Tables are parameters of fixed
//! size that no optimiser trains, so that checkpoints, evaluation and serving need not know of them. A learner writes
//! them; acting only reads. Search is exact, whatever the size.

pub mod reading;
mod rows;
#[cfg(test)]
mod tests;

use clap::ValueEnum;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use crate::hyper::section::section;
use crate::nn::{Init, NEAREST_BLOCK, Neighbour, ParamId, Params, nearest};

/// The rows that a full table keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Recency {
    /// Those that were read or written last.
    Read,
    /// Those that were written last.
    Written,
}

section! {
    /// Tables of past returns, one for each choice of an action.
    pub struct Lookup, overridden by LookupOverrides {
        /// Rows of a table.
        table_rows: usize = 10_000, |&v| (1..=100_000_000).contains(&v), "1 to 100000000";
        /// Bytes that all tables take at most; they have fewer rows where they would take more. A checkpoint holds them.
        table_bytes: usize = 1 << 28, |&v| (1 << 16..=1 << 40).contains(&v), "65536 to 1099511627776";
        /// Rows of a table whose values make the value of an unknown key.
        neighbours: usize = 11, |&v| (1..=1_024).contains(&v), "1 to 1024";
        /// Count a choice as best as long as its table has at most as many rows as `neighbours`.
        #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
        optimistic: bool = true, |_| true, "true or false";
        /// Rows that a full table keeps: those last `read` (or written), or those last `written`.
        #[arg(value_name = "USE")]
        table_recency: Recency = Recency::Read, |_| true, "read or written";
    }
}

/// The value of a key from its neighbours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reading {
    /// The value of the same key, else the mean (Blundell et al. 2016, eq. 2).
    Mean,
    /// The mean weighted by 1 / (‖key − neighbour‖² + δ) (Pritzel et al. 2017, eqs. 3 and 5); a gradient reaches the key.
    Kernel {
        /// δ, above 0.
        delta: f32,
    },
}

/// How tables are built and read.
#[derive(Clone, Debug, PartialEq)]
pub struct TableSettings {
    /// Sizes and neighbours.
    pub lookup: Lookup,
    /// The value of a key.
    pub reading: Reading,
}

/// The value of a choice that counts as best because it has hardly been tried. It never enters a return.
pub const OPTIMISTIC: f32 = 1e9;
/// Squared distance below which two keys are the same: rounding, where a memory computes a key in two ways.
const SAME: f32 = 1e-10;
/// Times from which single-precision numbers no longer tell one from the next.
const LAST_TIME: f32 = 16_777_216.0;

/// One table for each choice of each component of an action.
///
/// A row is a key, its value, and the time of its last use. The rows in use come first; the time of the others is 0.
pub struct Tables {
    /// `[tables * capacity, width]`.
    keys: ParamId,
    /// `[tables, capacity]`.
    values: ParamId,
    /// `[tables, capacity]`.
    times: ParamId,
    tables: usize,
    capacity: usize,
    key_size: usize,
    /// Numbers of a stored key: `key_size`, and zeros up to whole blocks.
    width: usize,
    settings: TableSettings,
}

impl Tables {
    /// Adds `tables` empty tables to `params`.
    pub(super) fn new(
        params: &mut Params,
        tables: usize,
        key_size: usize,
        settings: TableSettings,
    ) -> Self {
        let width = key_size.next_multiple_of(NEAREST_BLOCK);
        let Lookup {
            table_rows,
            table_bytes,
            ..
        } = settings.lookup;
        let of_row = tables * (width + 2) * size_of::<f32>();
        let capacity = table_rows.min(table_bytes / of_row).max(1);
        // Zeros draw nothing from a generator.
        let mut unused = Xoshiro256PlusPlus::seed_from_u64(0);
        let mut add =
            |name: &str, shape| params.add_untrained(name, shape, Init::Zeros, &mut unused);
        Self {
            keys: add("tables.keys", (tables * capacity, width)),
            values: add("tables.values", (tables, capacity)),
            times: add("tables.times", (tables, capacity)),
            tables,
            capacity,
            key_size,
            width,
            settings,
        }
    }

    /// Returns the number of tables: the choices of all components of an action.
    pub fn len(&self) -> usize {
        self.tables
    }

    /// Returns whether there is no table, as there is none without a choice.
    pub fn is_empty(&self) -> bool {
        self.tables == 0
    }

    /// Returns the rows that a table may have.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Returns the neighbours that a key is compared with in each table, at most.
    pub fn neighbours(&self) -> usize {
        self.settings.lookup.neighbours
    }

    /// Returns which rows a full table keeps.
    pub fn recency(&self) -> Recency {
        self.settings.lookup.table_recency
    }

    /// Returns the number of rows in use of one table.
    pub fn used(&self, params: &Params, table: usize) -> usize {
        let times = &params.data(self.times)[table * self.capacity..][..self.capacity];
        times.partition_point(|&time| time > 0.0)
    }

    /// Returns the nearest rows of a table to each of `keys` `[rows, key_size]`, at most `count`, the nearest first.
    pub fn nearest(
        &self,
        params: &Params,
        table: usize,
        keys: &[f32],
        count: usize,
    ) -> Vec<Vec<Neighbour>> {
        self.nearest_of(params, table, &self.padded(keys), count)
    }

    fn nearest_of(
        &self,
        params: &Params,
        table: usize,
        padded: &[f32],
        count: usize,
    ) -> Vec<Vec<Neighbour>> {
        let used = self.used(params, table) * self.width;
        let rows = &params.data(self.keys)[table * self.capacity * self.width..][..used];
        nearest(rows, padded, self.width, count)
    }

    /// Returns whether the nearest neighbour is the key itself.
    fn is_known(found: &[Neighbour]) -> bool {
        found
            .first()
            .is_some_and(|first| first.squared_distance < SAME)
    }

    /// Returns keys with zeros up to whole blocks, `[rows, width]`.
    fn padded(&self, keys: &[f32]) -> Vec<f32> {
        let mut padded = vec![0.0; keys.len() / self.key_size * self.width];
        let rows = padded.chunks_exact_mut(self.width);
        for (row, key) in rows.zip(keys.chunks_exact(self.key_size)) {
            row[..self.key_size].copy_from_slice(key);
        }
        padded
    }
}
