//! Trains PPO from code, against an environment server in this process.
//!
//! `cargo run -p agent --example train_from_code`

use std::error::Error;
use std::sync::atomic::AtomicBool;

use agent::algorithms;
use agent::env::remote::{RemoteEnvConfig, RemoteVectorEnv, RetryPolicy};
use agent::env::selection::EnvSelection;
use agent::overrides;
use agent::run::config::TrainConfig;
use agent::run::train::{TrainOptions, Trained, train};
use agent::views::monitor::Silent;

#[path = "shared/server.rs"]
mod server;

const NUM_ENVS: usize = 8;

/// Trains on MemoryTask with a delay of 1: the cue is on screen when it is asked for.
pub fn run(total_timesteps: u64) -> Result<Trained, Box<dyn Error>> {
    let task = EnvSelection {
        spec_id: "MemoryTask-v0".into(),
        kwargs: serde_json::from_str(r#"{"delay": 1}"#)?,
        draws: Vec::new(),
    };
    let mut env = RemoteVectorEnv::connect(&RemoteEnvConfig {
        servers: vec![server::start()?],
        token: None,
        spec_id: task.spec_id.clone(),
        kwargs: task.kwargs.clone(),
        num_envs: NUM_ENVS,
        retry: RetryPolicy::default(),
    })?;
    let settings = overrides! { num_envs: NUM_ENVS, learning_rate: 0.003 };
    let ppo = algorithms::find("ppo")?;
    let config = TrainConfig::resolve(ppo, &settings, task, total_timesteps, 0)?;
    let options = TrainOptions {
        out: None,
        checkpoint_interval: None,
        resume: None,
        stop: &AtomicBool::new(false),
    };
    Ok(train(&config, &mut env, options, &mut Silent)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let run = run(20_000)?.checkpoint.run.statistics;
    let returns = run.recent_return();
    println!("{} steps, last returns {returns:?}", run.timesteps);
    Ok(())
}
