//! The benchmark: trains agents on memory tasks and reports who remembers what, for how long, at
//! what cost.
//!
//! The main path, from the ground up:
//!
//! - [`plan`]: experiments × agents × seeds, read from TOML. Each combination is a [`plan::Job`].
//! - [`records`]: a run's directory, with a line in `records.jsonl` for each finished job.
//! - [`scores`]: records grouped by experiment and agent, with intervals, verdicts and scales.
//! - [`run`]: the runner, which gives jobs to a [`Contender`](run::contender::Contender) and records
//!   its outcomes.
//! - [`report`]: the page, tables and JSON, made from records and nothing else.
//! - [`contenders`]: this project's agents and external programs, behind the same trait.
//! - [`cli`]: the command line.
//!
//! Each module imports only those above it in this list.
//!
//! # Example
//!
//! Training one agent with three seeds on the quick experiments of the reference notebook:
//!
//! ```no_run
//! use std::sync::atomic::AtomicBool;
//!
//! use benchmark::contenders::ours::OurContender;
//! use benchmark::plan::{Plan, Suite};
//! use benchmark::records::config::{RunConfig, RunInfo};
//! use benchmark::records::directory::RunDirectory;
//! use benchmark::records::git_commit;
//! use benchmark::report;
//! use benchmark::run::embedded::EmbeddedServer;
//! use benchmark::run::progress::Display;
//! use benchmark::run::runner::Runner;
//!
//! let mut plan = Plan::suite(Suite::Notebook)?;
//! plan.select_agents(&["tracerl".into()], &[])?;
//! plan.settle_budgets(true);
//! let commit = git_commit();
//! let run = RunInfo {
//!     name: "mine".into(),
//!     seeds: 3,
//!     shard: None,
//!     command: "an example".into(),
//!     commit: commit.clone(),
//!     started_at: "2026-01-02T03:04:05Z".into(),
//!     earlier: Vec::new(),
//! };
//! let config = RunConfig { run, plan };
//!
//! let directory = RunDirectory::new("runs/mine");
//! let _lock = directory.lock()?;
//! directory.write_config(&config)?;
//! let server = EmbeddedServer::start()?;
//! let runner = Runner {
//!     config: &config,
//!     directory: &directory,
//!     contender: &OurContender::default(),
//!     servers: &[server.url().to_owned()],
//!     workers: 2,
//!     commit: &commit,
//!     stop: &AtomicBool::new(false),
//!     display: &Display::hidden(),
//! };
//! let ending = runner.run(&mut |_event| Ok(()))?;
//! directory.write_report(&report::render(&ending.records, &config)?)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod cli;
pub mod contenders;
mod error;
mod files;
pub mod format;
pub mod plan;
pub mod records;
pub mod report;
pub mod run;
pub mod scores;

#[cfg(test)]
mod fixtures;

pub use error::Error;
