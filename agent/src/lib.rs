//! Agents that learn what to remember, over HTTP.
//!
//! # The main path
//!
//! [`run::train`] is the training loop. It plays, learns and reports until the budget is spent or the task is solved:
//!
//! 1. an [`experience::Source`] collects a rollout: a [`policy::Policy`] acts in a [`env::VectorEnv`], and its
//!    [`memory::MemoryCore`] carries what it needs from step to step;
//! 2. a [`learner::Learner`] improves the policy on the rollout;
//! 3. a [`run::checkpoint::Checkpoint`] makes the run resumable, and is what [`evaluate`] and [`deploy`] read.
//!
//! A row of [`algorithms::ALGORITHMS`] names a memory, a learner and the [hyper-parameters](hyper) of both.
//!
//! ```no_run
//! use std::sync::atomic::AtomicBool;
//!
//! use agent::env::remote::{RemoteEnvConfig, RemoteVectorEnv, RetryPolicy};
//! use agent::env::selection::EnvSelection;
//! use agent::run::config::TrainConfig;
//! use agent::run::train::{TrainOptions, train};
//! use agent::views::monitor::Silent;
//! use agent::{algorithms, overrides};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let task = EnvSelection {
//!     spec_id: "MemoryTask-v0".into(),
//!     kwargs: serde_json::from_str(r#"{"delay": 16}"#)?,
//!     draws: Vec::new(),
//! };
//! let mut env = RemoteVectorEnv::connect(&RemoteEnvConfig {
//!     servers: vec!["http://127.0.0.1:7878".into()],
//!     token: None,
//!     spec_id: task.spec_id.clone(),
//!     kwargs: task.kwargs.clone(),
//!     num_envs: 64,
//!     retry: RetryPolicy::default(),
//! })?;
//! let tracerl = algorithms::find("tracerl")?;
//! let config = TrainConfig::resolve(tracerl, &overrides! { num_envs: 64 }, task, 100_000, 0)?;
//! let options = TrainOptions {
//!     out: None,
//!     checkpoint_interval: None,
//!     resume: None,
//!     stop: &AtomicBool::new(false),
//! };
//! let trained = train(&config, &mut env, options, &mut Silent)?;
//! println!("{:?}", trained.checkpoint.run.statistics.recent_return());
//! # Ok(())
//! # }
//! ```
//!
//! # Floors
//!
//! Modules stand on floors and import only their own floor and those below it (`scripts/check-imports` tests it). From the
//! ground up: tools that know nothing of agents ([`seeds`], [`views`], …); [`spaces`], [`onnx`] and [`mod@env`]; [`hyper`];
//! [`memory`]; [`policy`]; [`experience`]; [`learner`]; [`algorithms`]; [`run`]; [`evaluate`] and [`deploy`].

pub use agent_nn as nn;

// The ground: no module here knows of agents.
pub mod arguments;
pub mod files;
pub mod seeds;
pub mod shell;
pub mod signals;
pub mod text;
pub mod views;

// Spaces, graphs and environments.
pub mod env;
pub mod onnx;
pub mod spaces;

// Parts of an agent.
pub mod hyper;
pub mod memory;
pub mod policy;

// How it learns.
pub mod algorithms;
pub mod experience;
pub mod learner;
pub mod run;

// Uses of a trained agent.
pub mod deploy;
pub mod evaluate;
