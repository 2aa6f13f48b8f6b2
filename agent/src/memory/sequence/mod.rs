//! The memory of Decision Transformers (Chen et al. 2021, arXiv:2106.01345): the last K steps as a sequence of tokens, a
//! return-to-go, an observation and an action each. A GPT encodes the window anew at every step, so that nothing before it
//! can be seen through its layers.
//!
//! While acting, the return-to-go begins as the return that is asked for, and each reward is subtracted from it. While
//! learning it is what the episode earned from there on, which [`Segment::goals`] tells.

use self::block::{Block, Pair, norm};
use self::layout::{KINDS, Layout};
use self::steps::{Form, Steps, array};
use crate::memory::attention::Width;
use crate::memory::attention::gtrxl::Heads;
use crate::memory::attention::window::Context;
use crate::memory::{
    Array, CoreContext, CoreStep, Layers, MemoryContents, MemoryCore, Segment, State, Unrolled,
};
use crate::nn::{Activation, Graph, Init, ParamId, Params, Tensor};
use crate::seeds::LaneGenerators;
use crate::spaces::actions::Choice;

pub mod block;
mod layout;
mod steps;
#[cfg(test)]
mod tests;

pub use self::steps::{Goal, GoalOverrides};

/// Deviation of fresh embeddings of actions and of steps.
const EMBEDDING_STD: f32 = 0.1;

/// Names of the attentions in the last step, for inspection: of each layer, to each kind of token.
const ATTENTION: [[&str; KINDS]; 4] = [
    [
        "attention to returns by steps ago (layer 1)",
        "attention to observations by steps ago (layer 1)",
        "attention to actions by steps ago (layer 1)",
    ],
    [
        "attention to returns by steps ago (layer 2)",
        "attention to observations by steps ago (layer 2)",
        "attention to actions by steps ago (layer 2)",
    ],
    [
        "attention to returns by steps ago (layer 3)",
        "attention to observations by steps ago (layer 3)",
        "attention to actions by steps ago (layer 3)",
    ],
    [
        "attention to returns by steps ago (layer 4)",
        "attention to observations by steps ago (layer 4)",
        "attention to actions by steps ago (layer 4)",
    ],
];

/// The window and its GPT.
pub struct DecisionTransformer {
    embed_return: Pair,
    embed_inputs: Pair,
    /// A vector for each choice of each component of an action; an action is their sum.
    embed_actions: ParamId,
    /// A vector for each step of an episode, added to its three tokens.
    embed_steps: ParamId,
    embed_norm: Pair,
    blocks: Vec<Block>,
    last_norm: Pair,
    form: Form,
    width: usize,
    heads: usize,
    /// Choices of each component of an action.
    sizes: Vec<usize>,
}

/// The result of encoding some windows.
struct Encoded {
    /// `[rows, width]`.
    features: Tensor,
    /// Of each layer the attention that leads to them, `[rows, heads, S]`: to the tokens of each window, the oldest first.
    attention: Vec<Vec<f32>>,
}

impl DecisionTransformer {
    /// Adds its parameters to the context's.
    pub fn new(context: &mut CoreContext<'_>) -> Self {
        let (hyper, input_size) = (context.hyper, context.input_size);
        let width = hyper.get::<Width>().model_width;
        let heads = hyper.get::<Heads>().memory_heads;
        let goal: Goal = hyper.get();
        let normal = Init::Normal { std: EMBEDDING_STD };
        let table = |context: &mut CoreContext<'_>, name: &str, rows: usize| {
            let CoreContext { params, rng, .. } = context;
            params.add(name, (rows, width), normal, rng)
        };
        let choices = context.heads.num_outputs();
        let layers = 0..hyper.get::<Layers>().memory_layers;
        Self {
            embed_return: context.layer("core.return", (1, width), 1.0),
            embed_inputs: context.layer("core.inputs", (input_size, width), 1.0),
            embed_actions: table(context, "core.actions", choices),
            embed_steps: table(context, "core.steps", goal.timestep_embeddings),
            embed_norm: norm(context, "core.norm", width),
            blocks: layers
                .map(|number| Block::new(&format!("core.block{number}"), width, heads, context))
                .collect(),
            last_norm: norm(context, "core.last_norm", width),
            form: Form {
                goal,
                window: hyper.get::<Context>().memory_window,
                input_size,
                components: context.heads.components(),
            },
            width,
            heads,
            sizes: context.heads.sizes(),
        }
    }

    /// Returns the embedded tokens of steps, `[3 M, width]`: return-to-go, inputs and action of each, one after the other.
    fn embed(&self, graph: &mut Graph<'_>, steps: &Steps) -> Tensor {
        let count = steps.goals.len();
        let scaled = steps
            .goals
            .iter()
            .map(|goal| goal / self.form.goal.return_scale);
        let goals = graph.constant(scaled.collect(), (count, 1));
        let inputs = graph.constant(steps.inputs.clone(), (count, self.form.input_size));
        let table = graph.param(self.embed_steps);
        let when = graph.gather_rows(&table, &steps.numbers);
        let linear = |graph: &mut Graph<'_>, x: &Tensor, (weight, bias): Pair| {
            let x = graph.linear(x, weight, Some(bias), Activation::Identity);
            graph.add(&x, &when)
        };
        let goals = linear(graph, &goals, self.embed_return);
        let inputs = linear(graph, &inputs, self.embed_inputs);
        let table = graph.param(self.embed_actions);
        let mut actions = when.clone();
        let mut first = 0;
        for (component, &size) in self.sizes.iter().enumerate() {
            let choices = steps.actions[component..].iter().step_by(self.sizes.len());
            let rows: Vec<u32> = choices.map(|choice| first + choice).collect();
            let chosen = graph.gather_rows(&table, &rows);
            actions = graph.add(&actions, &chosen);
            first += size as u32;
        }
        let tokens = graph.concat_cols(&[&goals, &inputs, &actions]);
        let tokens = graph.reshape(&tokens, (KINDS * count, self.width));
        graph.layer_norm(&tokens, self.embed_norm.0, self.embed_norm.1)
    }

    /// Encodes windows; the features of a row are the stream at the token of its observation, normalised. The last block
    /// computes nothing else.
    fn encode(&self, graph: &mut Graph<'_>, steps: &Steps, layout: &Layout) -> Encoded {
        let mut stream = self.embed(graph, steps);
        let (asked, asked_index) = (layout.asked(), layout.asked_index());
        let index = match self.blocks.len() {
            1 => Vec::new(),
            _ => layout.index(),
        };
        let mut attention = Vec::with_capacity(self.blocks.len());
        for (number, block) in self.blocks.iter().enumerate() {
            let passed = match number + 1 == self.blocks.len() {
                true => block.pass(graph, &stream, Some(&asked), &asked_index),
                false => block.pass(graph, &stream, None, &index),
            };
            stream = passed.stream;
            attention.push(passed.attention);
        }
        Encoded {
            features: graph.layer_norm(&stream, self.last_norm.0, self.last_norm.1),
            attention,
        }
    }

    /// Lets a lane forget its steps.
    fn reset(&self, state: &mut State, lane: usize) {
        for array in [array::LENGTH, array::STEP, array::ATTENTION] {
            state.arrays[array].row_mut(lane).fill(0.0);
        }
        state.arrays[array::GOAL].row_mut(lane)[0] = self.form.goal.target_return;
    }

    /// Resets lanes that begin, and makes the current step the latest that is kept, without an action yet.
    fn take_in(&self, inputs: &[f32], starts: &[bool], state: &mut State) {
        for (lane, input) in inputs.chunks_exact(self.form.input_size).enumerate() {
            if starts[lane] {
                self.reset(state, lane);
            }
            let goal = state.arrays[array::GOAL].row(lane)[0];
            let action = vec![0.0; self.sizes.len()];
            for (array, row) in [
                (array::GOALS, &[goal][..]),
                (array::INPUTS, input),
                (array::ACTIONS, &action),
            ] {
                let kept = state.arrays[array].row_mut(lane);
                let older = kept.len() - row.len();
                kept.copy_within(..older, row.len());
                kept[..row.len()].copy_from_slice(row);
            }
            let length = &mut state.arrays[array::LENGTH].row_mut(lane)[0];
            *length = (*length + 1.0).min(self.form.window as f32);
            let step = &mut state.arrays[array::STEP].row_mut(lane)[0];
            *step += 1.0;
        }
    }

    /// Records the attention `[lanes, heads, S]` of each layer in the last step of each lane.
    fn show(&self, state: &mut State, attention: &[Vec<f32>]) {
        let shown = attention.iter().take(ATTENTION.len()).enumerate();
        for (layer, weights) in shown {
            let slots = weights.len() / state.rows() / self.heads;
            for (lane, weights) in weights.chunks_exact(self.heads * slots).enumerate() {
                let steps = state.arrays[array::LENGTH].row(lane)[0] as usize;
                let of_layer = KINDS * self.form.window;
                let row = &mut state.arrays[array::ATTENTION].row_mut(lane)[layer * of_layer..];
                let row = &mut row[..of_layer];
                row.fill(0.0);
                for (place, weight) in weights.iter().enumerate() {
                    // Windows begin with their oldest step; the tokens after the last observation are empty.
                    let (step, kind) = (place % slots / KINDS, place % slots % KINDS);
                    if step < steps {
                        row[kind * self.form.window + steps - 1 - step] +=
                            weight / self.heads as f32;
                    }
                }
            }
        }
    }
}

impl MemoryCore for DecisionTransformer {
    fn feature_size(&self) -> usize {
        self.width
    }

    fn initial_state(&self, batch: usize) -> State {
        self.state_at(&vec![0; batch])
    }

    fn state_at(&self, steps: &[usize]) -> State {
        let window = self.form.window;
        let layers = self.blocks.len().min(ATTENTION.len());
        let widths = [
            1,
            1,
            1,
            window,
            window * self.form.input_size,
            window * self.sizes.len(),
            layers * KINDS * window,
        ];
        let zeros = widths.map(|width| Array::filled(steps.len(), width, 0.0));
        let mut state = State::new(steps.len(), zeros.into());
        state.arrays[array::STEP].data = steps.iter().map(|&step| step as f32).collect();
        state.arrays[array::GOAL]
            .data
            .fill(self.form.goal.target_return);
        state
    }

    fn step(
        &self,
        params: &Params,
        inputs: &[f32],
        starts: &[bool],
        state: &mut State,
        _rng: Option<&mut LaneGenerators>,
    ) -> CoreStep {
        self.take_in(inputs, starts, state);
        let (mut steps, mut layout) = (Steps::default(), Layout::default());
        for lane in 0..starts.len() {
            layout.begin();
            let kept = state.arrays[array::LENGTH].row(lane)[0] as usize;
            for back in (1..=kept).rev() {
                self.form.append_kept(&mut steps, state, lane, back);
                layout.push();
            }
            layout.answer(lane, starts.len());
        }
        let encoded = self.encode(&mut Graph::inference(params), &steps, &layout);
        self.show(state, &encoded.attention);
        CoreStep {
            features: encoded.features,
            critic_features: None,
            decisions: Vec::new(),
        }
    }

    fn observe(
        &self,
        _params: &Params,
        inputs: &[f32],
        starts: &[bool],
        state: &mut State,
        _rng: Option<&mut LaneGenerators>,
    ) -> Vec<i32> {
        self.take_in(inputs, starts, state);
        Vec::new()
    }

    fn unroll(&self, graph: &mut Graph<'_>, segment: &Segment<'_>) -> Unrolled {
        let (steps, layout) = self.form.lay_out(segment);
        Unrolled {
            features: self.encode(graph, &steps, &layout).features,
            critic_features: None,
            losses: Vec::new(),
        }
    }

    /// Keeps the clock: it tells nothing of what was seen.
    fn forget(&self, state: &mut State) {
        let steps = state.arrays[array::STEP].data.iter();
        *state = self.state_at(&steps.map(|&step| step as usize).collect::<Vec<_>>());
    }

    fn outcome(
        &self,
        _params: &Params,
        state: &mut State,
        actions: &[Choice],
        rewards: &[f64],
        _ends: &[bool],
    ) {
        let components = self.sizes.len();
        for (lane, action) in actions.chunks_exact(components).enumerate() {
            let kept = &mut state.arrays[array::ACTIONS].row_mut(lane)[..components];
            for (kept, &choice) in kept.iter_mut().zip(action) {
                *kept = choice as f32;
            }
            state.arrays[array::GOAL].row_mut(lane)[0] -= rewards[lane] as f32;
        }
    }

    fn needs_outcomes(&self) -> bool {
        true
    }

    fn inspect(&self, state: &State, lane: usize) -> MemoryContents {
        let goal = state.arrays[array::GOAL].row(lane).to_vec();
        let names = ATTENTION.iter().flatten().copied();
        let attention = state.arrays[array::ATTENTION].row(lane);
        let attention = attention
            .chunks_exact(self.form.window)
            .map(<[f32]>::to_vec);
        let asked = std::iter::once(("return that is asked for", goal));
        MemoryContents::Vectors(asked.chain(names.zip(attention)).collect())
    }
}
