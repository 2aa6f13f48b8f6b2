//! Operations on rasters: matrices with a row for each cell, row by row of the grid, one raster after the other.

use crate::graph::Graph;
use crate::kernels::activation::Activation;
use crate::kernels::elementwise::add_sum_rows;
use crate::kernels::raster::{
    BLOCK, GridSize, propagate, propagate_gradient, sum_around, sum_around_gradient,
};
use crate::params::ParamId;
use crate::tensor::{Tensor, shape, values};

impl Graph<'_> {
    /// Convolves rasters with a kernel of 3 by 3 cells, with zeros around them: `x` `[rasters * cells, K]` → `[rasters *
    /// cells, N]`. `weight` `[K, 9 N]` has the kernel's cells side by side, row by row; `bias` is `[1, N]`.
    ///
    /// # Panics
    /// When shapes do not match.
    pub fn convolve(
        &mut self,
        x: &Tensor,
        (weight, bias): (ParamId, ParamId),
        size: GridSize,
    ) -> Tensor {
        let parts = self.linear(x, weight, None, Activation::Identity);
        let (rows, columns) = shape(&parts);
        let bias_values = self.params().data(bias);
        let outputs = bias_values.len();
        assert!(
            columns == BLOCK * outputs && rows.is_multiple_of(size.cells()),
            "{columns} columns of {rows} cells are no kernels of {outputs} numbers on {size:?}"
        );
        let y = sum_around(values(&parts), bias_values, size);
        let y = self.constant(y, (rows, outputs));
        let key = self.key(&parts);
        let bias_key = self.param_key(bias);
        if bias_key.wanted() {
            self.record(&y, move |dy, grads| {
                grads.update(&bias_key, |d| add_sum_rows(d, &dy, outputs));
                grads.give(&key, sum_around_gradient(&dy, outputs, size));
            });
        }
        y
    }

    /// Spreads rewards over a raster (Nardelli et al. 2019, arXiv:1805.11199, MVProp): from r and p in the columns of `maps`
    /// `[rasters * cells, 2]`, `v⁰ = r` and `vᵏ = max(vᵏ⁻¹, maxₙ r + p (vₙᵏ⁻¹ − r))` with n over the four neighbours of a cell.
    /// Cells off the grid are no neighbours. Returns v `[rasters * cells, 1]` after `iterations`; once no value changes,
    /// further ones would change nothing and are left out. Of equal neighbours the first gets the gradient, in the order
    /// above, left, right, below.
    ///
    /// # Panics
    /// When shapes do not match.
    pub fn propagate(&mut self, maps: &Tensor, size: GridSize, iterations: usize) -> Tensor {
        let (rows, columns) = shape(maps);
        assert!(
            columns == 2 && rows.is_multiple_of(size.cells()),
            "{rows} rows of {columns} columns are no r and p on {size:?}"
        );
        let done = propagate(values(maps), size, iterations);
        let v = self.constant(done.values.clone(), (rows, 1));
        let key = self.key(maps);
        if key.wanted() {
            let maps = maps.clone();
            self.record(&v, move |mut dv, grads| {
                grads.give(&key, propagate_gradient(&mut dv, values(&maps), &done));
            });
        }
        v
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Params;

    /// v after so many iterations, of r and p of each cell.
    fn propagated(r: &[f32], p: &[f32], size: GridSize, iterations: usize) -> Vec<f32> {
        let params = Params::new();
        let mut graph = Graph::inference(&params);
        let maps: Vec<f32> = r.iter().zip(p).flat_map(|(&r, &p)| [r, p]).collect();
        let maps = graph.constant(maps, (r.len(), 2));
        values(&graph.propagate(&maps, size, iterations)).to_vec()
    }

    fn one(cells: usize, goal: usize) -> Vec<f32> {
        (0..cells)
            .map(|cell| f32::from(u8::from(cell == goal)))
            .collect()
    }

    const SIZE: GridSize = GridSize {
        height: 5,
        width: 7,
    };

    /// One goal and one p: v is p to the power of the distance, and a cell farther than k is untouched after k.
    #[test]
    fn a_value_is_a_power_of_the_distance() {
        let (cells, goal) = (SIZE.cells(), 2 * SIZE.width + 1);
        let distance = |cell: usize| {
            let [row, column] = [cell / 7, cell % 7];
            row.abs_diff(2) + column.abs_diff(1)
        };
        for iterations in [0, 1, 3, 7, 100] {
            let v = propagated(&one(cells, goal), &vec![0.5; cells], SIZE, iterations);
            for (cell, v) in v.into_iter().enumerate() {
                let expected = match distance(cell) {
                    far if far > iterations => 0.0,
                    near => 0.5f32.powi(near as i32),
                };
                assert_eq!(v.to_bits(), expected.to_bits(), "cell {cell}, {iterations}");
            }
        }
    }

    /// Two rasters. The first has a wall from side to side: r stays behind it, and nothing passes to the second.
    #[test]
    fn walls_and_borders_block() {
        let cells = SIZE.cells();
        let mut r = one(2 * cells, 0);
        let mut p = vec![1.0; 2 * cells];
        for row in 0..SIZE.height {
            p[row * SIZE.width + 3] = 0.0;
            r[row * SIZE.width + 3] = 0.25;
        }
        let v = propagated(&r, &p, SIZE, 100);
        for (cell, &v) in v[..cells].iter().enumerate() {
            let expected = match cell % SIZE.width {
                3 => 0.25,
                column => f32::from(u8::from(column < 3)).max(0.25),
            };
            assert_eq!(v, expected, "cell {cell}");
        }
        assert_eq!(v[cells..], vec![0.0; cells]);
    }

    /// Padding is no neighbour: negative rewards stay negative.
    #[test]
    fn what_is_off_the_grid_never_wins() {
        let cells = SIZE.cells();
        let v = propagated(&vec![-1.0; cells], &vec![0.5; cells], SIZE, 10);
        assert_eq!(v, vec![-1.0; cells]);
    }

    #[test]
    fn values_rise_within_bounds_until_nothing_changes() {
        let cells = SIZE.cells();
        let wave = |phase: f32| -> Vec<f32> {
            let angles = (0..cells).map(|cell| 0.5 + 0.5 * (phase + 1.7 * cell as f32).sin());
            angles.collect()
        };
        let (r, p) = (wave(0.0), wave(1.0));
        let mut before = r.clone();
        for iterations in 1..=cells {
            let v = propagated(&r, &p, SIZE, iterations);
            let pairs = v.iter().zip(&before);
            assert!(pairs.clone().all(|(v, before)| v >= before && *v <= 1.0));
            before = v;
        }
        assert_eq!(propagated(&r, &p, SIZE, 10 * cells), before);
    }

    /// A kernel that copies the cell on the left, on rasters of two by two cells.
    #[test]
    fn a_convolution_by_hand() {
        use rand::SeedableRng;
        let mut params = Params::new();
        let mut rng = rand_xoshiro::Xoshiro256PlusPlus::seed_from_u64(0);
        let weight = params.add("weight", (1, 9), crate::Init::Zeros, &mut rng);
        let bias = params.add("bias", (1, 1), crate::Init::Constant(0.5), &mut rng);
        params.data_mut(weight)[3] = 2.0;
        let size = GridSize {
            height: 2,
            width: 2,
        };
        let mut graph = Graph::inference(&params);
        let x = graph.constant(vec![1., 2., 3., 4., 5., 6., 7., 8.], (8, 1));
        let y = graph.convolve(&x, (weight, bias), size);
        assert_eq!(values(&y), [0.5, 2.5, 0.5, 6.5, 0.5, 10.5, 0.5, 14.5]);
    }
}
