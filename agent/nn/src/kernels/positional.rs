//! Writes into a matrix of rows at given places.

use multiversion::multiversion;

use super::elementwise::add_to;
use super::math::add_scaled;

/// Sizes of a memory of rows: lanes, rows of a lane, and numbers of an entry, of which a row holds two.
#[derive(Clone, Copy)]
pub(crate) struct RowSizes {
    pub lanes: usize,
    pub rows: usize,
    pub entry: usize,
}

impl RowSizes {
    /// Numbers of a lane.
    pub fn cells(self) -> usize {
        self.rows * 2 * self.entry
    }
}

/// Writes one entry in every lane whose row is not negative: the row becomes the entry and zeros, and `later` of the
/// entry is added to the second half of every row.
#[multiversion(targets = "simd")]
pub(crate) fn write(memory: &mut [f32], z: &[f32], rows: &[i32], later: &[f32], sizes: RowSizes) {
    let RowSizes { entry, .. } = sizes;
    for (lane, memory) in memory.chunks_exact_mut(sizes.cells()).enumerate() {
        let z = &z[lane * entry..][..entry];
        let Ok(row) = usize::try_from(rows[lane]) else {
            continue;
        };
        let later = &later[lane * sizes.rows..][..sizes.rows];
        let (first, second) = memory[row * 2 * entry..][..2 * entry].split_at_mut(entry);
        first.copy_from_slice(z);
        second.fill(0.0);
        for (row, &later) in memory.chunks_exact_mut(2 * entry).zip(later) {
            add_scaled(&mut row[entry..], later, z);
        }
    }
}

/// Backward pass of [`write`]: adds to `dz`, and turns the gradient of the memory after the write into that of the memory
/// before.
#[multiversion(targets = "simd")]
pub(crate) fn write_gradient(
    dz: &mut [f32],
    d: &mut [f32],
    rows: &[i32],
    later: &[f32],
    sizes: RowSizes,
) {
    let RowSizes { entry, .. } = sizes;
    for (lane, d) in d.chunks_exact_mut(sizes.cells()).enumerate() {
        let dz = &mut dz[lane * entry..][..entry];
        let Ok(row) = usize::try_from(rows[lane]) else {
            continue;
        };
        let later = &later[lane * sizes.rows..][..sizes.rows];
        for (d, &later) in d.chunks_exact(2 * entry).zip(later) {
            add_scaled(dz, later, &d[entry..]);
        }
        let written = &mut d[row * 2 * entry..][..2 * entry];
        add_to(dz, &written[..entry]);
        written.fill(0.0);
    }
}
