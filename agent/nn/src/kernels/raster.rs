//! Rasters: matrices with a row for each cell, row by row of the grid, one raster after the other.

/// Number of cells in the block around a cell.
pub(crate) const BLOCK: usize = 9;

/// Height and width of a raster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GridSize {
    /// Rows of cells.
    pub height: usize,
    /// Columns of cells.
    pub width: usize,
}

impl GridSize {
    /// Returns the number of cells.
    pub fn cells(self) -> usize {
        self.height * self.width
    }

    /// Returns the cells of the 3 by 3 block around a cell, row by row; `None` for those off the grid.
    ///
    /// # Panics
    /// When the cell is off the grid.
    pub fn block(self, cell: usize) -> [Option<usize>; BLOCK] {
        assert!(cell < self.cells(), "cell {cell} is not in {self:?}");
        let (row, column) = (cell / self.width, cell % self.width);
        std::array::from_fn(|place| {
            let row = (row + place / 3)
                .checked_sub(1)
                .filter(|&row| row < self.height);
            let column = (column + place % 3)
                .checked_sub(1)
                .filter(|&column| column < self.width);
            Some(row? * self.width + column?)
        })
    }

    /// Returns the places of cells in the matrix of all rasters, of the block around each cell.
    pub(crate) fn blocks(self) -> Vec<[Option<usize>; BLOCK]> {
        (0..self.cells()).map(|cell| self.block(cell)).collect()
    }
}

/// Adds up what the cells around each cell give it: `y[i] = b + Σₖ x[i + k, part k]`, k over the 3 by 3 block. `x` has nine
/// parts of `bias.len()` numbers in each row. Cells off the grid give nothing.
pub(crate) fn sum_around(x: &[f32], bias: &[f32], size: GridSize) -> Vec<f32> {
    let (width, blocks) = (bias.len(), size.blocks());
    let mut y = Vec::with_capacity(x.len() / BLOCK);
    for raster in x.chunks_exact(size.cells() * BLOCK * width) {
        for block in &blocks {
            let first = y.len();
            y.extend_from_slice(bias);
            for (part, cell) in block.iter().enumerate() {
                let Some(cell) = cell else { continue };
                let given = &raster[(cell * BLOCK + part) * width..][..width];
                let sums = y[first..].iter_mut().zip(given);
                sums.for_each(|(y, x)| *y += x);
            }
        }
    }
    y
}

/// Backward pass of [`sum_around`]: returns the gradient of `x`.
pub(crate) fn sum_around_gradient(dy: &[f32], width: usize, size: GridSize) -> Vec<f32> {
    let blocks = size.blocks();
    let mut dx = vec![0.0; dy.len() * BLOCK];
    let rasters = dx.chunks_exact_mut(size.cells() * BLOCK * width);
    for (dx, dy) in rasters.zip(dy.chunks_exact(size.cells() * width)) {
        for (block, dy) in blocks.iter().zip(dy.chunks_exact(width)) {
            for (part, cell) in block.iter().enumerate() {
                let Some(cell) = cell else { continue };
                dx[(cell * BLOCK + part) * width..][..width].copy_from_slice(dy);
            }
        }
    }
    dx
}

/// A cell that took a new value from a neighbour.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    cell: u32,
    from: u32,
    /// The neighbour's value when it was taken.
    value: f32,
}

/// The run of [`propagate`], as its gradient needs it.
pub(crate) struct Propagated {
    /// The value of each cell.
    pub values: Vec<f32>,
    /// Takings in order, and the number of them after each iteration of each raster, in order.
    taken: Vec<Taken>,
    iterations: Vec<u32>,
}

/// Spreads rewards: `v⁰ = r`, `vᵏ[i] = max(vᵏ⁻¹[i], maxₙ r[i] + p[i] (vᵏ⁻¹[n] − r[i]))`, n over the four neighbours on the grid.
/// `maps` has r and p in each row. It ends after `iterations`, or when no value changes.
pub(crate) fn propagate(maps: &[f32], size: GridSize, iterations: usize) -> Propagated {
    let cells = size.cells();
    // Above, left, right and below in a block.
    let near: Vec<[Option<usize>; 4]> = (size.blocks().iter())
        .map(|block| [1, 3, 5, 7].map(|place| block[place]))
        .collect();
    let mut done = Propagated {
        values: maps.iter().step_by(2).copied().collect(),
        taken: Vec::new(),
        iterations: Vec::new(),
    };
    let mut before = vec![0.0; cells];
    let rasters = done.values.chunks_exact_mut(cells);
    for (raster, (values, maps)) in rasters.zip(maps.chunks_exact(2 * cells)).enumerate() {
        for _ in 0..iterations {
            before.copy_from_slice(values);
            let taken = done.taken.len();
            for (cell, near) in near.iter().enumerate() {
                let (r, p) = (maps[2 * cell], maps[2 * cell + 1]);
                let mut best = None;
                for &from in near.iter().flatten() {
                    let value = r + p * (before[from] - r);
                    if value > values[cell] {
                        values[cell] = value;
                        best = Some(from);
                    }
                }
                if let Some(from) = best {
                    done.taken.push(Taken {
                        cell: (raster * cells + cell) as u32,
                        from: (raster * cells + from) as u32,
                        value: before[from],
                    });
                }
            }
            if done.taken.len() == taken {
                break;
            }
            done.iterations.push(done.taken.len() as u32);
        }
    }
    done
}

/// Backward pass of [`propagate`]: returns the gradient of `maps`, from that of the values, which it overwrites.
pub(crate) fn propagate_gradient(dv: &mut [f32], maps: &[f32], done: &Propagated) -> Vec<f32> {
    let mut d_maps = vec![0.0; maps.len()];
    let mut given = Vec::new();
    let mut end = done.taken.len();
    let firsts = done.iterations.iter().rev().skip(1).copied().chain([0]);
    for first in firsts {
        let taken = &done.taken[first as usize..end];
        // All took at once: what they had before is gone, and what their neighbours had before counts.
        given.clear();
        given.extend(taken.iter().map(|taken| {
            let cell = taken.cell as usize;
            std::mem::take(&mut dv[cell])
        }));
        for (taken, d) in taken.iter().zip(&given) {
            let cell = taken.cell as usize;
            let (r, p) = (maps[2 * cell], maps[2 * cell + 1]);
            d_maps[2 * cell] += d * (1.0 - p);
            d_maps[2 * cell + 1] += d * (taken.value - r);
            dv[taken.from as usize] += d * p;
        }
        end = first as usize;
    }
    let of_rewards = d_maps.iter_mut().step_by(2).zip(dv);
    of_rewards.for_each(|(d_r, dv)| *d_r += *dv);
    d_maps
}
