//! Helpers for tests of trained agents: an environment server, and agents whose actions depend on
//! their observations.

use std::sync::atomic::AtomicBool;

use agent::algorithms;
use agent::algorithms::sections::Overrides;
use agent::env::VectorEnv;
use agent::env::remote::{RemoteEnvConfig, RemoteVectorEnv, RetryPolicy};
use agent::env::selection::EnvSelection;
use agent::overrides;
use agent::run::checkpoint::Checkpoint;
use agent::run::config::TrainConfig;
use agent::run::train::{TrainOptions, train};
use agent::views::monitor::Silent;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde_json::{Map, Value};

/// Starts an environment server on a thread of its own, which runs until the tests end; returns its
/// URL.
pub fn environments() -> String {
    environments_of(env_server::ServerConfig {
        allow_oracle: true,
        ..env_server::ServerConfig::default()
    })
}

/// The same, of a server with these settings.
pub fn environments_of(config: env_server::ServerConfig) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0");
    let listener = runtime.block_on(listener).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        runtime.block_on(env_server::run(listener, config, std::future::pending()))
    });
    url
}

/// Lanes that an agent is trained in.
pub const LANES: usize = 4;

/// The description of a small trained agent: its algorithm and its task.
pub struct Trained<'a> {
    pub algorithm: &'a str,
    pub spec_id: &'a str,
    pub kwargs: Map<String, Value>,
    pub overrides: Overrides,
    /// Largest distance by which a weight is moved.
    pub spread: f32,
}

impl Trained<'_> {
    /// Trains the agent for a few steps and adds random numbers to its weights, so that its actions
    /// depend on its observations.
    pub fn checkpoint(&self, server: &str) -> Checkpoint {
        let connected = RemoteVectorEnv::connect(&RemoteEnvConfig {
            servers: vec![server.into()],
            token: None,
            spec_id: self.spec_id.into(),
            kwargs: self.kwargs.clone(),
            num_envs: LANES,
            retry: RetryPolicy::default(),
        });
        self.checkpoint_in(&mut connected.unwrap())
    }

    /// The same in an environment of [`LANES`] lanes.
    pub fn checkpoint_in(&self, env: &mut dyn VectorEnv) -> Checkpoint {
        let overrides = self.overrides.clone().overlaid(&overrides! {
            num_envs: LANES,
            num_steps: 32,
            whole_episodes: false,
            num_minibatches: 1,
            update_epochs: 1,
            early_stop: false,
            aux_modules: Vec::<&str>::new(),
        });
        let selection = EnvSelection {
            spec_id: self.spec_id.into(),
            kwargs: self.kwargs.clone(),
            draws: Vec::new(),
        };
        let row = algorithms::find(self.algorithm).unwrap();
        let overrides = overrides.known_to(&(row.defaults)());
        let config = TrainConfig::resolve(row, &overrides, selection, 128, 0).unwrap();
        let options = TrainOptions {
            out: None,
            checkpoint_interval: None,
            resume: None,
            stop: &AtomicBool::new(false),
        };
        let trained = train(&config, env, options, &mut Silent).unwrap();
        let mut checkpoint = trained.checkpoint;
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(9);
        for array in &mut checkpoint.params {
            // Biases are zeroed: a bias would make one action the likeliest everywhere.
            let scale = f32::from(u8::from(!array.name.ends_with("bias")));
            for weight in &mut array.data {
                *weight = scale * (*weight + self.spread * rng.random_range(-1.0..1.0));
            }
        }
        checkpoint
    }
}
