//! Checks that every algorithm can learn on every spec: every space has an encoding, and every
//! action space a distribution.

use std::sync::atomic::AtomicBool;

use agent::algorithms;
use agent::env::remote::{RemoteEnvConfig, RemoteVectorEnv, RetryPolicy};
use agent::env::selection::EnvSelection;
use agent::env::{Space, VectorEnv};
use agent::overrides;
use agent::run::config::TrainConfig;
use agent::run::train::{TrainOptions, train};
use agent::spaces::Spaces;
use agent::views::monitor::{LogRecord, Monitor, MonitorError, Progress};
use end_to_end::EmbeddedServer;
use environments::registry;
use serde_json::{Map, Value, json};

const NUM_ENVS: usize = 4;
const STEPS: u64 = 512;

/// A monitor that keeps all measurements.
#[derive(Default)]
struct Measured(Vec<(String, f64)>);

impl Monitor for Measured {
    fn update(&mut self, _progress: &Progress, record: &LogRecord) -> Result<(), MonitorError> {
        self.0.extend(record.scalars());
        Ok(())
    }

    fn finish(&mut self, _progress: &Progress) -> Result<(), MonitorError> {
        Ok(())
    }
}

#[test]
fn every_algorithm_learns_on_every_spec() {
    for spec in registry::specs() {
        assert_all_learn(&spec.id, &Map::new());
    }
}

/// Covers dicts of a Box, of a Tuple and of MultiDiscrete, and truncated episodes.
#[test]
fn every_algorithm_learns_through_wrappers() {
    let extras = json!({"previous_action": true, "previous_reward": true, "is_first": true,
                        "max_episode_steps": 10, "frame_skip": 2});
    let mut kwargs = extras.as_object().expect("an object").clone();
    for spec_id in [
        "Autoencode-v0",
        "CountRecall-v0",
        "Battleship-v0",
        "NoisyPositionOnlyPendulum-v0",
        "StatelessCartPole-v0",
    ] {
        if spec_id == "StatelessCartPole-v0" {
            kwargs.insert("observation_noise".into(), 0.1.into());
        }
        assert_all_learn(spec_id, &kwargs);
    }
}

fn assert_all_learn(spec_id: &str, kwargs: &Map<String, Value>) {
    let server = EmbeddedServer::start().expect("a server");
    for algorithm in algorithms::learners() {
        let name = format!("{} on {}", algorithm.id, spec_id);
        let overrides = overrides! {
            num_envs: NUM_ENVS,
            num_steps: 32,
            whole_episodes: false,
            num_minibatches: 2,
            update_epochs: 2,
            early_stop: false,
            // The notebook's auxiliary module classifies the first number of an observation, which
            // is not a class in every task.
            aux_modules: Vec::<&str>::new(),
        };
        let overrides = overrides.known_to(&(algorithm.defaults)());
        let selection = EnvSelection {
            spec_id: spec_id.into(),
            kwargs: kwargs.clone(),
            draws: Vec::new(),
        };
        let config = TrainConfig::resolve(algorithm, &overrides, selection, STEPS, 1)
            .expect("a valid configuration");
        let mut env = RemoteVectorEnv::connect(&RemoteEnvConfig {
            servers: vec![server.url().into()],
            token: None,
            spec_id: spec_id.into(),
            kwargs: kwargs.clone(),
            num_envs: NUM_ENVS,
            retry: RetryPolicy::default(),
        })
        .expect("an environment");
        let spaces = Spaces {
            observation: env.observation_space().clone(),
            action: env.action_space().clone(),
        };
        if let Some(reason) = algorithm.refusal(&spaces, &config.hyper) {
            let learns_by_ppo = (algorithm.defaults)().to_map().contains_key("clip_coef");
            let has_real_actions = matches!(spaces.action, Space::Box { .. });
            let may_refuse = algorithm.id == "mvprop" || (has_real_actions && !learns_by_ppo);
            assert!(may_refuse, "{name}: {reason}");
            continue;
        }
        let stop = AtomicBool::new(false);
        let options = TrainOptions {
            out: None,
            checkpoint_interval: None,
            resume: None,
            stop: &stop,
        };
        let mut measured = Measured::default();
        let trained = train(&config, &mut env, options, &mut measured);
        let trained = trained.unwrap_or_else(|error| panic!("{name}: {error}"));
        let statistics = &trained.checkpoint.run.statistics;
        assert_eq!(statistics.timesteps, STEPS, "{name}");
        let losses = measured.0.iter().filter(|(key, _)| key == "train/loss");
        let losses = losses.count() as u64;
        if (algorithm.defaults)()
            .to_map()
            .contains_key("update_epochs")
        {
            assert_eq!((statistics.updates, losses), (4, 4), "{name}");
        } else {
            // Learning from stored episodes waits for the first that ends, and tables have no loss.
            assert!(
                statistics.updates <= 4 && losses <= statistics.updates,
                "{name}"
            );
        }
        for (key, value) in &measured.0 {
            assert!(value.is_finite(), "{name}: {key} is {value}");
        }
    }
}
