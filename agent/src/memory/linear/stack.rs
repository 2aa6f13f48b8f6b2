//! A memory from layers of one linear recurrence.

use rand::RngExt;

use crate::memory::{
    Array, CoreContext, CoreStep, Layers, MemoryContents, MemoryCore, NO_ONNX, Network, Segment,
    State, Unrolled,
};
use crate::nn::{Activation, Graph, ParamId, Params, Tensor};
use crate::onnx::{self, StepGraph};
use crate::seeds::LaneGenerators;

/// Names of layers, for parameters and for inspection. As many as there may be.
const NAMES: [&str; 8] = [
    "layer 1", "layer 2", "layer 3", "layer 4", "layer 5", "layer 6", "layer 7", "layer 8",
];

/// A linear recurrence over the outputs of the layer before. [`Stack`] makes a memory of layers of it.
pub trait LinearRecurrence: Send + Sync + Sized {
    /// Adds the parameters of one layer, whose inputs are `hidden_size` numbers. Their names begin with `layer`.
    fn new(context: &mut CoreContext<'_>, layer: &str) -> Self;

    /// Returns how many numbers the state of a lane has. All begin with zeros.
    fn state_size(&self) -> usize;

    /// Returns how many alternatives a step chooses between. It draws one while acting to learn, and takes them in turn
    /// otherwise: evaluation then meets all of them, as learning did, and stays deterministic. 1, the default, is no choice.
    fn alternatives(&self) -> usize {
        1
    }

    /// Runs a layer over a sequence. Returns tanh(x + read) of all steps, `[T*B, hidden_size]`, and the state after the
    /// last step, `[batch, state_size]`. `x` is `[T*B, hidden_size]`.
    fn layer(&self, graph: &mut Graph<'_>, x: &Tensor, over: &Sequence<'_>) -> (Tensor, Vec<f32>);

    /// Adds a step to an ONNX graph and returns its read. `state` is the name of the recurrence's state.
    ///
    /// # Errors
    /// The reason why the recurrence has no such form.
    fn onnx(
        &self,
        _step: &mut StepGraph<'_>,
        _x: &onnx::Value,
        _state: &str,
    ) -> Result<onnx::Value, &'static str> {
        Err(NO_ONNX)
    }
}

/// Where the rows of a sequence begin, and what they begin with. Rows are time-major.
pub struct Sequence<'a> {
    /// `[T*B]`: rows before which the state is zeroed.
    pub starts: &'a [bool],
    /// The state before the first step, `[batch, state_size]`.
    pub before: &'a [f32],
    /// Lanes.
    pub batch: usize,
    /// `[T*B]`: the alternative that each row takes; empty without a choice.
    pub choices: &'a [i32],
}

/// tanh(x + read): the end of a layer that no operation has done with the rest.
pub(super) fn add_read(graph: &mut Graph<'_>, x: &Tensor, read: &Tensor) -> Tensor {
    let sums = graph.add(x, read);
    graph.activate(&sums, Activation::Tanh)
}

/// A matrix and its bias.
pub(super) type Linear = (ParamId, ParamId);

/// A memory of layers: x₀ = tanh(W x + b) of the inputs, then xₗ = tanh(xₗ₋₁ + read), where the recurrence of the layer
/// reads its state after seeing xₗ₋₁. The state of a layer never passes through a nonlinearity from step to step.
///
/// One layer cannot tell the first observation of an episode from an equal later one, because what it keeps and writes
/// depends on the current input alone. With two, the first can count, and the second write by that.
pub struct Stack<R> {
    embed: Linear,
    layers: Vec<R>,
    input_size: usize,
    hidden_size: usize,
}

impl<R: LinearRecurrence> Stack<R> {
    /// Adds its parameters to the context's.
    pub fn new(context: &mut CoreContext<'_>) -> Self {
        let (inputs, hidden) = (
            context.input_size,
            context.hyper.get::<Network>().hidden_size,
        );
        let layers = context.hyper.get::<Layers>().memory_layers;
        let gain = std::f32::consts::SQRT_2;
        let embed = context.layer("core.embed", (inputs, hidden), gain);
        let layer = |number: usize| R::new(context, &format!("core.layer{number}"));
        Self {
            embed,
            layers: (1..=layers).map(layer).collect(),
            input_size: inputs,
            hidden_size: hidden,
        }
    }

    fn alternatives(&self) -> usize {
        let of_layers = self.layers.iter().map(R::alternatives);
        of_layers.max().unwrap_or(1)
    }

    /// Returns the alternative that each lane takes, and counts steps in the last array of the state.
    fn choose(
        &self,
        starts: &[bool],
        state: &mut State,
        rng: Option<&mut LaneGenerators>,
    ) -> Vec<i32> {
        let alternatives = self.alternatives();
        if alternatives == 1 {
            return Vec::new();
        }
        let turns = &mut state.arrays[self.layers.len()].data;
        let in_turn: Vec<i32> = turns
            .iter_mut()
            .zip(starts)
            .map(|(turn, &starts)| {
                let now = if starts { 0 } else { *turn as usize };
                *turn = ((now + 1) % alternatives) as f32;
                now as i32
            })
            .collect();
        match rng {
            Some(rng) => (0..in_turn.len())
                .map(|lane| rng.of(lane).random_range(0..alternatives as i32))
                .collect(),
            None => in_turn,
        }
    }

    /// Returns the features of all rows, and the state of every layer after the last step.
    fn run(
        &self,
        graph: &mut Graph<'_>,
        (inputs, starts, choices): (&[f32], &[bool], &[i32]),
        state: &State,
    ) -> (Tensor, Vec<Vec<f32>>) {
        let x = graph.constant(inputs.to_vec(), (starts.len(), self.input_size));
        let (weight, bias) = self.embed;
        let mut x = graph.linear(&x, weight, Some(bias), Activation::Tanh);
        let mut after = Vec::with_capacity(self.layers.len());
        for (layer, before) in self.layers.iter().zip(&state.arrays) {
            let over = Sequence {
                starts,
                before: &before.data,
                batch: state.rows(),
                choices,
            };
            let (features, last) = layer.layer(graph, &x, &over);
            x = features;
            after.push(last);
        }
        (x, after)
    }
}

impl<R: LinearRecurrence> MemoryCore for Stack<R> {
    fn feature_size(&self) -> usize {
        self.hidden_size
    }

    fn decision_width(&self) -> usize {
        usize::from(self.alternatives() > 1)
    }

    fn initial_state(&self, batch: usize) -> State {
        let sizes = self.layers.iter().map(R::state_size);
        let turn = (self.alternatives() > 1).then_some(1);
        let zeros = sizes
            .chain(turn)
            .map(|width| Array::filled(batch, width, 0.0));
        State::new(batch, zeros.collect())
    }

    fn step(
        &self,
        params: &Params,
        inputs: &[f32],
        starts: &[bool],
        state: &mut State,
        rng: Option<&mut LaneGenerators>,
    ) -> CoreStep {
        let decisions = self.choose(starts, state, rng);
        let mut graph = Graph::inference(params);
        let (features, after) = self.run(&mut graph, (inputs, starts, &decisions), state);
        for (array, after) in state.arrays.iter_mut().zip(after) {
            array.data = after;
        }
        CoreStep {
            features,
            critic_features: None,
            decisions,
        }
    }

    fn unroll(&self, graph: &mut Graph<'_>, segment: &Segment<'_>) -> Unrolled {
        let rows = (segment.inputs, segment.starts, segment.decisions);
        let (features, _) = self.run(graph, rows, segment.initial_state);
        Unrolled {
            features,
            critic_features: None,
            losses: Vec::new(),
        }
    }

    /// The state of every layer.
    fn inspect(&self, state: &State, lane: usize) -> MemoryContents {
        let layers = NAMES.into_iter().zip(&state.arrays[..self.layers.len()]);
        let states = layers.map(|(name, array)| (name, array.row(lane).to_vec()));
        MemoryContents::Vectors(states.collect())
    }

    fn onnx(
        &self,
        step: &mut StepGraph<'_>,
        inputs: &onnx::Value,
    ) -> Result<onnx::Value, &'static str> {
        let x = step.linear(inputs, self.embed);
        let mut x = step.graph.op("Tanh", &[&x]);
        for (number, layer) in self.layers.iter().enumerate() {
            let state = format!("layer_{}", number + 1);
            let read = layer.onnx(step, &x, &state)?;
            let sums = step.graph.op("Add", &[&x, &read]);
            x = step.graph.op("Tanh", &[&sums]);
        }
        Ok(x)
    }
}

/// Helpers for tests of recurrences.
#[cfg(test)]
pub(super) mod testing {
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::*;
    use crate::hyper::Hyperparameters;
    use crate::nn::values;
    use crate::spaces::actions::ActionHeads;

    /// Returns a memory over `inputs` numbers, and its fresh parameters.
    pub fn stack<R: LinearRecurrence>(
        inputs: usize,
        hyper: &Hyperparameters,
    ) -> (Stack<R>, Params) {
        let mut params = Params::new();
        let stack = Stack::new(&mut CoreContext {
            input_size: inputs,
            columns: &[],
            previous: crate::memory::Previous::default(),
            heads: &ActionHeads::of(&[2]),
            hyper,
            params: &mut params,
            rng: &mut Xoshiro256PlusPlus::seed_from_u64(0),
        });
        (stack, params)
    }

    fn find(params: &Params, name: &str) -> ParamId {
        let id = params.ids().find(|&id| params.name(id) == name);
        id.unwrap_or_else(|| panic!("no parameter `{name}`"))
    }

    /// Returns the numbers of the parameter of this name.
    pub fn get<'p>(params: &'p Params, name: &str) -> &'p [f32] {
        params.data(find(params, name))
    }

    /// Fills the parameter of this name.
    pub fn set(params: &mut Params, name: &str, numbers: &[f32]) {
        let id = find(params, name);
        params.data_mut(id).copy_from_slice(numbers);
    }

    /// Returns the features of one lane's episode, step by step.
    pub fn features<R: LinearRecurrence>(
        stack: &Stack<R>,
        params: &Params,
        inputs: &[f32],
    ) -> Vec<f32> {
        let mut state = stack.initial_state(1);
        let steps = inputs.chunks_exact(stack.input_size).enumerate();
        let features = steps.flat_map(|(step, x)| {
            let step = stack.step(params, x, &[step == 0], &mut state, None);
            values(&step.features).to_vec()
        });
        features.collect()
    }
}

#[cfg(test)]
mod tests {

    use super::testing::stack;
    use super::*;
    use crate::hyper::Hyperparameters;
    use crate::nn::values;

    /// Adds up its inputs, and the number of the alternative.
    struct Sum(usize);

    impl LinearRecurrence for Sum {
        fn new(context: &mut CoreContext<'_>, _layer: &str) -> Self {
            Self(context.hyper.get::<Network>().hidden_size)
        }

        fn state_size(&self) -> usize {
            self.0
        }

        fn alternatives(&self) -> usize {
            3
        }

        fn layer(
            &self,
            graph: &mut Graph<'_>,
            x: &Tensor,
            over: &Sequence<'_>,
        ) -> (Tensor, Vec<f32>) {
            let mut state = over.before.to_vec();
            let mut read = Vec::new();
            for (step, x) in values(x).chunks_exact(self.0 * over.batch).enumerate() {
                for (cell, (state, x)) in state.iter_mut().zip(x).enumerate() {
                    let row = step * over.batch + cell / self.0;
                    let before = if over.starts[row] { 0.0 } else { *state };
                    *state = before + x + over.choices[row] as f32;
                }
                read.extend_from_slice(&state);
            }
            let read = graph.constant(read, (over.starts.len(), self.0));
            (add_read(graph, x, &read), state)
        }
    }

    fn sums() -> (Stack<Sum>, Params) {
        let hyper = Hyperparameters::new()
            .with(Network { hidden_size: 2 })
            .with(Layers { memory_layers: 2 });
        stack(1, &hyper)
    }

    /// Without noise the alternatives take turns from the beginning of each episode on.
    #[test]
    fn alternatives_take_turns() {
        let (core, params) = sums();
        let mut state = core.initial_state(2);
        let mut taken = Vec::new();
        for step in 0..5 {
            let starts = [step == 0, step == 0 || step == 2];
            let step = core.step(&params, &[1.0, 2.0], &starts, &mut state, None);
            taken.push(step.decisions);
        }
        assert_eq!(taken, [[0, 0], [1, 1], [2, 0], [0, 1], [1, 2]]);
    }

    #[test]
    fn learning_repeats_the_alternatives_drawn() {
        let (core, params) = sums();
        let mut state = core.initial_state(2);
        let before = state.clone();
        let mut rng = LaneGenerators::new(1, 0..2);
        let inputs: Vec<f32> = (0..20).map(|i| i as f32 / 10.0).collect();
        let starts: Vec<bool> = (0..20).map(|row| row < 2 || row == 7).collect();
        let (mut acted, mut decisions) = (Vec::new(), Vec::new());
        for (x, starts) in inputs.chunks(2).zip(starts.chunks(2)) {
            let step = core.step(&params, x, starts, &mut state, Some(&mut rng));
            acted.extend_from_slice(values(&step.features));
            decisions.extend(step.decisions);
        }
        assert!([0, 1, 2].iter().all(|choice| decisions.contains(choice)));
        let (features, after) = core.run(
            &mut Graph::inference(&params),
            (&inputs, &starts, &decisions),
            &before,
        );
        assert_eq!(values(&features), acted);
        assert_eq!(after[1], state.arrays[1].data);
    }
}
