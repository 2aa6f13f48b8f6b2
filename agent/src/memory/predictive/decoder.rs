//! The losses of MERLIN's predictor: what the state variable z must tell.

use std::ops::Range;

use super::network::{Latent, Layer, linear, tanh};
use super::settings::Predictive;
use crate::memory::{CoreContext, Network, Previous, Segment};
use crate::nn::{Graph, Tensor};
use crate::spaces::actions::{ActionHead, ActionHeads};

/// A loss: name for the log, weight, `(1, 1)` tensor.
type Weighted = (&'static str, f32, Tensor);

/// The columns of an input row.
#[derive(Clone)]
pub(super) struct Columns {
    /// Those of the observation.
    pub observation: Range<usize>,
    /// Those of the previous action; empty where it is not shown.
    pub action: Range<usize>,
    /// That of the previous reward; empty where it is not shown.
    pub reward: Range<usize>,
}

impl Columns {
    pub fn new(context: &CoreContext<'_>) -> Self {
        let Previous { action, reward } = context.previous.clone();
        Self {
            observation: 0..action.start,
            action,
            reward,
        }
    }

    /// Returns some columns of rows.
    pub fn of(&self, inputs: &[f32], columns: Range<usize>, width: usize) -> Vec<f32> {
        let rows = inputs.chunks_exact(width);
        rows.flat_map(|row| row[columns.clone()].iter().copied())
            .collect()
    }
}

/// The layers on z that predict what was seen and what will be got.
pub(super) struct Decoder {
    hidden: Layer,
    output: Layer,
    advantage: [Layer; 2],
    /// The layer that predicts a start, if z must tell it.
    start: Option<Layer>,
    heads: ActionHeads,
    columns: Columns,
    input_size: usize,
    hyper: Predictive,
}

impl Decoder {
    /// Adds its parameters to the context's.
    pub fn new(context: &mut CoreContext<'_>, columns: Columns) -> Self {
        let hyper: Predictive = context.hyper.get();
        let hidden_size = context.hyper.get::<Network>().hidden_size;
        let (size, inputs) = (hyper.latent_size, context.input_size);
        let chosen = size + context.heads.num_outputs();
        let gain = std::f32::consts::SQRT_2;
        Self {
            hidden: context.layer("core.decoder.1", (size, hidden_size), gain),
            output: context.layer("core.decoder.2", (hidden_size, inputs), 1.0),
            advantage: [
                context.layer("core.advantage.1", (chosen, hidden_size), gain),
                context.layer("core.advantage.2", (hidden_size, 1), 0.1),
            ],
            start: hyper
                .reconstruct_starts
                .then(|| context.layer("core.decoder.start", (hidden_size, 1), 1.0)),
            heads: context.heads.clone(),
            columns,
            input_size: inputs,
            hyper,
        }
    }

    /// Returns the losses of the rows of a segment.
    pub fn losses(
        &self,
        graph: &mut Graph<'_>,
        segment: &Segment<'_>,
        latent: &Latent,
    ) -> Vec<Weighted> {
        let hidden = tanh(graph, &latent.z, self.hidden);
        let decoded = linear(graph, &hidden, self.output);
        let weight = self.hyper.reconstruction_weight;
        let mut losses = vec![self.observation_loss(graph, segment, &decoded)];
        if let Some(layer) = self.start {
            let told = linear(graph, &hidden, layer);
            let loss = Self::start_loss(graph, segment, &told);
            losses.push(("start_loss", weight, loss));
        }
        if !self.columns.action.is_empty() {
            let loss = self.action_loss(graph, segment, &decoded);
            losses.push(("action_loss", weight, loss));
        }
        if !self.columns.reward.is_empty() {
            let reward = self.columns.reward.clone();
            let target = self
                .columns
                .of(segment.inputs, reward.clone(), self.input_size);
            let decoded = graph.columns(&decoded, reward);
            let loss = graph.mse(&decoded, &target, &vec![1.0; target.len()]);
            losses.push(("reward_loss", 0.5 * weight, loss));
        }
        let loss = self.advantage_loss(graph, segment, &latent.z);
        losses.push(("advantage_loss", 0.5 * self.hyper.return_weight, loss));
        let divergence = graph.gaussian_divergence(&latent.posterior, &latent.prior);
        losses.push(("divergence", self.hyper.kl_weight, divergence));
        losses
    }

    /// `‖o − ô‖²`, a sum over the numbers of an observation.
    fn observation_loss(
        &self,
        graph: &mut Graph<'_>,
        segment: &Segment<'_>,
        decoded: &Tensor,
    ) -> Weighted {
        let columns = self.columns.observation.clone();
        let target = self
            .columns
            .of(segment.inputs, columns.clone(), self.input_size);
        let count = columns.len() as f32;
        let decoded = graph.columns(decoded, columns);
        let mean = graph.mse(&decoded, &target, &vec![1.0; segment.starts.len()]);
        let weight = self.hyper.reconstruction_weight * count;
        ("reconstruction_loss", weight, mean)
    }

    /// `(s − ŝ)²` with s 1 at the first step of an episode and 0 later. No input shows s, but the state is empty there.
    fn start_loss(graph: &mut Graph<'_>, segment: &Segment<'_>, told: &Tensor) -> Tensor {
        let starts = segment.starts.iter();
        let target: Vec<f32> = starts.map(|&start| f32::from(u8::from(start))).collect();
        graph.mse(told, &target, &vec![1.0; target.len()])
    }

    /// Negative log-likelihood of the previous action, a sum over its components: cross entropy of choices, and of numbers,
    /// with deviation 1 and without what is constant, `½ (a − â)²`. Rows without an action are left out.
    fn action_loss(
        &self,
        graph: &mut Graph<'_>,
        segment: &Segment<'_>,
        decoded: &Tensor,
    ) -> Tensor {
        let weights: Vec<f32> = segment
            .starts
            .iter()
            .map(|&s| f32::from(u8::from(!s)))
            .collect();
        let mut first = self.columns.action.start;
        let mut losses = Vec::new();
        for (size, head) in self.heads.sizes().into_iter().zip(self.heads.heads()) {
            let columns = first..first + size;
            first += size;
            let shown = self
                .columns
                .of(segment.inputs, columns.clone(), self.input_size);
            let decoded = graph.columns(decoded, columns);
            losses.push(match head {
                ActionHead::Categorical(_) => {
                    let choice = |row: &[f32]| row.iter().position(|&x| x > 0.0).unwrap_or(0);
                    let classes = shown.chunks_exact(size).map(|row| choice(row) as u32);
                    let classes: Vec<u32> = classes.collect();
                    (1.0, graph.cross_entropy(&decoded, &classes, &weights))
                }
                ActionHead::Gaussian(_) => (0.5, graph.mse(&decoded, &shown, &weights)),
            });
        }
        let losses: Vec<(f32, &Tensor)> = losses.iter().map(|(by, loss)| (*by, loss)).collect();
        graph.total(&losses)
    }

    /// `(R − R̂)²` with `R̂ = V + A(z, a)`. V is the value that acting recorded: a constant, so that this loss trains the
    /// advantage and z alone.
    fn advantage_loss(&self, graph: &mut Graph<'_>, segment: &Segment<'_>, z: &Tensor) -> Tensor {
        let (rows, width) = (segment.starts.len(), self.heads.num_outputs());
        let mut actions = vec![0.0; rows * width];
        let taken = segment.actions.chunks_exact(self.heads.components());
        for (row, action) in actions.chunks_exact_mut(width).zip(taken) {
            self.heads.mark(action, row);
        }
        let actions = graph.constant(actions, (rows, width));
        let known = graph.concat_cols(&[z, &actions]);
        let hidden = tanh(graph, &known, self.advantage[0]);
        let advantage = linear(graph, &hidden, self.advantage[1]);
        let pairs = segment.returns.iter().zip(segment.values);
        let target: Vec<f32> = pairs.map(|(target, value)| target - value).collect();
        graph.mse(&advantage, &target, &vec![1.0; rows])
    }
}
