//! The differentiable neural computer (Graves et al. 2016, Nature 538:471–476, doi:10.1038/nature20101): free rows of the
//! matrix are allocated, and links remember in which order rows were written.

use super::{Addressed, Controlled, sizes, split};
use crate::memory::CoreContext;
use crate::nn::{ControlledOutput, ControllerParams, Graph, MemorySizes, Tensor};

/// The matrix of a differentiable neural computer.
pub struct Dnc(pub(super) MemorySizes);

/// Builds the cell.
pub fn cell(context: &mut CoreContext<'_>) -> Controlled<Dnc> {
    Controlled::new(Dnc(sizes(context)), context)
}

impl Addressed for Dnc {
    fn sizes(&self) -> MemorySizes {
        self.0
    }

    fn state_width(&self) -> usize {
        self.0.dnc_state_parts().iter().sum()
    }

    fn interface_width(&self) -> usize {
        self.0.dnc_interface_parts().iter().sum()
    }

    fn step(&self, graph: &mut Graph<'_>, state: &Tensor, interface: &Tensor) -> Tensor {
        graph.dnc_step(state, interface, self.0)
    }

    fn run(
        &self,
        graph: &mut Graph<'_>,
        x: &Tensor,
        starts: &[bool],
        state: &[&[f32]],
        controller: &ControllerParams,
    ) -> Option<ControlledOutput> {
        Some(graph.controlled_dnc(x, starts, state, controller, self.0))
    }

    fn vectors(&self, state: &[f32]) -> Vec<(&'static str, Vec<f32>)> {
        let [_, _, usage, write, read, _, links] = split(state, self.0.dnc_state_parts());
        vec![
            ("usage", usage),
            ("write weights", write),
            ("read weights", read),
            ("links", links),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{addressing, cell_of};
    use super::*;
    use crate::memory::recurrent::cell::Cell;
    use crate::memory::recurrent::cell::testing::fused_and_stepwise;
    use crate::memory::{Array, MemoryContents, State};

    #[test]
    fn inspection_shows_usage_weights_and_links() {
        let (cell, _) = cell_of(cell);
        // Two slots of one number: word, memory, then usage, weights, precedence and links.
        let numbers = [
            9.0, 1.0, 2.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 9.0, 9.0, 0.0, 0.1, 0.2, 0.0,
        ];
        let state = State::new(
            1,
            vec![Array {
                width: numbers.len(),
                data: numbers.to_vec(),
            }],
        );
        assert_eq!(
            cell.inspect(&state, 0),
            MemoryContents::Vectors(vec![
                ("usage", vec![0.3, 0.4]),
                ("write weights", vec![0.5, 0.6]),
                ("read weights", vec![0.7, 0.8]),
                ("links", vec![0.0, 0.1, 0.2, 0.0]),
            ])
        );
    }

    #[test]
    fn the_fused_sequence_agrees_with_the_step() {
        fused_and_stepwise(cell, addressing());
    }
}
