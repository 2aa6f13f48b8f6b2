//! The neural Turing machine (Graves et al. 2014, arXiv:1410.5401): the heads move by content and by shifts.

use super::{Addressed, Controlled, sizes, split};
use crate::memory::CoreContext;
use crate::nn::{ControlledOutput, ControllerParams, Graph, MemorySizes, Tensor};

/// The matrix of a neural Turing machine.
pub struct Ntm(pub(super) MemorySizes);

/// Builds the cell.
pub fn cell(context: &mut CoreContext<'_>) -> Controlled<Ntm> {
    Controlled::new(Ntm(sizes(context)), context)
}

impl Addressed for Ntm {
    fn sizes(&self) -> MemorySizes {
        self.0
    }

    fn state_width(&self) -> usize {
        self.0.ntm_state_parts().iter().sum()
    }

    fn interface_width(&self) -> usize {
        self.0.ntm_interface_parts().iter().sum()
    }

    fn step(&self, graph: &mut Graph<'_>, state: &Tensor, interface: &Tensor) -> Tensor {
        graph.ntm_step(state, interface, self.0)
    }

    fn run(
        &self,
        graph: &mut Graph<'_>,
        x: &Tensor,
        starts: &[bool],
        state: &[&[f32]],
        controller: &ControllerParams,
    ) -> Option<ControlledOutput> {
        Some(graph.controlled_ntm(x, starts, state, controller, self.0))
    }

    fn vectors(&self, state: &[f32]) -> Vec<(&'static str, Vec<f32>)> {
        let [_, _, mut write, mut read] = split(state, self.0.ntm_state_parts());
        // The state keeps the weights of a head with 1 taken off the first.
        let slots = self.0.slots;
        for head in write.chunks_mut(slots).chain(read.chunks_mut(slots)) {
            head[0] += 1.0;
        }
        vec![("write weights", write), ("read weights", read)]
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{addressing, cell_of};
    use super::*;
    use crate::memory::recurrent::cell::testing::fused_and_stepwise;
    use crate::memory::{MemoryContents, MemoryCore};

    #[test]
    fn every_head_begins_at_the_first_slot() {
        let (_, core) = cell_of(cell);
        let state = core.initial_state(1);
        assert_eq!(
            core.inspect(&state, 0),
            MemoryContents::Vectors(vec![
                ("write weights", vec![1.0, 0.0]),
                ("read weights", vec![1.0, 0.0]),
            ])
        );
    }

    #[test]
    fn the_fused_sequence_agrees_with_the_step() {
        fused_and_stepwise(cell, addressing());
    }
}
