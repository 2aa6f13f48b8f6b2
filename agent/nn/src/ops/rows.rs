//! Concatenation of matrices by columns or rows, selection of columns and rows, and averages of rows.

use std::ops::Range;

use crate::graph::Graph;
use crate::kernels::elementwise::add_to;
use crate::tensor::{Tensor, shape, values};

impl Graph<'_> {
    /// Concatenates matrices with the same number of rows: `[M, N₁], [M, N₂], …` → `[M, ΣN]`.
    pub fn concat_cols(&mut self, parts: &[&Tensor]) -> Tensor {
        let rows = parts.first().map_or(0, |part| shape(part).0);
        assert!(
            parts.iter().all(|part| shape(part).0 == rows),
            "matrices joined by columns need equal numbers of rows"
        );
        let columns: Vec<usize> = parts.iter().map(|part| shape(part).1).collect();
        let total: usize = columns.iter().sum();
        let numbers: Vec<&[f32]> = parts.iter().map(|part| values(part)).collect();
        let mut joined = Vec::with_capacity(rows * total);
        for row in 0..rows {
            for (part, &columns) in numbers.iter().zip(&columns) {
                joined.extend_from_slice(&part[row * columns..][..columns]);
            }
        }
        let joined = self.constant(joined, (rows, total));
        let keys: Vec<_> = parts.iter().map(|part| self.key(part)).collect();
        if keys.iter().any(|key| key.wanted()) {
            self.record(&joined, move |d_joined, grads| {
                let mut start = 0;
                for (key, &columns) in keys.iter().zip(&columns) {
                    if key.wanted() {
                        let mut d_part = Vec::with_capacity(rows * columns);
                        for row in d_joined.chunks_exact(total) {
                            d_part.extend_from_slice(&row[start..start + columns]);
                        }
                        grads.give(key, d_part);
                    }
                    start += columns;
                }
            });
        }
        joined
    }

    /// Concatenates matrices with the same number of columns: `[M₁, N], [M₂, N], …` → `[ΣM, N]`.
    pub fn concat_rows(&mut self, parts: &[&Tensor]) -> Tensor {
        let columns = parts.first().map_or(0, |part| shape(part).1);
        assert!(
            parts.iter().all(|part| shape(part).1 == columns),
            "matrices joined by rows need equal numbers of columns"
        );
        let numbers: Vec<&[f32]> = parts.iter().map(|part| values(part)).collect();
        let joined = numbers.concat();
        let rows = parts.iter().map(|part| shape(part).0).sum();
        let joined = self.constant(joined, (rows, columns));
        let keys: Vec<_> = parts
            .iter()
            .map(|part| (self.key(part), values(part).len()))
            .collect();
        if keys.iter().any(|(key, _)| key.wanted()) {
            self.record(&joined, move |d_joined, grads| {
                let mut rest = d_joined.as_slice();
                for (key, len) in &keys {
                    let (d_part, after) = rest.split_at(*len);
                    if key.wanted() {
                        grads.give(key, d_part.to_vec());
                    }
                    rest = after;
                }
            });
        }
        joined
    }

    /// Selects rows that follow each other: `[M, N]` → `[rows.len(), N]`.
    ///
    /// # Panics
    /// When the range ends beyond the last row.
    pub fn rows(&mut self, x: &Tensor, rows: Range<usize>) -> Tensor {
        let (_, columns) = shape(x);
        let picked = values(x)[rows.start * columns..rows.end * columns].to_vec();
        let picked = self.constant(picked, (rows.len(), columns));
        let x_key = self.key(x);
        if x_key.wanted() {
            let len = values(x).len();
            self.record(&picked, move |d_picked, grads| {
                grads.update(&x_key, |dx| {
                    dx.resize(len, 0.0);
                    add_to(&mut dx[rows.start * columns..], &d_picked);
                });
            });
        }
        picked
    }

    /// Selects columns of a matrix: `[M, N]` → `[M, columns.len()]`.
    ///
    /// # Panics
    /// When the range ends beyond the last column.
    pub fn columns(&mut self, x: &Tensor, columns: Range<usize>) -> Tensor {
        let (rows, width) = shape(x);
        assert!(
            columns.end <= width,
            "{columns:?} of a matrix with {width} columns"
        );
        let mut picked = Vec::with_capacity(rows * columns.len());
        for row in values(x).chunks_exact(width) {
            picked.extend_from_slice(&row[columns.clone()]);
        }
        let picked = self.constant(picked, (rows, columns.len()));
        let x_key = self.key(x);
        if x_key.wanted() {
            self.record(&picked, move |d_picked, grads| {
                grads.update(&x_key, |dx| {
                    dx.resize(rows * width, 0.0);
                    let parts = d_picked.chunks_exact(columns.len());
                    for (dx, d) in dx.chunks_exact_mut(width).zip(parts) {
                        add_to(&mut dx[columns.clone()], d);
                    }
                });
            });
        }
        picked
    }

    /// Row `i` of the result is row `rows[i]` of `x` `[M, N]`. A row may occur several times.
    pub fn gather_rows(&mut self, x: &Tensor, rows: &[u32]) -> Tensor {
        let (_, columns) = shape(x);
        let mut picked = Vec::with_capacity(rows.len() * columns);
        for &row in rows {
            picked.extend_from_slice(&values(x)[row as usize * columns..][..columns]);
        }
        let picked = self.constant(picked, (rows.len(), columns));
        let x_key = self.key(x);
        if x_key.wanted() {
            let (rows, len) = (rows.to_vec(), values(x).len());
            self.record(&picked, move |d_picked, grads| {
                grads.update(&x_key, |dx| {
                    dx.resize(len, 0.0);
                    for (&row, d) in rows.iter().zip(d_picked.chunks_exact(columns)) {
                        add_to(&mut dx[row as usize * columns..][..columns], d);
                    }
                });
            });
        }
        picked
    }

    /// Row `i` of the result is the mean of the rows `segments[i]` of `x`; zeros for an empty
    /// segment.
    pub fn segment_mean(&mut self, x: &Tensor, segments: &[Range<usize>]) -> Tensor {
        let (_, columns) = shape(x);
        let mut means = vec![0.0; segments.len() * columns];
        if columns > 0 {
            for (mean, segment) in means.chunks_exact_mut(columns).zip(segments) {
                let rows = &values(x)[segment.start * columns..segment.end * columns];
                rows.chunks_exact(columns).for_each(|row| add_to(mean, row));
                mean.iter_mut()
                    .for_each(|sum| *sum /= segment.len().max(1) as f32);
            }
        }
        let means = self.constant(means, (segments.len(), columns));
        let x_key = self.key(x);
        if x_key.wanted() {
            let (segments, len) = (segments.to_vec(), values(x).len());
            self.record(&means, move |mut d_means, grads| {
                grads.update(&x_key, |dx| {
                    dx.resize(len, 0.0);
                    for (d, segment) in d_means.chunks_exact_mut(columns).zip(&segments) {
                        d.iter_mut().for_each(|d| *d /= segment.len().max(1) as f32);
                        let rows = &mut dx[segment.start * columns..segment.end * columns];
                        rows.chunks_exact_mut(columns)
                            .for_each(|row| add_to(row, d));
                    }
                });
            });
        }
        means
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
        let a = graph.constant(vec![1.0, 2.0], (2, 1));
        let b = graph.constant(vec![3.0, 4.0, 5.0, 6.0], (2, 2));
        let beside = graph.concat_cols(&[&a, &b]);
        assert_eq!(values(&beside), [1.0, 3.0, 4.0, 2.0, 5.0, 6.0]);
        let below = graph.concat_rows(&[&beside, &beside]);
        assert_eq!(shape(&below), (4, 3));
        let middle = graph.columns(&below, 1..2);
        assert_eq!(values(&middle), [3.0, 5.0, 3.0, 5.0]);
        let last = graph.rows(&below, 2..4);
        assert_eq!(values(&last), [1.0, 3.0, 4.0, 2.0, 5.0, 6.0]);
        let picked = graph.gather_rows(&below, &[3, 0]);
        assert_eq!(values(&picked), [2.0, 5.0, 6.0, 1.0, 3.0, 4.0]);
        let means = graph.segment_mean(&b, &[0..2, 1..1, 1..2]);
        assert_eq!(values(&means), [4.0, 5.0, 0.0, 0.0, 5.0, 6.0]);
    }
}
