//! The memory of a neural Turing machine.

use super::addressing::StepKernel;
use crate::graph::Graph;
use crate::kernels::addressing::{LaneSizes, MemorySizes, Saved};
use crate::kernels::ntm::{ntm_step, ntm_step_gradient};
use crate::tensor::Tensor;

impl Graph<'_> {
    /// One step of the memory of a neural Turing machine (Graves et al. 2014, arXiv:1410.5401, section 3): `state` `[B, S]`
    /// and `interface` `[B, X]`, straight from the controller, give the next state `[B, S]`. For what a row holds see
    /// [`MemorySizes::ntm_state_parts`] and [`MemorySizes::ntm_interface_parts`].
    ///
    /// Each head, with C a softmax of strength times cosine over the slots, moves its weights w:
    /// ```text
    /// x = g C(M, k, β) + (1 − g) w        between content and the last weights
    /// y[n] = Σₘ x[n − m] s[m]             shift by m = −1, 0, 1, around the circle
    /// w'[n] = y[n]^γ / Σ y^γ              sharpening, γ ≥ 1
    /// ```
    /// The write head writes `M' = M ⊙ (1 − w' eᵀ) + w' vᵀ`; then the read heads address M' and read `M'ᵀ w'`.
    ///
    /// # Panics
    /// When shapes do not match.
    pub fn ntm_step(&mut self, state: &Tensor, interface: &Tensor, sizes: MemorySizes) -> Tensor {
        self.memory_step(state, interface, Ntm(sizes))
    }
}

/// The kernels of a step.
pub(super) struct Ntm(pub(super) MemorySizes);

impl StepKernel for Ntm {
    fn lane(&self) -> LaneSizes {
        self.0.ntm_lane()
    }

    fn step(&self, results: (&mut [f32], &mut [f32]), before: &[f32], interface: &[f32]) {
        ntm_step(results, before, interface, self.0);
    }

    fn gradient(&self, d: (&mut [f32], &mut [f32]), d_after: &mut [f32], saved: Saved<'_>) {
        ntm_step_gradient(d, d_after, saved, self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::addressing::{parts, parts_mut};
    use crate::{Params, values};

    const SIZES: MemorySizes = MemorySizes {
        slots: 4,
        width: 2,
        heads: 1,
        writes: true,
    };

    /// An address before its activations: content (`gate` large) or the last weights (`gate` small), then a shift.
    fn address(out: &mut [f32], key: [f32; 2], gate: f32, shift: i32, sharpening: f32) {
        let mut shifts = [-100.0; 3];
        shifts[(shift + 1) as usize] = 0.0;
        let [a, strength, b, c, d] = parts_mut(out, [2, 1, 1, 3, 1]);
        a.copy_from_slice(&key);
        strength[0] = 100.0;
        b[0] = gate;
        c.copy_from_slice(&shifts);
        d[0] = sharpening;
    }

    fn step(state: &[f32], interface: &[f32], sizes: MemorySizes) -> Vec<f32> {
        let params = Params::new();
        let mut graph = Graph::inference(&params);
        let state = graph.constant(state.to_vec(), (1, state.len()));
        let interface = graph.constant(interface.to_vec(), (1, interface.len()));
        values(&graph.ntm_step(&state, &interface, sizes)).to_vec()
    }

    /// Interface of a step: the write head shifts and writes `add` over what was there, the read head shifts or looks for
    /// `key`.
    fn interface(add: [f32; 2], write_shift: i32, read: ([f32; 2], f32, i32)) -> Vec<f32> {
        let mut row = vec![0.0; SIZES.ntm_interface_parts().iter().sum()];
        let [write, erase, added, reading] = parts_mut(&mut row, SIZES.ntm_interface_parts());
        address(write, [0.0; 2], -100.0, write_shift, 0.0);
        erase.fill(100.0);
        added.copy_from_slice(&add);
        let (key, gate, shift) = read;
        address(reading, key, gate, shift, 0.0);
        row
    }

    fn assert_close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < 1e-4, "{found:?} is not {expected:?}");
        }
    }

    /// The heads begin at slot 0. Written are slot 1, then slot 2; the read head finds slot 1 by content, then moves on by a
    /// shift.
    #[test]
    fn two_words_are_written_and_read_by_content_and_shift() {
        let start = vec![0.0; SIZES.ntm_state_parts().iter().sum()];
        let stay = ([0.0; 2], -100.0, 0);
        let one = step(&start, &interface([1.0, 2.0], 1, stay), SIZES);
        let [read, memory, write, reading] = parts(&one, SIZES.ntm_state_parts());
        assert_close(memory, &[0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 0.0, 0.0]);
        // Weights are kept with 1 taken off the first.
        assert_close(write, &[-1.0, 1.0, 0.0, 0.0]);
        assert_close(reading, &[0.0; 4]);
        assert_close(read, &[0.0, 0.0]);
        let find = ([0.5, 1.0], 100.0, 0);
        let two = step(&one, &interface([3.0, -1.0], 1, find), SIZES);
        let [read, memory, ..] = parts(&two, SIZES.ntm_state_parts());
        assert_close(memory, &[0.0, 0.0, 1.0, 2.0, 3.0, -1.0, 0.0, 0.0]);
        assert_close(read, &[1.0, 2.0]);
        let onward = ([0.0; 2], -100.0, 1);
        let three = step(&two, &interface([0.0, 0.0], 1, onward), SIZES);
        let [read, ..] = parts(&three, SIZES.ntm_state_parts());
        assert_close(read, &[3.0, -1.0]);
    }

    /// From slot 0 a shift by -1 goes around to the last slot.
    #[test]
    fn shifts_go_around() {
        let start = vec![0.0; SIZES.ntm_state_parts().iter().sum()];
        let back = step(
            &start,
            &interface([1.0, 1.0], -1, ([0.0; 2], -100.0, 0)),
            SIZES,
        );
        let [_, memory, ..] = parts(&back, SIZES.ntm_state_parts());
        assert_close(memory, &[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0]);
    }

    #[test]
    fn weights_sum_to_one_and_sharpening_picks_the_largest() {
        let mut state = vec![0.0; SIZES.ntm_state_parts().iter().sum()];
        let [_, _, write, _] = parts_mut(&mut state, SIZES.ntm_state_parts());
        write.copy_from_slice(&[0.2 - 1.0, 0.4, 0.3, 0.1]);
        for (sharpening, largest) in [(-100.0, 0.4), (100.0, 1.0)] {
            let mut row = interface([0.0; 2], 0, ([0.0; 2], -100.0, 0));
            row[7] = sharpening;
            let after = step(&state, &row, SIZES);
            let [_, _, write, _] = parts(&after, SIZES.ntm_state_parts());
            assert!((write.iter().sum::<f32>()).abs() < 1e-5);
            assert!((write[1] - largest).abs() < 1e-4, "{write:?}");
        }
    }

    #[test]
    fn without_writes_the_memory_stays() {
        let sizes = MemorySizes {
            writes: false,
            ..SIZES
        };
        let mut state = vec![0.0; SIZES.ntm_state_parts().iter().sum()];
        let [_, memory, ..] = parts_mut(&mut state, SIZES.ntm_state_parts());
        memory.fill(0.5);
        let after = step(&state, &interface([1.0, 1.0], 1, ([0.0; 2], 0.0, 0)), sizes);
        let [_, memory, ..] = parts(&after, SIZES.ntm_state_parts());
        assert_eq!(memory, [0.5; 8]);
    }
}
