//! Sums, products and weighted totals.

use crate::graph::Graph;
use crate::tensor::{Tensor, shape, values};

impl Graph<'_> {
    /// `a + b`, shapes equal.
    pub fn add(&mut self, a: &Tensor, b: &Tensor) -> Tensor {
        assert_eq!(shape(a), shape(b), "a sum needs equal shapes");
        let sum = values(a)
            .iter()
            .zip(values(b))
            .map(|(a, b)| a + b)
            .collect();
        let sum = self.constant(sum, shape(a));
        let (a_key, b_key) = (self.key(a), self.key(b));
        if a_key.wanted() || b_key.wanted() {
            self.record(&sum, move |d_sum, grads| {
                if a_key.wanted() {
                    grads.give(&a_key, d_sum.clone());
                }
                grads.give(&b_key, d_sum);
            });
        }
        sum
    }

    /// `a ⊙ b`, shapes equal.
    pub fn mul(&mut self, a: &Tensor, b: &Tensor) -> Tensor {
        assert_eq!(
            shape(a),
            shape(b),
            "a product by elements needs equal shapes"
        );
        let product = self.constant(products(values(a), values(b)), shape(a));
        let (a_key, b_key) = (self.key(a), self.key(b));
        if a_key.wanted() || b_key.wanted() {
            let (a, b) = (a.clone(), b.clone());
            self.record(&product, move |d_product, grads| {
                if a_key.wanted() {
                    grads.give(&a_key, products(&d_product, values(&b)));
                }
                if b_key.wanted() {
                    grads.give(&b_key, products(&d_product, values(&a)));
                }
            });
        }
        product
    }

    /// `factor · a`.
    pub fn scale(&mut self, a: &Tensor, factor: f32) -> Tensor {
        let scaled = values(a).iter().map(|a| factor * a).collect();
        let scaled = self.constant(scaled, shape(a));
        let a_key = self.key(a);
        if a_key.wanted() {
            self.record(&scaled, move |mut d_scaled, grads| {
                d_scaled.iter_mut().for_each(|d| *d *= factor);
                grads.give(&a_key, d_scaled);
            });
        }
        scaled
    }

    /// `Σ coefficient · loss` over losses `[1, 1]`; a coefficient of 0 also stops the gradient.
    pub fn total(&mut self, losses: &[(f32, &Tensor)]) -> Tensor {
        let mut total = 0.0;
        let mut keys = Vec::new();
        for &(coefficient, loss) in losses {
            assert_eq!(shape(loss), (1, 1), "a total is over single numbers");
            if coefficient != 0.0 {
                total += coefficient * values(loss)[0];
                keys.push((coefficient, self.key(loss)));
            }
        }
        let total = self.constant(vec![total], (1, 1));
        if keys.iter().any(|(_, key)| key.wanted()) {
            self.record(&total, move |d_total, grads| {
                for (coefficient, key) in &keys {
                    grads.give(key, vec![coefficient * d_total[0]]);
                }
            });
        }
        total
    }
}

fn products(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a * b).collect()
}
