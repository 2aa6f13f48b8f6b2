//! Memory Q-networks (Oh et al. 2016, arXiv:1605.09128, section 3): the last inputs are embedded, a *context* asks for one
//! of them, and the features combine the context with the answer. The context is the embedding of the current input (MQN),
//! an LSTM over the embeddings (RMQN), or an LSTM that also sees the answer of the step before (FRMQN).
//!
//! With the embeddings eᵢ of the M inputs before, the context h and the answer u:
//!
//! ```text
//! p = softmax(h·(W_k eᵢ + T_k(i))),  u = Σ pᵢ (W_v eᵢ + T_v(i)),  g = f(W_h h + u)
//! ```
//! where f rectifies half of its numbers. T_k and T_v tell how long ago an input was; the paper's memories have no order.

use std::f32::consts::SQRT_2;

use crate::hyper::section::section;
use crate::memory::attention::Width;
use crate::memory::attention::query::WindowQuery;
use crate::memory::attention::window::{Context, Read, Reader, Rows};
use crate::memory::recurrent::cell::{Cell, CellRun, zeroed};
use crate::memory::recurrent::lstm::LstmCell;
use crate::memory::{CoreContext, Network, State};
use crate::nn::{self, Activation, Graph, Init, ParamId, Tensor};

section! {
    /// The context of a recurrent memory Q-network.
    pub struct Carrying, overridden by CarryingOverrides {
        /// Carry the LSTM's state from step to step. Off, only the window reaches back, as a control.
        #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
        carry_context: bool = true, |_| true, "true or false";
    }
}

/// The source of contexts.
enum Asker {
    /// W_c: MQN.
    Input(ParamId),
    /// An LSTM over the embeddings: RMQN.
    Recurrent(LstmCell),
    /// An LSTM over the embeddings and the answers before them: FRMQN.
    Feedback(LstmCell),
}

/// The parameters of a memory Q-network.
pub struct Mqn {
    /// φ, from inputs to embeddings.
    embed: (ParamId, ParamId),
    asker: Asker,
    /// W_k, W_v, T_k and T_v.
    window: WindowQuery,
    /// W_h.
    recall: ParamId,
    carries: bool,
    length: usize,
    hidden_size: usize,
}

/// Index of the carried answer; before it come h and c of the LSTM.
const ANSWER: usize = 2;

impl Mqn {
    /// MQN: the current input asks.
    pub fn plain(context: &mut CoreContext<'_>) -> Self {
        let (width, hidden) = sizes(context);
        let orthogonal = Init::Orthogonal { gain: 1.0 };
        Self::new(context, |context| {
            let CoreContext { params, rng, .. } = context;
            Asker::Input(params.add("core.context.weight", (width, hidden), orthogonal, rng))
        })
    }

    /// RMQN: an LSTM asks.
    pub fn recurrent(context: &mut CoreContext<'_>) -> Self {
        let (width, _) = sizes(context);
        Self::new(context, |context| {
            Asker::Recurrent(LstmCell::over(width, context))
        })
    }

    /// FRMQN: an LSTM that sees answers asks.
    pub fn feedback(context: &mut CoreContext<'_>) -> Self {
        let (width, hidden) = sizes(context);
        Self::new(context, |context| {
            Asker::Feedback(LstmCell::over(width + hidden, context))
        })
    }

    fn new(
        context: &mut CoreContext<'_>,
        asker: impl FnOnce(&mut CoreContext<'_>) -> Asker,
    ) -> Self {
        let (width, hidden) = sizes(context);
        let hyper = context.hyper;
        let embed = context.layer("core.embed", (context.input_size, width), SQRT_2);
        let asker = asker(context);
        let window = WindowQuery::new(context, hidden, width);
        let orthogonal = Init::Orthogonal { gain: 1.0 };
        let CoreContext { params, rng, .. } = context;
        Self {
            embed,
            asker,
            window,
            recall: params.add("core.recall.weight", (hidden, hidden), orthogonal, rng),
            carries: hyper.get::<Carrying>().carry_context,
            length: hyper.get::<Context>().memory_window,
            hidden_size: hidden,
        }
    }

    fn embedded(&self, graph: &mut Graph<'_>, x: &Tensor) -> Tensor {
        let (weight, bias) = self.embed;
        graph.linear(x, weight, Some(bias), Activation::Relu)
    }

    /// Asks for all rows at once, with contexts that do not wait for answers.
    fn at_once(&self, graph: &mut Graph<'_>, h: Tensor, entries: &Tensor, index: &[i32]) -> Asked {
        let (u, p) = self.window.ask(graph, &h, entries, index);
        Asked {
            h,
            u,
            attention: nn::values(&p).to_vec(),
            carried: Vec::new(),
        }
    }

    /// Returns the contexts of all rows, by an LSTM that sees no answers.
    fn recurrent_contexts(
        &self,
        graph: &mut Graph<'_>,
        e: &Tensor,
        rows: &Rows<'_>,
        cell: &LstmCell,
    ) -> CellRun {
        let state = State::new(rows.batch(), rows.carried.to_vec());
        let every = vec![true; rows.starts.len()];
        let starts = if self.carries { rows.starts } else { &every };
        let run = cell.fused(graph, e, starts, &state);
        run.expect("an LSTM has a fused kernel")
    }

    /// Asks step by step, with contexts that see the answers before.
    fn step_by_step(
        &self,
        graph: &mut Graph<'_>,
        rows: &Rows<'_>,
        (e, entries): (&Tensor, &Tensor),
        cell: &LstmCell,
    ) -> Asked {
        let batch = rows.batch();
        let arrays = rows.carried.iter();
        let mut carried: Vec<Tensor> = arrays
            .map(|array| graph.constant(array.data.clone(), (batch, array.width)))
            .collect();
        let (mut contexts, mut answers, mut attention) = (Vec::new(), Vec::new(), Vec::new());
        let index = rows.index.chunks_exact(batch * self.length);
        for (t, (starts, index)) in rows.starts.chunks_exact(batch).zip(index).enumerate() {
            if !self.carries || starts.contains(&true) {
                let begins = |&start: &bool| start || !self.carries;
                let starts: Vec<bool> = starts.iter().map(begins).collect();
                for state in &mut carried {
                    *state = zeroed(graph, state, &starts);
                }
            }
            let e = graph.rows(e, t * batch..(t + 1) * batch);
            let seen = graph.concat_cols(&[&e, &carried[ANSWER]]);
            let (h, mut next) = cell.step(graph, &seen, &carried[..ANSWER]);
            let (u, p) = self.window.ask(graph, &h, entries, index);
            attention.extend_from_slice(nn::values(&p));
            next.push(u.clone());
            contexts.push(h);
            answers.push(u);
            carried = next;
        }
        let [h, u] = [contexts, answers].map(|rows| {
            let rows: Vec<&Tensor> = rows.iter().collect();
            graph.concat_rows(&rows)
        });
        Asked {
            h,
            u,
            attention,
            carried: carried.iter().map(|x| nn::values(x).to_vec()).collect(),
        }
    }
}

impl Reader for Mqn {
    fn feature_size(&self) -> usize {
        self.hidden_size
    }

    fn length(&self) -> usize {
        self.length
    }

    fn attention(&self) -> &[&'static str] {
        &["attention by steps ago"]
    }

    fn carried_widths(&self) -> Vec<usize> {
        match self.asker {
            Asker::Input(_) => Vec::new(),
            Asker::Recurrent(_) => vec![self.hidden_size; 2],
            Asker::Feedback(_) => vec![self.hidden_size; 3],
        }
    }

    fn read(&self, graph: &mut Graph<'_>, rows: &Rows<'_>) -> Read {
        let e = self.embedded(graph, rows.x);
        let entries = self.embedded(graph, rows.entries);
        let Asked {
            h,
            u,
            attention,
            carried,
        } = match &self.asker {
            Asker::Input(weight) => {
                let h = graph.linear(&e, *weight, None, Activation::Identity);
                self.at_once(graph, h, &entries, rows.index)
            }
            Asker::Recurrent(cell) => {
                let run = self.recurrent_contexts(graph, &e, rows, cell);
                Asked {
                    carried: run.state,
                    ..self.at_once(graph, run.features, &entries, rows.index)
                }
            }
            Asker::Feedback(cell) => self.step_by_step(graph, rows, (&e, &entries), cell),
        };
        let recalled = graph.linear(&h, self.recall, None, Activation::Identity);
        let y = graph.add(&recalled, &u);
        Read {
            features: graph.rectify_columns(&y, 0..self.hidden_size / 2),
            attention: vec![attention],
            carried,
        }
    }
}

/// Contexts and answers of rows.
struct Asked {
    /// `[rows, hidden_size]`.
    h: Tensor,
    /// `[rows, hidden_size]`.
    u: Tensor,
    /// `[rows, M]`.
    attention: Vec<f32>,
    /// The next state, `[batch, width]` each.
    carried: Vec<Vec<f32>>,
}

/// Returns the widths of embeddings and of contexts.
fn sizes(context: &CoreContext<'_>) -> (usize, usize) {
    let hyper = context.hyper;
    let width = hyper.get::<Width>().model_width;
    (width, hyper.get::<Network>().hidden_size)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::super::parity;
    use super::super::window::Window;
    use super::*;
    use crate::hyper::Hyperparameters;
    use crate::memory::MemoryCore;
    use crate::memory::attention::Order;
    use crate::nn::Params;
    use crate::spaces::actions::ActionHeads;

    type Build = fn(&mut CoreContext<'_>) -> Mqn;

    const ALL: [Build; 3] = [Mqn::plain, Mqn::recurrent, Mqn::feedback];

    fn memory(build: Build, memory_times: bool, carry_context: bool) -> (Window<Mqn>, Params) {
        let hyper = Hyperparameters::new()
            .with(Network { hidden_size: 6 })
            .with(Context { memory_window: 3 })
            .with(Width { model_width: 5 })
            .with(Order { memory_times })
            .with(Carrying { carry_context });
        let mut params = Params::new();
        let mut context = CoreContext {
            input_size: 3,
            columns: &[],
            previous: crate::memory::Previous::default(),
            heads: &ActionHeads::of(&[2]),
            hyper: &hyper,
            params: &mut params,
            rng: &mut Xoshiro256PlusPlus::seed_from_u64(0),
        };
        let core = Window::new(build, &mut context);
        (core, params)
    }

    fn id(params: &Params, name: &str) -> ParamId {
        params.ids().find(|&id| params.name(id) == name).unwrap()
    }

    /// Features of each step of one episode in two lanes, and the attention of lane 0.
    fn play(core: &Window<Mqn>, params: &Params, steps: &[usize]) -> (Vec<Vec<f32>>, Vec<f32>) {
        let mut state = core.initial_state(2);
        let mut features = Vec::new();
        for (at, &step) in steps.iter().enumerate() {
            let inputs = parity::inputs(step, 2, 3);
            let out = core.step(params, &inputs, &[at == 0; 2], &mut state, None);
            features.push(nn::values(&out.features).to_vec());
        }
        let crate::memory::MemoryContents::Vectors(vectors) = core.inspect(&state, 0) else {
            panic!("a window has vectors");
        };
        (features, vectors[0].1.clone())
    }

    #[test]
    fn attention_sums_to_one_over_what_is_there_and_is_nothing_without() {
        for build in ALL {
            let (core, params) = memory(build, true, true);
            for steps in 2..6 {
                let (_, attention) = play(&core, &params, &[0, 1, 2, 3, 4][..steps]);
                assert!((attention.iter().sum::<f32>() - 1.0).abs() < 1e-6);
                let filled = attention.iter().filter(|&&p| p > 0.0).count();
                assert_eq!(filled, (steps - 1).min(3));
            }
            assert_eq!(play(&core, &params, &[0]).1, [0.0; 3]);
        }
    }

    /// Without times the last step sees the same set of inputs; with them it sees another order.
    #[test]
    fn only_times_tell_the_order() {
        for memory_times in [false, true] {
            let (core, params) = memory(Mqn::plain, memory_times, true);
            let [one, other] =
                [[0, 1, 2, 5], [2, 0, 1, 5]].map(|steps| play(&core, &params, &steps));
            let features = one.0[3].iter().zip(&other.0[3]);
            let differs = features.into_iter().any(|(a, b)| (a - b).abs() > 1e-5);
            assert_eq!(differs, memory_times);
            let permuted = [other.1[2], other.1[0], other.1[1]];
            let moved = one
                .1
                .iter()
                .zip(permuted)
                .all(|(a, b)| (a - b).abs() < 1e-6);
            assert_eq!(moved, !memory_times);
        }
    }

    #[test]
    fn an_answer_that_is_not_seen_makes_frmqn_an_rmqn() {
        let (rmqn, few) = memory(Mqn::recurrent, true, true);
        let (frmqn, mut more) = memory(Mqn::feedback, true, true);
        let wide = id(&more, "core.lstm.weight_ih");
        for own in few.ids() {
            let name = few.name(own);
            let to = id(&more, name);
            let length = few.data(own).len();
            more.data_mut(to)[..length].copy_from_slice(few.data(own));
        }
        let seen = few.data(id(&few, "core.lstm.weight_ih")).len();
        more.data_mut(wide)[seen..].fill(0.0);
        let steps = [0, 1, 2, 3, 4];
        let (one, other) = (play(&rmqn, &few, &steps), play(&frmqn, &more, &steps));
        for (a, b) in one.0.concat().iter().zip(other.0.concat()) {
            assert!((a - b).abs() < 1e-6);
        }
    }

    /// A window of 3: only the LSTM can tell what came before it.
    #[test]
    fn only_a_carried_context_reaches_beyond_the_window() {
        for build in [Mqn::recurrent, Mqn::feedback] {
            for carry_context in [false, true] {
                let (core, params) = memory(build, true, carry_context);
                let [one, other] =
                    [[0, 1, 2, 3, 4], [9, 1, 2, 3, 4]].map(|steps| play(&core, &params, &steps).0);
                assert_eq!(one[4] != other[4], carry_context);
            }
        }
    }

    #[test]
    fn they_compute_the_equations_of_the_paper() {
        let reference = parity::reference(include_str!("../../../tests/parity/mqn.json"));
        for (build, name) in ALL.into_iter().zip(["mqn", "rmqn", "frmqn"]) {
            let reference = &reference[name];
            let (core, mut params) = memory(build, true, true);
            let names = reference["names"].as_array().unwrap();
            let phase = |name: &str| names.iter().position(|known| known == name).unwrap() as f64;
            parity::fill(&mut params, phase);
            let steps: Vec<usize> = (0..reference["features"].as_array().unwrap().len()).collect();
            for (step, features) in play(&core, &params, &steps).0.iter().enumerate() {
                parity::assert_close(features, reference, step);
            }
        }
    }
}
