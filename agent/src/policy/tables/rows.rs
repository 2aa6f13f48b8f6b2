//! Writing rows.

use super::{LAST_TIME, Recency, Tables};
use crate::nn::Params;

impl Tables {
    /// Returns a stored key.
    pub fn key<'a>(&self, params: &'a Params, table: usize, row: usize) -> &'a [f32] {
        let first = (table * self.capacity + row) * self.width;
        &params.data(self.keys)[first..first + self.key_size]
    }

    /// Returns the value of a row.
    pub fn value(&self, params: &Params, table: usize, row: usize) -> f32 {
        params.data(self.values)[table * self.capacity + row]
    }

    /// Returns the row for a new key: a free row, or the first row with the oldest use.
    pub fn place(&self, params: &Params, table: usize) -> usize {
        let times = &params.data(self.times)[table * self.capacity..][..self.capacity];
        let used = self.used(params, table);
        if used < self.capacity {
            return used;
        }
        // Times are above 0, so their bits are ordered as they are.
        let oldest = times.iter().map(|time| time.to_bits()).min();
        let is_oldest = |time: &f32| Some(time.to_bits()) == oldest;
        times.iter().position(is_oldest).expect("a table has rows")
    }

    /// Writes a row. `now`: a count of any kind that never falls, 1 to 2²⁴; see [`Tables::renumber`].
    pub fn set(
        &self,
        params: &mut Params,
        (table, row): (usize, usize),
        key: &[f32],
        value: f32,
        now: f32,
    ) {
        self.put(params, (table, row), key, value);
        params.data_mut(self.times)[table * self.capacity + row] = now;
    }

    /// Replaces key and value of a row in use.
    pub fn put(&self, params: &mut Params, (table, row): (usize, usize), key: &[f32], value: f32) {
        let at = table * self.capacity + row;
        params.data_mut(self.keys)[at * self.width..][..self.key_size].copy_from_slice(key);
        params.data_mut(self.values)[at] = value;
    }

    /// Moves a row against the gradient of its key and of its value. The key's first number, which keeps times apart, stays.
    pub fn shift(
        &self,
        params: &mut Params,
        (table, row): (usize, usize),
        (d_key, d_value): (&[f32], f32),
        rate: f32,
    ) {
        let at = table * self.capacity + row;
        let key = &mut params.data_mut(self.keys)[at * self.width..][..self.key_size];
        for (x, d) in key.iter_mut().zip(d_key).skip(1) {
            *x -= rate * d;
        }
        params.data_mut(self.values)[at] -= rate * d_value;
    }

    /// Records that the neighbours of `keys` `[rows, key_size]` were read in every table, if the tables' recency asks for
    /// it. Acting leaves the tables as they are; a learner finds the same neighbours again, before it writes.
    pub fn record_reads(&self, params: &mut Params, keys: &[f32], now: f32) {
        if self.recency() == Recency::Written {
            return;
        }
        let padded = self.padded(keys);
        for table in 0..self.tables {
            let found = self.nearest_of(params, table, &padded, self.neighbours());
            let times = &mut params.data_mut(self.times)[table * self.capacity..];
            for neighbour in found.iter().flat_map(|found| self.read(found)) {
                times[neighbour.row] = now;
            }
        }
    }

    /// Makes the times small again, in the same order, when single precision ends at `now`. Returns the
    /// time to continue with.
    pub fn renumber(&self, params: &mut Params, now: f32) -> f32 {
        if now < LAST_TIME {
            return now;
        }
        let times = params.data_mut(self.times);
        let mut known: Vec<u32> = times.iter().map(|time| time.to_bits()).collect();
        known.push(0);
        known.sort_unstable();
        known.dedup();
        for time in times {
            let rank = known.binary_search(&time.to_bits());
            *time = rank.expect("a time that is there") as f32;
        }
        known.len() as f32
    }

    /// Writes a return that followed a choice, after a search for its key: a known key keeps the larger of its value and
    /// this one, a new key takes the [place](Tables::place) of another. `table`: column of the choice in a row of logits.
    pub fn write(&self, params: &mut Params, table: usize, key: &[f32], value: f32, now: f32) {
        let known = self.find(params, table, key);
        let row = known.unwrap_or_else(|| self.place(params, table));
        let value = match known {
            Some(_) => self.value(params, table, row).max(value),
            None => value,
        };
        self.set(params, (table, row), key, value, now);
    }

    /// Returns the row that holds this key.
    pub fn find(&self, params: &Params, table: usize, key: &[f32]) -> Option<usize> {
        let found = self.nearest_of(params, table, &self.padded(key), 1);
        Self::is_known(&found[0]).then(|| found[0][0].row)
    }
}
