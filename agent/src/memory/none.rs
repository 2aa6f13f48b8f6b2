//! The memory of a player that does not learn: no state, and a constant feature.

use super::{CoreStep, MemoryCore, Segment, State, Unrolled};
use crate::nn::{Graph, Params, Tensor};
use crate::seeds::LaneGenerators;

/// No memory and one feature, which is 0. It has no parameters.
pub struct Nothing;

fn zeros(graph: &mut Graph<'_>, rows: usize) -> Tensor {
    graph.constant(vec![0.0; rows], (rows, 1))
}

impl MemoryCore for Nothing {
    fn feature_size(&self) -> usize {
        1
    }

    fn initial_state(&self, batch: usize) -> State {
        State::new(batch, Vec::new())
    }

    fn step(
        &self,
        params: &Params,
        _inputs: &[f32],
        starts: &[bool],
        _state: &mut State,
        _rng: Option<&mut LaneGenerators>,
    ) -> CoreStep {
        CoreStep {
            features: zeros(&mut Graph::inference(params), starts.len()),
            critic_features: None,
            decisions: Vec::new(),
        }
    }

    fn unroll(&self, graph: &mut Graph<'_>, segment: &Segment<'_>) -> Unrolled {
        Unrolled {
            features: zeros(graph, segment.starts.len()),
            critic_features: None,
            losses: Vec::new(),
        }
    }
}
