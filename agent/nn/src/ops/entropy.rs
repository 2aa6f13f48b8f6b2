//! The entropy of categorical distributions.

use crate::categorical;
use crate::graph::Graph;
use crate::tensor::{Tensor, shape, values};

impl Graph<'_> {
    /// Mean entropy of weighted rows in nats, `Σ_m w_m H(softmax(logits_m)) / Σ w` `[1, 1]`, 0 if no row has a weight;
    /// `logits` `[M, A]`, `weights` `[M]`. Its gradient is `∂H/∂logit_a = −p_a (ln p_a + H)`.
    pub fn entropy(&mut self, logits: &Tensor, weights: &[f32]) -> Tensor {
        let (rows, columns) = shape(logits);
        assert_eq!(weights.len(), rows, "a weight for every row");
        let total: f32 = weights.iter().sum();
        let factor = if total == 0.0 { 0.0 } else { 1.0 / total };
        let mut mean = 0.0;
        let mut gradient = values(logits).to_vec();
        categorical::log_softmax(&mut gradient, columns);
        for (log_probs, weight) in gradient.chunks_exact_mut(columns).zip(weights) {
            let entropy = categorical::entropy(log_probs);
            mean += f64::from(factor * weight * entropy);
            for x in log_probs {
                *x = -factor * weight * x.exp() * (*x + entropy);
            }
        }
        self.loss(mean, logits, gradient)
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
        let logits = graph.constant(vec![0.0, 0.0, 9.0, 9.0, 0.0, 3.0f32.ln()], (3, 2));
        let entropy = graph.entropy(&logits, &[1.0, 0.0, 3.0]);
        let of_quarter = 4.0f32.ln() - 0.75 * 3.0f32.ln();
        let expected = (2.0f32.ln() + 3.0 * of_quarter) / 4.0;
        assert!((values(&entropy)[0] - expected).abs() < 1e-6);
        let none = graph.entropy(&logits, &[0.0; 3]);
        assert_eq!(values(&none), [0.0]);
    }

    #[test]
    fn gradients_are_those_of_differences() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(0);
        let mut params = Params::new();
        let logits = params.add("logits", (4, 3), Init::Normal { std: 1.0 }, &mut rng);
        check_gradients(&mut params, |graph| {
            let logits = graph.param(logits);
            graph.entropy(&logits, &[1.0, 2.0, 0.0, 0.5])
        });
    }
}
