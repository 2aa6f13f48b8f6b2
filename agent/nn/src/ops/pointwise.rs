//! Operations on numbers and rows one by one, which steps of cells are composed of.

use crate::graph::Graph;
use crate::kernels::activation::Activation;
use crate::kernels::lstm::{StepState, lstm_step, lstm_step_gradient};
use crate::kernels::rows::{row_dots, scale_rows, scale_rows_gradient, softmax, softmax_gradient};
use crate::tensor::{Tensor, shape, values};

impl Graph<'_> {
    /// `scale · x + shift`.
    pub fn affine(&mut self, x: &Tensor, scale: f32, shift: f32) -> Tensor {
        let y = values(x).iter().map(|x| scale.mul_add(*x, shift)).collect();
        let y = self.constant(y, shape(x));
        let key = self.key(x);
        if key.wanted() {
            self.record(&y, move |mut dy, grads| {
                dy.iter_mut().for_each(|d| *d *= scale);
                grads.give(&key, dy);
            });
        }
        y
    }

    /// The same numbers in rows of another length.
    ///
    /// # Panics
    /// When the sizes differ.
    pub fn reshape(&mut self, x: &Tensor, to: (usize, usize)) -> Tensor {
        let y = self.constant(values(x).to_vec(), to);
        let key = self.key(x);
        if key.wanted() {
            self.record(&y, move |dy, grads| grads.give(&key, dy));
        }
        y
    }

    /// `ln(1 + eˣ)`.
    pub fn softplus(&mut self, x: &Tensor) -> Tensor {
        let minus = self.scale(x, -1.0);
        let log_sigmoid = self.activate(&minus, Activation::LogSigmoid);
        self.scale(&log_sigmoid, -1.0)
    }

    /// Softmax of each row.
    pub fn softmax(&mut self, x: &Tensor) -> Tensor {
        let (rows, columns) = shape(x);
        let mut y = values(x).to_vec();
        softmax(&mut y, columns);
        let y = self.constant(y, (rows, columns));
        let key = self.key(x);
        if key.wanted() {
            let y_again = y.clone();
            self.record(&y, move |mut dy, grads| {
                softmax_gradient(&mut dy, values(&y_again), columns);
                grads.give(&key, dy);
            });
        }
        y
    }

    /// Each row of `x` `[M, N]` times its number of `factors` `[M, 1]`.
    ///
    /// # Panics
    /// When the numbers of rows differ.
    pub fn scale_rows(&mut self, x: &Tensor, factors: &Tensor) -> Tensor {
        let (rows, columns) = shape(x);
        assert_eq!(shape(factors), (rows, 1), "a factor for each row");
        let mut y = values(x).to_vec();
        scale_rows(&mut y, values(factors), columns);
        let y = self.constant(y, (rows, columns));
        let (x_key, factors_key) = (self.key(x), self.key(factors));
        if x_key.wanted() || factors_key.wanted() {
            let (x, factors) = (x.clone(), factors.clone());
            self.record(&y, move |mut dy, grads| {
                let mut d_factors = vec![0.0; rows];
                scale_rows_gradient(&mut dy, &mut d_factors, values(&x), values(&factors));
                grads.give(&factors_key, d_factors);
                grads.give(&x_key, dy);
            });
        }
        y
    }

    /// Products of the rows of `a` with those of `b`, both `[M, N]`: `[M, 1]`.
    ///
    /// # Panics
    /// When the shapes differ.
    pub fn row_dot(&mut self, a: &Tensor, b: &Tensor) -> Tensor {
        let (rows, columns) = shape(a);
        assert_eq!(shape(b), (rows, columns), "products of equal rows");
        let dots = row_dots(values(a), values(b), rows);
        let dots = self.constant(dots, (rows, 1));
        let keys = [self.key(a), self.key(b)];
        if keys.iter().any(|key| key.wanted()) {
            let operands = [b.clone(), a.clone()];
            self.record(&dots, move |d_dots, grads| {
                for (key, other) in keys.iter().zip(&operands) {
                    if key.wanted() {
                        let mut d = values(other).to_vec();
                        scale_rows(&mut d, &d_dots, columns);
                        grads.give(key, d);
                    }
                }
            });
        }
        dots
    }

    /// The pointwise part of a step of an LSTM (Hochreiter & Schmidhuber 1997; forget gate of Gers et al. 2000):
    /// `c' = σ(f) ⊙ c + σ(i) ⊙ tanh g`, `h' = σ(o) ⊙ tanh c'`. `gates` `[M, 4 * N]` holds i, f, g, o; `c` is `[M, N]`.
    /// Returns h' and c'.
    ///
    /// # Panics
    /// When shapes do not match.
    pub fn lstm_cell(&mut self, gates: &Tensor, c: &Tensor) -> (Tensor, Tensor) {
        let (rows, hidden) = shape(c);
        assert_eq!(shape(gates), (rows, 4 * hidden), "four gates for each unit");
        let mut activations = values(gates).to_vec();
        let [mut h, mut c_after, mut tanh_c] = std::array::from_fn(|_| vec![0.0; rows * hidden]);
        let state = StepState {
            h: &mut h,
            c: &mut c_after,
            tanh_c: &mut tanh_c,
        };
        lstm_step(state, &mut activations, values(c), hidden);
        // One matrix for both, so that one backward step sees both gradients.
        let joined = self.constant([h.as_slice(), &c_after].concat(), (2 * rows, hidden));
        let (gates_key, c_key) = (self.key(gates), self.key(c));
        if gates_key.wanted() || c_key.wanted() {
            let c = c.clone();
            self.record(&joined, move |mut d_joined, grads| {
                let (dh, dc) = d_joined.split_at_mut(rows * hidden);
                let mut d_gates = vec![0.0; rows * 4 * hidden];
                lstm_step_gradient(
                    &mut d_gates,
                    dc,
                    &activations,
                    values(&c),
                    &tanh_c,
                    dh,
                    hidden,
                );
                grads.give(&gates_key, d_gates);
                grads.give(&c_key, dc.to_vec());
            });
        }
        (
            self.rows(&joined, 0..rows),
            self.rows(&joined, rows..2 * rows),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Params;

    #[test]
    fn by_hand() {
        let params = Params::new();
        let mut graph = Graph::inference(&params);
        let x = graph.constant(vec![0.0, 3.0f32.ln(), 1.0, 1.0], (2, 2));
        let softmax = graph.softmax(&x);
        for (y, expected) in values(&softmax).iter().zip([0.25, 0.75, 0.5, 0.5]) {
            assert!((y - expected).abs() < 1e-6);
        }
        let factors = graph.constant(vec![2.0, -1.0], (2, 1));
        let ones = graph.constant(vec![1.0, 2.0, 3.0, 4.0], (2, 2));
        let scaled = graph.scale_rows(&ones, &factors);
        assert_eq!(values(&scaled), [2.0, 4.0, -3.0, -4.0]);
        let dots = graph.row_dot(&ones, &scaled);
        assert_eq!(values(&dots), [10.0, -25.0]);
        let moved = graph.affine(&ones, 2.0, 1.0);
        assert_eq!(values(&moved), [3.0, 5.0, 7.0, 9.0]);
        let zero = graph.constant(vec![0.0], (1, 1));
        assert!((values(&graph.softplus(&zero))[0] - 2.0f32.ln()).abs() < 1e-6);
    }

    /// All gates at σ(0) = ½ with a candidate of tanh(∞) = 1: c' = ½ · 1 + ½ = 1, h' = ½ tanh 1.
    #[test]
    fn an_lstm_cell_by_hand() {
        let params = Params::new();
        let mut graph = Graph::inference(&params);
        let gates = graph.constant(vec![0.0, 0.0, 100.0, 0.0], (1, 4));
        let c = graph.constant(vec![1.0], (1, 1));
        let (h, c) = graph.lstm_cell(&gates, &c);
        assert!((values(&c)[0] - 1.0).abs() < 1e-6);
        assert!((values(&h)[0] - 0.5 * 1.0f32.tanh()).abs() < 1e-6);
    }
}
