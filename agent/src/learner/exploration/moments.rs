//! Mean and variance of a stream, batch by batch.

use serde::{Deserialize, Serialize};

/// Running moments of rows of `width` numbers. Merging keeps the difference between the means of batches (Chan et al.
/// 1979, the pairwise form of Welford's update), so the result is that of all rows in one batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    count: f64,
    mean: Vec<f64>,
    /// Sums of squared differences from the mean.
    m2: Vec<f64>,
}

impl Moments {
    /// Returns the moments of no row.
    pub fn new(width: usize) -> Self {
        Self {
            count: 0.0,
            mean: vec![0.0; width],
            m2: vec![0.0; width],
        }
    }

    /// Returns whether there has been no row.
    pub fn is_empty(&self) -> bool {
        self.count == 0.0
    }

    /// Adds rows, `[n, width]`.
    pub fn add(&mut self, rows: &[f32]) {
        let width = self.mean.len();
        let added = (rows.len() / width) as f64;
        if added == 0.0 {
            return;
        }
        let total = self.count + added;
        for column in 0..width {
            let values = || rows[column..].iter().step_by(width).map(|&x| f64::from(x));
            let mean = values().sum::<f64>() / added;
            let m2 = values().map(|x| (x - mean).powi(2)).sum::<f64>();
            let delta = mean - self.mean[column];
            self.mean[column] += delta * added / total;
            self.m2[column] += m2 + delta * delta * self.count * added / total;
        }
        self.count = total;
    }

    /// Returns the mean of a column.
    pub fn mean(&self, column: usize) -> f64 {
        self.mean[column]
    }

    /// Returns the population deviation of a column, 0 without a row.
    pub fn std(&self, column: usize) -> f64 {
        (self.m2[column] / self.count.max(1.0)).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_add_up_to_their_concatenation() {
        let (first, second) = ([1.0, -5.0, 2.5, 0.25, 7.0, 3.0], [4.0, 100.0]);
        let mut parts = Moments::new(2);
        parts.add(&first);
        parts.add(&[]);
        parts.add(&second);
        let mut whole = Moments::new(2);
        whole.add(&[&first[..], &second[..]].concat());
        for column in 0..2 {
            assert!((parts.mean(column) - whole.mean(column)).abs() < 1e-9);
            assert!((parts.std(column) - whole.std(column)).abs() < 1e-9);
        }
    }

    /// Without the δ² term it would be 0.
    #[test]
    fn a_batch_of_zeros_and_one_of_ones_vary() {
        let mut moments = Moments::new(1);
        moments.add(&[0.0, 0.0]);
        moments.add(&[1.0, 1.0]);
        assert_eq!((moments.mean(0), moments.std(0)), (0.5, 0.5));
    }

    #[test]
    fn nothing_has_no_deviation() {
        assert_eq!(Moments::new(1).std(0), 0.0);
    }
}
