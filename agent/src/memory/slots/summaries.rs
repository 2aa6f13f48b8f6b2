//! Sums of entries that were dropped, which decay at different rates.
//!
//! A dropped entry is added to each sum s_j as the products of its raw numbers with the features of its write time,
//! z = [1, x] ⊗ [1, φ(t)]: `s_j ← ρ_j s_j + √(1 − ρ_j²) z` with radii ρ_j = 1 − 2^{−j}, j from 1. The factor keeps sums of
//! independent entries at the same size for all radii (Orvieto et al. 2023, arXiv:2303.06349, section 3.4). Sums hold raw
//! numbers, and are embedded with the weights of the day: nothing in them is stale.

use super::state::array;
use super::write_time::{TIME_CONSTANTS, time_features};
use crate::memory::{CoreContext, Slots, State};
use crate::nn::{Activation, Graph, ParamId, Tensor};

/// The sums of every lane, and how they are embedded.
pub struct Summaries {
    count: usize,
    input_size: usize,
    embed: (ParamId, ParamId),
}

impl Summaries {
    /// Adds the parameters of `count` sums to the context's; without a sum there is nothing to add.
    pub fn new(count: usize, context: &mut CoreContext<'_>) -> Option<Self> {
        let dim = context.hyper.get::<Slots>().mem_dim;
        let input_size = context.input_size;
        (count > 0).then(|| Self {
            count,
            input_size,
            embed: context.layer(
                "core.summaries",
                (sum_size(input_size) + count, dim),
                std::f32::consts::SQRT_2,
            ),
        })
    }

    /// How many sums a lane has.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The numbers of a lane's sums.
    pub fn width(&self) -> usize {
        self.count * sum_size(self.input_size)
    }

    /// Adds the entry in a lane's slot to its sums.
    pub fn fold_slot(&self, state: &mut State, lane: usize, slot: usize) {
        let written = state.arrays[array::WRITTEN].row(lane)[slot];
        let (before, sums) = state.arrays.split_at_mut(array::SUMMARIES);
        let input = &before[array::INPUT].row(lane)[slot * self.input_size..][..self.input_size];
        fold(sums[0].row_mut(lane), input, written);
    }

    /// Returns which sums hold anything: `[rows * count]` of sums `[rows, count, sum_size]`.
    pub fn filled(&self, sums: &[f32]) -> Vec<bool> {
        // Each begins with the sum of ones, which only an empty one has not.
        let counts = sums.iter().step_by(sum_size(self.input_size));
        counts.map(|&ones| ones > 0.0).collect()
    }

    /// Embeds sums `[rows, count, sum_size]`: `[rows * count, mem_dim]`.
    pub fn embed(&self, graph: &mut Graph<'_>, sums: &[f32]) -> Tensor {
        let size = sum_size(self.input_size);
        let mut marked = Vec::with_capacity(sums.len() / size * (size + self.count));
        for (row, sum) in sums.chunks_exact(size).enumerate() {
            marked.extend_from_slice(sum);
            marked.extend((0..self.count).map(|j| f32::from(u8::from(j == row % self.count))));
        }
        let x = graph.constant(marked, (sums.len() / size, size + self.count));
        graph.linear(&x, self.embed.0, Some(self.embed.1), Activation::Tanh)
    }
}

/// Adds a dropped entry, written at a step of the episode, to a lane's sums.
pub fn fold(sums: &mut [f32], input: &[f32], written: f32) {
    let times = time_features(written);
    for (j, sum) in sums.chunks_exact_mut(sum_size(input.len())).enumerate() {
        let radius = 1.0 - 0.5f32.powi(j as i32 + 1);
        let share = (1.0 - radius * radius).sqrt();
        let factors = std::iter::once(1.0).chain(times);
        for (part, time) in sum.chunks_exact_mut(1 + input.len()).zip(factors) {
            let numbers = std::iter::once(&1.0).chain(input);
            for (number, &x) in part.iter_mut().zip(numbers) {
                *number = radius * *number + share * time * x;
            }
        }
    }
}

/// The numbers of a sum.
fn sum_size(input_size: usize) -> usize {
    (1 + input_size) * (1 + TIME_CONSTANTS.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two sums of an entry [2] at step 0 and one [−1] at step 4: radii 1/2 and 3/4, factors √(3/4) and √(7/16).
    #[test]
    fn sums_by_hand() {
        let size = sum_size(1);
        let mut sums = vec![0.0; 2 * size];
        fold(&mut sums, &[2.0], 0.0);
        fold(&mut sums, &[-1.0], 4.0);
        let halves = sums.chunks_exact(size);
        for ((sum, radius), share) in halves.zip([0.5, 0.75]).zip([0.75f32, 0.4375]) {
            let share = share.sqrt();
            let fades = [
                1.0,
                (-4.0f32).exp(),
                (-1.0f32).exp(),
                (-0.25f32).exp(),
                (-0.0625f32).exp(),
            ];
            for (part, fade) in sum.chunks_exact(2).zip(fades) {
                let ones = share * (radius + fade);
                let numbers = share * (radius * 2.0 - fade);
                assert!((part[0] - ones).abs() < 1e-6, "{part:?} {ones}");
                assert!((part[1] - numbers).abs() < 1e-6, "{part:?} {numbers}");
            }
        }
    }
}
