//! The layers on a memory's features, from which actions are chosen.

use rand_xoshiro::Xoshiro256PlusPlus;

use crate::hyper::Hyperparameters;
use crate::hyper::section::section;
use crate::nn::{self, Activation, Graph, Init, ParamId, Params, Tensor};
use crate::policy::tables::{TableSettings, Tables};
use crate::spaces::actions::ActionHeads;

section! {
    /// Normal distributions of actions that are numbers.
    pub struct Deviations, overridden by DeviationsOverrides {
        /// For actions that are numbers: logarithm of the standard deviation before learning. Finite bounds are 1 from the middle.
        #[arg(allow_hyphen_values = true)]
        log_std_init: f32 = 0.0, |&v| (-10.0..=2.0).contains(&v), "-10 to 2";
    }
}

/// The kinds of outputs that a network may have. A row of the table of algorithms names one.
#[derive(Clone, Copy, Debug)]
pub enum Outputs {
    /// No layer: logits and values are 0. For players that do not learn.
    Nothing,
    /// Distributions that actions are drawn from, and a value.
    ActorCritic,
    /// Distributions that actions are drawn from, without a value.
    Actor,
    /// A value for each choice of each component of an action. The policy is greedy.
    ActionValues,
    /// A table of past returns for each choice. The policy is greedy.
    Tables(fn(&Hyperparameters) -> TableSettings),
}

/// Weight and bias of a linear layer.
pub type Layer = (ParamId, ParamId);

/// Parameters of the distributions that actions are drawn from.
#[derive(Clone, Copy)]
pub struct Actor {
    /// Features to logits and means.
    pub layer: Layer,
    /// Log deviations of the components that are numbers, `[1, C]`, if there are any: the same whatever is seen.
    pub log_stds: Option<ParamId>,
}

/// Outputs with their parameters.
pub enum OutputLayers {
    /// As [`Outputs::Nothing`].
    Nothing,
    /// As [`Outputs::ActorCritic`].
    ActorCritic {
        /// The distributions.
        actor: Actor,
        /// Features to the value.
        critic: Layer,
    },
    /// As [`Outputs::Actor`]. Values are 0.
    Actor(Actor),
    /// As [`Outputs::ActionValues`]: features to values.
    ActionValues(Layer),
    /// As [`Outputs::Tables`]: features are the keys.
    Tables(Tables),
}

impl OutputLayers {
    /// Adds fresh parameters to `params`: orthogonal, gain 0.01 for an actor and 1 for values (Huang et al. 2022). Deviations
    /// come after the layers, so that the rest is the same with and without them.
    pub(super) fn new(
        outputs: Outputs,
        (feature_size, heads): (usize, &ActionHeads),
        hyper: &Hyperparameters,
        params: &mut Params,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Self {
        let mut layer = |name: &str, width: usize, gain: f32| {
            let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
            let orthogonal = Init::Orthogonal { gain };
            (
                params.add(&weight, (feature_size, width), orthogonal, rng),
                params.add(&bias, (1, width), Init::Zeros, rng),
            )
        };
        let width = heads.num_outputs();
        match outputs {
            Outputs::Nothing => Self::Nothing,
            Outputs::ActorCritic => {
                let layers = (layer("actor", width, 0.01), layer("critic", 1, 1.0));
                Self::ActorCritic {
                    actor: Actor::new(layers.0, heads, hyper, params, rng),
                    critic: layers.1,
                }
            }
            Outputs::Actor => {
                let layer = layer("actor", width, 0.01);
                Self::Actor(Actor::new(layer, heads, hyper, params, rng))
            }
            Outputs::ActionValues => Self::ActionValues(layer("action_values", width, 1.0)),
            Outputs::Tables(settings) => {
                Self::Tables(Tables::new(params, width, feature_size, settings(hyper)))
            }
        }
    }

    /// Returns whether actions are drawn from distributions; otherwise the policy is greedy.
    pub fn is_stochastic(&self) -> bool {
        matches!(
            self,
            Self::Nothing | Self::ActorCritic { .. } | Self::Actor(_)
        )
    }

    /// Returns logits `[rows, num_logits]` and values `[rows, 1]` of features `[rows, feature_size]`, the second of them
    /// for the critic. Without a critic
    /// the value of a row is the mean over the components of an action of their best value (Tavakoli et al. 2018,
    /// arXiv:1711.08946, eq. 6), and no gradient reaches it. The optimism of tables stays out of it, because returns continue
    /// with it.
    pub(super) fn forward(
        &self,
        graph: &mut Graph<'_>,
        (features, of_critic): (&Tensor, &Tensor),
        rows: usize,
        heads: &ActionHeads,
    ) -> (Tensor, Tensor) {
        let width = heads.num_logits();
        let mut estimates = None;
        let logits = match self {
            Self::Nothing => graph.constant(vec![0.0; rows * width], (rows, width)),
            Self::ActorCritic { actor, .. } | Self::Actor(actor) => {
                actor.forward(graph, features, rows)
            }
            Self::ActionValues(layer) => linear(graph, features, *layer),
            Self::Tables(tables) => {
                let (logits, without_optimism) = tables.forward(graph, features);
                estimates = Some(without_optimism);
                logits
            }
        };
        let values = match self {
            Self::Nothing | Self::Actor(_) => graph.constant(vec![0.0; rows], (rows, 1)),
            Self::ActorCritic { critic, .. } => linear(graph, of_critic, *critic),
            Self::ActionValues(_) | Self::Tables(_) => {
                let estimates = estimates.as_deref().unwrap_or(nn::values(&logits));
                let best = estimates.chunks_exact(width);
                let best = graph.constant(best.map(|row| heads.best(row)).collect(), (rows, 1));
                graph.detach(&best)
            }
        };
        (logits, values)
    }
}

impl Actor {
    fn new(
        layer: Layer,
        heads: &ActionHeads,
        hyper: &Hyperparameters,
        params: &mut Params,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Self {
        let init = Init::Constant(hyper.get::<Deviations>().log_std_init);
        let shape = (1, heads.num_numbers());
        let log_stds = (shape.1 > 0).then(|| params.add("actor.log_std", shape, init, rng));
        Self { layer, log_stds }
    }

    /// Returns logits and means, and behind them the deviations: `[rows, num_logits]`.
    fn forward(&self, graph: &mut Graph<'_>, features: &Tensor, rows: usize) -> Tensor {
        let outputs = linear(graph, features, self.layer);
        match self.log_stds {
            None => outputs,
            Some(log_stds) => {
                let log_stds = graph.param(log_stds);
                let log_stds = graph.gather_rows(&log_stds, &vec![0; rows]);
                graph.concat_cols(&[&outputs, &log_stds])
            }
        }
    }
}

fn linear(graph: &mut Graph<'_>, features: &Tensor, (weight, bias): Layer) -> Tensor {
    graph.linear(features, weight, Some(bias), Activation::Identity)
}
