//! Rows of tables by what they stand for.

use std::collections::HashMap;

use serde::{Deserialize, Deserializer, Serialize};

/// The hashes of rows, and the rows by hash. A hash tells what its row stands for.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Index {
    /// `[tables][rows in use]`.
    hashes: Vec<Vec<u64>>,
    #[serde(skip)]
    rows: Vec<HashMap<u64, usize>>,
}

impl Index {
    /// Returns an index of so many empty tables.
    pub fn new(tables: usize) -> Self {
        Self {
            hashes: vec![Vec::new(); tables],
            rows: vec![HashMap::new(); tables],
        }
    }

    /// Returns the row of a table that was last set to this hash.
    pub fn find(&self, table: usize, hash: u64) -> Option<usize> {
        self.rows[table].get(&hash).copied()
    }

    /// Records what a row stands for now. Rows are taken into use in order.
    pub fn set(&mut self, table: usize, row: usize, hash: u64) {
        let (hashes, rows) = (&mut self.hashes[table], &mut self.rows[table]);
        match hashes.get_mut(row) {
            Some(known) => {
                if rows.get(known) == Some(&row) {
                    rows.remove(known);
                }
                *known = hash;
            }
            None => hashes.push(hash),
        }
        rows.insert(hash, row);
    }
}

impl<'de> Deserialize<'de> for Index {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let hashes = Vec::<Vec<u64>>::deserialize(deserializer)?;
        let by_hash = |hashes: &Vec<u64>| {
            hashes
                .iter()
                .enumerate()
                .map(|(row, &hash)| (hash, row))
                .collect()
        };
        Ok(Self {
            rows: hashes.iter().map(by_hash).collect(),
            hashes,
        })
    }
}

/// Returns a hash of numbers by their bits; both zeros have the same.
pub fn hash(numbers: &[f32]) -> u64 {
    numbers.iter().fold(0x243F_6A88_85A3_08D3, |hash: u64, x| {
        let mixed = (hash ^ u64::from((x + 0.0).to_bits())).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed ^ (mixed >> 32)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_stands_for_something_else_is_found_by_that_alone() {
        let mut index = Index::new(2);
        index.set(1, 0, 7);
        index.set(1, 1, 8);
        index.set(1, 0, 9);
        assert_eq!(
            [7, 8, 9].map(|hash| index.find(1, hash)),
            [None, Some(1), Some(0)]
        );
        assert_eq!(index.find(0, 8), None);
        let saved = rmp_serde::to_vec(&index).unwrap();
        assert_eq!(rmp_serde::from_slice::<Index>(&saved).unwrap(), index);
    }

    #[test]
    fn hashes_tell_numbers_and_their_order_apart() {
        assert_eq!(hash(&[0.0, 1.0]), hash(&[-0.0, 1.0]));
        let all = [
            &[0.0, 1.0][..],
            &[1.0, 0.0],
            &[1.0],
            &[0.0],
            &[0.0, 0.0],
            &[],
        ]
        .map(hash);
        for (i, one) in all.iter().enumerate() {
            assert!(!all[..i].contains(one), "{all:?}");
        }
    }
}
