//! The service, asked in this process.

mod equality;
mod sessions;
mod states;

use std::sync::atomic::AtomicBool;

use env_protocol::{ErrorCode, Problem, Value};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde_json::{Value as Json, json};

use super::wire::{ActReply, ActRequest, CreateSession};
use super::{Limits, Service};
use crate::algorithms;
use crate::algorithms::sections::Overrides;
use crate::env::selection::EnvSelection;
use crate::env::test_task::TestTask;
use crate::overrides;
use crate::run::config::TrainConfig;
use crate::run::train::{TrainOptions, train};
use crate::views::monitor::Silent;

/// ServedLanes that an agent is trained in.
const TRAINED_LANES: usize = 4;

/// An agent that has played a little in environments like `env`, with weights that make it do one thing here and another
/// there, as a checkpoint's bytes.
fn checkpoint(algorithm: &str, overrides: Overrides, env: &mut TestTask) -> Vec<u8> {
    let overrides = overrides.overlaid(&overrides! {
        num_envs: TRAINED_LANES,
        num_steps: 32,
        whole_episodes: false,
        num_minibatches: 1,
        update_epochs: 1,
        early_stop: false,
        aux_modules: Vec::<&str>::new(),
    });
    let selection = EnvSelection {
        spec_id: "MemoryTask-v0".into(),
        kwargs: serde_json::Map::new(),
        draws: Vec::new(),
    };
    let row = algorithms::find(algorithm).unwrap();
    let overrides = overrides.known_to(&(row.defaults)());
    let config = TrainConfig::resolve(row, &overrides, selection, 128, 0).unwrap();
    let options = TrainOptions {
        out: None,
        checkpoint_interval: None,
        resume: None,
        stop: &AtomicBool::new(false),
    };
    let mut checkpoint = train(&config, env, options, &mut Silent)
        .unwrap()
        .checkpoint;
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(9);
    for array in &mut checkpoint.params {
        // A bias would make one action the likeliest everywhere.
        let scale = f32::from(u8::from(!array.name.ends_with("bias")));
        array
            .data
            .iter_mut()
            .for_each(|weight| *weight = scale * (*weight + rng.random_range(-2.0..2.0)));
    }
    checkpoint.to_bytes()
}

/// A service of such an agent, of MemoryTask's spaces and two actions.
fn service(algorithm: &str, limits: Limits) -> Service {
    let mut env = TestTask::new(TRAINED_LANES, 4);
    Service::new(
        &checkpoint(algorithm, Overrides::default(), &mut env),
        limits,
    )
    .unwrap()
}

fn lanes(num_envs: u64) -> CreateSession {
    CreateSession {
        num_envs,
        seed: Some(0),
        ttl_s: None,
    }
}

/// A request, given as JSON.
fn request(body: Json) -> ActRequest {
    serde_json::from_value(body).unwrap()
}

/// The request that shows lane `i` the observation `[x, x, 0]` of the `i`-th `x`, none of them a first one.
fn shows(session_id: &str, seq: u64, xs: &[f32]) -> Json {
    json!({
        "session_id": session_id,
        "seq": seq,
        "observations": xs.iter().map(|x| [*x, *x, 0.0]).collect::<Vec<_>>(),
        "is_first": vec![false; xs.len()],
    })
}

/// `shows` without a session.
fn carried(state: Option<&str>, xs: &[f32]) -> Json {
    let mut body = shows("", 0, xs);
    let fields = body.as_object_mut().unwrap();
    fields.retain(|name, _| name != "session_id" && name != "seq");
    fields.insert("state".into(), state.into());
    body
}

fn act(service: &Service, body: Json) -> Result<ActReply, Problem> {
    service
        .act(request(body), None)
        .map(|answer| (*answer.reply).clone())
}

fn numbers(actions: &Value) -> Vec<f64> {
    actions.as_array().expect("one array").to_f64s()
}

/// The code and the place of a refusal.
#[track_caller]
fn refusal<T: std::fmt::Debug>(result: Result<T, Problem>) -> (ErrorCode, String) {
    let problem = result.unwrap_err();
    let places = problem.errors.first();
    (
        problem.code,
        places.map_or(String::new(), |e| e.pointer.clone()),
    )
}
