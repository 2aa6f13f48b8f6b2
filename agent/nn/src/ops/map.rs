//! Rows of a table that are moved and written one at a time, and what lies between two matrices.

use crate::graph::Graph;
use crate::kernels::elementwise::add_to;
use crate::tensor::{Tensor, shape, values};

impl Graph<'_> {
    /// Row `i` of the result is row `index[i]` of `x` `[M, N]`, or zeros where the index is -1. A row may occur several
    /// times.
    ///
    /// # Panics
    /// When an index lies beyond the rows.
    pub fn rows_or_zeros(&mut self, x: &Tensor, index: &[i32]) -> Tensor {
        let (_, columns) = shape(x);
        let len = values(x).len();
        let row = move |index: i32| {
            let row = usize::try_from(index).ok();
            row.map(|row| row * columns..(row + 1) * columns)
        };
        let mut picked = vec![0.0; index.len() * columns];
        for (picked, &index) in picked.chunks_exact_mut(columns).zip(index) {
            if let Some(row) = row(index) {
                picked.copy_from_slice(&values(x)[row]);
            }
        }
        let picked = self.constant(picked, (index.len(), columns));
        let key = self.key(x);
        if key.wanted() {
            let index = index.to_vec();
            self.record(&picked, move |d_picked, grads| {
                grads.update(&key, |dx| {
                    dx.resize(len, 0.0);
                    for (d, &index) in d_picked.chunks_exact(columns).zip(&index) {
                        if let Some(row) = row(index) {
                            add_to(&mut dx[row], d);
                        }
                    }
                });
            });
        }
        picked
    }

    /// `table` `[E, N]` with row `index[i]` replaced by row `i` of `rows` `[M, N]`; all others stay, bit for bit.
    /// Indices differ from each other.
    ///
    /// # Panics
    /// When shapes do not match, or an index lies beyond the table.
    pub fn write_rows(&mut self, table: &Tensor, rows: &Tensor, index: &[u32]) -> Tensor {
        let (entries, columns) = shape(table);
        assert_eq!(
            shape(rows),
            (index.len(), columns),
            "a row to write for each index"
        );
        let mut written = values(table).to_vec();
        let places = index.iter().map(|&entry| entry as usize * columns);
        for (place, row) in places.clone().zip(values(rows).chunks_exact(columns)) {
            written[place..place + columns].copy_from_slice(row);
        }
        let written = self.constant(written, (entries, columns));
        let (table_key, rows_key) = (self.key(table), self.key(rows));
        if table_key.wanted() || rows_key.wanted() {
            let places: Vec<usize> = places.collect();
            self.record(&written, move |mut d, grads| {
                let mut d_rows = Vec::with_capacity(places.len() * columns);
                for place in places {
                    let row = &mut d[place..place + columns];
                    d_rows.extend_from_slice(row);
                    row.fill(0.0);
                }
                grads.give(&rows_key, d_rows);
                grads.give(&table_key, d);
            });
        }
        written
    }

    /// `from + share ⊙ (to − from)`, shapes equal: a share of 0 gives `from`, bit for bit where it is finite.
    ///
    /// # Panics
    /// When the shapes differ.
    pub fn between(&mut self, from: &Tensor, to: &Tensor, share: &Tensor) -> Tensor {
        assert!(
            shape(from) == shape(to) && shape(from) == shape(share),
            "what lies between needs equal shapes"
        );
        let pairs = values(from).iter().zip(values(to));
        let y = pairs
            .zip(values(share))
            .map(|((from, to), share)| share.mul_add(to - from, *from))
            .collect();
        let y = self.constant(y, shape(from));
        let keys = [from, to, share].map(|x| self.key(x));
        if keys.iter().any(|key| key.wanted()) {
            let (from, to, share) = (from.clone(), to.clone(), share.clone());
            self.record(&y, move |dy, grads| {
                let share = values(&share);
                let [from_key, to_key, share_key] = &keys;
                let d_share = || {
                    let ends = values(&from).iter().zip(values(&to));
                    ends.zip(&dy).map(|((from, to), d)| d * (to - from))
                };
                let shares = || share.iter().zip(&dy);
                if share_key.wanted() {
                    grads.give(share_key, d_share().collect());
                }
                if to_key.wanted() {
                    grads.give(to_key, shares().map(|(share, d)| share * d).collect());
                }
                if from_key.wanted() {
                    let d_from = shares().map(|(share, d)| (1.0 - share) * d);
                    grads.give(from_key, d_from.collect());
                }
            });
        }
        y
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Params;

    #[test]
    fn by_hand() {
        let params = Params::new();
        let mut graph = Graph::inference(&params);
        let table = graph.constant(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], (3, 2));
        let moved = graph.rows_or_zeros(&table, &[2, -1, 0, 0]);
        assert_eq!(values(&moved), [5.0, 6.0, 0.0, 0.0, 1.0, 2.0, 1.0, 2.0]);
        let rows = graph.constant(vec![7.0, 8.0, 9.0, 10.0], (2, 2));
        let written = graph.write_rows(&table, &rows, &[2, 0]);
        assert_eq!(values(&written), [9.0, 10.0, 3.0, 4.0, 7.0, 8.0]);
        let share = graph.constant(vec![0.0, 1.0, 0.5, 0.0, 1.0, 0.25], (3, 2));
        let between = graph.between(&table, &written, &share);
        assert_eq!(values(&between), [1.0, 10.0, 3.0, 4.0, 7.0, 6.5]);
    }
}
