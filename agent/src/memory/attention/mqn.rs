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
use crate::memory::attention::window::{Context, Read, Reader, Rows};
use crate::memory::attention::{Order, TIME_STD, Width, half_rectified};
use crate::memory::recurrent::cell::{Cell, CellRun, zeroed};
use crate::memory::recurrent::lstm::LstmCell;
use crate::memory::{CoreContext, Network, State};
use crate::nn::{self, Activation, Graph, Init, ParamId, ScoreTerms, Tensor};

section! {
    /// The context of a recurrent memory Q-network.
    pub struct Carrying, overridden by CarryingOverrides {
        /// Carry the LSTM's state from step to step. Off, only the window reaches back, as a control.
        #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
        carry_context: bool = true, |_| true, "true or false";
    }
}

/// What asks.
enum Asker {
    /// W_c: MQN.
    Input(ParamId),
    /// An LSTM over the embeddings: RMQN.
    Recurrent(LstmCell),
    /// An LSTM over the embeddings and the answers before them: FRMQN.
    Feedback(LstmCell),
}

/// Embeddings of how long ago an input was.
struct TimeWeights {
    /// T_k, `[hidden_size, M]`.
    key: ParamId,
    /// T_v, `[M, hidden_size]`.
    value: ParamId,
}

/// The parameters of a memory Q-network.
pub struct Mqn {
    /// φ, from inputs to embeddings.
    embed: (ParamId, ParamId),
    asker: Asker,
    /// W_kᵀ, from contexts to embeddings.
    key: ParamId,
    /// W_v, from embeddings to answers.
    value: ParamId,
    times: Option<TimeWeights>,
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
        let length = hyper.get::<Context>().memory_window;
        let embed = context.layer("core.embed", (context.input_size, width), SQRT_2);
        let asker = asker(context);
        let CoreContext { params, rng, .. } = context;
        let mut add =
            |name: &str, shape, init| params.add(&format!("core.{name}"), shape, init, rng);
        let orthogonal = Init::Orthogonal { gain: 1.0 };
        let normal = Init::Normal { std: TIME_STD };
        Self {
            embed,
            asker,
            key: add("key.weight", (hidden, width), orthogonal),
            value: add("value.weight", (width, hidden), orthogonal),
            times: hyper.get::<Order>().memory_times.then(|| TimeWeights {
                key: add("times.key", (hidden, length), normal),
                value: add("times.value", (length, hidden), normal),
            }),
            recall: add("recall.weight", (hidden, hidden), orthogonal),
            carries: !hyper.has::<Carrying>() || hyper.get::<Carrying>().carry_context,
            length,
            hidden_size: hidden,
        }
    }

    fn embedded(&self, graph: &mut Graph<'_>, x: &Tensor) -> Tensor {
        let (weight, bias) = self.embed;
        graph.linear(x, weight, Some(bias), Activation::Relu)
    }

    /// Returns the answers `[rows, hidden_size]` to contexts `[rows, hidden_size]`, and the attention `[rows, M]`.
    ///
    /// Keys and values are linear in the embeddings, so `h·(W_k e) = (W_kᵀ h)·e` and `Σ p W_v e = W_v Σ p e`: no key and no
    /// value is ever computed.
    fn ask(
        &self,
        graph: &mut Graph<'_>,
        h: &Tensor,
        entries: &Tensor,
        index: &[i32],
    ) -> (Tensor, Tensor) {
        let linear = |graph: &mut Graph<'_>, x: &Tensor, weight| {
            graph.linear(x, weight, None, Activation::Identity)
        };
        let times = self.times.as_ref().map(|times| linear(graph, h, times.key));
        let terms = ScoreTerms {
            entry: None,
            slot: times.as_ref(),
        };
        let question = linear(graph, h, self.key);
        let p = graph.attention_weights(&question, entries, terms, index, 1, 1.0);
        let read = graph.weighted_read(&p, entries, index, 1);
        let mut u = linear(graph, &read, self.value);
        if let Some(times) = &self.times {
            let when = linear(graph, &p, times.value);
            u = graph.add(&u, &when);
        }
        (u, p)
    }

    /// Asks for all rows at once, with contexts that do not wait for answers.
    fn at_once(
        &self,
        graph: &mut Graph<'_>,
        h: Tensor,
        entries: &Tensor,
        index: &[i32],
    ) -> Asked {
        let (u, p) = self.ask(graph, &h, entries, index);
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
            let (u, p) = self.ask(graph, &h, entries, index);
            attention.extend_from_slice(nn::values(&p));
            next.push(u.clone());
            (contexts.push(h), answers.push(u));
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
            features: half_rectified(graph, &y, self.hidden_size),
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
    /// What is carried on, `[batch, width]` each.
    carried: Vec<Vec<f32>>,
}

/// Returns the widths of embeddings and of contexts.
fn sizes(context: &CoreContext<'_>) -> (usize, usize) {
    let hyper = context.hyper;
    let width = hyper.get::<Width>().model_width;
    (width, hyper.get::<Network>().hidden_size)
}
