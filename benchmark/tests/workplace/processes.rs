//! Jobs in other processes: a plan for them, its results, and the processes.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::results::results;
use crate::workplace::Workplace;

/// A plan with two agents. The first learns for seconds, with checkpoints on the way.
pub const PLAN: &str = r#"
    [[agents]]
    name = "recurrent-ppo"
    algorithm = "recurrent-ppo"
    [[agents]]
    name = "oracle"
    algorithm = "oracle"
    [[experiments]]
    name = "delay-8-hard"
    env = "MemoryTask-v0"
    total_timesteps = 160_000
    early_stop = false
    env_args = { delay = 8, difficulty = 1 }
    evaluation = { episodes = 40 }
"#;

/// The results of a run, in the order of the agents' names: two workers may end in any order.
pub fn sorted_results(place: &Workplace, run: &str) -> Vec<Value> {
    let mut records = results(place, run);
    records.sort_by_key(|record| record["agent"]["name"].to_string());
    records
}

/// The bytes of the learning agent's last checkpoint, and its measurements without the clock's.
pub fn checkpoint(place: &Workplace, run: &str) -> (Vec<u8>, usize) {
    let jobs = std::fs::read_dir(place.path(&format!("runs/{run}/checkpoints"))).unwrap();
    let mut jobs = jobs.map(|job| job.unwrap().path());
    let job = jobs.find(|job| job.to_string_lossy().contains("recurrent-ppo"));
    let job = job.unwrap();
    let metrics = std::fs::read_to_string(job.join("metrics.jsonl")).unwrap();
    let checkpoint = std::fs::read(job.join("checkpoint.safetensors")).unwrap();
    (checkpoint, metrics.lines().count())
}

/// Waits until the caller has a checkpoint of the learning agent.
pub fn wait_for_checkpoint(place: &Workplace, run: &str) {
    let began = Instant::now();
    let has_one = || -> Option<bool> {
        let jobs = std::fs::read_dir(place.path(&format!("runs/{run}/checkpoints"))).ok()?;
        let mut jobs = jobs.map(|job| job.unwrap().path());
        let job = jobs.find(|job| job.to_string_lossy().contains("recurrent-ppo"))?;
        Some(job.join("checkpoint.safetensors").exists())
    };
    while has_one() != Some(true) {
        assert!(began.elapsed() < Duration::from_secs(120), "no checkpoint");
        std::thread::sleep(Duration::from_millis(2));
    }
}
