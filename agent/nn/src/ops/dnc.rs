//! The memory of a differentiable neural computer.

use super::addressing::StepKernel;
use crate::graph::Graph;
use crate::kernels::addressing::{LaneSizes, MemorySizes, Saved};
use crate::kernels::dnc::{dnc_step, dnc_step_gradient};
use crate::tensor::Tensor;

impl Graph<'_> {
    /// One step of the memory of a differentiable neural computer (Graves et al. 2016, doi:10.1038/nature20101): `state`
    /// `[B, S]` and `interface` `[B, X]`, straight from the controller, give the next state `[B, S]`. For what a row holds
    /// see [`MemorySizes::dnc_state_parts`] and [`MemorySizes::dnc_interface_parts`].
    ///
    /// With σ, oneplus and softmax applied to the interface, and C a softmax of strength times cosine over the slots:
    /// ```text
    /// u' = (u + w − u ⊙ w) ⊙ Πᵢ (1 − fᵢ rᵢ)                   usage; w without gradient
    /// a[φⱼ] = (1 − u'[φⱼ]) Π_{k<j} u'[φₖ]                     allocation; φ from free to used, lowest slot first
    /// w' = g_w (g_a a + (1 − g_a) C(M, k_w, β_w))             write weights
    /// M' = M ⊙ (1 − w' eᵀ) + w' vᵀ                            memory
    /// L'[i,j] = (1 − w'[i] − w'[j]) L[i,j] + w'[i] p[j]       links; diagonal 0
    /// p' = (1 − Σ w') p + w'                                  precedence
    /// rᵢ' = π₁ L'ᵀ rᵢ + π₂ C(M', kᵢ, βᵢ) + π₃ L' rᵢ           read weights: backward, content, forward
    /// ```
    /// and reads `M'ᵀ rᵢ'`.
    ///
    /// # Panics
    /// When shapes do not match.
    pub fn dnc_step(&mut self, state: &Tensor, interface: &Tensor, sizes: MemorySizes) -> Tensor {
        self.memory_step(state, interface, Dnc(sizes))
    }
}

/// The kernels of a step.
pub(super) struct Dnc(pub(super) MemorySizes);

impl StepKernel for Dnc {
    fn lane(&self) -> LaneSizes {
        self.0.dnc_lane()
    }

    fn step(&self, results: (&mut [f32], &mut [f32]), before: &[f32], interface: &[f32]) {
        dnc_step(results, before, interface, self.0);
    }

    fn gradient(&self, d: (&mut [f32], &mut [f32]), d_after: &mut [f32], saved: Saved<'_>) {
        dnc_step_gradient(d, d_after, saved, self.0);
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::*;
    use crate::kernels::addressing::{parts, parts_mut};
    use crate::{Params, values};

    const SIZES: MemorySizes = MemorySizes {
        slots: 3,
        width: 2,
        heads: 1,
        writes: true,
    };
    /// What the logistic function takes for 1 and 0.
    const YES: f32 = 100.0;
    const NO: f32 = -100.0;

    /// How to read: backward along the links, by content, forward.
    const BACKWARD: usize = 0;
    const CONTENT: usize = 1;
    const FORWARD: usize = 2;

    /// A step that writes `add` to the freest slot if `write`, then looks for `key` or follows the links.
    fn interface(add: [f32; 2], write: f32, key: [f32; 2], mode: usize, free: f32) -> Vec<f32> {
        let mut row = vec![0.0; SIZES.dnc_interface_parts().iter().sum()];
        let [
            keys,
            strengths,
            _,
            _,
            erase,
            added,
            freeing,
            allocate,
            writing,
            modes,
        ] = parts_mut(&mut row, SIZES.dnc_interface_parts());
        keys.copy_from_slice(&key);
        strengths.fill(YES);
        erase.fill(YES);
        added.copy_from_slice(&add);
        freeing.fill(free);
        allocate.fill(YES);
        writing.fill(write);
        modes.fill(NO);
        modes[mode] = 0.0;
        row
    }

    fn step(state: &[f32], interface: &[f32], sizes: MemorySizes) -> Vec<f32> {
        let params = Params::new();
        let mut graph = Graph::inference(&params);
        let state = graph.constant(state.to_vec(), (1, state.len()));
        let interface = graph.constant(interface.to_vec(), (1, interface.len()));
        values(&graph.dnc_step(&state, &interface, sizes)).to_vec()
    }

    fn start(sizes: MemorySizes) -> Vec<f32> {
        vec![0.0; sizes.dnc_state_parts().iter().sum()]
    }

    fn assert_close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < 2e-5, "{found:?} is not {expected:?}");
        }
    }

    /// (1, 2) goes to slot 0 and (3, -1) to slot 2; slot 0 is found by content. Slot 1 is not the freest: because no slot's
    /// usage is quite 0, a share of 1e-6 of the first write has gone there.
    fn two_written() -> Vec<f32> {
        let key = [0.5, 1.0];
        let one = step(
            &start(SIZES),
            &interface([1.0, 2.0], YES, key, CONTENT, NO),
            SIZES,
        );
        step(&one, &interface([3.0, -1.0], YES, key, CONTENT, NO), SIZES)
    }

    #[test]
    fn writes_take_the_freest_slot() {
        let one = step(
            &start(SIZES),
            &interface([1.0, 2.0], YES, [0.0; 2], CONTENT, NO),
            SIZES,
        );
        let [_, memory, _, write, _, precedence, links] = parts(&one, SIZES.dnc_state_parts());
        assert_close(write, &[1.0, 0.0, 0.0]);
        assert_close(memory, &[1.0, 2.0, 0.0, 0.0, 0.0, 0.0]);
        assert_close(precedence, &[1.0, 0.0, 0.0]);
        assert_close(links, &[0.0; 9]);
        let two = two_written();
        let [read, memory, usage, write, reading, precedence, links] =
            parts(&two, SIZES.dnc_state_parts());
        assert_close(usage, &[1.0, 0.0, 0.0]);
        assert_close(write, &[0.0, 0.0, 1.0]);
        assert_close(memory, &[1.0, 2.0, 0.0, 0.0, 3.0, -1.0]);
        assert_close(precedence, &[0.0, 0.0, 1.0]);
        assert_close(links, &[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
        assert_close(reading, &[1.0, 0.0, 0.0]);
        assert_close(read, &[1.0, 2.0]);
    }

    #[test]
    fn links_are_followed_forward_and_backward() {
        let forward = step(
            &two_written(),
            &interface([9.0; 2], NO, [0.0; 2], FORWARD, NO),
            SIZES,
        );
        let [read, memory, ..] = parts(&forward, SIZES.dnc_state_parts());
        assert_close(read, &[3.0, -1.0]);
        assert_close(memory, &[1.0, 2.0, 0.0, 0.0, 3.0, -1.0]);
        let backward = step(
            &forward,
            &interface([9.0; 2], NO, [0.0; 2], BACKWARD, NO),
            SIZES,
        );
        let [read, ..] = parts(&backward, SIZES.dnc_state_parts());
        assert_close(read, &[1.0, 2.0]);
    }

    /// Slot 0 was read; freed, it takes the next word although slot 1 was never used.
    #[test]
    fn a_slot_that_was_read_can_be_freed() {
        let freed = step(
            &two_written(),
            &interface([5.0, 5.0], YES, [0.0; 2], CONTENT, YES),
            SIZES,
        );
        let [_, memory, usage, ..] = parts(&freed, SIZES.dnc_state_parts());
        assert_close(usage, &[0.0, 0.0, 1.0]);
        assert_close(memory, &[5.0, 5.0, 0.0, 0.0, 3.0, -1.0]);
    }

    #[test]
    fn without_writes_memory_links_and_precedence_stay() {
        let before = two_written();
        let sizes = MemorySizes {
            writes: false,
            ..SIZES
        };
        let after = step(
            &before,
            &interface([9.0; 2], YES, [1.0; 2], CONTENT, NO),
            sizes,
        );
        let [_, memory, _, _, _, precedence, links] = parts(&before, SIZES.dnc_state_parts());
        let [_, memory_after, _, write, _, precedence_after, links_after] =
            parts(&after, SIZES.dnc_state_parts());
        assert_eq!(write, [0.0; 3]);
        assert_eq!(
            (memory, precedence, links),
            (memory_after, precedence_after, links_after)
        );
    }

    #[test]
    fn quantities_keep_their_bounds_over_random_steps() {
        let sizes = MemorySizes {
            slots: 5,
            width: 3,
            heads: 2,
            writes: true,
        };
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(0);
        let mut state = start(sizes);
        for _ in 0..400 {
            let row: Vec<f32> = (0..sizes.dnc_interface_parts().iter().sum())
                .map(|_| rng.random_range(-4.0..4.0))
                .collect();
            state = step(&state, &row, sizes);
            let [_, _, usage, write, reading, precedence, links] =
                parts(&state, sizes.dnc_state_parts());
            let sums_to_at_most_1 =
                |x: &[f32]| x.iter().all(|&x| x >= -1e-6) && x.iter().sum::<f32>() <= 1.0 + 1e-5;
            assert!(usage.iter().all(|u| (0.0..=1.0).contains(u)), "{usage:?}");
            assert!(sums_to_at_most_1(write) && sums_to_at_most_1(precedence));
            assert!(reading.chunks(5).all(sums_to_at_most_1));
            assert!(links.chunks(5).all(sums_to_at_most_1), "{links:?}");
            for slot in 0..5 {
                let column: Vec<f32> = links.iter().skip(slot).step_by(5).copied().collect();
                assert!(sums_to_at_most_1(&column), "{links:?}");
                assert_eq!(links[slot * 6], 0.0);
            }
        }
    }

    /// The equations of Graves et al. 2016, Methods, slot by slot in double precision, for the sizes with loops of known
    /// length and for others.
    #[test]
    fn a_step_equals_its_equations() {
        for (slots, width, heads) in [(5, 3, 2), (8, 16, 1)] {
            let sizes = MemorySizes {
                slots,
                width,
                heads,
                writes: true,
            };
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
            let mut state = start(sizes);
            for _ in 0..20 {
                let row: Vec<f32> = (0..sizes.dnc_interface_parts().iter().sum())
                    .map(|_| rng.random_range(-2.0..2.0))
                    .collect();
                let expected = by_equations(&state, &row, sizes);
                state = step(&state, &row, sizes);
                assert_close(&state, &expected);
            }
        }
    }

    fn sigma(x: f64) -> f64 {
        1.0 / (1.0 + (-x).exp())
    }

    fn content(memory: &[Vec<f64>], key: &[f64], strength: f64) -> Vec<f64> {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let norm = |x: &[f64]| (dot(x, x) + 1e-6).sqrt();
        let strength = 1.0 + strength.exp().ln_1p();
        let scores = memory
            .iter()
            .map(|row| (strength * dot(key, row) / (norm(key) * norm(row) + 1e-6)).exp());
        let scores: Vec<f64> = scores.collect();
        let total: f64 = scores.iter().sum();
        scores.iter().map(|score| score / total).collect()
    }

    fn write_weights(usage: &[f64], found: &[f64], allocate: f64, write: f64) -> Vec<f64> {
        let used = |i: usize| 1e-6 + (1.0 - 1e-6) * usage[i];
        let mut order: Vec<usize> = (0..usage.len()).collect();
        order.sort_by(|&a, &b| usage[a].total_cmp(&usage[b]));
        let mut writing = vec![0.0; usage.len()];
        for (place, &i) in order.iter().enumerate() {
            let freer = order[..place].iter().map(|&j| used(j)).product::<f64>();
            let free = (1.0 - used(i)) * freer;
            writing[i] = write * (allocate * free + (1.0 - allocate) * found[i]);
        }
        writing
    }

    fn by_equations(state: &[f32], interface: &[f32], sizes: MemorySizes) -> Vec<f32> {
        let double = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
        let (n, w, r) = (sizes.slots, sizes.width, sizes.heads);
        let [_, memory, usage, written, reading, precedence, links] =
            parts(state, sizes.dnc_state_parts()).map(double);
        let [
            keys,
            strengths,
            write_key,
            write_strength,
            erase,
            add,
            free,
            allocate,
            write,
            modes,
        ] = parts(interface, sizes.dnc_interface_parts()).map(double);
        let mut memory: Vec<Vec<f64>> = memory.chunks(w).map(<[f64]>::to_vec).collect();
        let usage: Vec<f64> = (0..n)
            .map(|i| {
                let kept = (0..r).map(|h| 1.0 - sigma(free[h]) * reading[h * n + i]);
                (usage[i] + written[i] - usage[i] * written[i]) * kept.product::<f64>()
            })
            .collect();
        let found = content(&memory, &write_key, write_strength[0]);
        let writing = write_weights(&usage, &found, sigma(allocate[0]), sigma(write[0]));
        for (row, weight) in memory.iter_mut().zip(&writing) {
            for (j, x) in row.iter_mut().enumerate() {
                *x = *x * (1.0 - weight * sigma(erase[j])) + weight * add[j];
            }
        }
        let link = |i: usize, j: usize| {
            let kept = (1.0 - writing[i] - writing[j]) * links[i * n + j];
            if i == j {
                0.0
            } else {
                kept + writing[i] * precedence[j]
            }
        };
        let left = 1.0 - writing.iter().sum::<f64>();
        let (mut reads, mut read_by) = (Vec::new(), Vec::new());
        for h in 0..r {
            let before = &reading[h * n..(h + 1) * n];
            let modes: Vec<f64> = modes[3 * h..3 * h + 3].iter().map(|x| x.exp()).collect();
            let found = content(&memory, &keys[h * w..(h + 1) * w], strengths[h]);
            let weights: Vec<f64> = (0..n)
                .map(|i| {
                    let backward: f64 = (0..n).map(|j| link(j, i) * before[j]).sum();
                    let forward: f64 = (0..n).map(|j| link(i, j) * before[j]).sum();
                    let sum = modes[0] * backward + modes[1] * found[i] + modes[2] * forward;
                    sum / modes.iter().sum::<f64>()
                })
                .collect();
            reads.extend((0..w).map(|j| (0..n).map(|i| weights[i] * memory[i][j]).sum::<f64>()));
            read_by.extend(weights);
        }
        let precedence = (0..n).map(|i| left * precedence[i] + writing[i]).collect();
        let links = (0..n * n).map(|at| link(at / n, at % n)).collect();
        let all = [
            reads,
            memory.concat(),
            usage,
            writing.clone(),
            read_by,
            precedence,
            links,
        ];
        all.concat().iter().map(|&x| x as f32).collect()
    }
}
