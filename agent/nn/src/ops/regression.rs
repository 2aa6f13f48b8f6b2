//! Losses with given targets.

use crate::categorical;
use crate::graph::Graph;
use crate::kernels::elementwise::weighted_squares;
use crate::tensor::{Tensor, shape, values};

impl Graph<'_> {
    /// Mean squared error over columns and weighted rows:
    /// `Σ_m w_m Σ_k (p_mk - t_mk)² / (K Σ w)`; `prediction` and `target` `[M, K]`, `weights` `[M]`.
    pub fn mse(&mut self, prediction: &Tensor, target: &[f32], weights: &[f32]) -> Tensor {
        let (rows, columns) = shape(prediction);
        assert_eq!(
            target.len(),
            rows * columns,
            "a target for every prediction"
        );
        assert_eq!(weights.len(), rows, "a weight for every row");
        let factor = inverse_or_zero(weights.iter().sum::<f32>() * columns as f32);
        let mut gradient = vec![0.0; rows * columns];
        let loss = weighted_squares(&mut gradient, values(prediction), target, weights, factor);
        self.loss(loss, prediction, gradient)
    }

    /// `-Σ_m w_m ln softmax(logits_m)[class_m] / Σ w`; `logits` `[M, A]`, classes `0..A`.
    pub fn cross_entropy(&mut self, logits: &Tensor, classes: &[u32], weights: &[f32]) -> Tensor {
        let (rows, columns) = shape(logits);
        assert_eq!(classes.len(), rows, "a class for every row");
        assert_eq!(weights.len(), rows, "a weight for every row");
        let factor = inverse_or_zero(weights.iter().sum());
        let mut loss = 0.0;
        let mut gradient = values(logits).to_vec();
        categorical::log_softmax(&mut gradient, columns);
        for (row, &class) in classes.iter().enumerate() {
            let weight = factor * weights[row];
            let log_probs = &mut gradient[row * columns..(row + 1) * columns];
            loss -= f64::from(weight * log_probs[class as usize]);
            log_probs.iter_mut().for_each(|x| *x = weight * x.exp());
            log_probs[class as usize] -= weight;
        }
        self.loss(loss, logits, gradient)
    }

    /// Mean squared error of the entries that rows hold in their slots:
    /// `Σ w_m (u[index_ms] - target_ms)² / Σ w_m`, both sums over the filled slots. `u` `[E, 1]`,
    /// `index` `[M, S]` with -1 for an empty slot, `target` `[M, S]`, `weights` `[M]`.
    pub fn slot_regression(
        &mut self,
        u: &Tensor,
        index: &[i32],
        target: &[f32],
        weights: &[f32],
    ) -> Tensor {
        let (entries, columns) = shape(u);
        assert_eq!(columns, 1, "one score per entry");
        assert_eq!(target.len(), index.len(), "a target for every slot");
        assert!(
            weights.is_empty() || index.len().is_multiple_of(weights.len()),
            "{} slots cannot be divided evenly among {} rows",
            index.len(),
            weights.len()
        );
        let slots = index.len().checked_div(weights.len()).unwrap_or(0).max(1);
        let filled = || {
            let rows = index.chunks_exact(slots).zip(target.chunks_exact(slots));
            rows.zip(weights).flat_map(|((index, target), &weight)| {
                let cells = index.iter().zip(target);
                cells.filter_map(move |(&entry, &target)| {
                    Some((usize::try_from(entry).ok()?, target, weight))
                })
            })
        };
        let factor = inverse_or_zero(filled().map(|(_, _, weight)| weight).sum());
        let (mut loss, mut gradient) = (0.0, vec![0.0; entries]);
        let u_values = values(u);
        filled().for_each(|(entry, target, weight)| {
            let error = u_values[entry] - target;
            loss += f64::from(factor * weight * error * error);
            gradient[entry] += 2.0 * factor * weight * error;
        });
        self.loss(loss, u, gradient)
    }

    /// Returns a loss `[1, 1]` whose gradient with respect to its only input is already known.
    pub(crate) fn loss(&mut self, loss: f64, input: &Tensor, mut gradient: Vec<f32>) -> Tensor {
        let loss = self.constant(vec![loss as f32], (1, 1));
        let key = self.key(input);
        if key.wanted() {
            self.record(&loss, move |d_loss, grads| {
                gradient.iter_mut().for_each(|g| *g *= d_loss[0]);
                grads.give(&key, gradient);
            });
        }
        loss
    }
}

/// `1 / total`, or 0: if all weights are 0, a mean and its gradient are 0.
fn inverse_or_zero(total: f32) -> f32 {
    if total == 0.0 { 0.0 } else { 1.0 / total }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Params;

    #[test]
    fn by_hand() {
        let params = Params::new();
        let mut graph = Graph::inference(&params);
        let x = graph.constant(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], (3, 2));
        // Squares 1 + 4 with weight 1, 16 + 0 with weight 3.
        let mse = graph.mse(&x, &[0.0, 0.0, -1.0, 4.0, 99.0, 99.0], &[1.0, 3.0, 0.0]);
        assert_eq!(values(&mse), [(5.0 + 3.0 * 16.0) / 8.0]);

        let logits = graph.constant(vec![0.0, 3.0f32.ln(), 1.0, 1.0], (2, 2));
        let loss = graph.cross_entropy(&logits, &[0, 1], &[1.0, 3.0]);
        let expected = (4.0f32.ln() + 3.0 * 2.0f32.ln()) / 4.0;
        assert!((values(&loss)[0] - expected).abs() < 1e-6);

        let u = graph.constant(vec![1.0, 2.0, 3.0], (3, 1));
        // Filled: entry 0 (error 1) with weight 1, entries 2 and 0 (errors 1 and -1) with weight 2.
        let index = [0, -1, 2, 0];
        let loss = graph.slot_regression(&u, &index, &[0.0, 0.0, 2.0, 2.0], &[1.0, 2.0]);
        assert_eq!(values(&loss), [1.0]);
    }

    #[test]
    fn nothing_to_average_is_zero() {
        let params = Params::new();
        let mut graph = Graph::inference(&params);
        let u = graph.constant(vec![1.0], (1, 1));
        for loss in [
            graph.mse(&u, &[0.0], &[0.0]),
            graph.cross_entropy(&u, &[0], &[0.0]),
            graph.slot_regression(&u, &[-1], &[0.0], &[1.0]),
            graph.slot_regression(&u, &[], &[], &[]),
        ] {
            assert_eq!(values(&loss), [0.0]);
        }
    }
}
