//! The two recurrent networks of MERLIN, one step of each: the predictor, which turns observations into state variables z
//! and writes them down, and the policy, which reads them.

use super::carried::{Carried, Recurrence};
use super::rows::Rows;
use super::settings::Predictive;
use crate::memory::{CoreContext, Network, Writes};
use crate::nn::{Activation, Graph, ParamId, Tensor};

/// Weight and bias of a linear layer.
pub(super) type Layer = (ParamId, ParamId);

pub(super) fn tanh(graph: &mut Graph<'_>, x: &Tensor, (weight, bias): Layer) -> Tensor {
    graph.linear(x, weight, Some(bias), Activation::Tanh)
}

pub(super) fn linear(graph: &mut Graph<'_>, x: &Tensor, (weight, bias): Layer) -> Tensor {
    graph.linear(x, weight, Some(bias), Activation::Identity)
}

/// Two tanh layers and the means and logarithms of deviations of a Gaussian.
struct GaussianLayers([Layer; 3]);

impl GaussianLayers {
    fn new(context: &mut CoreContext<'_>, name: &str, inputs: usize, size: usize) -> Self {
        let width = 2 * size;
        let gain = std::f32::consts::SQRT_2;
        let mut add = |number: usize, inputs, gain| {
            context.layer(&format!("core.{name}.{number}"), (inputs, width), gain)
        };
        Self([
            add(1, inputs, gain),
            add(2, width, gain),
            add(3, width, 0.1),
        ])
    }

    fn of(&self, graph: &mut Graph<'_>, x: &Tensor) -> Tensor {
        let hidden = tanh(graph, x, self.0[0]);
        let hidden = tanh(graph, &hidden, self.0[1]);
        linear(graph, &hidden, self.0[2])
    }
}

/// A controller: an LSTM and the keys by which it reads.
struct Controller {
    gates: Layer,
    interface: Layer,
    reads: usize,
    /// Numbers of a row, and so of a key.
    width: usize,
}

/// The strength of a key before training, β = softplus of this: at 0.7 a softmax over cosines would hardly choose.
const STRENGTH: f32 = 5.0;

impl Controller {
    fn new(
        context: &mut CoreContext<'_>,
        name: &str,
        (inputs, hidden): (usize, usize),
        (reads, width): (usize, usize),
    ) -> Self {
        let shape = (inputs + hidden, 4 * hidden);
        let gates = context.layer(&format!("core.{name}.gates"), shape, 1.0);
        context.params.data_mut(gates.1)[hidden..2 * hidden].fill(1.0);
        let shape = (hidden, reads * (width + 1));
        let interface = context.layer(&format!("core.{name}.interface"), shape, 1.0);
        context.params.data_mut(interface.1)[reads * width..].fill(STRENGTH);
        Self {
            gates,
            interface,
            reads,
            width,
        }
    }

    /// Reads with keys and strengths that follow from `h`: reads side by side, and the weights of rows.
    fn read(
        &self,
        graph: &mut Graph<'_>,
        h: &Tensor,
        memory: &Tensor,
        filled: &[bool],
    ) -> (Tensor, Vec<f32>) {
        let interface = linear(graph, h, self.interface);
        let keys = self.reads * self.width;
        let strengths = graph.columns(&interface, keys..keys + self.reads);
        let strengths = graph.softplus(&strengths);
        let keys = graph.columns(&interface, 0..keys);
        let read = graph.content_read(memory, &keys, &strengths, Some(filled));
        (read.reads, read.weights)
    }
}

/// What a step computes: the prior and the posterior of z, z, and what the policy makes of it.
pub(super) struct Latent {
    pub prior: Tensor,
    pub posterior: Tensor,
    pub z: Tensor,
    /// h̃ and the read m̃, side by side.
    pub policy: Tensor,
}

/// What a step is given: embedded inputs, previous actions where they are inputs, starts, noise, and the rows that are
/// written where they have been chosen already.
pub(super) struct Given<'a> {
    pub embedded: &'a Tensor,
    pub actions: Option<&'a Tensor>,
    pub starts: &'a [bool],
    pub noise: &'a [f32],
    pub rows: Option<&'a [i32]>,
}

/// The parameters of both networks, without the layers that many rows can pass at once.
pub(super) struct Networks {
    prior: GaussianLayers,
    posterior: GaussianLayers,
    predictor: Controller,
    policy: Controller,
    pub hyper: Predictive,
    writes: bool,
}

impl Networks {
    /// Adds its parameters to the context's. `actions`: numbers of a previous action among the inputs.
    pub fn new(context: &mut CoreContext<'_>, embedding: usize, actions: usize) -> Self {
        let hyper: Predictive = context.hyper.get();
        let hidden = context.hyper.get::<Network>().hidden_size;
        let (size, reads) = (hyper.latent_size, hyper.predictor_reads);
        let width = 2 * size;
        let known = hidden + reads * width;
        Self {
            prior: GaussianLayers::new(context, "prior", known, size),
            posterior: GaussianLayers::new(context, "posterior", embedding + known + width, size),
            predictor: Controller::new(
                context,
                "predictor",
                (size + actions + reads * width, hidden),
                (reads, width),
            ),
            policy: Controller::new(context, "policy", (size + width, hidden), (1, width)),
            writes: context.hyper.get::<Writes>().memory_writes,
            hyper,
        }
    }

    /// Computes one step of every lane, and returns the row that each lane has written, or -1.
    ///
    /// The predictor takes in z of the step before first: only then are the action that followed, and the end of an
    /// episode, among the inputs.
    pub fn step(
        &self,
        graph: &mut Graph<'_>,
        given: &Given<'_>,
        carried: &mut Carried,
    ) -> (Latent, Vec<i32>) {
        let rows = self.predict(graph, given, carried);
        if given.starts.contains(&true) {
            carried.reset(graph, given.starts);
        }
        let Recurrence { h, reads, .. } = &carried.predictor;
        let known = graph.concat_cols(&[h, reads]);
        let prior = self.prior.of(graph, &known);
        let seen = graph.concat_cols(&[given.embedded, &known, &prior]);
        let correction = self.posterior.of(graph, &seen);
        let posterior = graph.add(&prior, &correction);
        let z = graph.gaussian_sample(&posterior, given.noise);
        carried.z = z.clone();
        let policy = self.recall(graph, carried);
        let latent = Latent {
            prior,
            posterior,
            z,
            policy,
        };
        (latent, rows)
    }

    /// The predictor's step: `h, c ← LSTM([z, a, m], h, c)`, m ← reads by keys of h, and z goes into the memory.
    fn predict(&self, graph: &mut Graph<'_>, given: &Given<'_>, carried: &mut Carried) -> Vec<i32> {
        let Recurrence { h, c, reads } = &carried.predictor;
        let mut inputs = vec![&carried.z, reads, h];
        inputs.extend(given.actions);
        let inputs = graph.concat_cols(&inputs);
        let gates = linear(graph, &inputs, self.predictor.gates);
        let (h, c) = graph.lstm_cell(&gates, c);
        let filled = carried.rows.filled();
        let memory = carried.memory.clone();
        let (reads, weights) = self.read(graph, &self.predictor, &h, &memory, &filled);
        carried.predictor = Recurrence { h, c, reads };
        carried.rows.mark_read(&weights);
        let rows = match given.rows {
            Some(rows) => rows.to_vec(),
            None => self.rows_to_write(&carried.rows, given.starts),
        };
        let later = carried.rows.weights_of_write(&rows);
        carried.memory = graph.positional_write(&memory, &carried.z, &rows, &later);
        carried.rows.wrote(&rows);
        rows
    }

    /// Nothing is left to write in a lane that starts an episode.
    fn rows_to_write(&self, rows: &Rows, starts: &[bool]) -> Vec<i32> {
        let mut chosen = rows.choose();
        for (row, &start) in chosen.iter_mut().zip(starts) {
            if start || !self.writes {
                *row = -1;
            }
        }
        chosen
    }

    /// The policy's step: `h̃, c̃ ← LSTM([z, m̃], h̃, c̃)`, m̃ ← a read by a key of h̃. No gradient passes from here to z or
    /// to the memory, unless the predictor has no losses of its own.
    fn recall(&self, graph: &mut Graph<'_>, carried: &mut Carried) -> Tensor {
        let z = self.seen_by_the_policy(graph, &carried.z);
        let memory = self.seen_by_the_policy(graph, &carried.memory);
        let Recurrence { h, c, reads } = &carried.policy;
        let inputs = graph.concat_cols(&[&z, reads, h]);
        let gates = linear(graph, &inputs, self.policy.gates);
        let (h, c) = graph.lstm_cell(&gates, c);
        let filled = carried.rows.filled();
        let (reads, weights) = self.read(graph, &self.policy, &h, &memory, &filled);
        carried.rows.mark_read(&weights);
        carried.attention = weights;
        let both = graph.concat_cols(&[&h, &reads]);
        carried.policy = Recurrence { h, c, reads };
        both
    }

    /// Returns what the predictor computed as the policy sees it: as a constant.
    pub fn seen_by_the_policy(&self, graph: &mut Graph<'_>, x: &Tensor) -> Tensor {
        if self.hyper.predictive_losses {
            graph.detach(x)
        } else {
            x.clone()
        }
    }

    fn read(
        &self,
        graph: &mut Graph<'_>,
        by: &Controller,
        h: &Tensor,
        memory: &Tensor,
        filled: &[bool],
    ) -> (Tensor, Vec<f32>) {
        if self.hyper.memory_reads {
            return by.read(graph, h, memory, filled);
        }
        let lanes = filled.len() / self.hyper.memory_rows;
        let nothing = vec![0.0; lanes * by.reads * by.width];
        let nothing = graph.constant(nothing, (lanes, by.reads * by.width));
        (nothing, vec![0.0; by.reads * filled.len()])
    }
}
