//! Memories that are matrices, multiplied number by number and written by outer products: what fast weights, gated linear
//! attention and Hadamard memories share. They are linear in the matrix, so that all products with weights are taken
//! beforehand, for the whole sequence at once.

use crate::graph::{GradKey, Graph};
use crate::kernels::matrix_memory::{
    Calibration, Inputs, Kept, Shape, divide_by_last, divide_by_last_gradient, matrix_memory,
    matrix_memory_gradient,
};
use crate::ops::sequence::Sizes;
use crate::tensor::{Tensor, shape, values};

/// Inputs of a matrix memory for every row of a sequence. A matrix has a row for each number of a value and a column for
/// each number of a key.
#[derive(Clone)]
pub struct MatrixMemory {
    /// Calibration of rows, `[T * batch, values]`.
    pub left: Tensor,
    /// Calibration of columns, `[T * batch, keys]`.
    pub right: Tensor,
    /// Numbers to write, `[T * batch, values]`.
    pub value: Tensor,
    /// Address of the write, `[T * batch, keys]`.
    pub key: Tensor,
    /// Address of the read, `[T * batch, keys]`.
    pub query: Tensor,
}

impl MatrixMemory {
    fn tensors(&self) -> [&Tensor; 5] {
        [&self.left, &self.right, &self.value, &self.key, &self.query]
    }

    fn numbers(&self) -> Inputs<'_> {
        let [left, right, value, key, query] = self.tensors().map(values);
        Inputs {
            left,
            right,
            value,
            key,
            query,
        }
    }

    /// Checks that the shapes agree; returns rows, values and keys.
    fn sizes(&self) -> (usize, usize, usize) {
        let ((rows, values), (_, keys)) = (shape(&self.value), shape(&self.key));
        let shapes = self.tensors().map(shape);
        let [wide, high] = [(rows, keys), (rows, values)];
        assert_eq!(
            shapes,
            [high, wide, high, wide, wide],
            "the shapes of a matrix memory of {values} rows and {keys} columns"
        );
        (rows, values, keys)
    }
}

fn over(starts: &[bool], batch: usize, (values, keys): (usize, usize)) -> Shape<'_> {
    Shape {
        starts,
        batch,
        values,
        keys,
    }
}

impl Graph<'_> {
    /// Runs a matrix memory: `M' = M ⊙ C + v kᵀ` and `y = M' q`, where `C` is what `calibration` makes of the products
    /// `left rightᵀ`. Stable Hadamard memory (Le et al. 2025, arXiv 2410.10132) is [`Calibration::Hadamard`]; GaLiTe
    /// (Pramanik et al. 2024) is [`Calibration::Outer`], and so is mLSTM (Beck et al. 2024, arXiv 2405.04517), whose forget
    /// gate f is left 1, right 1 − f. Their normaliser is one more row of `M`: a 1 at the end of `value` and of `left`.
    ///
    /// Returns y `[T * batch, values]` and the matrices after the last step, `[batch, values * keys]`. Where
    /// `starts[t * batch + b]` is set, the matrix of sequence `b` is zeroed before step `t`. The matrices before the first
    /// step, `initial` `[batch, values * keys]`, get no gradient.
    ///
    /// # Panics
    /// When shapes do not match.
    pub fn matrix_memory(
        &mut self,
        inputs: &MatrixMemory,
        calibration: Calibration,
        starts: &[bool],
        initial: &[f32],
        batch: usize,
    ) -> (Tensor, Vec<f32>) {
        let (rows, values, keys) = inputs.sizes();
        let sizes = Sizes {
            rows,
            batch,
            inputs: keys,
            hidden: values * keys,
        };
        sizes.check(starts, initial);
        let size = (values, keys);
        let input_keys = inputs.tensors().map(|tensor| self.key(tensor));
        let is_wanted = input_keys.iter().any(GradKey::wanted);
        let (mut y, mut states) = (vec![0.0; rows * values], initial.to_vec());
        let mut kept = Kept::new();
        let keep = is_wanted.then_some(&mut kept);
        let numbers = inputs.numbers();
        matrix_memory(
            &mut y,
            &mut states,
            keep,
            numbers,
            over(starts, batch, size),
            calibration,
        );
        let y = self.constant(y, (rows, values));
        if is_wanted {
            let (inputs, starts) = (inputs.clone(), starts.to_vec());
            self.record(&y, move |dy, grads| {
                let numbers = inputs.numbers();
                let over = over(&starts, batch, size);
                let d = matrix_memory_gradient(&dy, &kept, numbers, over, calibration);
                let all = [d.left, d.right, d.value, d.key, d.query];
                for (key, d) in input_keys.iter().zip(all) {
                    grads.give(key, d);
                }
            });
        }
        (y, states)
    }

    /// Divides the numbers of each row of `x` `[M, N + 1]` by the row's last number, or by `floor` where that is less:
    /// `[M, N]`.
    pub fn divide_by_last(&mut self, x: &Tensor, floor: f32) -> Tensor {
        let (rows, columns) = shape(x);
        let mut y = vec![0.0; rows * (columns - 1)];
        divide_by_last(&mut y, values(x), columns, floor);
        let y = self.constant(y, (rows, columns - 1));
        let key = self.key(x);
        if key.wanted() {
            let x = x.clone();
            self.record(&y, move |dy, grads| {
                let mut dx = vec![0.0; rows * columns];
                divide_by_last_gradient(&mut dx, &dy, values(&x), columns, floor);
                grads.give(&key, dx);
            });
        }
        y
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Params;

    /// Inputs of `rows` rows, from a function of the input's number, the row and the column.
    fn inputs(
        graph: &Graph<'_>,
        (rows, values, keys): (usize, usize, usize),
        number: impl Fn(usize, usize, usize) -> f32,
    ) -> MatrixMemory {
        let tensor = |input: usize, columns: usize| {
            let cells = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
            let data = cells.map(|(row, column)| number(input, row, column));
            graph.constant(data.collect(), (rows, columns))
        };
        MatrixMemory {
            left: tensor(0, values),
            right: tensor(1, keys),
            value: tensor(2, values),
            key: tensor(3, keys),
            query: tensor(4, keys),
        }
    }

    fn wave(input: usize, row: usize, column: usize) -> f32 {
        (1.3 * input as f32 + 0.7 * row as f32 + 2.1 * column as f32).sin()
    }

    /// A write with a one-hot key is read exactly by the same query, and another slot holds nothing.
    #[test]
    fn a_slot_holds_what_was_written_to_it() {
        let params = Params::new();
        let mut graph = Graph::inference(&params);
        let one_hot = |slot: usize, column: usize| f32::from(u8::from(slot == column));
        for calibration in [Calibration::Hadamard, Calibration::Outer] {
            // The second and the third step write nothing, calibrate by 1, and read slots 2 and 1.
            let of_rows = inputs(&graph, (3, 2, 9), |input, row, column| match input {
                0 | 1 => 0.0,
                2 => [0.5, -3.0][column] * one_hot(row, 0),
                3 => one_hot(2, column),
                _ => one_hot([2, 2, 1][row], column),
            });
            let (y, last) = graph.matrix_memory(&of_rows, calibration, &[false; 3], &[0.0; 18], 1);
            assert_eq!(values(&y), [0.5, -3.0, 0.5, -3.0, 0.0, 0.0]);
            assert_eq!((last[2], last[9 + 2]), (0.5, -3.0));
        }
    }

    /// One number, four steps: m' = m c + v k, y = m' q.
    #[test]
    fn calibrations_by_hand() {
        let params = Params::new();
        let mut graph = Graph::inference(&params);
        let of_rows = inputs(&graph, (4, 1, 1), |input, row, _| match input {
            0 => [0.5, 2.0, 1.0, 1.0][row],
            1 => [1.0, -0.5, 1.0, 1.0][row],
            2 => [1.0, 2.0, 0.0, 3.0][row],
            3 => 2.0,
            _ => 10.0,
        });
        let starts = [false, false, false, true];
        let (y, last) = graph.matrix_memory(&of_rows, Calibration::Outer, &starts, &[4.0], 1);
        assert_eq!(values(&y), [40.0, 120.0, 0.0, 60.0]);
        assert_eq!(last, [6.0]);
        let (y, _) = graph.matrix_memory(&of_rows, Calibration::Hadamard, &starts, &[4.0], 1);
        let first = 4.0 * (1.0 + 0.5f32.tanh()) + 2.0;
        let second = first * (1.0 - 1f32.tanh()) + 4.0;
        let expected = [first, second, second * (1.0 + 1f32.tanh()), 6.0];
        for (y, expected) in values(&y).iter().zip(expected) {
            assert!((y - 10.0 * expected).abs() < 1e-4, "{y} {expected}");
        }
    }

    /// θ 0 is linear attention: M is the sum of all writes.
    #[test]
    fn without_a_calibration_writes_add_up() {
        let params = Params::new();
        let mut graph = Graph::inference(&params);
        let of_rows = inputs(&graph, (40, 3, 5), |input, row, column| match input {
            0 => 0.0,
            _ => wave(input, row, column),
        });
        let run = graph.matrix_memory(&of_rows, Calibration::Hadamard, &[false; 40], &[0.0; 15], 1);
        for i in 0..3 {
            for j in 0..5 {
                let sum: f32 = (0..40).map(|row| wave(2, row, i) * wave(3, row, j)).sum();
                assert!((run.1[i * 5 + j] - sum).abs() < 1e-4);
            }
        }
    }

    #[test]
    fn a_hadamard_memory_is_bounded() {
        let params = Params::new();
        let mut graph = Graph::inference(&params);
        let of_rows = inputs(&graph, (300, 1, 1), |_, _, _| 3.0);
        let (_, last) =
            graph.matrix_memory(&of_rows, Calibration::Hadamard, &[false; 300], &[0.0], 1);
        assert_eq!(last, [100.0]);
    }

    /// In one pass, and in parts of one step and of seven, which is not a multiple of a block. Rows of a matrix have more
    /// numbers than a register.
    #[test]
    fn a_sequence_equals_its_parts() {
        let params = Params::new();
        let mut graph = Graph::inference(&params);
        let (steps, batch) = (35, 2);
        let starts: Vec<bool> = (0..steps * batch).map(|row| row % 11 == 7).collect();
        let initial: Vec<f32> = (0..batch * 60).map(|i| wave(5, i, 0)).collect();
        for calibration in [Calibration::Hadamard, Calibration::Outer] {
            let whole = inputs(&graph, (steps * batch, 3, 20), wave);
            let whole = graph.matrix_memory(&whole, calibration, &starts, &initial, batch);
            for part in [1, 7] {
                let (mut state, mut all) = (initial.clone(), Vec::new());
                for (number, starts) in starts.chunks(part * batch).enumerate() {
                    let first = number * part * batch;
                    let of_rows = inputs(&graph, (starts.len(), 3, 20), |input, row, column| {
                        wave(input, first + row, column)
                    });
                    let run = graph.matrix_memory(&of_rows, calibration, starts, &state, batch);
                    all.extend_from_slice(values(&run.0));
                    state = run.1;
                }
                assert_eq!(values(&whole.0), all);
                assert_eq!(whole.1, state);
            }
        }
    }

    #[test]
    fn rows_are_divided_by_their_last_number() {
        let params = Params::new();
        let mut graph = Graph::inference(&params);
        let x = graph.constant(vec![1.0, 2.0, 4.0, 1.0, 2.0, 0.0], (2, 3));
        let y = graph.divide_by_last(&x, 0.5);
        assert_eq!(values(&y), [0.25, 0.5, 2.0, 4.0]);
    }
}
