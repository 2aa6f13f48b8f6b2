//! The layers on a memory's features, from which actions are chosen.

use rand_xoshiro::Xoshiro256PlusPlus;

use crate::hyper::Hyperparameters;
use crate::nn::{self, Activation, Graph, Init, ParamId, Params, Tensor};
use crate::policy::tables::{TableSettings, Tables};
use crate::spaces::actions::ActionHeads;

/// The kinds of outputs that a network may have. A row of the table of algorithms names one.
#[derive(Clone, Copy, Debug)]
pub enum Outputs {
    /// No layer: logits and values are 0. For players that do not learn.
    Nothing,
    /// Logits of a softmax policy, and a value.
    ActorCritic,
    /// Logits of a softmax policy, without a value.
    Actor,
    /// A value for each choice of each component of an action. The policy is greedy.
    ActionValues,
    /// A table of past returns for each choice. The policy is greedy.
    Tables(fn(&Hyperparameters) -> TableSettings),
}

/// Weight and bias of a linear layer.
pub type Layer = (ParamId, ParamId);

/// Outputs with their parameters.
pub enum OutputLayers {
    /// As [`Outputs::Nothing`].
    Nothing,
    /// As [`Outputs::ActorCritic`].
    ActorCritic {
        /// Features to logits.
        actor: Layer,
        /// Features to the value.
        critic: Layer,
    },
    /// As [`Outputs::Actor`]: features to logits. Values are 0.
    Actor(Layer),
    /// As [`Outputs::ActionValues`]: features to values.
    ActionValues(Layer),
    /// As [`Outputs::Tables`]: features are the keys.
    Tables(Tables),
}

impl OutputLayers {
    /// Adds fresh parameters to `params`: orthogonal, gain 0.01 for an actor and 1 for values (Huang et al. 2022).
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
        match outputs {
            Outputs::Nothing => Self::Nothing,
            Outputs::ActorCritic => Self::ActorCritic {
                actor: layer("actor", heads.num_logits(), 0.01),
                critic: layer("critic", 1, 1.0),
            },
            Outputs::Actor => Self::Actor(layer("actor", heads.num_logits(), 0.01)),
            Outputs::ActionValues => {
                Self::ActionValues(layer("action_values", heads.num_logits(), 1.0))
            }
            Outputs::Tables(settings) => {
                let tables = heads.num_logits();
                Self::Tables(Tables::new(params, tables, feature_size, settings(hyper)))
            }
        }
    }

    /// Returns whether actions are drawn from a softmax of the logits; otherwise the policy is greedy.
    pub fn is_softmax(&self) -> bool {
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
            Self::ActorCritic { actor, .. } | Self::Actor(actor) => linear(graph, features, *actor),
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

fn linear(graph: &mut Graph<'_>, features: &Tensor, (weight, bias): Layer) -> Tensor {
    graph.linear(features, weight, Some(bias), Activation::Identity)
}
