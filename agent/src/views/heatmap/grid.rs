//! A table of values over time, and how it is shrunk to what fits.

use std::ops::Range;

/// How one cell stands for several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shrink {
    /// The latest of them.
    Last,
    /// The one farthest from zero, so that a short peak is still seen.
    Peak,
}

/// Values of `num_rows` things over `num_columns` steps; NaN where there is nothing.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Grid {
    pub num_rows: usize,
    pub num_columns: usize,
    /// `[num_rows, num_columns]`, row-major.
    values: Vec<f32>,
}

impl Grid {
    /// The grid whose value at row `r`, column `c` is `value(r, c)`.
    pub fn from_fn(
        num_rows: usize,
        num_columns: usize,
        mut value: impl FnMut(usize, usize) -> f32,
    ) -> Self {
        let mut values = Vec::with_capacity(num_rows * num_columns);
        for row in 0..num_rows {
            values.extend((0..num_columns).map(|column| value(row, column)));
        }
        Self {
            num_rows,
            num_columns,
            values,
        }
    }

    pub fn at(&self, row: usize, column: usize) -> Option<f32> {
        let value = self.values[row * self.num_columns + column];
        (!value.is_nan()).then_some(value)
    }

    /// The values of all cells that have one.
    pub fn values(&self) -> impl Iterator<Item = f32> {
        self.values.iter().copied().filter(|value| !value.is_nan())
    }

    /// The same grid with at most so many rows and columns; a smaller one stays as it is.
    pub fn fit(&self, max_rows: usize, max_columns: usize, shrink: Shrink) -> Self {
        let num_rows = self.num_rows.min(max_rows);
        let num_columns = self.num_columns.min(max_columns);
        Self::from_fn(num_rows, num_columns, |row, column| {
            let rows = share(row, num_rows, self.num_rows);
            let columns = share(column, num_columns, self.num_columns);
            self.represent(rows, columns, shrink)
        })
    }

    /// The value that stands for a block of cells.
    fn represent(&self, mut rows: Range<usize>, columns: Range<usize>, shrink: Shrink) -> f32 {
        let chosen = match shrink {
            Shrink::Last => rows.find_map(|row| self.at(row, columns.end - 1)),
            Shrink::Peak => rows
                .flat_map(|row| columns.clone().map(move |column| (row, column)))
                .filter_map(|(row, column)| self.at(row, column))
                .max_by(|a, b| a.abs().total_cmp(&b.abs())),
        };
        chosen.unwrap_or(f32::NAN)
    }
}

/// The `index`-th of `num_shares` nearly equal shares of `0..length`.
pub(super) fn share(index: usize, num_shares: usize, length: usize) -> Range<usize> {
    index * length / num_shares..(index + 1) * length / num_shares
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: f32 = f32::NAN;

    fn grid(rows: &[[f32; 5]]) -> Grid {
        Grid::from_fn(rows.len(), 5, |row, column| rows[row][column])
    }

    fn cells(grid: &Grid) -> Vec<Option<f32>> {
        (0..grid.num_rows)
            .flat_map(|row| (0..grid.num_columns).map(move |column| (row, column)))
            .map(|(row, column)| grid.at(row, column))
            .collect()
    }

    #[test]
    fn five_columns_shrink_to_two_of_two_and_three() {
        let grid = grid(&[[1.0, 2.0, -7.0, 3.0, 4.0], [0.0, EMPTY, 5.0, 6.0, EMPTY]]);
        let peak = grid.fit(9, 2, Shrink::Peak);
        assert_eq!(cells(&peak), [Some(2.0), Some(-7.0), Some(0.0), Some(6.0)]);
        let last = grid.fit(9, 2, Shrink::Last);
        assert_eq!(cells(&last), [Some(2.0), Some(4.0), None, None]);
        let one_row = grid.fit(1, 2, Shrink::Peak);
        assert_eq!(cells(&one_row), [Some(2.0), Some(-7.0)]);
    }

    #[test]
    fn what_fits_stays_as_it_is() {
        let grid = grid(&[[1.0, 2.0, 3.0, 4.0, 5.0]]);
        assert_eq!(grid.fit(1, 5, Shrink::Last), grid);
    }

    #[test]
    fn shares_cover_everything_once() {
        for length in [5, 16, 17, 1_000] {
            let covered: Vec<usize> = (0..5).flat_map(|i| share(i, 5, length)).collect();
            assert_eq!(covered, (0..length).collect::<Vec<_>>());
        }
    }
}
