//! The state of a memory: rows of numbers, one row per lane.

use serde::{Deserialize, Serialize};

/// One quantity of a state: `width` numbers for every lane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Array {
    /// Numbers per lane.
    pub width: usize,
    /// `[rows, width]`.
    pub data: Vec<f32>,
}

impl Array {
    /// `rows` lanes with `width` numbers of `value` each.
    pub fn filled(rows: usize, width: usize, value: f32) -> Self {
        Self {
            width,
            data: vec![value; rows * width],
        }
    }

    /// The numbers of one lane.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.data[row * self.width..(row + 1) * self.width]
    }

    /// The numbers of one lane.
    pub fn row_mut(&mut self, row: usize) -> &mut [f32] {
        &mut self.data[row * self.width..(row + 1) * self.width]
    }
}

/// The state of a memory for a number of lanes. Its arrays mean what the core that made it says; saving, restoring and
/// choosing lanes need not know.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    rows: usize,
    /// The quantities, in an order that the core fixes.
    pub arrays: Vec<Array>,
}

impl State {
    /// A state of `rows` lanes.
    pub fn new(rows: usize, arrays: Vec<Array>) -> Self {
        assert!(
            arrays.iter().all(|a| a.data.len() == rows * a.width),
            "every array has `rows` rows"
        );
        Self { rows, arrays }
    }

    /// Number of lanes.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Returns whether every array has as many numbers as its width says: what was sent need not.
    pub fn is_whole(&self) -> bool {
        let mut arrays = self.arrays.iter();
        arrays.all(|array| Some(array.data.len()) == self.rows.checked_mul(array.width))
    }

    /// Bytes of one lane.
    pub fn bytes_per_lane(&self) -> usize {
        let widths = self.arrays.iter().map(|array| array.width);
        size_of::<f32>() * widths.sum::<usize>()
    }

    /// The state of the chosen lanes, in that order.
    pub fn gather(&self, lanes: &[usize]) -> Self {
        let gathered = |array: &Array| {
            let mut data = Vec::with_capacity(lanes.len() * array.width);
            for &lane in lanes {
                data.extend_from_slice(array.row(lane));
            }
            Array {
                width: array.width,
                data,
            }
        };
        let arrays = self.arrays.iter().map(gathered).collect();
        Self {
            rows: lanes.len(),
            arrays,
        }
    }

    /// The lanes of several states of the same core, one after the other. An array that is empty in some of them, because no
    /// lane there needs it, counts as zeros.
    pub fn join(parts: &[&Self]) -> Self {
        let arrays = parts.first().map_or(0, |part| part.arrays.len());
        let joined = (0..arrays).map(|array| {
            let widths = parts.iter().map(|part| part.arrays[array].width);
            let width = widths.max().unwrap_or(0);
            let mut data = Vec::new();
            for part in parts {
                let filled = data.len() + part.rows * width;
                data.extend_from_slice(&part.arrays[array].data);
                data.resize(filled, 0.0);
            }
            Array { width, data }
        });
        Self {
            rows: parts.iter().map(|part| part.rows).sum(),
            arrays: joined.collect(),
        }
    }

    /// Overwrites lane `to` with lane `from` of another state of the same core.
    pub fn copy_row(&mut self, to: usize, other: &Self, from: usize) {
        for (array, source) in self.arrays.iter_mut().zip(&other.arrays) {
            array.row_mut(to).copy_from_slice(source.row(from));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gather_takes_the_chosen_lanes_in_order() {
        let state = State::new(
            3,
            vec![Array {
                width: 2,
                data: vec![0., 1., 10., 11., 20., 21.],
            }],
        );
        assert_eq!(state.gather(&[2, 0]).arrays[0].data, [20., 21., 0., 1.]);
    }

    #[test]
    fn a_lane_takes_four_bytes_a_number() {
        let arrays = vec![Array::filled(3, 2, 0.), Array::filled(3, 5, 0.)];
        assert_eq!(State::new(3, arrays).bytes_per_lane(), 28);
        assert_eq!(State::new(3, Vec::new()).bytes_per_lane(), 0);
    }

    #[test]
    fn copy_row_changes_one_lane() {
        let mut state = State::new(2, vec![Array::filled(2, 1, 0.)]);
        state.copy_row(1, &State::new(1, vec![Array::filled(1, 1, 7.)]), 0);
        assert_eq!(state.arrays[0].data, [0., 7.]);
    }
}
