//! A memory that learns by prediction: MERLIN (Wayne et al. 2018, arXiv:1803.10760), and its ablation RL-MEM.
//!
//! A *predictor* compresses each input into a state variable z, a sample of a Gaussian whose prior follows from what the
//! predictor has seen before and whose posterior sees the input as well. z must tell the input, the return and the worth
//! of the action, and the posterior must stay near the prior. Every z is written into a row of a memory of its own, from
//! which the predictor reads for the next prior. A *policy* with a recurrent state of its own sees z and reads the same
//! memory, but none of its gradient reaches the predictor: what is remembered does not depend on what has been rewarded,
//! and a cue that no gradient through time reaches is remembered all the same.
//!
//! The predictor's step for z of step t is taken at the beginning of step t + 1. Only then is the action that followed
//! among the inputs (if `previous_action` shows it), and acting and learning both read it from there.

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use self::carried::{Carried, array};
use self::decoder::{Columns, Decoder};
use self::network::{Given, Latent, Layer, Networks, tanh};
use super::{CoreContext, CoreStep, MemoryContents, MemoryCore, Network, Segment, State, Unrolled};
use crate::nn::{Graph, Params, Tensor, normal};
use crate::onnx::{self, StepGraph};
use crate::seeds::LaneGenerators;

pub use self::settings::{Predictive, PredictiveOverrides};

mod carried;
mod decoder;
mod network;
mod rows;
mod settings;
#[cfg(test)]
mod tests;

/// Whole numbers that a step records: the seed of its noise, 0 for none, and the row that it wrote, -1 for none.
const DECISIONS: usize = 2;

/// Predictor, policy and memory.
pub struct Merlin {
    encoder: Layer,
    networks: Networks,
    actor: Layer,
    critic: Layer,
    decoder: Option<Decoder>,
    columns: Columns,
    input_size: usize,
    hidden_size: usize,
}

impl Merlin {
    /// Adds its parameters to the context's.
    pub fn new(context: &mut CoreContext<'_>) -> Self {
        let hyper: Predictive = context.hyper.get();
        let hidden = context.hyper.get::<Network>().hidden_size;
        let (inputs, columns) = (context.input_size, Columns::new(context));
        let gain = std::f32::consts::SQRT_2;
        let size = hyper.latent_size;
        let encoder = context.layer("core.encoder", (inputs, hidden), gain);
        let networks = Networks::new(context, hidden, columns.action.len());
        let actor = context.layer(
            "core.policy.features",
            (size + hidden + 2 * size, hidden),
            gain,
        );
        let critic = context.layer("core.value.features", (size + hidden, hidden), gain);
        let decoder = hyper
            .predictive_losses
            .then(|| Decoder::new(context, columns.clone()));
        Self {
            encoder,
            networks,
            actor,
            critic,
            decoder,
            columns,
            input_size: inputs,
            hidden_size: hidden,
        }
    }

    /// Computes the steps of some rows from a state, which moves on. `rows`: the rows that each step has written, where
    /// they are known. Returns the latents of every step and the rows that were written.
    fn run(
        &self,
        graph: &mut Graph<'_>,
        (inputs, starts): (&[f32], &[bool]),
        seeds: &[i32],
        rows: Option<&[i32]>,
        state: &State,
    ) -> (Vec<Latent>, Vec<i32>, Carried) {
        let (batch, width) = (state.rows(), self.input_size);
        let x = graph.constant(inputs.to_vec(), (starts.len(), width));
        let embedded = tanh(graph, &x, self.encoder);
        let size = self.networks.hyper.latent_size;
        let noise: Vec<f32> = seeds.iter().flat_map(|&seed| noise(seed, size)).collect();
        let mut carried = Carried::new(graph, state, &self.networks.hyper);
        let (mut latents, mut written) = (Vec::new(), Vec::new());
        for first in (0..starts.len()).step_by(batch) {
            let step = first..first + batch;
            let inputs = &inputs[first * width..][..batch * width];
            let actions = self.columns.of(inputs, self.columns.action.clone(), width);
            let shape = (batch, self.columns.action.len());
            let actions = (shape.1 > 0).then(|| graph.constant(actions, shape));
            let given = Given {
                embedded: &graph.rows(&embedded, step.clone()),
                actions: actions.as_ref(),
                starts: &starts[step.clone()],
                noise: &noise[first * size..][..batch * size],
                rows: rows.map(|rows| &rows[step.clone()]),
            };
            let (latent, rows) = self.networks.step(graph, &given, &mut carried);
            latents.push(latent);
            written.extend(rows);
        }
        (latents, written, carried)
    }

    /// Returns the features of policy and critic. The policy's are `tanh W [z, h̃, m̃]`, the critic's `tanh W [z, features]`:
    /// the paper's value sees z and the policy, of whose logarithm the features are the linear part. As in the paper no
    /// gradient passes from the policy to z, nor from the value to the policy.
    fn features(&self, graph: &mut Graph<'_>, latent: &Latent) -> (Tensor, Tensor) {
        let z = self.networks.seen_by_the_policy(graph, &latent.z);
        let seen = graph.concat_cols(&[&z, &latent.policy]);
        let features = tanh(graph, &seen, self.actor);
        let policy = self.networks.seen_by_the_policy(graph, &features);
        let seen = graph.concat_cols(&[&latent.z, &policy]);
        (features, tanh(graph, &seen, self.critic))
    }
}

/// Joins the latents of steps, row after row.
fn join(graph: &mut Graph<'_>, steps: &[Latent]) -> Latent {
    let mut of = |part: fn(&Latent) -> &Tensor| {
        let parts: Vec<&Tensor> = steps.iter().map(part).collect();
        graph.concat_rows(&parts)
    };
    Latent {
        prior: of(|step| &step.prior),
        posterior: of(|step| &step.posterior),
        z: of(|step| &step.z),
        policy: of(|step| &step.policy),
    }
}

/// Returns `size` standard normal numbers of a seed; zeros for seed 0.
fn noise(seed: i32, size: usize) -> Vec<f32> {
    if seed == 0 {
        return vec![0.0; size];
    }
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(u64::from(seed.cast_unsigned()));
    (0..size).map(|_| normal::standard(&mut rng)).collect()
}

impl MemoryCore for Merlin {
    fn feature_size(&self) -> usize {
        self.hidden_size
    }

    fn decision_width(&self) -> usize {
        DECISIONS
    }

    fn initial_state(&self, batch: usize) -> State {
        Carried::nothing(batch, &self.networks.hyper, self.hidden_size)
    }

    fn step(
        &self,
        params: &Params,
        inputs: &[f32],
        starts: &[bool],
        state: &mut State,
        rng: Option<&mut LaneGenerators>,
    ) -> CoreStep {
        let mut graph = Graph::inference(params);
        let mut seeds = vec![0; starts.len()];
        if let Some(rng) = rng.filter(|_| self.networks.hyper.predictive_losses) {
            for (lane, seed) in seeds.iter_mut().enumerate() {
                *seed = rng.of(lane).random_range(1..=i32::MAX);
            }
        }
        let given = (inputs, starts);
        let (latents, rows, carried) = self.run(&mut graph, given, &seeds, None, state);
        carried.store(state);
        let (features, of_critic) = self.features(&mut graph, &latents[0]);
        let decisions = seeds.into_iter().zip(rows);
        CoreStep {
            features,
            critic_features: Some(of_critic),
            decisions: decisions.flat_map(|(seed, row)| [seed, row]).collect(),
        }
    }

    fn unroll(&self, graph: &mut Graph<'_>, segment: &Segment<'_>) -> Unrolled {
        let column = |at: usize| -> Vec<i32> {
            let decisions = segment.decisions.iter();
            decisions.skip(at).step_by(DECISIONS).copied().collect()
        };
        let (seeds, rows) = (column(0), column(1));
        let given = (segment.inputs, segment.starts);
        let (latents, ..) = self.run(graph, given, &seeds, Some(&rows), segment.initial_state);
        let latent = join(graph, &latents);
        let (features, of_critic) = self.features(graph, &latent);
        let decoder = self.decoder.as_ref();
        Unrolled {
            features,
            critic_features: Some(of_critic),
            losses: decoder.map_or(Vec::new(), |d| d.losses(graph, segment, &latent)),
        }
    }

    /// The layers of losses of its own get no gradient from actor and critic, keys none where nothing is read.
    fn may_be_idle(&self, parameter: &str) -> bool {
        let own = ["core.decoder", "core.advantage"];
        own.iter().any(|name| parameter.starts_with(name))
            || !self.networks.hyper.memory_reads && parameter.contains("interface")
    }

    fn onnx(
        &self,
        _step: &mut StepGraph<'_>,
        _inputs: &onnx::Value,
    ) -> Result<onnx::Value, &'static str> {
        Err("the row of its memory that a step overwrites depends on how much each has been read")
    }

    fn inspect(&self, state: &State, lane: usize) -> MemoryContents {
        let named = [
            (
                "the policy's attention to rows of the memory",
                array::ATTENTION,
            ),
            ("usage of rows of the memory", array::USAGE),
            ("state variable z", array::Z),
        ];
        let vector =
            |(name, at): (&'static str, usize)| (name, state.arrays[at].row(lane).to_vec());
        MemoryContents::Vectors(named.map(vector).to_vec())
    }
}
