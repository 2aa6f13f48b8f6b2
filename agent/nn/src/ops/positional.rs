//! Writes into a memory of rows at given places, as MERLIN makes them.

use crate::graph::Graph;
use crate::kernels::positional::{RowSizes, write, write_gradient};
use crate::tensor::{Tensor, shape, values};

impl Graph<'_> {
    /// Writes an entry, and its share in the summaries of what followed earlier ones (Wayne et al. 2018,
    /// arXiv:1803.10760): `M' = M + v [z, 0]ᵀ + r [0, z]ᵀ`, after row v of M has been cleared.
    ///
    /// `memory` `[M, rows * 2 * size]`, `z` `[M, size]`. `at` `[M]`: the row that v marks; nothing is written where it is
    /// negative. `later` `[M, rows]`: the weights r, which are constants.
    ///
    /// # Panics
    /// When shapes do not match.
    pub fn positional_write(
        &mut self,
        memory: &Tensor,
        z: &Tensor,
        at: &[i32],
        later: &[f32],
    ) -> Tensor {
        let (lanes, entry) = shape(z);
        let sizes = RowSizes {
            lanes,
            rows: later.len().checked_div(lanes).unwrap_or(0),
            entry,
        };
        assert_eq!(shape(memory), (lanes, sizes.cells()), "two entries a row");
        assert_eq!(at.len(), sizes.lanes, "a row for each lane");
        let mut after = values(memory).to_vec();
        write(&mut after, values(z), at, later, sizes);
        let after = self.constant(after, (lanes, sizes.cells()));
        let keys = [self.key(memory), self.key(z)];
        if keys.iter().any(|key| key.wanted()) {
            let (at, later) = (at.to_vec(), later.to_vec());
            self.record(&after, move |mut d, grads| {
                let mut dz = vec![0.0; lanes * entry];
                write_gradient(&mut dz, &mut d, &at, &later, sizes);
                let [memory_key, z_key] = &keys;
                grads.give(memory_key, d);
                grads.give(z_key, dz);
            });
        }
        after
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Params;

    /// Two lanes of two rows; the second lane writes nothing.
    #[test]
    fn by_hand() {
        let params = Params::new();
        let mut graph = Graph::inference(&params);
        let memory = graph.constant((1..=8).map(|i| i as f32).collect(), (2, 4));
        let z = graph.constant(vec![10.0, 20.0], (2, 1));
        let after = graph.positional_write(&memory, &z, &[1, -1], &[0.5, 0.0, 0.5, 0.5]);
        assert_eq!(values(&after), [1.0, 7.0, 10.0, 0.0, 5.0, 6.0, 7.0, 8.0]);
    }
}
