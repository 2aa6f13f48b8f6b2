//! A memory of your own: a gated recurrent unit (Cho et al. 2014, arXiv:1406.1078) in one file.
//!
//! `cargo run -p agent --example custom_memory`

use std::error::Error;
use std::sync::atomic::AtomicBool;

use agent::algorithms::{self, Algorithm, Family};
use agent::env::remote::{RemoteEnvConfig, RemoteVectorEnv, RetryPolicy};
use agent::env::selection::EnvSelection;
use agent::learner::ppo::Ppo;
use agent::memory::recurrent::cell::{Cell, Recurrent};
use agent::memory::{CoreContext, Network};
use agent::nn::{Activation, Graph, Init, ParamId, Tensor};
use agent::overrides;
use agent::policy::decider::Decider;
use agent::policy::outputs::Outputs;
use agent::run::config::TrainConfig;
use agent::run::train::{TrainOptions, Trained, train};
use agent::views::monitor::Silent;

#[path = "shared/server.rs"]
mod server;

/// The row: PPO over the cell, with the hyper-parameters of PPO over an LSTM.
static GRU: Algorithm = Algorithm {
    id: "my-gru",
    title: "My GRU",
    family: Family::Recurrent,
    summary: "PPO over a gated recurrent unit.",
    source: "Cho et al. 2014, arXiv:1406.1078",
    decider: Decider::Network,
    defaults: || {
        let row = algorithms::find("recurrent-ppo").expect("a row of the table");
        (row.defaults)()
    },
    check: |_, _| Ok(()),
    plays: |_| Ok(()),
    core: |context| Box::new(Recurrent::new(GruCell::new, context)),
    outputs: Outputs::ActorCritic,
    learner: |context| Box::new(Ppo::new(context)),
};

/// The cell. Its state is h, `hidden_size` numbers; gates stand side by side as reset, update, candidate.
struct GruCell {
    from_inputs: (ParamId, ParamId),
    from_before: (ParamId, ParamId),
    hidden_size: usize,
}

impl GruCell {
    fn new(context: &mut CoreContext<'_>) -> Self {
        let (inputs, hidden) = (
            context.input_size,
            context.hyper.get::<Network>().hidden_size,
        );
        let mut layer = |name: &str, inputs| {
            let CoreContext { params, rng, .. } = &mut *context;
            let orthogonal = Init::Orthogonal { gain: 1.0 };
            let (weight, bias) = (format!("core.{name}.weight"), format!("core.{name}.bias"));
            (
                params.add(&weight, (inputs, 3 * hidden), orthogonal, rng),
                params.add(&bias, (1, 3 * hidden), Init::Zeros, rng),
            )
        };
        Self {
            from_inputs: layer("from_inputs", inputs),
            from_before: layer("from_before", hidden),
            hidden_size: hidden,
        }
    }
}

impl Cell for GruCell {
    fn feature_size(&self) -> usize {
        self.hidden_size
    }

    fn state_widths(&self) -> Vec<usize> {
        vec![self.hidden_size]
    }

    /// r, z = σ(W x + U h), n = tanh(W x + r ⊙ U h), h' = n + z ⊙ (h − n).
    fn step(&self, graph: &mut Graph<'_>, x: &Tensor, state: &[Tensor]) -> (Tensor, Vec<Tensor>) {
        let (h, width) = (&state[0], self.hidden_size);
        let linear = |graph: &mut Graph<'_>, x: &Tensor, (weight, bias)| {
            let sums = graph.linear(x, weight, Some(bias), Activation::Identity);
            [0, 1, 2].map(|gate| graph.columns(&sums, gate * width..(gate + 1) * width))
        };
        let from_inputs = linear(graph, x, self.from_inputs);
        let from_before = linear(graph, h, self.from_before);
        let [reset, update] = [0, 1].map(|gate| {
            let sum = graph.add(&from_inputs[gate], &from_before[gate]);
            graph.activate(&sum, Activation::Sigmoid)
        });
        let recalled = graph.mul(&reset, &from_before[2]);
        let candidate = graph.add(&from_inputs[2], &recalled);
        let candidate = graph.activate(&candidate, Activation::Tanh);
        let minus = graph.scale(&candidate, -1.0);
        let difference = graph.add(h, &minus);
        let kept = graph.mul(&update, &difference);
        let h = graph.add(&candidate, &kept);
        (h.clone(), vec![h])
    }
}

/// Trains for at most `total_timesteps` steps on recalling the first observation two actions later.
pub(crate) fn run(total_timesteps: u64) -> Result<Trained, Box<dyn Error>> {
    algorithms::add(&GRU);
    let server = server::start()?;
    let kwargs = serde_json::Map::from_iter([("delay".to_owned(), 2.into())]);
    let env = EnvSelection {
        spec_id: "MemoryTask-v0".into(),
        kwargs: kwargs.clone(),
        draws: Vec::new(),
    };
    let overrides = overrides! { num_envs: 16, num_steps: 32, whole_episodes: false };
    let config = TrainConfig::resolve(&GRU, &overrides, env, total_timesteps, 0)?;
    let mut env = RemoteVectorEnv::connect(&RemoteEnvConfig {
        servers: vec![server],
        token: None,
        spec_id: "MemoryTask-v0".into(),
        kwargs,
        num_envs: 16,
        retry: RetryPolicy::default(),
    })?;
    let stop = AtomicBool::new(false);
    let options = TrainOptions {
        out: None,
        checkpoint_interval: None,
        resume: None,
        stop: &stop,
    };
    Ok(train(&config, &mut env, options, &mut Silent)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let trained = run(40_000)?;
    let statistics = &trained.checkpoint.run.statistics;
    println!("steps: {}", statistics.timesteps);
    println!("mean return: {:?}", statistics.recent_return());
    Ok(())
}
