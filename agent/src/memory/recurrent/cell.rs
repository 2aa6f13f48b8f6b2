//! A recurrent memory from one step of its cell.

use crate::memory::{
    Array, CoreContext, CoreStep, MemoryContents, MemoryCore, NO_ONNX, Segment, State, Unrolled,
};
use crate::nn::{self, Graph, Params, Tensor};
use crate::onnx::{self, StepGraph};
use crate::seeds::LaneGenerators;

/// A step of a recurrent network. [`Recurrent`] makes a memory of it.
pub trait Cell: Send + Sync {
    /// Returns the width of the features.
    fn feature_size(&self) -> usize;

    /// Returns the width of each matrix of the state. All begin with zeros.
    fn state_widths(&self) -> Vec<usize>;

    /// Computes what depends on the inputs alone, for many steps at once: `x` is `[T*B, input_size]`, and a step gets its
    /// rows of the result in their place. By default these are the inputs.
    fn prepare(&self, _graph: &mut Graph<'_>, x: &Tensor) -> Tensor {
        x.clone()
    }

    /// Computes one step of every lane: features `[batch, feature_size]` and the next state, from inputs
    /// `[batch, input_size]` (or what [`Cell::prepare`] made of them) and a state of matrices `[batch, width]`. Resets have
    /// been done.
    fn step(&self, graph: &mut Graph<'_>, x: &Tensor, state: &[Tensor]) -> (Tensor, Vec<Tensor>);

    /// Computes many steps at once: `x` is `[T*B, input_size]`, and the state of a lane is zeroed before each row that
    /// `starts` (`[T*B]`) marks. `None`, the default, repeats [`Cell::step`]; a cell with a fused kernel must agree
    /// with its own step.
    fn fused(
        &self,
        _graph: &mut Graph<'_>,
        _x: &Tensor,
        _starts: &[bool],
        _state: &State,
    ) -> Option<CellRun> {
        None
    }

    /// Returns what the state of a lane shows: the units of its first matrix, unless the cell knows better.
    fn inspect(&self, state: &State, lane: usize) -> MemoryContents {
        MemoryContents::Units(state.arrays[0].row(lane).to_vec())
    }

    /// Returns whether a parameter may rightly get no gradient, as [`MemoryCore::may_be_idle`] does.
    fn may_be_idle(&self, _parameter: &str) -> bool {
        false
    }

    /// Adds a step to an ONNX graph, as [`MemoryCore::onnx`] does.
    ///
    /// # Errors
    /// The reason why the cell has no such form.
    fn onnx(
        &self,
        _step: &mut StepGraph<'_>,
        _inputs: &onnx::Value,
    ) -> Result<onnx::Value, &'static str> {
        Err(NO_ONNX)
    }
}

/// The result of running a cell over some steps.
pub struct CellRun {
    /// `[T*B, feature_size]`.
    pub features: Tensor,
    /// The matrices of the state after the last step, `[batch, width]` each.
    pub state: Vec<Vec<f32>>,
}

/// A memory that repeats a cell: acting takes one step, learning unrolls whole stored sequences from the state at which
/// acting began them, and episodes begin with a state of zeros.
pub struct Recurrent<C> {
    cell: C,
    input_size: usize,
}

impl<C: Cell> Recurrent<C> {
    /// Builds the cell, which adds its parameters to the context's.
    pub fn new(cell: fn(&mut CoreContext<'_>) -> C, context: &mut CoreContext<'_>) -> Self {
        Self {
            cell: cell(context),
            input_size: context.input_size,
        }
    }

    /// Runs the cell over rows of inputs `[T*B, input_size]`, whose lanes begin with this state.
    pub(in crate::memory) fn run(
        &self,
        graph: &mut Graph<'_>,
        inputs: &[f32],
        starts: &[bool],
        state: &State,
    ) -> CellRun {
        let x = graph.constant(inputs.to_vec(), (starts.len(), self.input_size));
        self.cell
            .fused(graph, &x, starts, state)
            .unwrap_or_else(|| self.repeat(graph, &x, starts, state))
    }

    fn repeat(&self, graph: &mut Graph<'_>, x: &Tensor, starts: &[bool], state: &State) -> CellRun {
        let batch = state.rows();
        let prepared = self.cell.prepare(graph, x);
        let arrays = state.arrays.iter();
        let mut carried: Vec<Tensor> = arrays
            .map(|array| graph.constant(array.data.clone(), (batch, array.width)))
            .collect();
        let mut features = Vec::with_capacity(starts.len() / batch);
        for (step, starts) in starts.chunks_exact(batch).enumerate() {
            if starts.contains(&true) {
                for state in &mut carried {
                    *state = zeroed(graph, state, starts);
                }
            }
            let x = graph.rows(&prepared, step * batch..(step + 1) * batch);
            let (of_step, next) = self.cell.step(graph, &x, &carried);
            features.push(of_step);
            carried = next;
        }
        let features: Vec<&Tensor> = features.iter().collect();
        CellRun {
            features: graph.concat_rows(&features),
            state: carried.iter().map(|x| nn::values(x).to_vec()).collect(),
        }
    }
}

/// Returns a state with zeros in the lanes that start an episode.
pub(in crate::memory) fn zeroed(graph: &mut Graph<'_>, state: &Tensor, starts: &[bool]) -> Tensor {
    let width = nn::values(state).len() / starts.len();
    let kept = starts.iter().map(|&start| f32::from(u8::from(!start)));
    let mask = kept.flat_map(|kept| std::iter::repeat_n(kept, width));
    let mask = graph.constant(mask.collect(), (starts.len(), width));
    graph.mul(state, &mask)
}

impl<C: Cell> MemoryCore for Recurrent<C> {
    fn feature_size(&self) -> usize {
        self.cell.feature_size()
    }

    fn initial_state(&self, batch: usize) -> State {
        let widths = self.cell.state_widths().into_iter();
        let zeros = widths.map(|width| Array::filled(batch, width, 0.0));
        State::new(batch, zeros.collect())
    }

    fn step(
        &self,
        params: &Params,
        inputs: &[f32],
        starts: &[bool],
        state: &mut State,
        _rng: Option<&mut LaneGenerators>,
    ) -> CoreStep {
        let run = self.run(&mut Graph::inference(params), inputs, starts, state);
        for (array, after) in state.arrays.iter_mut().zip(run.state) {
            array.data = after;
        }
        CoreStep {
            features: run.features,
            critic_features: None,
            decisions: Vec::new(),
        }
    }

    fn unroll(&self, graph: &mut Graph<'_>, segment: &Segment<'_>) -> Unrolled {
        let run = self.run(graph, segment.inputs, segment.starts, segment.initial_state);
        Unrolled {
            features: run.features,
            critic_features: None,
            losses: Vec::new(),
        }
    }

    fn may_be_idle(&self, parameter: &str) -> bool {
        self.cell.may_be_idle(parameter)
    }

    fn inspect(&self, state: &State, lane: usize) -> MemoryContents {
        self.cell.inspect(state, lane)
    }

    fn onnx(
        &self,
        step: &mut StepGraph<'_>,
        inputs: &onnx::Value,
    ) -> Result<onnx::Value, &'static str> {
        self.cell.onnx(step, inputs)
    }
}

#[cfg(test)]
pub(in crate::memory) mod testing {
    use rand::{RngExt, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::*;
    use crate::hyper::Hyperparameters;
    use crate::memory::Network;
    use crate::spaces::actions::ActionHeads;

    /// Two lanes, one step, from a state that is not zero.
    pub fn the_fused_kernel_agrees_with_the_step<C: Cell>(cell: fn(&mut CoreContext<'_>) -> C) {
        fused_and_stepwise(cell, Hyperparameters::new());
    }

    /// The same for a cell with settings of its own.
    pub fn fused_and_stepwise<C: Cell>(
        cell: fn(&mut CoreContext<'_>) -> C,
        hyper: Hyperparameters,
    ) {
        let mut params = Params::new();
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(0);
        let cell = cell(&mut CoreContext {
            input_size: 3,
            columns: &[],
            previous: crate::memory::Previous::default(),
            heads: &ActionHeads::of(&[2]),
            hyper: &hyper.with(Network { hidden_size: 4 }),
            params: &mut params,
            rng: &mut rng,
        });
        // No number is negative: some states have weights.
        let mut numbers = |width: usize| Array {
            width,
            data: (0..2 * width).map(|_| 0.5 * rng.random::<f32>()).collect(),
        };
        let x = numbers(3).data;
        let state = State::new(
            2,
            cell.state_widths().into_iter().map(&mut numbers).collect(),
        );
        let mut graph = Graph::inference(&params);
        let x = graph.constant(x, (2, 3));
        let matrix = |array: &Array| graph.constant(array.data.clone(), (2, array.width));
        let matrices: Vec<Tensor> = state.arrays.iter().map(matrix).collect();
        let (features, next) = cell.step(&mut graph, &x, &matrices);
        let run = cell.fused(&mut graph, &x, &[false; 2], &state).unwrap();
        let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(close(nn::values(&features), nn::values(&run.features)));
        for (next, fused) in next.iter().zip(&run.state) {
            assert!(close(nn::values(next), fused));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sums its inputs: the features are the sum so far.
    struct Sum;

    impl Cell for Sum {
        fn feature_size(&self) -> usize {
            1
        }

        fn state_widths(&self) -> Vec<usize> {
            vec![1]
        }

        fn step(
            &self,
            graph: &mut Graph<'_>,
            x: &Tensor,
            state: &[Tensor],
        ) -> (Tensor, Vec<Tensor>) {
            let sum = graph.add(x, &state[0]);
            (sum.clone(), vec![sum])
        }
    }

    /// Two lanes and three steps; the second lane begins an episode at step 1.
    #[test]
    fn a_cell_is_repeated_from_its_state_and_zeroed_at_starts() {
        let core = Recurrent {
            cell: Sum,
            input_size: 1,
        };
        let mut state = core.initial_state(2);
        state.arrays[0].data = vec![10.0, 20.0];
        let params = Params::new();
        let inputs = [1.0, 1.0, 2.0, 2.0, 3.0, 3.0];
        let starts = [false, false, false, true, false, false];
        let run = core.run(&mut Graph::inference(&params), &inputs, &starts, &state);
        assert_eq!(
            nn::values(&run.features),
            [11.0, 21.0, 13.0, 2.0, 16.0, 5.0]
        );
        assert_eq!(run.state, [[16.0, 5.0]]);
    }
}
