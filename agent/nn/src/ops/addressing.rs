//! Memories that a controller addresses: reads by content, and what the steps of such memories share.

use crate::graph::Graph;
use crate::kernels::addressing::{
    ContentReadGradients, ContentReadResults, ContentReadSaved, ContentReads, LaneSizes, ReadSizes,
    Saved, content_read, content_read_gradient,
};
use crate::tensor::{Tensor, shape, values};

/// The result of [`Graph::content_read`].
pub struct ContentRead {
    /// Weighted sums of the rows, `[B, heads * width]`.
    pub reads: Tensor,
    /// The weights, `[B, heads, slots]`; 0 of rows that are not filled. They serve inspection: no gradient flows through
    /// them.
    pub weights: Vec<f32>,
}

impl Graph<'_> {
    /// Reads rows of each lane's memory by their likeness to keys (Graves et al. 2014, arXiv 1410.5401, section 3.3.1):
    /// `weights = softmax(strength · cos(key, row))` over the filled rows, `read = Σ weight · row`. Norms are
    /// `√(Σx² + 1e-6)`.
    ///
    /// Shapes: `memory` `[B, slots * width]`, `keys` `[B, heads * width]`, `strengths` `[B, heads]`, positive, `filled`
    /// `[B * slots]`; `None` means all. A lane without a filled row reads zeros.
    ///
    /// # Panics
    /// When shapes do not match.
    pub fn content_read(
        &mut self,
        memory: &Tensor,
        keys: &Tensor,
        strengths: &Tensor,
        filled: Option<&[bool]>,
    ) -> ContentRead {
        let (lanes, heads) = shape(strengths);
        let (columns, width) = (shape(memory).1, shape(keys).1 / heads.max(1));
        assert!(
            shape(memory).0 == lanes
                && shape(keys) == (lanes, heads * width)
                && width > 0
                && columns.is_multiple_of(width)
                && filled.is_none_or(|filled| filled.len() * width == lanes * columns),
            "{heads} heads cannot read {:?} numbers with {:?} of keys",
            shape(memory),
            shape(keys)
        );
        let sizes = ReadSizes {
            slots: columns / width,
            width,
            heads,
        };
        let mut reads = vec![0.0; lanes * heads * width];
        let [mut weights, mut cosines] = [(); 2].map(|()| vec![0.0; lanes * heads * sizes.slots]);
        let mut norms = vec![0.0; lanes * sizes.slots];
        let results = ContentReadResults {
            reads: &mut reads,
            weights: &mut weights,
            cosines: &mut cosines,
            norms: &mut norms,
        };
        let operands = ContentReads {
            memory: values(memory),
            keys: values(keys),
            strengths: values(strengths),
            filled,
        };
        content_read(results, operands, sizes);
        let reads = self.constant(reads, (lanes, heads * width));
        let tensors = [memory, keys, strengths].map(Tensor::clone);
        let grad_keys = [memory, keys, strengths].map(|tensor| self.key(tensor));
        if grad_keys.iter().any(|key| key.wanted()) {
            let (filled, weights) = (filled.map(<[bool]>::to_vec), weights.clone());
            self.record(&reads, move |d_reads, grads| {
                let [mut memory, mut keys, mut strengths] = tensors
                    .each_ref()
                    .map(|tensor| vec![0.0; values(tensor).len()]);
                let gradients = ContentReadGradients {
                    memory: &mut memory,
                    keys: &mut keys,
                    strengths: &mut strengths,
                };
                let saved = ContentReadSaved {
                    weights: &weights,
                    cosines: &cosines,
                    norms: &norms,
                };
                let operands = ContentReads {
                    memory: values(&tensors[0]),
                    keys: values(&tensors[1]),
                    strengths: values(&tensors[2]),
                    filled: filled.as_deref(),
                };
                content_read_gradient(gradients, &d_reads, saved, operands, sizes);
                for (key, gradient) in grad_keys.iter().zip([memory, keys, strengths]) {
                    grads.give(key, gradient);
                }
            });
        }
        ContentRead { reads, weights }
    }

    /// Records one step of a memory whose whole state is a row of a tensor: `state` `[B, S]` and `interface` `[B, X]` give
    /// the next state `[B, S]`.
    ///
    /// # Panics
    /// When shapes do not match.
    pub(super) fn memory_step(
        &mut self,
        state: &Tensor,
        interface: &Tensor,
        kernel: impl StepKernel,
    ) -> Tensor {
        let (lanes, sizes) = (shape(state).0, kernel.lane());
        assert!(
            shape(state).1 == sizes.state && shape(interface) == (lanes, sizes.interface),
            "a state of {} numbers and an interface of {} got {:?} and {:?}",
            sizes.state,
            sizes.interface,
            shape(state),
            shape(interface)
        );
        let mut after = vec![0.0; lanes * sizes.state];
        let mut trace = vec![0.0; lanes * sizes.trace];
        kernel.step((&mut after, &mut trace), values(state), values(interface));
        let after = self.constant(after, (lanes, sizes.state));
        let (state_key, interface_key) = (self.key(state), self.key(interface));
        if state_key.wanted() || interface_key.wanted() {
            let (state, interface, output) = (state.clone(), interface.clone(), after.clone());
            self.record(&after, move |mut d_after, grads| {
                let mut d_state = vec![0.0; lanes * sizes.state];
                let mut d_interface = vec![0.0; lanes * sizes.interface];
                let saved = Saved {
                    before: values(&state),
                    interface: values(&interface),
                    after: values(&output),
                    trace: &trace,
                };
                kernel.gradient((&mut d_state, &mut d_interface), &mut d_after, saved);
                grads.give(&state_key, d_state);
                grads.give(&interface_key, d_interface);
            });
        }
        after
    }
}

/// The kernels of a step of a memory, for [`Graph::memory_step`].
pub(super) trait StepKernel: 'static {
    /// Returns the numbers of one lane.
    fn lane(&self) -> LaneSizes;

    /// Writes the state after the step and the trace of the step.
    fn step(&self, results: (&mut [f32], &mut [f32]), before: &[f32], interface: &[f32]);

    /// Adds to the gradients of the state before the step and of the interface. `d_after` may be overwritten.
    fn gradient(&self, d: (&mut [f32], &mut [f32]), d_after: &mut [f32], saved: Saved<'_>);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Params;

    /// Two heads over the rows (1, 0) and (0, 2): one head that sees both, and one that sees the second only.
    #[test]
    fn by_hand() {
        let params = Params::new();
        let mut graph = Graph::inference(&params);
        let memory = graph.constant(vec![1.0, 0.0, 0.0, 2.0], (1, 4));
        let keys = graph.constant(vec![5.0, 0.0, 0.0, 1.0], (1, 4));
        let strengths = graph.constant(vec![3.0f32.ln(); 2], (1, 2));
        let read = graph.content_read(&memory, &keys, &strengths, None);
        let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(close(&read.weights, &[0.75, 0.25, 0.25, 0.75]));
        assert!(close(values(&read.reads), &[0.75, 0.5, 0.25, 1.5]));
        let read = graph.content_read(&memory, &keys, &strengths, Some(&[false, true]));
        assert!(close(values(&read.reads), &[0.0, 2.0, 0.0, 2.0]));
        let read = graph.content_read(&memory, &keys, &strengths, Some(&[false, false]));
        assert_eq!(values(&read.reads), [0.0; 4]);
    }
}
