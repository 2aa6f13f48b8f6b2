//! The value of a key from its neighbours, weighted by distance.

use crate::graph::Graph;
use crate::kernels::nearest::{DistanceSizes, distance_read, distance_read_gradient};
use crate::tensor::{Tensor, shape, values};

impl Graph<'_> {
    /// Mean of the values of neighbours, weighted by the inverse of their squared distance (Pritzel et al. 2017,
    /// arXiv:1703.01988, eqs. 1, 2 and 5): `Q = Σ w_i v_i`, `w_i = k_i / Σ k_j`, `k_i = 1 / (‖h − h_i‖² + δ)`.
    ///
    /// `h` `[R, d]`; `keys` `[R * p, d]` and `neighbour_values` `[R, p]` hold p neighbours of each row. Only the first
    /// `counts` `[R]` of them count. Returns `[R, 1]`; 0 for a row without a neighbour.
    ///
    /// # Panics
    /// When shapes do not match.
    pub fn distance_read(
        &mut self,
        h: &Tensor,
        keys: &Tensor,
        neighbour_values: &Tensor,
        counts: &[usize],
        delta: f32,
    ) -> Tensor {
        let ((rows, width), (_, neighbours)) = (shape(h), shape(neighbour_values));
        assert_eq!(
            shape(neighbour_values),
            (rows, neighbours),
            "values of the neighbours of each row"
        );
        assert_eq!(
            shape(keys),
            (rows * neighbours, width),
            "keys of the neighbours of each row"
        );
        assert_eq!(counts.len(), rows, "a count for each row");
        assert!(
            counts.iter().all(|&count| count <= neighbours),
            "at most p neighbours"
        );
        let sizes = DistanceSizes {
            width,
            neighbours,
            delta,
        };
        let inputs = [h, keys, neighbour_values];
        let q = distance_read(inputs.map(values), counts, sizes);
        let q = self.constant(q, (rows, 1));
        let grad_keys = inputs.map(|input| self.key(input));
        if grad_keys.iter().any(|key| key.wanted()) {
            let (inputs, counts) = (inputs.map(Tensor::clone), counts.to_vec());
            self.record(&q, move |dq, grads| {
                let inputs = [&inputs[0], &inputs[1], &inputs[2]].map(values);
                let gradients = distance_read_gradient(&dq, inputs, &counts, sizes);
                for (key, gradient) in grad_keys.iter().zip(gradients) {
                    grads.give(key, gradient);
                }
            });
        }
        q
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::*;
    use crate::check::check_gradients;
    use crate::{Init, Params};

    #[test]
    fn by_hand() {
        let params = Params::new();
        let mut graph = Graph::inference(&params);
        let h = graph.constant(vec![0.0, 0.0, 1.0, 1.0], (2, 2));
        let keys = graph.constant(vec![1.0, 0.0, 0.0, 2.0, 9.0, 9.0, 9.0, 9.0], (4, 2));
        let v = graph.constant(vec![3.0, -1.0, 9.0, 9.0], (2, 2));
        let q = graph.distance_read(&h, &keys, &v, &[2, 0], 1.0);
        // Kernels 1/2 and 1/5.
        let expected = (3.0 * 0.5 - 0.2) / 0.7;
        assert!((values(&q)[0] - expected).abs() < 1e-6);
        assert_eq!(values(&q)[1], 0.0);
    }

    /// Of the key, of the neighbours' keys and of their values, whose gradient is the weights.
    #[test]
    fn gradients_are_those_of_differences() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
        let mut params = Params::new();
        let normal = Init::Normal { std: 1.0 };
        let h = params.add("h", (3, 4), normal, &mut rng);
        let keys = params.add("keys", (9, 4), normal, &mut rng);
        let v = params.add("v", (3, 3), normal, &mut rng);
        let counts = [3, 2, 0];
        check_gradients(&mut params, |graph| {
            let [h, keys, v] = [h, keys, v].map(|id| graph.param(id));
            let q = graph.distance_read(&h, &keys, &v, &counts, 0.1);
            graph.mse(&q, &[1.0, -1.0, 0.5], &[1.0; 3])
        });
        let mut graph = Graph::training(&params);
        let [h, keys, held] = [h, keys, v].map(|id| graph.param(id));
        let q = graph.distance_read(&h, &keys, &held, &counts, 0.1);
        let total = graph.scale(&q, 0.5);
        // d mse / dq = 2 q / 3 for targets of 0.
        let loss = graph.mse(&total, &[0.0; 3], &[1.0; 3]);
        let q = values(&q).to_vec();
        let gradients = graph.backward(&loss);
        let dv = gradients.of(v).unwrap();
        for (row, q) in q.iter().enumerate().take(2) {
            let weights: f32 = dv[row * 3..row * 3 + 3].iter().map(|d| d / (q / 6.0)).sum();
            assert!((weights - 1.0).abs() < 1e-5, "{weights}");
        }
        assert_eq!(dv[5..], [0.0; 4]);
    }
}
