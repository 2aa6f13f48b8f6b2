//! The raster in an input row: numbers in channels, rows and columns, seen from above.

use crate::nn::GridSize;
use crate::spaces::encoder::InputColumn;

/// The channel that marks the agent's cell, by convention.
pub const AGENT: usize = 1;

/// Where a raster is in an input row: the first array with three axes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Raster {
    /// The number of the row with which it begins. Channels follow each other, each row by row.
    pub first: usize,
    /// Channels.
    pub channels: usize,
    /// Cells of a channel.
    pub size: GridSize,
}

impl Raster {
    /// Finds the raster of rows that begin with these columns, if there is one.
    pub fn find(columns: &[InputColumn]) -> Option<Self> {
        let first = columns.iter().position(|column| column.place.is_some())?;
        let of_array = columns[first..].iter().map_while(|column| column.place);
        // Another array may follow, and begins with zeros again.
        let later = of_array.clone().skip(1);
        let len = 1 + later.take_while(|&place| place != [0; 3]).count();
        let [channel, row, column] = of_array.take(len).last()?;
        Some(Self {
            first,
            channels: channel + 1,
            size: GridSize {
                height: row + 1,
                width: column + 1,
            },
        })
    }

    /// Returns the number of its numbers.
    pub fn numbers(&self) -> usize {
        self.channels * self.size.cells()
    }

    /// Returns the raster of an input row.
    pub fn of<'a>(&self, row: &'a [f32]) -> &'a [f32] {
        &row[self.first..self.first + self.numbers()]
    }

    /// Returns the rest of an input row.
    pub fn others<'a>(&self, row: &'a [f32]) -> impl Iterator<Item = f32> + use<'a> {
        let (before, after) = row.split_at(self.first);
        let after = &after[self.numbers()..];
        before.iter().chain(after).copied()
    }

    /// Returns the agent's cell: where its channel is greatest, of equal ones the first.
    pub fn agent(&self, raster: &[f32]) -> usize {
        let cells = self.size.cells();
        let marks = raster[AGENT * cells..][..cells].iter().enumerate();
        let most = marks.reduce(|best, cell| if cell.1 > best.1 { cell } else { best });
        most.map_or(0, |(cell, _)| cell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spaces::encoder::input_columns;

    fn found(space: &str) -> Option<Raster> {
        Raster::find(&input_columns(&serde_json::from_str(space).unwrap()))
    }

    #[test]
    fn a_raster_is_the_first_array_with_three_axes() {
        let boxed = |shape: &str| {
            format!(r#"{{"type":"Box","shape":{shape},"dtype":"float32","low":0.0,"high":1.0}}"#)
        };
        let raster = Raster {
            first: 0,
            channels: 2,
            size: GridSize {
                height: 3,
                width: 4,
            },
        };
        assert_eq!(found(&boxed("[2,3,4]")), Some(raster));
        let parts = [
            boxed("[5]"),
            boxed("[2,3,4]"),
            boxed("[3,1,1]"),
            boxed("[1]"),
        ];
        let tuple = format!(r#"{{"type":"Tuple","spaces":[{}]}}"#, parts.join(","));
        let raster = Raster { first: 5, ..raster };
        assert_eq!(found(&tuple), Some(raster));
        assert_eq!(found(&boxed("[24]")), None);
        assert_eq!(found(&boxed("[4,6]")), None);
        let row: Vec<f32> = (0..33).map(|i| i as f32).collect();
        assert_eq!(raster.of(&row)[0], 5.0);
        let others: Vec<f32> = raster.others(&row).collect();
        assert_eq!(others, [0., 1., 2., 3., 4., 29., 30., 31., 32.]);
        assert_eq!(raster.agent(raster.of(&row)), 11);
    }
}
