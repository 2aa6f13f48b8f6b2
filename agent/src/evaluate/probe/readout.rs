//! Whether the answer can be read off an entry's embedding: a linear readout, fitted by ridge regression onto the answers, one
//! number for each (Alain and Bengio 2016, arXiv:1610.01644).

/// An embedded entry, and what it should tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Its numbers.
    pub embedding: Vec<f32>,
    /// A choice counted from 0.
    pub answer: u32,
}

/// Weight of the squares of the readout's weights, for each sample. Small: it only keeps the equations solvable.
const RIDGE: f64 = 1e-4;

/// Returns the share of the samples in `judged` whose answer a readout tells that was fitted to those in `fitted`; `None`
/// where one of them is empty.
pub fn accuracy(fitted: &[Sample], judged: &[Sample]) -> Option<f64> {
    let answers = 1 + fitted.iter().map(|sample| sample.answer).max()? as usize;
    let size = 1 + fitted[0].embedding.len();
    // (XᵀX + λ) W = XᵀY, with a row [XᵀX + λ, XᵀY] for each number.
    let width = size + answers;
    let mut rows = vec![vec![0.0; width]; size];
    for sample in fitted {
        let x = numbers(sample);
        for (row, &number) in rows.iter_mut().zip(&x) {
            for (sum, &other) in row.iter_mut().zip(&x) {
                *sum += number * other;
            }
            row[size + sample.answer as usize] += number;
        }
    }
    for (at, row) in rows.iter_mut().enumerate() {
        row[at] += RIDGE * fitted.len() as f64;
    }
    solve(&mut rows);
    let is_told = |sample: &&Sample| {
        let x = numbers(sample);
        let score = |answer: usize| -> f64 {
            let weights = rows.iter().map(|row| row[size + answer]);
            x.iter().zip(weights).map(|(x, weight)| x * weight).sum()
        };
        let told = (0..answers).max_by(|&a, &b| score(a).total_cmp(&score(b)));
        told == Some(sample.answer as usize)
    };
    let told = judged.iter().filter(is_told).count();
    (!judged.is_empty()).then(|| told as f64 / judged.len() as f64)
}

/// The embedding, and a 1 for the bias.
fn numbers(sample: &Sample) -> Vec<f64> {
    let embedding = sample.embedding.iter().map(|&number| f64::from(number));
    embedding.chain([1.0]).collect()
}

/// Turns the left square of rows `[A, B]`, with A positive definite, into the identity, and so B into A⁻¹B.
fn solve(rows: &mut [Vec<f64>]) {
    for at in 0..rows.len() {
        let pivot = rows[at][at];
        rows[at].iter_mut().for_each(|number| *number /= pivot);
        let solved = rows[at].clone();
        for (_, row) in rows
            .iter_mut()
            .enumerate()
            .filter(|(other, _)| *other != at)
        {
            let factor = row[at];
            let pairs = row.iter_mut().zip(&solved);
            pairs.for_each(|(number, solved)| *number -= factor * solved);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(embedding: [f32; 2], answer: u32) -> Sample {
        Sample {
            embedding: embedding.to_vec(),
            answer,
        }
    }

    /// 2x + y = 5 and x + 3y = 10: x = 1, y = 3.
    #[test]
    fn equations_are_solved() {
        let mut rows = [vec![2.0, 1.0, 5.0], vec![1.0, 3.0, 10.0]];
        solve(&mut rows);
        assert!((rows[0][2] - 1.0).abs() < 1e-12, "{rows:?}");
        assert!((rows[1][2] - 3.0).abs() < 1e-12, "{rows:?}");
    }

    #[test]
    fn a_readout_tells_what_an_entry_holds() {
        // The first number tells the answer, past a larger second one.
        let fitted: Vec<Sample> = (0..8u8)
            .map(|i| {
                let answer = u32::from(i % 2);
                sample([answer as f32 / 10.0, f32::from(i)], answer)
            })
            .collect();
        let judged = [sample([0.1, 7.5], 1), sample([0.0, 0.5], 0)];
        assert_eq!(accuracy(&fitted, &judged), Some(1.0));
        assert_eq!(accuracy(&fitted, &[]), None);
        assert_eq!(accuracy(&[], &judged), None);
        // A readout does not know an answer that was never shown.
        assert_eq!(accuracy(&fitted, &[sample([0.1, 1.0], 2)]), Some(0.0));
    }

    #[test]
    fn a_readout_does_not_tell_what_an_entry_does_not_hold() {
        let fitted = [0, 0, 0, 1].map(|answer| sample([0.5, -0.5], answer));
        let judged = [0, 1].map(|answer| sample([0.5, -0.5], answer));
        assert_eq!(accuracy(&fitted, &judged), Some(0.5));
    }
}
