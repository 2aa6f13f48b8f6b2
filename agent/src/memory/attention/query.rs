//! A question to the last inputs, as End-to-End Memory Networks (Sukhbaatar et al. 2015, arXiv:1503.08895, sections 2.1 and
//! 4.1) and memory Q-networks (Oh et al. 2016, arXiv:1605.09128, section 3) ask it.

use super::window::Context;
use super::{Order, TIME_STD};
use crate::memory::CoreContext;
use crate::nn::{Activation, Graph, Init, ParamId, ScoreTerms, Tensor};

/// The parameters of a question of size Q to a window of K entries of size E. Keys and values are linear in the entries, so
/// `q·(A x) = (Aᵀ q)·x` and `Σ p C x = C Σ p x`: no key and no value is ever computed.
pub(super) struct WindowQuery {
    /// Aᵀ, from questions to entries, `[Q, E]`.
    pub key: ParamId,
    /// C, from entries to answers, `[E, Q]`.
    pub value: ParamId,
    pub times: Option<Times>,
}

/// Temporal embeddings, a row or column for each distance.
pub(super) struct Times {
    /// T_A, `[Q, K]`.
    pub key: ParamId,
    /// T_C, `[K, Q]`.
    pub value: ParamId,
}

impl WindowQuery {
    /// Adds its parameters to the context's. Whether there are temporal embeddings, the hyper-parameters say.
    pub fn new(context: &mut CoreContext<'_>, question: usize, entry: usize) -> Self {
        let length = context.hyper.get::<Context>().memory_window;
        let has_times = context.hyper.get::<Order>().memory_times;
        let CoreContext { params, rng, .. } = context;
        let mut add = |name: &str, shape, init| params.add(name, shape, init, rng);
        let orthogonal = Init::Orthogonal { gain: 1.0 };
        let normal = Init::Normal { std: TIME_STD };
        Self {
            key: add("core.key.weight", (question, entry), orthogonal),
            value: add("core.value.weight", (entry, question), orthogonal),
            times: has_times.then(|| Times {
                key: add("core.times.key", (question, length), normal),
                value: add("core.times.value", (length, question), normal),
            }),
        }
    }

    /// Computes `p = softmax((Aᵀ q)·x + T_Aᵀ q)` over the window of each row, and `o = C Σ p x + T_C p`. Returns the answers o
    /// `[rows, Q]` to questions `[rows, Q]`, and the attention p `[rows, K]`. A row with an empty window gets zeros.
    pub fn ask(
        &self,
        graph: &mut Graph<'_>,
        question: &Tensor,
        entries: &Tensor,
        index: &[i32],
    ) -> (Tensor, Tensor) {
        let linear = |graph: &mut Graph<'_>, x: &Tensor, weight| {
            graph.linear(x, weight, None, Activation::Identity)
        };
        let times = self.times.as_ref();
        let of_times = times.map(|times| linear(graph, question, times.key));
        let terms = ScoreTerms {
            entry: None,
            slot: of_times.as_ref(),
        };
        let of_entries = linear(graph, question, self.key);
        let p = graph.attention_weights(&of_entries, entries, terms, index, 1, 1.0);
        let read = graph.weighted_read(&p, entries, index, 1);
        let mut o = linear(graph, &read, self.value);
        if let Some(times) = times {
            let when = linear(graph, &p, times.value);
            o = graph.add(&o, &when);
        }
        (o, p)
    }
}
